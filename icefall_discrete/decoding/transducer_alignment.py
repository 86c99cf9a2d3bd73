"""Where in an utterance given labels were said, by a transducer: its best way through frames and labels."""

from typing import List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import initial_context
from icefall_discrete.decoding.prediction import Predictions
from icefall_discrete.nn.heads.contract import TransducerModel

_FRAMES_AT_ONCE = 64  # of the joiner, whose output has a value for each frame, label and unit


class Way(NamedTuple):
    """The frame (from 0) that emits each label, and the log-probability of each there (nats)."""

    frames: List[int]
    log_probs: List[float]


class _Scores(NamedTuple):
    """Log-probabilities (T', U + 1) of the blank, and (T', U) of the next label, on each frame after each label."""

    blank: Tensor
    label: Tensor


def _scores(model: TransducerModel, encoder_out: Tensor, labels: Sequence[int]) -> _Scores:
    size = model.predictor.context_size
    before = initial_context(1, size, model.blank_id, torch.device("cpu"))[0].tolist()
    padded = [*before, *labels]
    contexts = torch.tensor([padded[place : place + size] for place in range(len(labels) + 1)])
    predicted = Predictions(model).of(contexts.to(encoder_out.device))
    following = torch.tensor(labels, device=encoder_out.device)
    blanks, given = [], []
    for part in model.joiner.encoder_proj(encoder_out).split(_FRAMES_AT_ONCE):
        logits = model.joiner(part.unsqueeze(1), predicted.unsqueeze(0), project_input=False)
        log_probs = logits.float().log_softmax(dim=-1)
        blanks.append(log_probs[:, :, model.blank_id].cpu())
        given.append(log_probs[:, :-1].gather(2, following.expand(len(part), -1).unsqueeze(2)).squeeze(2).cpu())
    return _Scores(torch.cat(blanks), torch.cat(given))


@torch.no_grad()
def transducer_way(model: TransducerModel, encoder_out: Tensor, labels: Sequence[int]) -> Optional[Way]:
    """The most probable way (Viterbi) on which a transducer says labels; a frame may emit several.

    Args:
      encoder_out: (T', D) of one utterance. labels: U labels without blanks, at least one.
    Returns:
      None if there is no frame.
    """
    if not len(encoder_out):
        return None
    scores = _scores(model, encoder_out, labels)
    num_frames = len(scores.blank)
    # Within a frame, from `before` (U + 1): emitting the labels from place v to u costs emitted[u] - emitted[v].
    before = torch.full((len(labels) + 1,), float("-inf"), dtype=torch.float64)
    before[0] = 0.0
    came_from = []
    for frame in range(num_frames):
        emitted = torch.cat([torch.zeros(1, dtype=torch.float64), scores.label[frame].double().cumsum(0)])
        best = (before - emitted).cummax(dim=0)
        came_from.append(best.indices)
        before = best.values + emitted + scores.blank[frame].double()
    frames = [0] * len(labels)
    place = len(labels)
    for frame in range(num_frames - 1, -1, -1):
        first = int(came_from[frame][place])
        frames[first:place] = [frame] * (place - first)
        place = first
    log_probs = [float(scores.label[frame, number]) for number, frame in enumerate(frames)]
    return Way(frames, log_probs)
