"""Encoder states of a pretrained Whisper: finding the model, its log-mel front end, utterances of any length.

Radford et al. 2022, https://arxiv.org/abs/2212.04356. A model is a folder of CTranslate2 (model.bin) or of transformers
(config.json and safetensors; pickled weights are not read); both run in PyTorch. Letters: S samples, M mel bins, F mel
frames (100 Hz), T states (50 Hz).
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.audio.spectrum_graph import PowerSpectrum, mirrored_frames
from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.formats.ctranslate2_files import WEIGHTS_FILE
from icefall_discrete.tokenizers.formats.pretrained import HUB_FILES, locate_folder
from icefall_discrete.tokenizers.frames import PretrainedFrames
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph
from icefall_discrete.tokenizers.networks.whisper_encoder import WhisperEncoder, read_whisper_encoder, weight_files

SAMPLE_RATE_HZ = 16000
FFT_SIZE = 400
HOP_SAMPLES = 160
STATE_SAMPLES = 2 * HOP_SAMPLES


@dataclasses.dataclass(frozen=True)
class WhisperSettings:
    """States of a pretrained Whisper encoder."""

    model: str = setting(
        "weights:whisper_tiny_en",
        "Whisper model: weights:NAME, a folder, a hub id, or package:NAME/FOLDER for a folder of an installed package.",
    )
    layer: int = setting(0, "Encoder layer whose output is taken, from 1; 0: the final, normalised states.")
    layers: Tuple[int, ...] = setting(
        (), "Layers whose outputs stand side by side in a frame; none: `layer` alone.", distinct=True
    )
    pad_sec: float = setting(1.0, "Silence added after each utterance before the encoder, in seconds.", minimum=0)
    num_threads: int = setting(1, "Has no effect any more; the encoder uses as many threads as torch.")


def log_mel(samples: Tensor, filters: Tensor) -> Tensor:
    """Whisper's input (M, F) for samples (S,), S = 160 F: log10 mel power, floored 8 below its peak, then scaled."""
    window = torch.hann_window(FFT_SIZE, device=samples.device)
    spectrum = torch.stft(samples, FFT_SIZE, HOP_SAMPLES, window=window, center=True, return_complex=True)
    power = spectrum[:, :-1].abs().square()
    log_power = (filters.T @ power).clamp(min=1e-10).log10()
    return (log_power.clamp(min=float(log_power.max()) - 8.0) + 4.0) / 4.0


def locate_model(model: str) -> Path:
    """Return the folder of `model` (see WhisperSettings); a missing one is one sentence that says what to install."""
    return locate_folder(model, "Whisper", (*HUB_FILES, WEIGHTS_FILE))


class _WhisperGraph(nn.Module):
    """What `WhisperFrames.frames` does with audio of one pass, at most 30 s."""

    window: Tensor
    filters: Tensor

    def __init__(self, encoder: WhisperEncoder, filters: Tensor, layers: Tuple[int, ...], pad_sec: float) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, layers
        self.padding = round(pad_sec * SAMPLE_RATE_HZ)
        self.power = PowerSpectrum(FFT_SIZE, FFT_SIZE)
        self.register_buffer("window", torch.hann_window(FFT_SIZE), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Map (S,) to (T, L D)."""
        # A tensor in a trace, and a number else.
        size = torch.as_tensor(samples.shape[0])
        padded = (size + self.padding).clamp(max=self.encoder.sizes.max_states * STATE_SAMPLES)
        num_states = (padded + STATE_SAMPLES - 1) // STATE_SAMPLES
        filled = torch.cat([samples, samples.new_zeros(self.padding + STATE_SAMPLES)])[: num_states * STATE_SAMPLES]
        frames = mirrored_frames(filled, 2 * num_states, FFT_SIZE, HOP_SAMPLES, FFT_SIZE // 2, False)
        log_power = torch.matmul(self.power(frames * self.window), self.filters).clamp(min=1e-10).log10()
        mel = (torch.maximum(log_power, log_power.max() - 8.0) + 4.0) / 4.0
        return self.encoder(mel.T, self.layers)[: (size + STATE_SAMPLES - 1) // STATE_SAMPLES]


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
        if config.layers and config.layer:
            raise ValueError(f"layer is {config.layer} and layers {list(config.layers)}; give one of them.")
        super().__init__(config)

    @property
    def _layers(self) -> Tuple[int, ...]:
        return self.config.layers or (self.config.layer,)

    def description(self) -> Dict[str, Any]:
        """See FrameSource; codes of one layer are what they were before there could be several."""
        said = super().description()
        return said if self.config.layers else {name: value for name, value in said.items() if name != "layers"}

    @functools.cached_property
    def _folder(self) -> Path:
        return locate_model(self.config.model)

    @functools.cached_property
    def files(self) -> List[Path]:
        """See FrameSource."""
        return weight_files(self._folder)

    @functools.cached_property
    def _model(self) -> WhisperEncoder:
        return read_whisper_encoder(self._folder, self._layers).to(*self.placement)

    @functools.cached_property
    def _filters(self) -> Tensor:
        return mel_filters(SAMPLE_RATE_HZ, FFT_SIZE, self._model.sizes.num_mel_bins, 0.0, SAMPLE_RATE_HZ / 2)

    @property
    def dim(self) -> int:
        """See FrameSource."""
        return self._model.sizes.dim * len(self._layers)

    def graph(self) -> FrameGraph:
        """See FrameSource; of what one pass of the encoder takes."""
        whole = _WhisperGraph(self._model, self._filters, self._layers, self.config.pad_sec)
        return FrameGraph(whole, max_samples=self._model.sizes.max_states * STATE_SAMPLES)

    def _num_states(self, size: int) -> int:
        """States of audio of `size` samples and the silence behind it."""
        padded, most = size + round(self.config.pad_sec * SAMPLE_RATE_HZ), self._model.sizes.max_states * STATE_SAMPLES
        return -(-(min(padded, most) if size <= most else padded) // STATE_SAMPLES)

    def _mel(self, samples: Tensor, device: torch.device) -> Tensor:
        """The encoder's input (M, F) for one utterance and the silence behind it, computed on `device`."""
        behind = self._num_states(len(samples)) * STATE_SAMPLES - len(samples)
        return log_mel(torch.nn.functional.pad(samples, (0, behind)).to(device), self._filters.to(device))

    @torch.no_grad()
    def frames(self, samples: Tensor) -> Tensor:
        """States (T, L D) float32 of one utterance (S,), T = ceil(S / 320): each that begins before the audio ends.

        `pad_sec` of silence follows the audio, as in Whisper's training, where it fills up 30 s; all of 30 s changes
        the states little more than a second and costs tenfold. Longer audio is encoded in equal pieces of at most 30 s.
        """
        mel, limit = self._mel(samples, torch.device("cpu")), self._model.sizes.max_states
        num_states = mel.shape[1] // 2
        piece = 2 * -(-num_states // -(-num_states // limit))
        pieces = [mel[:, start : start + piece] for start in range(0, mel.shape[1], piece)]
        states = torch.cat([self._model(one.to(*self.placement), self._layers) for one in pieces])
        return states[: -(-len(samples) // STATE_SAMPLES)].float().clone()

    def why_not_together(self) -> str:
        """See FrameSource; attention is masked, and convolutions see zeros behind each end, as they do alone."""
        return ""

    @torch.no_grad()
    def frames_together(self, samples: Sequence[Tensor]) -> List[Tensor]:
        """See FrameSource; spectra are computed where the model is. What takes several passes goes alone."""
        found: Dict[int, Tensor] = {}
        short = []
        for row, one in enumerate(samples):
            if len(one) > self._model.sizes.max_states * STATE_SAMPLES:
                found[row] = self.frames(one)
            else:
                short.append(row)
        if short:
            mels = [self._mel(samples[row], self.placement.device).T for row in short]
            lens = torch.tensor([len(mel) // 2 for mel in mels], device=self.placement.device)
            mel = torch.nn.utils.rnn.pad_sequence(mels, batch_first=True).transpose(1, 2)
            mask = torch.arange(int(lens.max()), device=lens.device) < lens[:, None]
            states = self._model.together(mel.to(self.placement.dtype), self._layers, mask[:, None, None]).float()
            found.update((row, one[: -(-len(samples[row]) // STATE_SAMPLES)]) for row, one in zip(short, states))
        return [found[row] for row in range(len(samples))]
