"""Recogniser: a folder that `icefall-discrete export --to onnx` wrote as a function from audio to text.

It runs on onnxruntime, numpy, soundfile and sentencepiece; torch is not imported.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Union

import numpy as np

from icefall_discrete.base.names import known_names
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.decoding.joint_settings import ATTENTION
from icefall_discrete.decoding.methods import METHODS, PREFIXES_RESCORED, known_methods
from icefall_discrete.onnx.audio import read_audio
from icefall_discrete.onnx.folder import (
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
from icefall_discrete.onnx.label_search import LabelSearch, rescored
from icefall_discrete.onnx.searches import (
    Found,
    Heads,
    UnitScores,
    ctc_greedy_search,
    ctc_prefix_beam_search,
    greedy_search,
    modified_beam_search,
)
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import plain_spaces

if TYPE_CHECKING:
    import onnxruntime

# The networks that a head needs; the attention decoder's encoder has the CTC head too.
_PARTS_OF = {
    "transducer": (ENCODER, DECODER, JOINER),
    "ctc": (CTC,),
    "attention_decoder": (ATTENTION_ENCODER, ATTENTION_DECODER),
}


class ScoredText(NamedTuple):
    """A hypothesis, and its log-probability in nats."""

    text: str
    score: float


class Recogniser:
    """Recognises audio as `icefall-discrete transcribe` does with the experiment.

    Args:
      folder: of the exported model. method: one of `known_methods`; None: the one that the experiment's recipe asks
        for, or the one that stands for it where there is no k2, if the model has its heads. int8: whether weights of 8
        bits are taken. num_threads: of each network.
    Raises:
      FileNotFoundError: if a file is missing. ValueError: if one is another than was exported, the model is of
        TorchScript, streams or has no tokenizer, or it has no such search.
    """

    def __init__(
        self, folder: Union[str, Path], method: Optional[str] = None, int8: bool = False, num_threads: int = 1
    ) -> None:
        self.folder = Path(folder)
        self._model = read_model(self.folder)
        if self._model.streaming or TOKENIZER not in self._model.parts:
            what = "an encoder of streams" if self._model.streaming else "no tokenizer"
            raise ValueError(f"{folder} holds {what}, so that it does not take audio files; export with --to onnx.")
        self._int8, self._num_threads = int8, num_threads
        if int8 and not self._model.has_int8:
            raise ValueError(f"{folder} holds no weights of 8 bits; export with --int8 1.")
        self.spec = FeatureSpec.read(checked_file(self.folder, self._model, SPEC_FILE))
        self._text_encoder = TextEncoder(checked_file(self.folder, self._model, PIECES_FILE))
        self.method = self._method(method)
        asked = METHODS[self.method].heads_asked(self._model.ctc_weight)
        self._main_head = max(asked, key=list(_PARTS_OF).index)
        self._sessions = {name: self._session(name) for name in (TOKENIZER, *_PARTS_OF[self._main_head])}

    def _method(self, asked: Optional[str]) -> str:
        there = {head for head, parts in _PARTS_OF.items() if parts[0] in self._model.parts}
        weight, wanted = self._model.ctc_weight, self._model.decoding_method
        known = [name for name in known_methods() if there.issuperset(METHODS[name].heads_asked(weight))]
        if asked is not None and asked not in known:
            raise ValueError(f"{self.folder} knows no search '{asked}'; {known_names(known, asked)}")
        instead = METHODS[wanted].without_k2 if wanted in METHODS else None
        return next(name for name in (asked, wanted, instead, known[0]) if name in known)

    def _session(self, name: str) -> "onnxruntime.InferenceSession":
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("onnxruntime is not installed; pip install 'icefall-discrete[export]'.") from None
        small = self._int8 and f"{name}.int8.onnx" in self._model.digests()
        path = checked_file(self.folder, self._model, f"{name}.int8.onnx" if small else f"{name}.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._num_threads, 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's have no base of their own
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} cannot be run by onnxruntime ({reason}); export the model again.") from None

    def _run(self, name: str, inputs: Dict[str, np.ndarray]) -> List[np.ndarray]:
        return self._sessions[name].run(None, inputs)

    def _predicted(self, contexts: np.ndarray) -> np.ndarray:
        return self._run(DECODER, {"y": contexts})[0]

    def _joined(self, am: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return self._run(JOINER, {"encoder_out": am, "decoder_out": predicted})[0]

    def frames(self, samples: np.ndarray, name: str = "audio") -> np.ndarray:
        """Codes (T, K) or features (T, D) of samples (S,) float32 at the rate of `spec`.

        Raises:
          ValueError: for audio that is too short or too long; `name` is what it calls them.
        """
        rate, least, most = self.spec.sample_rate_hz, self._model.min_samples, self._model.max_samples
        if not least <= len(samples) <= (most or len(samples)):
            raise ValueError(
                f"{name}: has {len(samples) / rate:.2f} s, but {self.folder} takes {least / rate:.3f} to "
                f"{most / rate:.1f} s in one piece; cut it in its pauses."
            )
        return self._run(TOKENIZER, {"samples": np.ascontiguousarray(samples, dtype=np.float32)})[0]

    def hypotheses(self, samples: np.ndarray, nbest: int = 1, name: str = "audio") -> List[ScoredText]:
        """Up to `nbest` texts of samples (S,) float32 in [-1, 1] at the rate of `spec`, best first.

        Raises:
          ValueError: as `frames`, or if a beam holds fewer.
        """
        beam = self._model.beam_size
        if nbest > beam:
            raise ValueError(f"nbest is {nbest}, but the search of {self.folder} keeps {beam} hypotheses.")
        frames = self.frames(samples, name)
        inputs = {"x": frames[None], "x_lens": np.array([len(frames)], dtype=np.int64)}
        search = {"transducer": self._by_transducer, "ctc": self._by_ctc, "attention_decoder": self._by_attention}
        found = search[self._main_head](inputs, nbest)
        return [ScoredText(plain_spaces(self._text_encoder.decode(one.labels)), one.score) for one in found[:nbest]]

    def _units(self, in_beam: bool) -> UnitScores:
        model = self._model
        return UnitScores(model.blank_penalty, model.temperature if in_beam else 1.0, model.emit_unk)

    def _by_transducer(self, inputs: Dict[str, np.ndarray], nbest: int) -> List[Found]:
        context_size = int(self._sessions[DECODER].get_modelmeta().custom_metadata_map["context_size"])
        is_greedy = self.method == "greedy_search"
        heads = Heads(self._predicted, self._joined, context_size, self._units(not is_greedy))
        encoder_out = self._run(ENCODER, inputs)[0][0]
        if is_greedy:
            return [greedy_search(heads, encoder_out, self._model.max_sym_per_frame)]
        return modified_beam_search(heads, encoder_out, self._model.beam_size)

    def _by_ctc(self, inputs: Dict[str, np.ndarray], nbest: int) -> List[Found]:
        logits, model = self._run(CTC, inputs)[0][0], self._model
        if self.method == "ctc_greedy_search":
            return [ctc_greedy_search(self._units(False).of(logits))]
        if self.method == "ctc_prefix_beam_search":
            return ctc_prefix_beam_search(self._units(True).of(logits), model.beam_size)
        log_probs = self._units(False).of(logits)
        return LabelSearch(len(logits), log_probs, None, model.beam_size, nbest, model, model.emit_unk).search()

    def _by_attention(self, inputs: Dict[str, np.ndarray], nbest: int) -> List[Found]:
        model = self._model
        encoder_out, _, *heard = self._run(ATTENTION_ENCODER, inputs)

        def decoder(labels: np.ndarray) -> np.ndarray:
            return self._run(ATTENTION_DECODER, {"encoder_out": encoder_out, "y": labels})[0]

        if self.method == PREFIXES_RESCORED:
            prefixes = ctc_prefix_beam_search(self._units(True).of(heard[0][0]), model.beam_size)
            return rescored(decoder, prefixes, model.attention_scale)
        alone = self.method == ATTENTION
        config = dataclasses.replace(model, ctc_weight=0.0) if alone else model
        log_probs = self._units(False).of(heard[0][0]) if heard and not alone else None
        frames = encoder_out.shape[1]
        return LabelSearch(frames, log_probs, decoder, model.beam_size, nbest, config, model.emit_unk).search()

    def recognise(self, samples: np.ndarray, name: str = "audio") -> str:
        """The text of samples (S,) float32 in [-1, 1] at the rate of `spec`. Raises ValueError as `frames`."""
        return self.hypotheses(samples, 1, name)[0].text

    def recognise_file(self, path: Union[str, Path]) -> str:
        """The text of an audio file of any rate. Raises ValueError, naming the file, for what is no such audio."""
        return self.recognise(read_audio(Path(path), self.spec.sample_rate_hz), str(path))
