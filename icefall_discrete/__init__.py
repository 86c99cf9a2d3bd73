"""icefall_discrete: speech recognition on discrete speech tokens."""

from pathlib import Path

__version__ = "0.1.0"
# Feature types, model sizes and recipes that come with the package.
CONF_DIR = Path(__file__).resolve().parent / "conf"
