"""The training objective: transducer losses, CTC, inner CTC, CR-CTC, attention decoder, and their weights by step."""

from dataclasses import dataclass
from typing import Dict, List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.losses.cr_ctc import NUM_VIEWS, consistency_loss, mean_of_views
from icefall_discrete.losses.label_smoothing import smoothed_divergence
from icefall_discrete.losses.prune import prune, prune_ranges
from icefall_discrete.losses.pruned_rnnt import (
    RNNT_TYPES,
    LatticeOptions,
    Targets,
    pruned_rnnt_loss,
    smoothed_rnnt_loss,
)
from icefall_discrete.nn.encoders.contract import EncoderOutput
from icefall_discrete.nn.heads.contract import TrainedHeads


@dataclass(frozen=True)
class LossConfig:
    """Losses and their weights; a scale of 0 skips the computation of its loss."""

    transducer_loss_scale: float = setting(
        1.0, "weight of the transducer loss (simple and pruned); 0 trains CTC only", minimum=0
    )
    ctc_loss_scale: float = setting(0.2, "weight of the CTC loss on the encoder output; 0 turns it off", minimum=0)
    inner_ctc_loss_scale: float = setting(
        0.0, "weight of the mean CTC loss of the inner heads; 0 turns it off", minimum=0
    )
    cr_loss_scale: float = setting(
        0.0,
        "weight of the consistency between two views (CR-CTC; 0.2 for CTC, 0.02 beside a transducer); 0: one view",
        minimum=0,
    )
    attention_decoder_loss_scale: float = setting(
        0.0,
        "weight of the attention decoder's loss (0.7 beside a CTC loss of 0.3, 0.9 beside a transducer with a CTC loss "
        "of 0.1); 0: none",
        minimum=0,
    )
    label_smoothing: float = setting(
        0.1, "share that the attention decoder's targets give to other units than the label", minimum=0, maximum=0.999
    )
    simple_loss_scale: float = setting(
        0.5, "weight of the simple loss within the transducer loss after the warm-up", minimum=0
    )
    prune_range: int = setting(5, "label positions kept for each frame by the pruned loss", minimum=1)
    lm_scale: float = setting(0.25, "weight of the predictor-only log-probs in the simple loss", minimum=0, maximum=1)
    am_scale: float = setting(0.0, "weight of the encoder-only log-probs in the simple loss", minimum=0, maximum=1)
    rnnt_warm_step: int = setting(
        2000,
        "steps over which weight moves from the simple to the pruned loss, and the consistency's rises from 0",
        minimum=0,
    )
    rnnt_type: str = setting("regular", "lattice of the transducer loss", choices=RNNT_TYPES)

    def __post_init__(self) -> None:
        scales = (self.transducer_loss_scale, self.ctc_loss_scale, self.inner_ctc_loss_scale)
        check_settings(self)
        if max(*scales, self.attention_decoder_loss_scale) == 0.0:
            raise ValueError(
                "one of the scales transducer_loss_scale "
                f"({self.transducer_loss_scale}), ctc_loss_scale ({self.ctc_loss_scale}), inner_ctc_loss_scale "
                f"({self.inner_ctc_loss_scale}) and attention_decoder_loss_scale "
                f"({self.attention_decoder_loss_scale}) must be above 0."
            )
        if self.cr_loss_scale > 0.0 and self.ctc_loss_scale == 0.0:
            raise ValueError(
                f"cr_loss_scale is {self.cr_loss_scale} with ctc_loss_scale {self.ctc_loss_scale}; expected above "
                "0 only with a CTC loss, whose posteriors it compares."
            )
        smoothing = self.lm_scale + self.am_scale
        if smoothing >= 1.0:
            raise ValueError(f"lm_scale + am_scale is {smoothing}, expected two scales that stay below 1.")


@dataclass(frozen=True)
class Losses:
    """Losses of one batch, summed over its utterances, in nats; None where the loss was skipped.

    With two views of each utterance, the mean over the views; `cr` is their consistency.
    per_utterance: the same by name, each (N,), detached: tells which cut a non-finite loss comes from.
    """

    simple: Optional[Tensor]
    pruned: Optional[Tensor]
    ctc: Optional[Tensor]
    inner_ctc: Optional[Tensor]
    attention_decoder: Optional[Tensor]
    cr: Optional[Tensor]
    config: LossConfig
    per_utterance: Dict[str, Tensor]

    def total(self, step: int) -> Tensor:
        """The weighted sum to minimise at training step `step`, in nats over the whole batch."""
        weights = loss_weights(self.config, step)
        return sum(weights[name] * getattr(self, name) for name in self.per_utterance)

    def finite_utterances(self) -> Tensor:
        """(N,) bool: whether every loss of an utterance is finite."""
        return torch.stack(list(self.per_utterance.values())).isfinite().all(dim=0)

    def finite(self) -> bool:
        """Whether all losses of all utterances are finite."""
        return bool(self.finite_utterances().all())


def loss_weights(config: LossConfig, step: int) -> Dict[str, float]:
    """Weights at `step`: over `rnnt_warm_step` steps simple goes from 1 to its own, pruned from 0.1 to 1, cr from 0."""
    progress = min(1.0, step / config.rnnt_warm_step) if config.rnnt_warm_step > 0 else 1.0
    attention = config.attention_decoder_loss_scale
    return {
        "simple": config.transducer_loss_scale * (1.0 - progress * (1.0 - config.simple_loss_scale)),
        "pruned": config.transducer_loss_scale * (0.1 + 0.9 * progress),
        "ctc": config.ctc_loss_scale,
        "inner_ctc": config.inner_ctc_loss_scale,
        **({"attention_decoder": attention} if attention > 0.0 else {}),
        **({"cr": config.cr_loss_scale * progress} if config.cr_loss_scale > 0.0 else {}),
    }


def transducer_losses(
    model: TrainedHeads,
    encoder_output: EncoderOutput,
    labels: Tensor,
    label_lens: Tensor,
    config: LossConfig,
    backend: str,
) -> Losses:
    """Compute the losses that `config` asks for, in float32 whatever the autocast.

    Args:
      model: has `blank_id`, and the heads of the losses whose scales are above 0.
      encoder_output: encoder_out (N, T', D), lens (N,) and `inner` for the inner heads; with two views of each
        utterance 2 N instead of N, the first view of all, then the second of all.
      labels: (N, U) int64, padded with anything; U may be 0.
      label_lens: (N,).
      config: which losses, and their settings.
      backend: "k2" or "torch", resolved by `icefall_discrete.base.backend.resolve`.

    Returns:
      Losses in nats; infinite for an utterance with fewer encoder frames than its labels need, so filter it before.
    """
    blank_id = model.blank_id
    num_views = _count_views(encoder_output.encoder_out.size(0), labels.size(0), config)
    labels, label_lens = labels.repeat(num_views, 1), label_lens.repeat(num_views)
    positions = torch.arange(labels.size(1), device=labels.device)
    labels = labels.to(torch.int64).masked_fill(positions >= label_lens[:, None], blank_id)
    if labels.size(1) == 0:
        labels = F.pad(labels, (0, 1), value=blank_id)
    targets = Targets(labels, label_lens.to(torch.int64), encoder_output.lens.to(torch.int64), blank_id)
    losses: Dict[str, Tensor] = {}
    if config.transducer_loss_scale > 0.0:
        losses.update(_rnnt_losses(model, encoder_output.encoder_out, targets, config, backend))
    if config.ctc_loss_scale > 0.0:
        log_probs = _log_probs(model.ctc_output(encoder_output.encoder_out))
        losses["ctc"] = _ctc_loss(log_probs, targets.frame_lens, targets)
    if config.inner_ctc_loss_scale > 0.0:
        losses["inner_ctc"] = _inner_ctc_loss(model, encoder_output.inner, targets)
    if config.attention_decoder_loss_scale > 0.0:
        losses["attention_decoder"] = _attention_loss(model, encoder_output.encoder_out, targets, config)
    losses = {name: mean_of_views(loss, num_views) for name, loss in losses.items()}
    if num_views == NUM_VIEWS:
        with torch.autocast(log_probs.device.type, enabled=False):
            losses["cr"] = consistency_loss(log_probs, targets.frame_lens)
    sums = {name: loss.sum() for name, loss in losses.items()}
    details = {name: loss.detach() for name, loss in losses.items()}
    names = ("simple", "pruned", "ctc", "inner_ctc", "attention_decoder", "cr")
    simple, pruned, ctc, inner_ctc, attention, cr = (sums.get(name) for name in names)
    return Losses(simple, pruned, ctc, inner_ctc, attention, cr, config, details)


def _rnnt_losses(
    model: TrainedHeads, encoder_out: Tensor, targets: Targets, config: LossConfig, backend: str
) -> Dict[str, Tensor]:
    """Simple and pruned loss, each (N,)."""
    predictor_out = model.predictor(F.pad(targets.labels, (1, 0), value=targets.blank_id))
    simple_lm, simple_am = model.simple_lm_proj(predictor_out), model.simple_am_proj(encoder_out)
    options = LatticeOptions(config.rnnt_type, backend=backend)
    device_type = encoder_out.device.type
    with torch.autocast(device_type, enabled=False):
        simple, label_occupation, blank_occupation = smoothed_rnnt_loss(
            simple_lm.float(), simple_am.float(), targets, config.lm_scale, config.am_scale, options
        )
        ranges = prune_ranges(
            label_occupation, blank_occupation, targets.label_lens, targets.frame_lens, config.prune_range
        )
    am, lm = prune(model.joiner.encoder_proj(encoder_out), model.joiner.decoder_proj(predictor_out), ranges)
    logits = model.joiner(am, lm, project_input=False)
    with torch.autocast(device_type, enabled=False):
        pruned = pruned_rnnt_loss(logits.float(), ranges, targets, options)
    return {"simple": simple, "pruned": pruned}


def _count_views(num_encoded: int, num_utterances: int, config: LossConfig) -> int:
    views = num_encoded // max(1, num_utterances)
    if num_encoded != views * num_utterances or views not in (1, NUM_VIEWS if config.cr_loss_scale > 0.0 else 1):
        raise ValueError(
            f"{num_encoded} encoder outputs for the labels of {num_utterances} utterances; expected one for each"
            f"{', or two views of all' if config.cr_loss_scale > 0.0 else ''}."
        )
    return views


def _log_probs(logits: Tensor) -> Tensor:
    """Normalise logits (N, T, V) in float32."""
    with torch.autocast(logits.device.type, enabled=False):
        return logits.float().log_softmax(dim=2)


def _ctc_loss(log_probs: Tensor, frame_lens: Tensor, targets: Targets) -> Tensor:
    """CTC loss (N,) in nats of log-probs (N, T, V)."""
    with torch.autocast(log_probs.device.type, enabled=False):
        return F.ctc_loss(
            log_probs.transpose(0, 1),
            targets.labels,
            frame_lens,
            targets.label_lens,
            blank=targets.blank_id,
            reduction="none",
        )


def _inner_ctc_loss(model: TrainedHeads, inner: List, targets: Targets) -> Tensor:
    """Mean over the inner heads of their CTC losses, (N,)."""
    heads = list(model.inner_ctc_outputs)
    if not heads or len(heads) != len(inner):
        raise ValueError(
            f"inner_ctc_loss_scale is above 0, but the model has {len(heads)} inner CTC heads and the encoder gave "
            f"{len(inner)} inner outputs; name the inner stacks in the model's settings or set the scale to 0."
        )
    losses = [
        _ctc_loss(_log_probs(head(out)), lens.to(torch.int64), targets) for head, (out, lens) in zip(heads, inner)
    ]
    return torch.stack(losses).mean(dim=0)


def _attention_loss(model: TrainedHeads, encoder_out: Tensor, targets: Targets, config: LossConfig) -> Tensor:
    """Divergence (N,) of the attention decoder from its smoothed targets: the labels, then the end."""
    decoder = model.attention_decoder
    inputs, said = decoder.inputs_and_targets(targets.labels, targets.label_lens)
    logits = decoder(encoder_out, targets.frame_lens, inputs)
    with torch.autocast(encoder_out.device.type, enabled=False):
        return smoothed_divergence(logits.float(), said, targets.label_lens + 1, config.label_smoothing)
