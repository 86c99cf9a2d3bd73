"""What transcription needs of an experiment beside the model: the tokenizer with its fitted state, and the recipe.

`tokenizer/` holds `<feature type>.json` and the state (such as kmeans.safetensors); for a tokenizer made of others, it
also holds `<their name>.json` and their states, in sub-folders of their names. Extraction writes it beside the codes,
training copies it into the experiment folder, transcription makes the tokenizer from it and compares its spec,
hashes of weights and centroids included, with the one that the model was trained on.
"""

import json
import logging
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_bytes
from icefall_discrete.base.feature_types import known_feature_types
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.fitted_recipe import Facts, fitted_recipe
from icefall_discrete.experiment.folder import TOKENIZER_DIR, told_if_newer
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import SpeechTokenizer

LOG = logging.getLogger(__name__)
RECIPE_FILE = "recipe.json"


def _write_if_changed(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def _absolute(value: Any) -> Any:
    """A path that exists is made absolute, in nested settings too: the experiment may be used from another folder."""
    if isinstance(value, dict):
        return {key: _absolute(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_absolute(held) for held in value]
    is_path = isinstance(value, str) and "/" in value and Path(value).exists()
    return str(Path(value).resolve()) if is_path else value


def save_tokenizer(tokenizer: SpeechTokenizer, feature_dir: Path) -> None:
    """Write the (fitted) tokenizer's settings and state to `feature_dir`/tokenizer; same tokenizer, same bytes."""
    folder = Path(feature_dir) / TOKENIZER_DIR
    _save(tokenizer, folder, folder)


def _save(tokenizer: SpeechTokenizer, folder: Path, state_dir: Path) -> None:
    for part in tokenizer.parts:
        _save(part, folder, state_dir / part.name)
    for path in tokenizer.state_files:
        _write_if_changed(state_dir / path.name, path.read_bytes())
    values = {"tokenizer": tokenizer.tokenizer_name, **_absolute(tokenizer.settings_to_save())}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    _write_if_changed(folder / f"{tokenizer.name}.json", text.encode())


def keep_for_transcription(
    exp_dir: Path, feature_dir: Path, recipe_config: Path, facts: Optional[Facts] = None
) -> None:
    """Copy the tokenizer of `feature_dir` and the recipe, with what it is based on, into the experiment folder.

    `facts` are those that the recipe was fitted to, if it was.
    """
    recipe = json.dumps(fitted_recipe(Path(recipe_config), facts), indent=2, ensure_ascii=False) + "\n"
    _write_if_changed(Path(exp_dir) / RECIPE_FILE, recipe.encode())
    saved = Path(feature_dir) / TOKENIZER_DIR
    if not saved.is_dir():
        LOG.warning(
            f"{saved} does not exist (extract_codes.py writes it), so {exp_dir} cannot hold its tokenizer: "
            "transcribing audio files will need --tokenizer-dir."
        )
        return
    for path in sorted(saved.rglob("*")):
        if path.is_file() and not path.name.startswith("."):  # left by a writer that was killed
            _write_if_changed(Path(exp_dir) / TOKENIZER_DIR / path.relative_to(saved), path.read_bytes())


def load_recipe(exp_dir: Path, recipe_config: Optional[Path]) -> Dict[str, Any]:
    """The recipe in `recipe_config`, or else the one kept in the experiment, or else an empty one."""
    kept = Path(exp_dir) / RECIPE_FILE
    if recipe_config is None and not kept.is_file():
        return {}
    return read_recipe(recipe_config or kept)


def settings_in(recipe: Mapping[str, Any], where: str) -> Tuple[CheckpointChoice, DecodeConfig]:
    """Checkpoints and search that a recipe chooses; `where` is its file. Raises ValueError if a setting is unknown."""
    choice = from_dict(CheckpointChoice, recipe.get("average", {}), where)
    return choice, from_dict(DecodeConfig, recipe.get("decode", {}), where)


def kept_settings(exp_dir: PathLike) -> Tuple[CheckpointChoice, DecodeConfig]:
    """Checkpoints and search that the recipe chooses which the experiment keeps; the defaults if it keeps none."""
    with told_if_newer(Path(exp_dir)):
        return settings_in(load_recipe(Path(exp_dir), None), str(Path(exp_dir) / RECIPE_FILE))


def load_experiment_tokenizer(
    exp_dir: Path, spec: FeatureSpec, tokenizer_dir: Optional[Path] = None
) -> SpeechTokenizer:
    """Make the tokenizer that the experiment's codes came from.

    Args:
      exp_dir: the experiment folder. spec: its spec.
      tokenizer_dir: folder with the tokenizer's state, and with `<feature type>.json` unless that feature type is one
        of the package; None: the experiment's own.
    Raises:
      FileNotFoundError: if settings or state are missing. ValueError: if it is another tokenizer than in training.
    """
    folder = Path(tokenizer_dir or Path(exp_dir) / TOKENIZER_DIR)
    config = folder / f"{spec.name}.json"
    if not config.is_file() and spec.name not in known_feature_types():
        raise FileNotFoundError(
            f"{folder} holds no {config.name}, the settings of the tokenizer that {exp_dir} was trained with; "
            "give the folder that does with --tokenizer-dir."
        )
    tokenizer = load_tokenizer(str(config) if config.is_file() else spec.name, (), folder)
    if not tokenizer.is_fitted:
        states = [path for one in (*tokenizer.parts, tokenizer) for path in one.state_files]
        missing = ", ".join(str(path.relative_to(folder)) for path in states if not path.is_file())
        raise FileNotFoundError(
            f"{folder} holds no {missing}, the state of tokenizer '{spec.name}' that {exp_dir} was trained with; "
            "give the folder of its features with --tokenizer-dir."
        )
    tokenizer.to("cpu", spec.provenance.get("dtype", "float32"))
    found = spec.differences(tokenizer.spec)
    if found:
        listed = "; ".join(f"{key}: {trained!r} in training, {now!r} here" for key, (trained, now) in found.items())
        raise ValueError(
            f"the tokenizer in {folder} is not the one that {exp_dir} was trained with ({listed}); "
            "give the right one with --tokenizer-dir."
        )
    return tokenizer
