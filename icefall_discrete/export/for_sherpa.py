"""What sherpa-onnx asks of a model: it computes filter banks itself, and knows the shapes of icefall's recipe."""

from typing import List, Sequence

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.export.parts import Part
from icefall_discrete.nn.encoders.zipformer.config import ZipformerConfig
from icefall_discrete.nn.front_ends.conv2d import Conv2dConfig
from icefall_discrete.onnx.folder import ATTENTION_DECODER, ATTENTION_ENCODER
from icefall_discrete.systems.asr.transducer import Transducer

# Settings of `fbank` that its filter banks have too; the number of filters it is told.
_FBANK = {"tokenizer": "fbank", "frame_shift_sec": 0.01}
_SAMPLE_RATE_HZ = 16000


def require_known_to_sherpa(model: Transducer, spec: FeatureSpec, streaming: bool) -> None:
    """Raise ValueError, in one sentence, if sherpa-onnx could not run the model."""
    other = [name for name, value in _FBANK.items() if spec.provenance.get(name) != value]
    if spec.kind != "continuous" or spec.sample_rate_hz != _SAMPLE_RATE_HZ or other:
        raise ValueError(
            f"sherpa-onnx reads audio by filter banks of its own, every 10 ms at 16 kHz, but this model reads "
            f"'{spec.name}'; export it with --to onnx."
        )
    if streaming and not isinstance(model.config.encoder, ZipformerConfig):
        raise ValueError("of encoders for streams sherpa-onnx knows the Zipformer alone; export with --to onnx.")
    if streaming and not isinstance(model.config.front_end, Conv2dConfig):
        raise ValueError(
            "sherpa-onnx knows only the states of front end conv2d for streams; export the model with --to onnx, for "
            "whole utterances, or train with --front-end conv2d --embedding-dim 0."
        )
    if streaming and model.input_embedding.out_dim != spec.feature_dim:
        raise ValueError(
            f"sherpa-onnx knows the states of front end conv2d on {spec.feature_dim} filters, and this model brings "
            f"them to {model.input_embedding.out_dim} dimensions first; export it with --to onnx, or train with "
            "--embedding-dim 0."
        )


def known_to_sherpa(parts: Sequence[Part]) -> List[Part]:
    """The parts that it runs. Raises ValueError if there are none, as of an attention decoder alone."""
    known = [part for part in parts if part.name not in (ATTENTION_ENCODER, ATTENTION_DECODER)]
    if not known:
        raise ValueError(
            "sherpa-onnx runs transducers and CTC heads, and this model has neither; export it with --to onnx."
        )
    return known
