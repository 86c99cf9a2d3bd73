"""Greedy search of the CTC head: best unit at each frame, repeats joined, blanks dropped."""

from typing import List

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import CtcModel


@torch.no_grad()
def ctc_greedy_search(
    model: CtcModel, encoder_out: Tensor, encoder_lens: Tensor, blank_penalty: float = 0.0, emit_unk: bool = False
) -> List[Hypothesis]:
    """Read the CTC head frame by frame.

    Args:
      model: has `ctc_output` ((N, T', D) to logits (N, T', V)) and `blank_id`.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      blank_penalty: taken off the logit of blank. emit_unk: whether `<unk>` may be found.

    Returns:
      A hypothesis for each utterance; a label's timestamp is its first frame, the score sums best log-probabilities.
    """
    lens = check_encoder_output(encoder_out, encoder_lens)
    logits = model.ctc_output(encoder_out)
    best, units = unit_log_probs(logits, model, blank_penalty, emit_unk=emit_unk).max(dim=2)
    inside = torch.arange(units.size(1), device=units.device) < encoder_lens.to(units.device)[:, None]
    scores = (best * inside).sum(dim=1).tolist()
    hypotheses = []
    for row, length, score in zip(units.tolist(), lens, scores):
        starts = [t for t in range(length) if row[t] != model.blank_id and (t == 0 or row[t] != row[t - 1])]
        hypotheses.append(Hypothesis([row[t] for t in starts], starts, score))
    return hypotheses
