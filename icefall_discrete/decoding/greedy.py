"""Greedy search of a transducer, for a whole batch at once."""

from typing import List

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output, initial_context
from icefall_discrete.decoding.prediction import Predictions, answers_at_once
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import TransducerModel


@torch.no_grad()
def greedy_search(
    model: TransducerModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    max_sym_per_frame: int = 1,
    blank_penalty: float = 0.0,
    emit_unk: bool = False,
) -> List[Hypothesis]:
    """Take the best unit at each frame; stay on a frame until it gives blank or `max_sym_per_frame` labels.

    Args:
      model: has `predictor` (with `context_size` and `blank_id`) and `joiner`.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      max_sym_per_frame: most labels of one frame.
      blank_penalty: taken off the logit of blank. emit_unk: whether `<unk>` may be found.

    Returns:
      A hypothesis for each utterance. Its score sums the log-probabilities of the chosen units, blanks included.
    """
    if max_sym_per_frame < 1:
        raise ValueError(f"max_sym_per_frame is {max_sym_per_frame}, expected at least 1.")
    num_frames = max(check_encoder_output(encoder_out, encoder_lens), default=0)
    num, blank_id = encoder_out.size(0), model.blank_id
    am = model.joiner.encoder_proj(encoder_out)
    context = initial_context(num, model.predictor.context_size, blank_id, encoder_out.device)
    predictions = Predictions(model)
    lm = predictions.of(context)
    score = am.new_zeros(num, dtype=torch.float32)
    chosen, frames = [], []
    for frame in range(num_frames):
        searching = frame < encoder_lens.to(am.device)
        for _ in range(max_sym_per_frame):
            logits = model.joiner(am[:, frame], lm, project_input=False)
            best, unit = unit_log_probs(logits, model, blank_penalty, emit_unk=emit_unk).max(dim=1)
            score += best * searching
            searching = searching & (unit != blank_id)
            if answers_at_once(am.device) and not searching.any():
                break
            chosen.append(torch.where(searching, unit, blank_id))
            frames.append(frame)
            moved = torch.cat([context[:, 1:], unit.unsqueeze(1)], dim=1)
            context = torch.where(searching.unsqueeze(1), moved, context)
            lm = predictions.of(context)
    return _collect(chosen, frames, score, blank_id)


def _collect(chosen: List[Tensor], frames: List[int], score: Tensor, blank_id: int) -> List[Hypothesis]:
    scores = score.tolist()
    rows = torch.stack(chosen, dim=1).tolist() if chosen else [[] for _ in scores]
    hypotheses = []
    for row, total in zip(rows, scores):
        emitted = [(unit, frame) for unit, frame in zip(row, frames) if unit != blank_id]
        hypotheses.append(Hypothesis([unit for unit, _ in emitted], [frame for _, frame in emitted], total))
    return hypotheses
