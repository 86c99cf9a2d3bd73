"""icefall_discrete: speech recognition on discrete speech tokens."""

__version__ = "0.1.0"
