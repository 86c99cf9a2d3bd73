"""The folder of a language model: lm.json, bpe.model, and lm.arpa or model.safetensors."""

from pathlib import Path
from typing import List, NamedTuple, Optional, Union

from safetensors.torch import load_file

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.provenance import digest_of_file, read_record
from icefall_discrete.base.settings import from_dict
from icefall_discrete.lm.arpa import NgramModel, read_arpa
from icefall_discrete.lm.neural import MODELS, NeuralLm, NeuralLmConfig

ARPA, WEIGHTS, FACTS, PIECES = "lm.arpa", "model.safetensors", "lm.json", "bpe.model"


class LanguageModel(NamedTuple):
    """A language model as it was read: of n-grams or neural, and the file to name in messages."""

    model: Union[NgramModel, NeuralLm]
    where: str


def files_of(path: PathLike) -> List[Path]:
    """The files that decide what a language model (a folder, or an .arpa file) says."""
    path = Path(path)
    if path.suffix == ".arpa":
        return [path]
    return [path / name for name in (FACTS, ARPA, WEIGHTS) if (path / name).is_file()]


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
    if path.suffix == ".arpa":
        return LanguageModel(read_arpa(path), str(path))
    if not (path / FACTS).is_file():
        raise FileNotFoundError(f"{path} holds no language model ({FACTS} is missing); train one with train_lm.py.")
    facts = read_record(path / FACTS, "lm_unit", "lm_type", "pieces_sha256")
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
    config = from_dict(NeuralLmConfig, facts["model"], str(path / FACTS))
    model = MODELS[facts["lm_type"]](config, facts["vocab_size"])
    model.load_state_dict(load_file(str(path / WEIGHTS)))
    return LanguageModel(model.eval(), str(path / WEIGHTS))
