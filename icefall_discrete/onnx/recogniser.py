"""Recogniser: a folder that `icefall-discrete export --to onnx` wrote as a function from audio to text.

It runs on onnxruntime, numpy, soundfile and sentencepiece; torch is not imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Union

import numpy as np

from icefall_discrete.base.names import known_names
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.onnx.audio import read_audio
from icefall_discrete.onnx.folder import (
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
from icefall_discrete.onnx.searches import Heads, ctc_greedy_search, greedy_search, modified_beam_search
from icefall_discrete.text.pieces import TextEncoder

if TYPE_CHECKING:
    import onnxruntime

GREEDY, BEAM, CTC_GREEDY = "greedy_search", "modified_beam_search", "ctc_greedy_search"


class Recogniser:
    """Recognises audio as `icefall-discrete transcribe` does with the experiment.

    Args:
      folder: of the exported model. method: greedy_search, modified_beam_search or ctc_greedy_search; None: the one
        that the experiment's recipe asks for, if it is one of those that the model has. int8: whether weights of 8 bits
        are taken. num_threads: of each network.
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
        wanted = (TOKENIZER, CTC) if self.method == CTC_GREEDY else (TOKENIZER, ENCODER, DECODER, JOINER)
        self._sessions = {name: self._session(name) for name in wanted}
        self._heads: Optional[Heads] = None
        if self.method != CTC_GREEDY:
            facts = self._sessions[DECODER].get_modelmeta().custom_metadata_map
            context_size, penalty = int(facts["context_size"]), self._model.blank_penalty
            self._heads = Heads(self._predicted, self._joined, context_size, penalty)

    def _method(self, asked: Optional[str]) -> str:
        known = [GREEDY, BEAM] if ENCODER in self._model.parts else []
        known += [CTC_GREEDY] if CTC in self._model.parts else []
        if asked is not None and asked not in known:
            raise ValueError(f"{self.folder} knows no search '{asked}'; {known_names(known, asked)}")
        return asked or (self._model.decoding_method if self._model.decoding_method in known else known[0])

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

    def recognise(self, samples: np.ndarray, name: str = "audio") -> str:
        """The text of samples (S,) float32 in [-1, 1] at the rate of `spec`. Raises ValueError as `frames`."""
        frames = self.frames(samples, name)
        inputs = {"x": frames[None], "x_lens": np.array([len(frames)], dtype=np.int64)}
        if self._heads is None:
            labels = ctc_greedy_search(self._run(CTC, inputs)[0][0], self._model.blank_penalty)
        elif self.method == GREEDY:
            labels = greedy_search(self._heads, self._run(ENCODER, inputs)[0][0])
        else:
            labels = modified_beam_search(self._heads, self._run(ENCODER, inputs)[0][0], self._model.beam_size)
        return self._text_encoder.decode(labels)

    def recognise_file(self, path: Union[str, Path]) -> str:
        """The text of an audio file of any rate. Raises ValueError, naming the file, for what is no such audio."""
        return self.recognise(read_audio(Path(path), self.spec.sample_rate_hz), str(path))
