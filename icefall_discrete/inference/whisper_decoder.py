"""Whisper with its own decoder, zero-shot: what a recogniser on the tokens of its encoder is measured against.

Radford et al. 2022, https://arxiv.org/abs/2212.04356. CTranslate2 runs it, from its own folders.
"""

import json
import tempfile
from pathlib import Path
from typing import List

import numpy as np
import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor

from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.base.text_files import read_text
from icefall_discrete.base.weights import WEIGHTS_PREFIX
from icefall_discrete.base.weights_fetch import weights_folder
from icefall_discrete.tokenizers.formats.ctranslate2_files import WEIGHTS_FILE
from icefall_discrete.tokenizers.frames.whisper import FFT_SIZE, SAMPLE_RATE_HZ, locate_model, log_mel

WINDOW_SEC = 30
_VOCABULARY = "vocabulary.json"
_MOST_PIECES = 224  # half of the decoder's context, as its authors have it


def language_token(language: str) -> str:
    """The piece that tells Whisper which language is spoken."""
    return f"<|{language}|>"


def _with_vocabulary(model: str, place: Path) -> Path:
    """A folder for CTranslate2: the one of `model`, or links in `place` if its vocabulary is weights of their own."""
    folder = locate_model(model)
    if not (folder / WEIGHTS_FILE).is_file():
        raise ValueError(f"{folder} is no CTranslate2 model (no {WEIGHTS_FILE}), which is what is decoded with here.")
    if (folder / _VOCABULARY).is_file():
        return folder
    if not model.startswith(WEIGHTS_PREFIX):
        raise FileNotFoundError(f"{folder} has no {_VOCABULARY}, without which pieces have no names; put it there.")
    names = weights_folder(f"{model[len(WEIGHTS_PREFIX) :]}_vocabulary")
    for file in (folder / WEIGHTS_FILE, *names.glob("*.json")):
        (place / file.name).symlink_to(file.resolve())
    return place


class WhisperDecoder:
    """Texts of utterances of up to 30 s whose language is known, without timestamps.

    Args:
      model: see WhisperSettings; a folder of CTranslate2. beam_size: of its beam search.
    Raises:
      ModuleNotFoundError, ValueError, FileNotFoundError: one sentence that says what is missing.
    """

    def __init__(self, model: str, beam_size: int = 5) -> None:
        try:
            import ctranslate2
        except ImportError:
            raise ModuleNotFoundError(
                "Whisper's own decoder is run by ctranslate2, which is not installed; run `pip install ctranslate2`."
            ) from None
        self._storage_view = ctranslate2.StorageView
        threads = torch.get_num_threads()
        with tempfile.TemporaryDirectory() as place:
            folder = _with_vocabulary(model, Path(place))
            self._model = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=threads)
            self._pieces = json.loads(read_text(folder / _VOCABULARY))
        self._bytes = ByteLevel()
        self._filters = mel_filters(SAMPLE_RATE_HZ, FFT_SIZE, self._model.n_mels, 0.0, SAMPLE_RATE_HZ / 2)
        self._beam_size = beam_size

    @property
    def languages(self) -> List[str]:
        """Those that the model knows."""
        return [piece[2:-2] for piece in self._pieces if piece[:2] == "<|" and piece[2:-2].isalpha() and len(piece) < 8]

    def text(self, samples: Tensor, language: str, name: str) -> str:
        """What is said in `samples` (S,) at 16 kHz, filled up to 30 s with silence as in Whisper's training.

        `name` is that of the utterance, for errors. Raises ValueError for longer audio or an unknown language.
        """
        size = WINDOW_SEC * SAMPLE_RATE_HZ
        if len(samples) > size:
            seconds = len(samples) / SAMPLE_RATE_HZ
            raise ValueError(
                f"{name} has {seconds:.1f} s, and Whisper hears {WINDOW_SEC} s at once; give shorter cuts."
            )
        if language_token(language) not in self._pieces:
            raise ValueError(f"{name}: the model has no language '{language}'; expected a code of ISO 639 such as en.")
        mel = log_mel(torch.nn.functional.pad(samples, (0, size - len(samples))), self._filters)
        features = self._storage_view.from_array(np.ascontiguousarray(mel[None].numpy()))
        prompt = ["<|startoftranscript|>", language_token(language), "<|transcribe|>", "<|notimestamps|>"]
        found = self._model.generate(features, [prompt], beam_size=self._beam_size, max_length=_MOST_PIECES)[0]
        return self._bytes.decode([piece for piece in found.sequences[0] if not piece.startswith("<|")]).strip()
