"""The convolutional models before wav2vec 2.0: wav2vec and vq-wav2vec, inference only.

Schneider et al. 2019, https://arxiv.org/abs/1904.05862; Baevski et al. 2020, https://arxiv.org/abs/1910.05453. Reads
the checkpoints of fairseq; states and codes are those of its 0.12.2. The models norm over the whole utterance, so audio
goes through them in one piece; it is not normalised before. Letters: S samples, T frames (100 Hz), D dimensions,
K groups, V entries of a group's codebook, N = 1 utterance, C channels.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.formats.fairseq_checkpoints import parse_layers, read_fairseq
from icefall_discrete.tokenizers.formats.pretrained import locate_file

SAMPLE_RATE_HZ = 16000
STRIDE_SAMPLES = 160
FIELD_SAMPLES = 465
Layers = Sequence[Tuple[int, ...]]
_ACTIVATIONS: Dict[str, Callable[[Tensor], Tensor]] = {"relu": functional.relu, "gelu": functional.gelu}


@dataclasses.dataclass(frozen=True)
class StackOptions:
    """What the convolutional stacks of a checkpoint have in common."""

    activation: str
    affine: bool
    residual_scale: float


class ConvStack(nn.Module):
    """Convolutions with group norm over channels and time, (N, C, S) to (N, C', T).

    causal: "" (valid convolutions), "zero" or "replicate": what stands before the first frame.
    """

    def __init__(self, layers: Layers, dim: int, options: StackOptions, causal: str, skip: bool, bias: bool) -> None:
        """Take `layers` of (channels, kernel, stride) on input of `dim` channels; `skip`: with residual connections."""
        super().__init__()
        self._activation = _ACTIVATIONS[options.activation]
        self._scale = math.sqrt(options.residual_scale)
        self._causal = causal
        self._skip = skip
        self.convs: ModuleRow[nn.Conv1d] = ModuleRow()
        self.norms, self.residual_proj = nn.ModuleList(), nn.ModuleList()
        for channels, kernel, stride in layers:
            self.convs.append(nn.Conv1d(dim, channels, kernel, stride=stride, bias=bias))
            self.norms.append(nn.GroupNorm(1, channels, affine=options.affine))
            # Only the causal stack bridges a change of channels; the other leaves such a layer without residual.
            bridged = causal != "" and skip and dim != channels
            self.residual_proj.append(nn.Conv1d(dim, channels, 1, bias=False) if bridged else nn.Identity())
            dim = channels

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for conv, norm, project in zip(self.convs, self.norms, self.residual_proj):
            residual = x
            if self._causal:
                # Not functional.pad, which has no replication of bfloat16 on the CPU in torch 1.13.
                first = x[..., :1] if self._causal == "replicate" else x.new_zeros(*x.shape[:2], 1)
                x = torch.cat([first.expand(-1, -1, conv.kernel_size[0] - 1), x], dim=2)
            x = self._activation(norm(conv(x)))
            residual = project(residual)
            if self._skip and residual.shape[1] == x.shape[1]:
                hop = residual.shape[2] // x.shape[2]
                x = (x + residual[..., ::hop][..., : x.shape[2]]) * self._scale
        return x


class GumbelQuantizer:
    """Codes by the largest logit of each group; the noise of its name is for training only."""

    def __init__(self, weights: Dict[str, Tensor], num_groups: int, num_vars: int, activation: str) -> None:
        """`weights` by fairseq's names, without `vector_quantizer.`."""
        self._num_groups, self._num_vars = num_groups, num_vars
        self._activation = _ACTIVATIONS[activation]
        stems = sorted(name[: -len("weight")] for name in weights if name.endswith(".weight"))
        self._layers = [(weights[f"{stem}weight"], weights[f"{stem}bias"]) for stem in stems]
        self._vars = weights["vars"][0]

    def move(self, device: torch.device) -> None:
        """Run on `device`, in float32."""
        self._layers = [(weight.to(device), bias.to(device)) for weight, bias in self._layers]

    def __call__(self, features: Tensor) -> Tensor:
        """Codes (T, K) of features (T, D)."""
        x = features
        for index, (weight, bias) in enumerate(self._layers):
            x = functional.linear(self._activation(x) if index else x, weight, bias)
        return x.view(len(x), self._num_groups, self._num_vars).argmax(dim=2)

    def codebooks(self) -> List[Tensor]:
        """K tensors (V, D / K); the same one K times if the groups share it."""
        books = self._vars.split(self._num_vars)
        return list(books) if len(books) == self._num_groups else [books[0]] * self._num_groups


class KmeansQuantizer:
    """Codes by the nearest entry of each group to the projected features."""

    def __init__(self, weights: Dict[str, Tensor], num_groups: int, num_vars: int) -> None:
        """`weights` by fairseq's names, without `vector_quantizer.`."""
        self._num_groups, self._num_vars = num_groups, num_vars
        self._conv = weights["projection.0.weight"]
        self._norm = (weights["projection.1.weight"], weights["projection.1.bias"])
        self._embedding = weights["embedding"].expand(num_vars, num_groups, -1)

    def move(self, device: torch.device) -> None:
        """Run on `device`, in float32."""
        self._conv, self._embedding = self._conv.to(device), self._embedding.to(device)
        self._norm = (self._norm[0].to(device), self._norm[1].to(device))

    def __call__(self, features: Tensor) -> Tensor:
        """Codes (T, K) of features (T, D)."""
        x = functional.conv1d(features.T[None], self._conv, groups=self._num_groups)
        x = functional.group_norm(x, self._num_groups, *self._norm)[0].T
        codes = []
        for part, book in zip(x.chunk(self._num_groups, dim=1), self.codebooks()):
            scores = 0.5 * book.square().sum(dim=1) - part @ book.T
            codes.append(scores.argmin(dim=1))
        return torch.stack(codes, dim=1)

    def codebooks(self) -> List[Tensor]:
        """K tensors (V, D / K)."""
        return [self._embedding[:, group].contiguous() for group in range(self._num_groups)]


class Wav2VecModel(nn.Module):
    """The encoder and what follows it: the aggregator of wav2vec, the quantizer of vq-wav2vec."""

    def __init__(self, path: Path) -> None:
        """Read a checkpoint of fairseq; ValueError if it is another kind of model."""
        super().__init__()
        self._placement = Placement()
        settings, weights = read_fairseq(path)
        if "conv_aggregator_layers" not in settings or "feature_extractor.conv_layers.0.0.weight" not in weights:
            raise ValueError(f"{path} is no wav2vec or vq-wav2vec of fairseq; wav2vec 2.0 is read by ssl_kmeans.")
        if settings.get("aggregator", "cnn") != "cnn":
            raise ValueError(f"{path} has a {settings['aggregator']} aggregator, expected the published 'cnn'.")
        self._settings = settings
        self._log = bool(settings.get("log_compression", False))
        options = StackOptions(
            str(settings.get("activation", "relu")),
            not settings.get("non_affine_group_norm", False),
            float(settings.get("residual_scale", 0.5)),
        )
        layers = parse_layers(settings["conv_feature_layers"], str(path))
        if window_of(layers) != (FIELD_SAMPLES, STRIDE_SAMPLES):
            raise ValueError(f"{path} has window and hop {window_of(layers)}, expected the published ones (465, 160).")
        self.encoder = ConvStack(layers, 1, options, "", bool(settings.get("skip_connections_feat", False)), False)
        self.dim = layers[-1][0]
        above = parse_layers(settings["conv_aggregator_layers"], str(path))
        self.context_dim = above[-1][0]
        padding = "zero" if settings.get("agg_zero_pad", False) else "replicate"
        skip, bias = bool(settings.get("skip_connections_agg", False)), not settings.get("no_conv_bias", False)
        self.aggregator = ConvStack(above, self.dim, options, padding, skip, bias)
        _load_stack(self.encoder, weights, "feature_extractor", 0)
        _load_stack(self.aggregator, weights, "feature_aggregator", 1)
        self.quantizer = self._make_quantizer(weights, options.activation)
        self.float().eval()

    def move(self, placement: Placement) -> None:
        """Run the convolutions as `placement` says; what comes of them is float32, and the quantizer too."""
        self._placement = placement
        self.to(*placement)
        if self.quantizer is not None:
            self.quantizer.move(placement.device)

    def _make_quantizer(self, weights: Dict[str, Tensor], activation: str) -> Any:
        prefix = "vector_quantizer."
        own = {name[len(prefix) :]: value.float() for name, value in weights.items() if name.startswith(prefix)}
        shape = (int(self._settings.get("vq_groups", 2)), int(self._settings.get("vq_vars", 320)))
        kind = str(self._settings.get("vq_type", "none") or "none")
        if kind == "none":
            return None
        return GumbelQuantizer(own, *shape, activation) if kind == "gumbel" else KmeansQuantizer(own, *shape)

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        """Encoder features z (T, D) of one utterance (S,)."""
        return self._features(samples).float()

    def _features(self, samples: Tensor) -> Tensor:
        z = self.encoder(samples[None, None].to(*self._placement))[0].T
        return (z.abs() + 1).log() if self._log else z

    @torch.no_grad()
    def context(self, samples: Tensor) -> Tensor:
        """Context c (T, D) of one utterance (S,): what wav2vec's users take."""
        return self.aggregator(self._features(samples).T[None])[0].T.float()


def window_of(layers: Layers) -> Tuple[int, int]:
    """Samples that a frame sees, and hop between frames, of convolutions (channels, kernel, stride).

    >>> window_of([(512, 10, 5), (512, 8, 4), (512, 4, 2), (512, 4, 2), (512, 4, 2), (512, 1, 1)])
    (465, 160)
    """
    window, hop = 1, 1
    for _, kernel, stride in layers:
        window, hop = window + (kernel - 1) * hop, hop * stride
    return window, hop


def _load_stack(stack: ConvStack, weights: Dict[str, Tensor], prefix: str, first: int) -> None:
    """Load a stack; in fairseq a layer is a row of modules, the convolution at place `first`, its norm two later."""
    found: Dict[str, Tensor] = {}
    for index in range(len(stack.convs)):
        for place, name in ((first, "convs"), (first + 2, "norms")):
            for part in ("weight", "bias"):
                value = weights.get(f"{prefix}.conv_layers.{index}.{place}.{part}")
                if value is not None:
                    found[f"{name}.{index}.{part}"] = value
        value = weights.get(f"{prefix}.residual_proj.{index}.weight")
        if value is not None:
            found[f"residual_proj.{index}.weight"] = value
    stack.load_state_dict(found)


def locate_wav2vec(model: str) -> List[Path]:
    """The one file of weights; FileNotFoundError, in one sentence, if it cannot be had."""
    return [locate_file(model, "wav2vec")]
