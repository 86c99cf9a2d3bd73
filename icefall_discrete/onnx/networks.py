"""The networks of an exported folder in onnxruntime, with the search that they are asked by.

It runs on onnxruntime, numpy and sentencepiece; torch is not imported.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional

import numpy as np

from icefall_discrete.base.names import known_names
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.decoding.methods import METHODS, known_methods
from icefall_discrete.onnx.folder import (
    AGAIN,
    ATTENTION_DECODER,
    ATTENTION_ENCODER,
    CTC,
    DECODER,
    ENCODER,
    JOINER,
    PIECES_FILE,
    SPEC_FILE,
    TOKENIZER,
    checked_file,
    read_model,
)
from icefall_discrete.onnx.searches import Heads, UnitScores
from icefall_discrete.text.pieces import TextEncoder

if TYPE_CHECKING:
    import onnxruntime

# The networks that a head needs; the attention decoder's encoder has the CTC head too.
_PARTS_OF = {
    "transducer": (ENCODER, DECODER, JOINER),
    "ctc": (CTC,),
    "attention_decoder": (ATTENTION_ENCODER, ATTENTION_DECODER),
}
_CONTEXT_SIZE = re.compile(r"[1-9][0-9]?", re.ASCII)
# Searches that go on where they stopped.
STREAM_METHODS = ("greedy_search", "modified_beam_search", "ctc_greedy_search")


class ExportedNetworks:
    """The tokenizer and the networks of a search.

    Args:
      folder: of the exported model. method: one of `known_methods`, of STREAM_METHODS for an encoder of streams; None:
        the one that the experiment's recipe asks for, or the one that stands for it, if the model has its heads.
      int8: whether weights of 8 bits are taken. num_threads: of each network.
    Raises:
      FileNotFoundError: if a file is missing. ValueError: if one is another than was exported, the model is of
        TorchScript or has no tokenizer, or it has no such search.
    """

    def __init__(self, folder: Path, method: Optional[str], int8: bool, num_threads: int) -> None:
        self.folder = folder
        self._model = read_model(folder)
        if TOKENIZER not in self._model.parts:
            raise ValueError(
                f"{folder} holds no tokenizer, so that it does not take audio; export with --to onnx a model whose "
                "tokenizer can go along (the export says why one cannot)."
            )
        self._int8, self._num_threads = int8, num_threads
        if int8 and not self._model.has_int8:
            raise ValueError(f"{folder} holds no weights of 8 bits; export with --int8 1.")
        self.spec = FeatureSpec.read(checked_file(folder, self._model, SPEC_FILE))
        self._text_encoder = TextEncoder(checked_file(folder, self._model, PIECES_FILE))
        self.method = self._method(method)
        asked = METHODS[self.method].heads_asked(self._model.ctc_weight)
        self._main_head = max(asked, key=list(_PARTS_OF).index)
        self._sessions = {name: self._session(name) for name in (TOKENIZER, *_PARTS_OF[self._main_head])}

    def _method(self, asked: Optional[str]) -> str:
        there = {head for head, parts in _PARTS_OF.items() if parts[0] in self._model.parts}
        weight, wanted = self._model.ctc_weight, self._model.decoding_method
        names = STREAM_METHODS if self._model.streaming else known_methods()
        known = [name for name in names if there.issuperset(METHODS[name].heads_asked(weight))]
        if not known:
            parts = ", ".join(self._model.parts) or "none"
            raise ValueError(f"{self.folder} holds networks for no search ({parts}); export the model again.")
        if asked is not None and asked not in known:
            raise ValueError(f"{self.folder} knows no search '{asked}'; {known_names(known, asked)}")
        instead = METHODS[wanted].without_k2 if wanted in METHODS else None
        return next(name for name in (asked, wanted, instead, known[0]) if name in known)

    def _file(self, name: str) -> str:
        small = f"{name}.int8.onnx"
        return small if self._int8 and small in self._model.digests() else f"{name}.onnx"

    def _session(self, name: str) -> "onnxruntime.InferenceSession":
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("onnxruntime is not installed; pip install 'icefall-discrete[export]'.") from None
        path = checked_file(self.folder, self._model, self._file(name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._num_threads, 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's have no base of their own
            raise _unusable(path, error) from None

    def _run(self, name: str, inputs: Dict[str, np.ndarray]) -> List[np.ndarray]:
        try:
            return self._sessions[name].run(None, inputs)
        except Exception as error:  # as above; of networks that do not belong together
            raise _unusable(self.folder / self._file(name), error) from None

    def _predicted(self, contexts: np.ndarray) -> np.ndarray:
        return self._run(DECODER, {"y": contexts})[0]

    def _joined(self, am: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return self._run(JOINER, {"encoder_out": am, "decoder_out": predicted})[0]

    def _units(self, in_beam: bool) -> UnitScores:
        model = self._model
        return UnitScores(model.blank_penalty, model.temperature if in_beam else 1.0, model.emit_unk)

    def _heads(self, in_beam: bool) -> Heads:
        """What a search of the transducer asks."""
        said = self._sessions[DECODER].get_modelmeta().custom_metadata_map.get("context_size", "nothing")
        if not _CONTEXT_SIZE.fullmatch(said):
            raise ValueError(
                f"{self.folder / DECODER}.onnx says {said[:20]!r} of its context_size, expected a number from 1 to 99; "
                f"{AGAIN}."
            )
        return Heads(self._predicted, self._joined, int(said), self._units(in_beam))


def _unusable(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:200]
    return ValueError(f"{path} cannot be run by onnxruntime ({reason}); export the model again.")
