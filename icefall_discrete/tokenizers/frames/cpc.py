"""Contrastive predictive coding as CPC_audio trains it and GSLM uses it: five convolutions and an LSTM or GRU.

Van den Oord et al. 2018, https://arxiv.org/abs/1807.03748; Rivière et al. 2020, https://arxiv.org/abs/2002.02848. Reads
`.pt` files with `config` and `weights` (GSLM's), and checkpoints of CPC_audio with `checkpoint_args.json` beside them.
Letters: S samples, T frames (100 Hz), D dimensions.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from icefall_discrete.base.guarded_pickle import plain, read_checkpoint, tensors_of
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.formats.pretrained import locate_file
from icefall_discrete.tokenizers.frames import PretrainedFrames

SAMPLE_RATE_HZ = 16000
STRIDE_SAMPLES = 160
# Kernel, stride and padding of the five convolutions.
CONVOLUTIONS = ((10, 5, 3), (8, 4, 2), (4, 2, 1), (4, 2, 1), (4, 2, 1))
MIN_SAMPLES = 320
ARGUMENTS = "checkpoint_args.json"
RECURRENT = {"LSTM": nn.LSTM, "GRU": nn.GRU}


@dataclasses.dataclass(frozen=True)
class CpcSettings:
    """Frames of contrastive predictive coding."""

    model: str = setting("cpc_big_ll6kh_top_ctc.pt", "Checkpoint of CPC: a .pt file, or ORG/NAME/FILE of the hub.")
    layer: int = setting(2, "Recurrent layer whose output is taken, from 1; 0: the output of the convolutions.")
    norm_features: bool = setting(False, "Scale each dimension to mean 0 and variance 1 over every piece.")
    chunk_sec: float = setting(
        4.0, "The audio goes through the model in pieces of this length, in seconds, as GSLM reads it; 0: in one piece."
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        if self.chunk_sec != 0.0 and self.chunk_sec < 0.1:
            raise ValueError(f"chunk_sec is {self.chunk_sec}, expected at least 0.1 s, or 0 for no pieces.")


class ChannelNorm(nn.Module):
    """Scales the channels of each frame to mean 0 and (sample) variance 1, (N, C, T)."""

    def __init__(self, num_channels: int) -> None:
        """Weights and biases are (1, C, 1), as the checkpoints have them."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, num_channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, num_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


class CpcModel(nn.Module):
    """Convolutions and the first recurrent layers of a checkpoint, whose names it keeps."""

    def __init__(self, config: Mapping[str, Any], num_layers: int) -> None:
        """Take sizes and kind from `config`; no more than `num_layers` recurrent layers are made."""
        super().__init__()
        hidden = int(config["hiddenEncoder"])
        self.gEncoder = nn.Module()
        for index, (kernel, stride, padding) in enumerate(CONVOLUTIONS):
            conv = nn.Conv1d(hidden if index else 1, hidden, kernel, stride=stride, padding=padding)
            self.gEncoder.add_module(f"conv{index}", conv)
            self.gEncoder.add_module(f"batchNorm{index}", ChannelNorm(hidden))
        self.gAR = nn.Module()
        cls = RECURRENT[str(config.get("arMode", "LSTM"))]
        self.gAR.add_module("baseNet", cls(hidden, int(config["hiddenGar"]), max(1, num_layers), batch_first=True))
        self.num_layers = num_layers
        self.dim = int(config["hiddenGar"]) if num_layers else hidden

    @torch.no_grad()
    def forward(self, samples: Tensor) -> Tensor:
        """Frames (T, D) of samples (S,)."""
        x = samples[None, None]
        for index in range(len(CONVOLUTIONS)):
            conv, norm = getattr(self.gEncoder, f"conv{index}"), getattr(self.gEncoder, f"batchNorm{index}")
            x = functional.relu(norm(conv(x)))
        x = x.transpose(1, 2)
        return (self.gAR.get_submodule("baseNet")(x)[0] if self.num_layers else x)[0]


def read_cpc(path: Path) -> Tuple[Dict[str, Any], Dict[str, Tensor]]:
    """Read a checkpoint of CPC: its configuration and its state dict. ValueError if it is another kind of file."""
    checkpoint = read_checkpoint(path)
    known = isinstance(checkpoint, Mapping) and ("weights" in checkpoint or "gEncoder" in checkpoint)
    if not known:
        raise ValueError(f"{path} is no checkpoint of CPC: it has neither 'weights' nor 'gEncoder'; correct `model`.")
    if "weights" in checkpoint:
        return plain(checkpoint["config"]), tensors_of(checkpoint["weights"], f"{path}, 'weights',")
    return read_json(path.parent / ARGUMENTS), tensors_of(checkpoint["gEncoder"], f"{path}, 'gEncoder',")


def load_cpc(path: Path, layer: int) -> CpcModel:
    """Load the model of `path` up to recurrent layer `layer`; ValueError if it has no such layer or another shape."""
    config, weights = read_cpc(path)
    depth = int(config["nLevelsGRU"])
    mode, norm = config.get("arMode", "LSTM"), config.get("normMode", "layerNorm")
    if mode not in RECURRENT or norm != "layerNorm" or config.get("encoder_type", "cpc") != "cpc":
        raise ValueError(f"{path} is a CPC with {mode} and {norm}, expected {' or '.join(RECURRENT)} and layerNorm.")
    if not 0 <= layer <= depth:
        raise ValueError(f"layer is {layer}, but {path} has recurrent layers 1 to {depth} (0: the convolutions).")
    model = CpcModel(config, layer)
    bare = {re.sub(r"^module\.", "", name): value.float() for name, value in weights.items()}
    result = model.load_state_dict(bare, strict=False)
    if result.missing_keys:
        raise ValueError(f"{path} lacks {', '.join(result.missing_keys[:3])}; is it a checkpoint of CPC?")
    return model.eval()


def unit_variance(frames: Tensor) -> Tensor:
    """Frames (T, D) with each dimension scaled to mean 0 and (sample) variance 1 over time."""
    variance, mean = torch.var_mean(frames, dim=0, keepdim=True)
    return (frames - mean) / torch.sqrt(variance + 1e-8)


class CpcFrames(PretrainedFrames):
    """Frames at 100 Hz.

    Pieces are those of GSLM's reader: whole pieces of `chunk_sec` alone; the rest is the end of the frames of the whole
    utterance, which goes through the model once more.
    """

    Config = CpcSettings
    frame_rate_hz = SAMPLE_RATE_HZ / STRIDE_SAMPLES
    min_samples = MIN_SAMPLES
    quantized_defaults: ClassVar[Mapping[str, Any]] = {"num_clusters": 100}

    @functools.cached_property
    def files(self) -> List[Path]:
        """See FrameSource."""
        return [locate_file(self.config.model, "CPC")]

    @functools.cached_property
    def _model(self) -> CpcModel:
        return load_cpc(self.files[0], self.config.layer).to(*self.placement)

    @property
    def dim(self) -> int:
        """See FrameSource."""
        return self._model.dim

    def _frames(self, samples: Tensor) -> Tensor:
        frames = self._model(samples.to(*self.placement)).float()
        return unit_variance(frames) if self.config.norm_features else frames

    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        size = len(samples)
        chunk = round(self.config.chunk_sec * SAMPLE_RATE_HZ) or size
        starts = range(0, size - chunk + 1, chunk)
        pieces = [self._frames(samples[start : start + chunk]) for start in starts]
        rest = size - chunk * len(starts)
        if rest:
            whole = self._frames(samples)
            num_frames = rest // (size // len(whole))
            pieces.append(whole[len(whole) - num_frames :])
        return torch.cat(pieces).clone()
