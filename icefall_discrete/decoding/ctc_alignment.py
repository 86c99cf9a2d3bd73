"""Where in an utterance given labels were said: the best alignment of the CTC head, many label sequences at once."""

from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor

_NEVER = float("-inf")


def ctc_frames(
    log_probs: Tensor, lens: Tensor, utterances: Sequence[int], labels: Sequence[Sequence[int]], blank_id: int
) -> List[Optional[List[int]]]:
    """The frame (from 0) on which each label begins in the most probable alignment (Viterbi).

    Args:
      log_probs: (N, T', V) of the units on each frame, in nats. lens: (N,) frames.
      utterances: for each of M label sequences its place in the batch. labels: the sequences, without blanks.
      blank_id: of the blank.

    Returns:
      The frames of each sequence; None where it has no alignment, such as one of more labels than frames.
    """
    if not labels:
        return []
    firsts, possible = _best_ways(log_probs, lens, utterances, labels, blank_id)
    return [
        [row[2 * i + 1] for i in range(len(sequence))] if fits else None
        for row, sequence, fits in zip(firsts, labels, possible)
    ]


def ctc_spans(log_probs: Tensor, labels: Sequence[int], blank_id: int) -> Optional[List[Tuple[int, int]]]:
    """The frames of each label in the most probable alignment of one utterance: the first one, and the one behind.

    Args:
      log_probs: (T', V). labels: at least one, without blanks.
    Returns:
      None where there is no alignment.
    """
    size = len(log_probs)
    (row,), (fits,) = _best_ways(log_probs.unsqueeze(0), torch.tensor([size]), [0], [labels], blank_id)
    if not fits:
        return None
    spans = []
    for place in range(1, 2 * len(labels), 2):
        # Behind a label comes a blank, or if the way left it out the next label; a place that it never came to has 0.
        behind = [frame for frame in row[place + 1 : place + 3] if frame]
        spans.append((row[place], behind[0] if behind else size))
    return spans


def _best_ways(
    log_probs: Tensor, lens: Tensor, utterances: Sequence[int], labels: Sequence[Sequence[int]], blank_id: int
) -> Tuple[List[List[int]], List[bool]]:
    """For each sequence the frame on which its way comes to each place (blanks between labels), and whether it can."""
    units = _units_with_blanks(labels, blank_id)
    rows = torch.tensor(utterances, dtype=torch.int64)
    where = rows.to(log_probs.device).unsqueeze(1), units.to(log_probs.device)
    emitted = log_probs.transpose(1, 2)[where].float().cpu()  # (M, S, T'): many small steps, for which a CPU is best
    ends = lens.cpu()[rows]
    steps, score = _best_steps(emitted, ends, _may_skip(units, blank_id))
    sizes = torch.tensor([len(sequence) for sequence in labels])
    last_blank = (2 * sizes).unsqueeze(1)
    finals = torch.cat([last_blank, (last_blank - 1).clamp(min=0)], dim=1)
    final_scores = score.gather(1, finals)
    place = finals.gather(1, final_scores.argmax(dim=1, keepdim=True)).squeeze(1)
    firsts = _follow(steps, place, ends, torch.zeros_like(units))
    return firsts.tolist(), (final_scores.max(dim=1).values > _NEVER).tolist()


def _units_with_blanks(labels: Sequence[Sequence[int]], blank_id: int) -> Tensor:
    """(M, S) with a blank around each label; S is odd, short sequences end in more blanks."""
    units = torch.full((len(labels), 2 * max(len(sequence) for sequence in labels) + 1), blank_id)
    for row, sequence in zip(units, labels):
        row[1 : 2 * len(sequence) : 2] = torch.tensor(sequence, dtype=torch.int64)
    return units


def _may_skip(units: Tensor, blank_id: int) -> Tensor:
    """(M, S): whether the blank before a unit may be left out, which it may between different labels."""
    skips = torch.zeros_like(units, dtype=torch.bool)
    skips[:, 2:] = (units[:, 2:] != blank_id) & (units[:, 2:] != units[:, :-2])
    return skips


def _best_steps(emitted: Tensor, ends: Tensor, skips: Tensor) -> Tuple[List[Tensor], Tensor]:
    """For each frame by how many places the best way into each place moved (M, S), and the scores (M, S) at the end."""
    num, places, frames = emitted.shape
    score = torch.full((num, places), _NEVER)
    score[:, 0] = 0.0  # so that the first frame may be at place 0 or 1
    steps = []
    for frame in range(frames):
        by_one = torch.nn.functional.pad(score, (1, 0), value=_NEVER)[:, :-1]
        by_two = torch.nn.functional.pad(score, (2, 0), value=_NEVER)[:, :-2].masked_fill(~skips, _NEVER)
        best = torch.stack([score, by_one, by_two]).max(dim=0)
        inside = (ends > frame).unsqueeze(1)
        score = torch.where(inside, best.values + emitted[:, :, frame], score)
        steps.append(best.indices.masked_fill(~inside, 0))
    return steps, score


def _follow(steps: List[Tensor], place: Tensor, ends: Tensor, firsts: Tensor) -> Tensor:
    """Write into `firsts` (M, S) the frame on which the way that ends in `place` (M,) comes to each of its places."""
    for frame in range(len(steps) - 1, -1, -1):
        here = place.unsqueeze(1)
        inside = (ends > frame).unsqueeze(1)
        firsts.scatter_(1, here, torch.where(inside, frame, firsts.gather(1, here)))
        place = place - steps[frame].gather(1, here).squeeze(1)
    return firsts
