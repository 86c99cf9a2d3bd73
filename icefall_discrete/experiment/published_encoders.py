"""Published encoders of samples, folders of transformers, for trainings that begin with their weights.

wav2vec 2.0, XLSR, HuBERT and WavLM: read as data, into the front end `waveform` and the encoder `wav2vec2`.
"""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple

from torch import Tensor

from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.names import known_names
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder
from icefall_discrete.nn.encoders.wav2vec2 import Wav2Vec2Config
from icefall_discrete.nn.encoders.wav2vec2.transformers_names import from_transformers
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.nn.front_ends.waveform import WaveformConfig
from icefall_discrete.tokenizers.formats.pretrained import model_type_of
from icefall_discrete.tokenizers.frames.ssl import PREPROCESSOR, folder_weights, weight_files

MODEL_TYPES = ("wav2vec2", "hubert", "wavlm")
_CONFIG = "config.json"


class Published(NamedTuple):
    """weights by the names here; files that they come from; config: config.json; is_scaled: whether it was trained on
    audio of mean 0 and variance 1."""

    weights: Dict[str, Tensor]
    files: List[Path]
    config: Mapping[str, Any]
    is_scaled: bool


def is_published(folder: Path) -> bool:
    """Whether a folder is one of transformers."""
    path = folder / _CONFIG
    return path.is_file() and "model_type" in read_object(path)


def read_published(folder: Path) -> Published:
    """Read a folder of transformers; nothing in it is run.

    Raises:
      FileNotFoundError, ValueError: if it holds no weights, or a model of another type.
    """
    model_type = model_type_of(folder)
    if model_type not in MODEL_TYPES:
        raise ValueError(f"{folder} is a model of type '{model_type}'; {known_names(MODEL_TYPES, str(model_type))}")
    files, config, rule = weight_files(folder), read_object(folder / _CONFIG), folder / PREPROCESSOR
    by_norm = config.get("feat_extract_norm", "group") == "layer"
    is_scaled = read_object(rule).get("do_normalize", True) if rule.is_file() else by_norm
    return Published(from_transformers(folder_weights(folder)), files, config, bool(is_scaled))


def require_fits(network: FrameNetwork, published: Published, spec: FeatureSpec, where: str) -> None:
    """Raise ValueError where the network would do something else with the weights, though their shapes fit."""
    config = network.config if isinstance(network, AcousticEncoder) else None
    encoder, front_end = (config.encoder, config.front_end) if config is not None else (None, None)
    if not isinstance(encoder, Wav2Vec2Config) or not isinstance(front_end, WaveformConfig):
        raise ValueError(
            f"{where} reads samples with front end waveform and encoder wav2vec2; take --model-size wav2vec2_base, "
            "wav2vec2_large, wavlm_base or wavlm_large."
        )
    theirs = published.config
    for name, here, there in (
        ("norm_first", encoder.norm_first, theirs.get("do_stable_layer_norm", False)),
        ("num_heads", encoder.num_heads, theirs.get("num_attention_heads", 12)),
        ("strides", list(front_end.strides), list(theirs.get("conv_stride", (5, 2, 2, 2, 2, 2, 2)))),
        ("norm", front_end.norm, theirs.get("feat_extract_norm", "group")),
        ("largest_offset", encoder.largest_offset, theirs.get("max_bucket_distance", encoder.largest_offset)),
    ):
        if here != there:
            raise ValueError(f"{where} has {name} {there}, here it is {here}; choose the --model-size of that model.")
    if (spec.provenance.get("normalisation", "none") != "none") != published.is_scaled:
        heard, wanted = ("scaled to", "waveform_scaled") if published.is_scaled else ("not scaled to", "waveform")
        raise ValueError(
            f"{where} was trained on audio {heard} variance 1, other than '{spec.name}'; use --feature-type {wanted}."
        )


def with_mask_vector(published: Published, own: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Its weights, and the network's own vector of hidden frames where it has none, as models without masks."""
    name = "front_end.mask_vector"
    return {**({name: own[name]} if name in own else {}), **published.weights}
