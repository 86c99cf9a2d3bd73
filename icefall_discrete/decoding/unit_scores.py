"""From logits to log-probabilities of units, for every search: blank penalty, temperature, and never `<unk>`."""

from torch import Tensor

from icefall_discrete.nn.heads.contract import LabelModel, unknown_id


def unit_log_probs(
    logits: Tensor, model: LabelModel, blank_penalty: float = 0.0, temperature: float = 1.0, emit_unk: bool = False
) -> Tensor:
    """Log-probabilities (..., V) in nats of logits (..., V), which are left as they are.

    Args:
      model: says which units are the blank and `<unk>`. blank_penalty: taken off the logit of blank. temperature:
        divides the logits. emit_unk: whether `<unk>` may be found. By default it may not, as in icefall's searches: it
        gets -inf, and the log-probabilities of the others are what they are beside it.
    """
    logits = logits.float()
    if blank_penalty != 0.0:
        logits = logits.clone()
        logits[..., model.blank_id] -= blank_penalty
    if temperature != 1.0:
        logits = logits / temperature
    log_probs = logits.log_softmax(dim=-1)
    unknown = unknown_id(model)
    if unknown is not None and not emit_unk:
        log_probs[..., unknown] = float("-inf")
    return log_probs
