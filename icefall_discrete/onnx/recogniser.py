"""Recogniser: a folder that `icefall-discrete export --to onnx` wrote as a function from audio to text.

It runs on onnxruntime, numpy, soundfile and sentencepiece; torch is not imported.
"""

import dataclasses
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Union

import numpy as np

from icefall_discrete.base.text_files import shown_name
from icefall_discrete.decoding.joint_settings import ATTENTION
from icefall_discrete.decoding.methods import PREFIXES_RESCORED
from icefall_discrete.onnx.audio import read_audio
from icefall_discrete.onnx.folder import ATTENTION_DECODER, ATTENTION_ENCODER, CTC, ENCODER, TOKENIZER
from icefall_discrete.onnx.label_search import LabelSearch, rescored
from icefall_discrete.onnx.networks import ExportedNetworks
from icefall_discrete.onnx.searches import (
    Found,
    ctc_greedy_search,
    ctc_prefix_beam_search,
    greedy_search,
    modified_beam_search,
)
from icefall_discrete.text.words import plain_spaces


class ScoredText(NamedTuple):
    """A hypothesis, and its log-probability in nats."""

    text: str
    score: float


class Recogniser(ExportedNetworks):
    """Recognises audio as `icefall-discrete transcribe` does with the experiment.

    Args:
      As ExportedNetworks.
    Raises:
      FileNotFoundError, ValueError: as ExportedNetworks; ValueError if the encoder is one of streams.
    """

    def __init__(
        self, folder: Union[str, Path], method: Optional[str] = None, int8: bool = False, num_threads: int = 1
    ) -> None:
        super().__init__(Path(folder), method, int8, num_threads)
        if self._model.streaming:
            raise ValueError(f"{folder} holds an encoder of streams; recognise with --streaming, or export without it.")

    def frames(self, samples: np.ndarray, name: str = "audio") -> np.ndarray:
        """Codes (T, K) or features (T, D) of samples (S,) float32 at the rate of `spec`.

        Raises:
          ValueError: for audio that is too short or too long; `name` is what it calls them.
        """
        rate, least, most = self.spec.sample_rate_hz, self._model.min_samples, self._model.max_samples
        has = f"{name}: has {len(samples) / rate:.4g} s, but {self.folder} takes"
        if len(samples) < least:
            raise ValueError(f"{has} {least / rate:.3f} s at least, for one frame; leave it out.")
        if most and len(samples) > most:
            raise ValueError(f"{has} {most / rate:.1f} s at most in one piece; cut it in its pauses.")
        return self._run(TOKENIZER, {"samples": np.ascontiguousarray(samples, dtype=np.float32)})[0]

    def require_nbest(self, nbest: int) -> None:
        """Raise ValueError if a beam holds fewer than `nbest` hypotheses."""
        beam = self._model.beam_size
        if nbest > beam:
            raise ValueError(f"nbest is {nbest}, but the search of {self.folder} keeps {beam} hypotheses.")

    def hypotheses(self, samples: np.ndarray, nbest: int = 1, name: str = "audio") -> List[ScoredText]:
        """Up to `nbest` texts of samples (S,) float32 in [-1, 1] at the rate of `spec`, best first.

        Raises:
          ValueError: as `frames`, or if a beam holds fewer.
        """
        self.require_nbest(nbest)
        frames = self.frames(samples, name)
        inputs = {"x": frames[None], "x_lens": np.array([len(frames)], dtype=np.int64)}
        search = {"transducer": self._by_transducer, "ctc": self._by_ctc, "attention_decoder": self._by_attention}
        found = search[self._main_head](inputs, nbest)
        return [ScoredText(plain_spaces(self._text_encoder.decode(one.labels)), one.score) for one in found[:nbest]]

    def _by_transducer(self, inputs: Dict[str, np.ndarray], nbest: int) -> List[Found]:
        is_greedy = self.method == "greedy_search"
        heads = self._heads(not is_greedy)
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

    def hypotheses_of_file(self, path: Union[str, Path], nbest: int = 1) -> List[ScoredText]:
        """As `hypotheses`, of an audio file of any rate; names it in errors, also for what is no such audio."""
        return self.hypotheses(read_audio(Path(path), self.spec.sample_rate_hz), nbest, shown_name(str(path)))

    def recognise_file(self, path: Union[str, Path]) -> str:
        """The text of an audio file of any rate. Raises ValueError, naming the file, for what is no such audio."""
        return self.hypotheses_of_file(path)[0].text
