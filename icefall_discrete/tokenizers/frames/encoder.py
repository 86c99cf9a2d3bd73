"""Frames of an encoder that was trained here: of a recogniser, HuBERT, wav2vec (2.0), CPC or Discrete BERT.

A later iteration of HuBERT clusters a layer of the one before, units of a recogniser's layer know what text asks for
(VietASR, https://arxiv.org/abs/2505.21527), and Discrete BERT hears codes in their context. The model is a folder that
`local/average.py --to` handed on; its own tokenizer, which travels with it, makes what it reads.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.guarded_pickle import tensors_of
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.settings import from_dict, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.adaptation import merged_weights
from icefall_discrete.nn.code_embedding import EmbeddingAugment
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.front_ends.wav2vec import Wav2VecFrontEnd
from icefall_discrete.nn.quantizers.contract import Quantizer
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import SpeechTokenizer
from icefall_discrete.tokenizers.frames import PretrainedFrames

CODEBOOKS, CONFIG, SPEC, TOKENIZER = "codebooks.safetensors", "config.json", "spec.json", "tokenizer"
# Of a folder that was handed on, and of one that was published.
WEIGHTS = ("averaged.pt", "model.safetensors")
_PARTS = ("input", "front_end", "encoder")
_AGAIN = "hand the model on again with local/average.py --to"


@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """Frames of an encoder."""

    model: str = setting("", "Folder that local/average.py --to wrote.")
    layer: int = setting(0, "Inner layer (or stack) whose output is taken, from 1; 0: the output of all.", minimum=0)


class Encoder(NamedTuple):
    """An encoder with what is before it, in evaluation mode, and the spec of what it reads."""

    network: AcousticEncoder
    spec: FeatureSpec


def _codebooks(folder: Path) -> Optional[List[Tensor]]:
    if not (folder / CODEBOOKS).is_file():
        return None
    tensors = read_tensors(folder / CODEBOOKS, _AGAIN).tensors
    return [tensors[str(index)] for index in range(len(tensors))]


def weights_file(folder: Path) -> Path:
    """The weights in a folder. Raises FileNotFoundError if there are none."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder} has no {' or '.join(WEIGHTS)}; hand an experiment on with local/average.py --to."
    )


def _weights(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_tensors(path, _AGAIN).tensors
    return tensors_of(load_checkpoint(path).get("model"), f"{path}, 'model',")


def read_encoder(folder: Path) -> Encoder:
    """The encoder of a folder that was handed on.

    Raises:
      FileNotFoundError, ValueError: if it is none, or has no such encoder.
    """
    path = weights_file(folder)
    settings, spec = read_object(folder / CONFIG, "the settings of a training"), FeatureSpec.read(folder / SPEC)
    model = settings.get("model")
    if not isinstance(model, Mapping) or not all(part in model for part in _PARTS):
        raise ValueError(f"{folder / CONFIG}: there is no encoder of codes or features; name another model.")
    config = from_dict(AcousticEncoderConfig, {part: model[part] for part in _PARTS}, str(folder / CONFIG))
    embedding = build_input_embedding(config.input, spec, _codebooks(folder))
    network = AcousticEncoder(config, embedding, EmbeddingAugment(AugmentConfig()), spec.frame_rate_hz)
    weights = merged_weights(_weights(path))
    own = network.state_dict()
    unfit = [name for name, value in own.items() if name not in weights or weights[name].shape != value.shape]
    if unfit:
        raise ValueError(f"{path} has no {unfit[0]} of the shape that {CONFIG} says; {_AGAIN}.")
    network.load_state_dict({name: weights[name] for name in own})
    return Encoder(network.eval(), spec)


class EncoderFrames(PretrainedFrames):
    """Frames (T', D) of an encoder trained here, whole utterances at once."""

    Config = EncoderSettings
    quantized_defaults: ClassVar[Mapping[str, Any]] = {"num_clusters": 500}

    @functools.cached_property
    def _folder(self) -> Path:
        if not self.config.model:
            raise ValueError("tokenizer encoder needs `model`: the folder that local/average.py --to wrote.")
        return Path(self.config.model)

    @functools.cached_property
    def files(self) -> List[Path]:
        """See PretrainedFrames."""
        return [weights_file(self._folder), self._folder / CONFIG, self._folder / SPEC]

    @functools.cached_property
    def _tokenizer(self) -> SpeechTokenizer:
        place = self._folder / TOKENIZER
        confs = sorted(place.glob("*.json"))
        name = FeatureSpec.read(self._folder / SPEC).name
        if not (place / f"{name}.json").is_file():
            there = ", ".join(path.name for path in confs) or "nothing"
            raise FileNotFoundError(f"{place} holds {there}, expected {name}.json; {_AGAIN}.")
        return load_tokenizer(place / f"{name}.json", (place,), place)

    @functools.cached_property
    def _model(self) -> Encoder:
        found = read_encoder(self._folder)
        depth = len(found.network.config.encoder.inner_dims)
        if self.config.layer > depth:
            raise ValueError(f"layer is {self.config.layer}, but the encoder of {self._folder} has {depth}.")
        return Encoder(found.network.to(*self.placement), found.spec)

    @property
    def normalisation(self) -> str:
        """That of what it reads."""
        return str(FeatureSpec.read(self._folder / SPEC).provenance.get("normalisation", "none"))

    @property
    def frame_rate_hz(self) -> float:  # type: ignore[override]
        """Of the encoder, or within it."""
        config, spec = self._model.network.config, self._model.spec
        stride = config.encoder.stride if self.config.layer else 1
        return round(stride / config.encoder_frame_sec(spec), 6)

    @property
    def min_samples(self) -> int:  # type: ignore[override]
        """What gives it a frame."""
        config, spec = self._model.network.config, self._model.spec
        frames = next(count for count in range(1, 10000) if config.num_encoder_frames(count, spec) >= 1)
        return max(self._tokenizer.min_samples, round((frames + 1) * self.sample_rate_hz / spec.frame_rate_hz))

    @property
    def dim(self) -> int:
        """See FrameSource."""
        encoder = self._model.network.config.encoder
        return encoder.inner_dims[self.config.layer - 1] if self.config.layer else encoder.out_dim

    @property
    def provenance(self) -> Dict[str, Any]:
        """See PretrainedFrames; and what the model reads."""
        return {**super().provenance, "reads": self._model.spec.name}

    @property
    def quantizer(self) -> Quantizer:
        """That of the front end, which vq-wav2vec has. Raises ValueError if there is none."""
        front_end = self._model.network.front_end
        if not isinstance(front_end, Wav2VecFrontEnd) or front_end.quantizer is None:
            raise ValueError(f"{self._folder}: its front end has no quantizer; take tokenizer encoder_kmeans.")
        return front_end.quantizer

    def _read_by_it(self, samples: Tensor) -> Tuple[Tensor, Tensor]:
        codes, lens = self._tokenizer.encode(samples[None], torch.tensor([len(samples)]))
        return codes.to(self.placement.device), lens.to(self.placement.device)

    @torch.no_grad()
    def codes(self, samples: Tensor) -> Tensor:
        """Codes (T', G) of the front end's quantizer. Raises ValueError if there is none."""
        network, (read, lens) = self._model.network, self._read_by_it(samples)
        front_end = network.front_end
        assert isinstance(front_end, Wav2VecFrontEnd)
        quantized = front_end.hear(network.input_embedding(read.to(self.placement.dtype)), lens).quantized
        assert quantized is not None
        return quantized.codes

    @torch.no_grad()
    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        network, layer = self._model.network, self.config.layer
        inner = [layer - 1] if layer else []
        found = network.encode(*self._read_by_it(samples), inner)
        frames, frame_lens = found.inner[0] if layer else (found.encoder_out, found.lens)
        return frames[0, : int(frame_lens[0])].float().contiguous()
