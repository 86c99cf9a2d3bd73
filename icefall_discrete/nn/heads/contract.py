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


def unknown_id(model: LabelModel) -> Optional[int]:
    """The unit that stands for what has no pieces, `<unk>`; None if the network has none."""
    return getattr(model, "unk_id", None)


def require_transducer(model: LabelModel, what: str) -> TransducerModel:
    """The network, if it has the heads of a transducer; else ValueError, naming `what` asked for them."""
    if not has_transducer(model):
        raise ValueError(
            f"{what} needs a model that was trained with a transducer loss; this one was not. Use a CTC search, such "
            "as ctc_greedy_search, or train with --transducer-loss-scale above 0."
        )
    return cast(TransducerModel, model)


def require_ctc(model: LabelModel, what: str) -> CtcModel:
    """The network, if it has a CTC head; else ValueError, naming `what` asked for it."""
    if not has_ctc(model):
        raise ValueError(
            f"{what} needs a model that was trained with a CTC loss; this one was not, so it has no CTC head. Use a "
            "transducer search, such as modified_beam_search, or train with --ctc-loss-scale above 0."
        )
    return cast(CtcModel, model)


def require_attention_decoder(model: LabelModel, what: str) -> AttentionModel:
    """The network, if it has an attention decoder; else ValueError, naming `what` asked for it."""
    if not has_attention_decoder(model):
        raise ValueError(
            f"{what} needs a model that was trained with an attention decoder; this one was not. Use another search, "
            "such as ctc_prefix_beam_search, or train with --attention-decoder-loss-scale above 0."
        )
    return cast(AttentionModel, model)


def trained_heads(model: LabelModel) -> TrainedHeads:
    """The network as losses see it, each of which asks only for the heads that it trains."""
    return cast(TrainedHeads, model)


def _head(model: LabelModel, name: str) -> Optional[nn.Module]:
    return getattr(model, name, None)
