"""What losses and searches ask of a network that gives labels. A head that no loss trains is None."""

from typing import Optional, Protocol, Sequence, cast

from torch import nn

from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor


class LabelModel(Protocol):
    """A network with some of the heads below. blank_id: of the blank among its V output units."""

    blank_id: int


class TransducerModel(LabelModel, Protocol):
    """Has the heads of a transducer."""

    predictor: StatelessPredictor
    joiner: Joiner


class CtcModel(LabelModel, Protocol):
    """Has a CTC head, from encoder frames (N, T', D) to logits (N, T', V)."""

    ctc_output: nn.Linear


class AttentionModel(LabelModel, Protocol):
    """Has an attention decoder."""

    attention_decoder: AttentionDecoder


class TrainedHeads(TransducerModel, CtcModel, AttentionModel, Protocol):
    """All heads, with what their losses need besides: the projections of the simple loss, and inner CTC heads."""

    simple_am_proj: nn.Linear
    simple_lm_proj: nn.Linear
    inner_ctc_outputs: Sequence[nn.Linear]


def has_transducer(model: LabelModel) -> bool:
    """Whether a transducer loss trained the network."""
    return _head(model, "joiner") is not None and _head(model, "predictor") is not None


def has_ctc(model: LabelModel) -> bool:
    """Whether a CTC loss trained the network."""
    return _head(model, "ctc_output") is not None


def has_attention_decoder(model: LabelModel) -> bool:
    """Whether the loss of an attention decoder trained the network."""
    return _head(model, "attention_decoder") is not None


# What a network with each of the heads can be searched with.
_SEARCHES = (
    (has_transducer, "modified_beam_search"),
    (has_ctc, "ctc_prefix_beam_search"),
    (has_attention_decoder, "attention_beam_search"),
)


def unknown_id(model: LabelModel) -> Optional[int]:
    """The unit that stands for what has no pieces, `<unk>`; None if the network has none."""
    return getattr(model, "unk_id", None)


def require_transducer(model: LabelModel, what: str) -> TransducerModel:
    """The network, if it has the heads of a transducer; else ValueError, naming `what` asked for them."""
    if not has_transducer(model):
        raise ValueError(_lacking(model, what, "a transducer loss", "--transducer-loss-scale"))
    return cast(TransducerModel, model)


def require_ctc(model: LabelModel, what: str) -> CtcModel:
    """The network, if it has a CTC head; else ValueError, naming `what` asked for it."""
    if not has_ctc(model):
        raise ValueError(_lacking(model, what, "a CTC loss", "--ctc-loss-scale"))
    return cast(CtcModel, model)


def require_attention_decoder(model: LabelModel, what: str) -> AttentionModel:
    """The network, if it has an attention decoder; else ValueError, naming `what` asked for it."""
    if not has_attention_decoder(model):
        raise ValueError(_lacking(model, what, "an attention decoder", "--attention-decoder-loss-scale"))
    return cast(AttentionModel, model)


def _lacking(model: LabelModel, what: str, head: str, flag: str) -> str:
    """The sentence for a model without a head that `what` needs: what it can do instead, and what would train it."""
    able = [search for has, search in _SEARCHES if has(model)]
    instead = f"Use {' or '.join(able)}, which it can do, or train" if able else "Train"
    return f"{what} needs a model that was trained with {head}; this one was not. {instead} with {flag} above 0."


def trained_heads(model: LabelModel) -> TrainedHeads:
    """The network as losses see it, each of which asks only for the heads that it trains."""
    return cast(TrainedHeads, model)


def _head(model: LabelModel, name: str) -> Optional[nn.Module]:
    return getattr(model, name, None)
