"""Layers of self-supervised transformers: HuBERT, WavLM, wav2vec 2.0, XLS-R, MMS, data2vec and their descendants.

A model is a transformers folder or hub id, or a `.pt` file as fairseq and unilm published it (fairseq_checkpoints.py);
both run in transformers' modules. Layer L >= 1 is the output of the L-th transformer layer, as fairseq's and unilm's
`output_layer` counts: before the final layer norm that the large models have, which transformers puts into
`hidden_states[-1]` in some of its releases. Layer 0 is the input of layer 1: projected convolutional features with the
positional convolution added (`hidden_states[0]`). Letters: N utterances, S samples, T frames, D dimensions, L
layers.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.guarded_pickle import read_checkpoint, tensors_of
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.tokenizers.formats.fairseq_checkpoints import read_ssl_checkpoint
from icefall_discrete.tokenizers.formats.pretrained import REFETCH, locate_folder, model_type_of
from icefall_discrete.tokenizers.frames import PretrainedFrames
from icefall_discrete.tokenizers.networks.transformers_codec import TransformersModel

SAMPLE_RATE_HZ = 16000
STRIDE_SAMPLES = 320
FIELD_SAMPLES = 400
# Model types of transformers that are convolutions, a projection and transformer layers, and the class of each.
MODEL_CLASSES = {
    "hubert": "HubertModel",
    "wavlm": "WavLMModel",
    "wav2vec2": "Wav2Vec2Model",
    "data2vec-audio": "Data2VecAudioModel",
    "unispeech": "UniSpeechModel",
    "unispeech-sat": "UniSpeechSatModel",
}
# Of these, the ones whose stack of convolutions over positions has offsets, so that padding speaks after the first.
HEARS_PADDING = ("data2vec-audio",)
PREPROCESSOR = "preprocessor_config.json"
HUB_FILES = ("config.json", PREPROCESSOR, "model.safetensors", "model-*.safetensors")
PICKLED = "pytorch_model.bin"
# Offsets that keep the division finite, as each library has them; they differ for very quiet audio.
EPSILONS = {"layer_norm": 1e-5, "unit_variance": 1e-7}
_WEIGHT = re.compile(r"(?:\w+\.)?((?:feature_extractor|feature_projection|encoder)\..+)")
# How torch names direction and gain of a normalised weight: before 2.1, and from then on.
_WEIGHT_NORM = (("weight_v", "weight_g"), ("parametrizations.weight.original1", "parametrizations.weight.original0"))
# Stands for masked frames in training; not read, since it is not needed.
MASK = "masked_spec_embed"
CAN_ASSIGN = "assign" in inspect.signature(nn.Module.load_state_dict).parameters
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


@dataclasses.dataclass(frozen=True)
class SslSettings:
    """Frames of a self-supervised transformer."""

    model: str = setting(
        "facebook/hubert-base-ls960", "Model: a hub id or folder of transformers, or a .pt file of fairseq or unilm."
    )
    layer: int = setting(9, "Transformer layer whose output is taken, from 1; 0: the input of the first.")
    normalize: str = setting(
        "model",
        "Scaling of each utterance to mean 0 and variance 1: by the model's own rule, none, fairseq's layer_norm, "
        "or the unit_variance of transformers.",
        ("model", "none", "layer_norm", "unit_variance"),
    )
    max_chunk_sec: float = setting(
        100.0, "Longer audio goes through the model in equal pieces of at most this, in seconds."
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        if self.normalize not in ("model", "none", *EPSILONS):
            raise ValueError(f"normalize is '{self.normalize}', expected model, none or {' or '.join(EPSILONS)}.")
        if self.max_chunk_sec < 1.0:
            raise ValueError(f"max_chunk_sec is {self.max_chunk_sec}, expected at least 1 s.")


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """Weights by transformers' names, the configuration of the module that runs them, and the rule of the input."""

    config: Any
    weights: Dict[str, Tensor]
    normalize: str


def normalized(samples: Tensor, rule: str) -> Tensor:
    """Scale one utterance (S,) to mean 0 and variance 1, with the offset of `rule`; "none" leaves it as it is."""
    if rule == "none":
        return samples
    if rule == "layer_norm":
        return nn.functional.layer_norm(samples, samples.shape, eps=EPSILONS[rule])
    variance, mean = torch.var_mean(samples, unbiased=False)
    return (samples - mean) / torch.sqrt(variance + EPSILONS[rule])


def piece_bounds(num_samples: int, max_samples: int) -> List[Tuple[int, int]]:
    """Pieces [start, end) of an utterance, in samples, such that their frames in a row are its frames, none lost.

    All have the same number of frames but the last, which may have fewer; neighbours share 80 samples, by which the
    window of a frame is longer than its hop.
    """
    num_frames = (num_samples - FIELD_SAMPLES) // STRIDE_SAMPLES + 1
    num_pieces = -(-num_samples // max_samples)
    piece = -(-num_frames // num_pieces)
    overlap = FIELD_SAMPLES - STRIDE_SAMPLES
    starts = range(0, num_frames, piece)
    bounds = [(STRIDE_SAMPLES * start, STRIDE_SAMPLES * (start + piece) + overlap) for start in starts]
    return [*bounds[:-1], (bounds[-1][0], num_samples)]


def canonical_weights(weights: Dict[str, Tensor], num_layers: int) -> Dict[str, Tensor]:
    """What the first `num_layers` layers and all before them need, by bare names, weight norm multiplied out."""
    kept: Dict[str, Tensor] = {}
    for name, value in weights.items():
        found = _WEIGHT.fullmatch(name)
        layer = _LAYER.match(found.group(1)) if found else None
        if found and (layer is None or int(layer.group(1)) < num_layers):
            kept[found.group(1)] = value.float()
    for direction, gain in _WEIGHT_NORM:
        for name in [name for name in kept if name.endswith(f".{direction}")]:
            stem = name[: -len(direction)]
            kept[f"{stem}weight"] = torch._weight_norm(kept.pop(name), kept.pop(stem + gain), 2)
    return kept


def _drop_weight_norm(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "parametrizations"):
            nn.utils.parametrize.remove_parametrizations(module, "weight")
        elif hasattr(module, "weight_g"):
            nn.utils.remove_weight_norm(module)


def folder_weights(folder: Path) -> Dict[str, Tensor]:
    """The weights in a transformers folder by their names, read as data; FileNotFoundError if there are none."""
    weights: Dict[str, Tensor] = {}
    for path in weight_files(folder):
        if path.name == PICKLED:
            return tensors_of(read_checkpoint(path), str(path))
        weights.update(read_tensors(path, REFETCH).tensors)
    return weights


def weight_files(folder: Path) -> List[Path]:
    """The weights in a transformers folder: safetensors, else pickled ones; FileNotFoundError if there are none."""
    whole = folder / "model.safetensors"
    files = [whole] if whole.is_file() else sorted(folder.glob("model-*.safetensors"))
    if not files and (folder / PICKLED).is_file():
        files = [folder / PICKLED]
    if not files or not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no model of transformers: expected config.json and model.safetensors (or {PICKLED})."
        )
    return files


def read_folder(folder: Path) -> LoadedModel:
    """Read a transformers folder; ValueError if it is not of a model type this module knows."""
    from transformers import AutoConfig

    model_type = model_type_of(folder)
    if model_type not in MODEL_CLASSES:
        known = ", ".join(MODEL_CLASSES)
        raise ValueError(f"{folder} is a model of type {model_type!r}, expected one of {known}; correct `model`.")
    # What a configuration says of code beside it is never asked about, let alone run.
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    rule = folder / PREPROCESSOR
    scaled = read_object(rule).get("do_normalize", True) if rule.is_file() else config.feat_extract_norm == "layer"
    return LoadedModel(config, folder_weights(folder), "unit_variance" if scaled else "none")


def build_model(loaded: LoadedModel, num_layers: int) -> TransformersModel:
    """The module of transformers with the first `num_layers` layers only; ValueError if weights are missing."""
    import transformers

    config = loaded.config
    config.num_hidden_layers = num_layers
    config.add_adapter = False
    # Weights become the module's own, often still in the file's memory map, which processes share. Making the module
    # with memory of its own and copying would take eight times as long and twice the memory; torch 1.13 can only that.
    with torch.device("meta") if CAN_ASSIGN else contextlib.nullcontext():
        model = getattr(transformers, MODEL_CLASSES[config.model_type])(config).float().eval()
    _drop_weight_norm(model)
    weights = canonical_weights(loaded.weights, num_layers)
    result = model.load_state_dict(weights, strict=False, **({"assign": True} if CAN_ASSIGN else {}))
    missing = [name for name in result.missing_keys if name != MASK]
    if MASK in result.missing_keys:  # for training only
        model.masked_spec_embed = nn.Parameter(torch.zeros(config.hidden_size))
    if missing or result.unexpected_keys:
        raise ValueError(
            f"the weights do not fit a {config.model_type} model: {len(missing)} are missing "
            f"({', '.join(missing[:3])} ...), {len(result.unexpected_keys)} are not understood "
            f"({', '.join(result.unexpected_keys[:3])} ...)."
        )
    return model


class SslFrames(PretrainedFrames):
    """Frames at 50 Hz of utterances of any length, T = (S - 400) // 320 + 1, from the model that the settings name."""

    Config = SslSettings
    frame_rate_hz = SAMPLE_RATE_HZ / STRIDE_SAMPLES
    min_samples = FIELD_SAMPLES
    quantized_defaults: ClassVar[Mapping[str, Any]] = {"num_clusters": 2000}

    @property
    def libraries(self) -> Tuple[str, ...]:
        """See FrameSource."""
        return ("transformers",)

    @functools.cached_property
    def _is_file(self) -> bool:
        return Path(self.config.model).suffix == ".pt"

    @functools.cached_property
    def _folder(self) -> Path:
        name = self.config.model
        try:
            folder = locate_folder(name, "SSL", HUB_FILES)
            weight_files(folder)
        except FileNotFoundError:
            if Path(name).exists():
                raise
            folder = locate_folder(name, "SSL", (*HUB_FILES, PICKLED))
        return folder

    @functools.cached_property
    def files(self) -> List[Path]:
        """See FrameSource."""
        return [Path(self.config.model)] if self._is_file else weight_files(self._folder)

    @functools.cached_property
    def _model(self) -> Tuple[TransformersModel, int, str]:
        """The model, its D, and the model's own rule of normalisation; the rest of the weights is let go."""
        try:
            import transformers  # noqa: F401 (the error is better said here)
        except ImportError as error:
            raise ModuleNotFoundError(
                f"SSL model '{self.config.model}' runs in transformers, which cannot be imported ({error}); "
                "run `pip install transformers`."
            ) from None
        loaded = LoadedModel(*read_ssl_checkpoint(self.files[0])) if self._is_file else read_folder(self._folder)
        depth = loaded.config.num_hidden_layers
        if not 0 <= self.config.layer <= depth:
            raise ValueError(f"layer is {self.config.layer}, but {self.config.model} has layers 0 to {depth}.")
        conv = (tuple(loaded.config.conv_kernel), tuple(loaded.config.conv_stride))
        if conv != ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)):
            raise ValueError(f"{self.config.model} has convolutions {conv}, expected those of wav2vec 2.0 (50 Hz).")
        # Layer 0 is the input of layer 1, which therefore must be there.
        model = build_model(loaded, max(1, self.config.layer)).to(*self.placement)
        return model, loaded.config.hidden_size, loaded.normalize

    @property
    def dim(self) -> int:
        """See FrameSource."""
        return self._model[1]

    @property
    def _rule(self) -> str:
        return self._model[2] if self.config.normalize == "model" else self.config.normalize

    @property
    def normalisation(self) -> str:
        """The rule of the input and its offset."""
        return f"{self._rule} {EPSILONS[self._rule]:g}" if self._rule in EPSILONS else self._rule

    @torch.no_grad()
    def frames(self, samples: Tensor) -> Tensor:
        """Frames (T, D) of layer L; the whole utterance is normalised, then goes through the model in equal pieces."""
        values = normalized(samples, self._rule).to(*self.placement)
        bounds = piece_bounds(len(values), int(self.config.max_chunk_sec * SAMPLE_RATE_HZ))
        return torch.cat([self._piece(values[start:end]) for start, end in bounds]).float().clone()

    def _piece(self, values: Tensor) -> Tensor:
        return self._states(values[None], None)[0]

    def _states(self, values: Tensor, mask: Optional[Tensor]) -> Tensor:
        """States (N, T, D) of layer L of scaled samples (N, S); `mask` (N, S) is 0 behind the end of each."""
        model, layer = self._model[0], self.config.layer
        caught: List[Tensor] = []

        # A hook, since the meaning of `hidden_states[-1]` differs between versions of the library.
        def keep_output(module: nn.Module, args: Any, output: Any) -> None:
            caught.append(output[0] if isinstance(output, tuple) else output)

        def keep_input(module: nn.Module, args: Tuple[Tensor, ...]) -> None:
            caught.append(args[0])

        first = model.encoder.layers[max(1, layer) - 1]
        hook = first.register_forward_hook(keep_output) if layer else first.register_forward_pre_hook(keep_input)
        try:
            model(values, attention_mask=mask)
        finally:
            hook.remove()
        return caught[0]

    def why_not_together(self) -> str:
        """See FrameSource: what is told of the padding, and what would hear it."""
        if self._model[0].config.model_type in HEARS_PADDING:
            return "its convolutions over positions hear the padding of others"
        return ""

    @torch.no_grad()
    def frames_together(self, samples: Sequence[Tensor]) -> List[Tensor]:
        """See FrameSource; masked, but where norms are over the time of a whole utterance: there, those as long."""
        most, over_time = self.config.max_chunk_sec * SAMPLE_RATE_HZ, self._model[0].config.feat_extract_norm == "group"
        groups: Dict[int, List[int]] = {}
        for row, one in enumerate(samples):
            is_alone = len(one) > most  # in pieces
            groups.setdefault(-1 - row if is_alone else len(one) if over_time else 0, []).append(row)
        found: Dict[int, Tensor] = {}
        for rows in groups.values():
            found.update(zip(rows, self._side_by_side([samples[row] for row in rows])))
        return [found[row] for row in range(len(samples))]

    def _side_by_side(self, samples: Sequence[Tensor]) -> List[Tensor]:
        if len(samples) == 1:
            return [self.frames(samples[0])]
        lens = torch.tensor([len(one) for one in samples])
        values = nn.utils.rnn.pad_sequence([normalized(one, self._rule) for one in samples], batch_first=True)
        mask = (torch.arange(values.shape[1]) < lens[:, None]).long() if bool((lens != lens[0]).any()) else None
        device = self.placement.device
        states = self._states(values.to(*self.placement), None if mask is None else mask.to(device)).float()
        num_frames = (lens - FIELD_SAMPLES) // STRIDE_SAMPLES + 1
        return [one[:size] for one, size in zip(states, num_frames.tolist())]
