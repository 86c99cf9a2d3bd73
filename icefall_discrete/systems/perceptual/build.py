"""From settings to a perceptual model."""

from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.systems.perceptual.flow import FlowFiller
from icefall_discrete.systems.perceptual.network import Filler, ModelConfig
from icefall_discrete.systems.perceptual.soundstorm import MaskedFiller


def build_filler(config: ModelConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None) -> Filler:
    """The network for codes of `spec`; `codebooks` are the tokenizer's.

    Raises:
      ValueError: for features, for codes of one codebook or a variable rate, for a shape that has not a frame for each
        of theirs, and for a flow without codebooks or with texts.
    """
    config.require_every_frame()
    if spec.kind != "codes" or spec.num_codebooks < 2 or spec.has_variable_rate:
        what = "continuous features" if spec.kind != "codes" else f"{spec.num_codebooks} codebooks"
        what = "codes of a variable rate" if spec.has_variable_rate else what
        raise ValueError(
            f"'{spec.name}' has {what}, but of each frame the first code is to tell the others; choose a codec of two "
            "codebooks or more."
        )
    if config.filling != "flow_matching":
        return MaskedFiller(config, spec, codebooks if config.input.uses_codebooks(spec) else None)
    if config.reads_text:
        raise ValueError("reads_text is for soundstorm and nar; set it to false, or take --filling nar.")
    if not config.input.uses_codebooks(spec) or codebooks is None:
        raise ValueError(
            "flow_matching needs the vectors of codes: set --embedding-init codebook, with a tokenizer that has "
            f"codebooks (that of '{spec.name}' has none that are used), or take --filling soundstorm."
        )
    return FlowFiller(config, spec, codebooks)
