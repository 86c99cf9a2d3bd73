"""The folder of a language model: lm.json, bpe.model, and lm.arpa or model.safetensors."""

from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Optional, Union

import torch

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.provenance import digest_of_file, read_record
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.lm.arpa import NgramModel, read_arpa
from icefall_discrete.lm.neural import MODELS, NeuralLm, NeuralLmConfig

ARPA, WEIGHTS, FACTS, PIECES = "lm.arpa", "model.safetensors", "lm.json", "bpe.model"
_MAX_PIECES = 10**6
_RETRAIN = "train it again with train_lm.py, or copy its folder anew"


class LanguageModel(NamedTuple):
    """A language model as it was read: of n-grams or neural, and the file to name in messages."""

    model: Union[NgramModel, NeuralLm]
    where: str


def files_of(path: PathLike) -> List[Path]:
    """The files that decide what a language model (a folder, or an .arpa file) says."""
    path = Path(path)
    if path.suffix == ".arpa" or path.is_file():
        return [path]
    return [path / name for name in (FACTS, ARPA, WEIGHTS) if (path / name).is_file()]


def changed_model(folder: PathLike, facts: Mapping[str, Any]) -> Optional[Path]:
    """The model's file if it is not the one that was trained, as its digest in the facts says; None if it is."""
    path = Path(folder) / (ARPA if facts.get("lm_type") == "ngram" else WEIGHTS)
    expected = facts.get("model_sha256")  # absent in folders of before
    return path if expected and path.is_file() and digest_of_file(path) != expected else None


def load_language_model(path: PathLike, bpe_model: Optional[PathLike] = None) -> LanguageModel:
    """Read a language model over pieces.

    Args:
      path: a folder written by the training stage, or an .arpa file. bpe_model: the pieces it must have been trained
        with; None: not checked. (The tokens of an .arpa file are checked where it is used.)

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it was trained with other pieces, or on words.
    """
    path = Path(path)
    if path.suffix == ".arpa" or path.is_file():
        return LanguageModel(read_arpa(path), str(path))
    if not (path / FACTS).is_file():
        raise FileNotFoundError(f"{path} holds no language model ({FACTS} is missing); train one with train_lm.py.")
    facts = read_record(path / FACTS, "lm_unit", "lm_type", "pieces_sha256")
    changed = changed_model(path, facts)
    if changed is not None:
        raise ValueError(
            f"{changed} is not the model that {path / FACTS} tells of: it was damaged or replaced; put it back, or run "
            "train_lm.py again, which trains it anew."
        )
    if facts["lm_unit"] != "pieces":
        raise ValueError(
            f"{path} is a language model of {facts['lm_unit']}; a search over pieces needs --lm-unit pieces."
        )
    if bpe_model is not None and facts["pieces_sha256"] != digest_of_file(bpe_model):
        raise ValueError(
            f"{path} was trained with other pieces than those of {bpe_model}; train it again with the --lang-dir "
            "of the experiment."
        )
    if facts["lm_type"] == "ngram":
        return LanguageModel(read_arpa(path / ARPA), str(path / ARPA))
    return LanguageModel(_neural(path, facts), str(path / WEIGHTS))


def _neural(folder: Path, facts: Mapping[str, Any]) -> NeuralLm:
    if facts["lm_type"] not in MODELS:
        known = ", ".join(("ngram", *MODELS))
        raise ValueError(f"{folder / FACTS}: 'lm_type' is {facts['lm_type']!r}, expected one of {known}; {_RETRAIN}.")
    vocab_size = facts.get("vocab_size")
    if not isinstance(vocab_size, int) or not 0 < vocab_size <= _MAX_PIECES:
        raise ValueError(
            f"{folder / FACTS}: 'vocab_size' is {vocab_size!r}, expected a number of pieces up to {_MAX_PIECES}; "
            f"{_RETRAIN}."
        )
    config = from_dict(NeuralLmConfig, facts.get("model", {}), str(folder / FACTS))
    # Read first: its size is that of the file, whatever the settings say.
    found = read_tensors(folder / WEIGHTS, _RETRAIN)
    embedding = found.tensors.get("embedding.weight", torch.empty(0))
    if embedding.shape != (vocab_size, config.lm_dim) or config.lm_layers > len(found.tensors):
        raise ValueError(f"{folder / WEIGHTS} is not the model that {FACTS} beside it tells of; {_RETRAIN}.")
    model = MODELS[facts["lm_type"]](config, vocab_size)
    try:
        model.load_state_dict(found.tensors)
    except RuntimeError:
        raise ValueError(f"{folder / WEIGHTS} is not the model that {FACTS} beside it tells of; {_RETRAIN}.") from None
    if not found.all_finite():
        raise ValueError(f"{folder / WEIGHTS} holds numbers that are not finite; {_RETRAIN}.")
    return model.eval()
