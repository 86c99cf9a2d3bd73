"""One-pass search with an attention decoder, a CTC head or both, and what is added to them: labels and times."""

from typing import List, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.ctc_alignment import ctc_frames
from icefall_discrete.decoding.ctc_prefix_scores import CtcPrefixScores
from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output
from icefall_discrete.decoding.joint_settings import LabelSearchConfig
from icefall_discrete.decoding.label_beam import Ended, LabelBeam, LabelScores
from icefall_discrete.decoding.modified_beam import BeamConfig
from icefall_discrete.decoding.scorer import Scorer, State, SumScorer
from icefall_discrete.nn.heads.contract import LabelModel, has_ctc, require_ctc, unknown_id
from icefall_discrete.text.pieces import SOS_EOS_ID


class _NoScores:
    """Scores nothing, where only the CTC head is searched; the state is which utterance it is."""

    def __init__(self, vocab_size: int, dtype: torch.dtype) -> None:
        self._vocab_size, self._dtype = vocab_size, dtype

    def start(self, utterances: Tensor) -> Tuple[State, Tensor]:
        return (utterances,), self._nothing(utterances)

    def advance(self, state: State, units: Tensor) -> Tuple[State, Tensor]:
        return state, self._nothing(units)

    def final(self, state: State) -> Tensor:
        return self._nothing(state[0])[:, 0]

    def _nothing(self, rows: Tensor) -> Tensor:
        return torch.zeros(len(rows), self._vocab_size, dtype=self._dtype, device=rows.device)


@torch.no_grad()
def label_beam_search(
    model: LabelModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    attention: Optional[Scorer],
    beam: BeamConfig,
    config: LabelSearchConfig,
    scorer: Optional[Scorer] = None,
) -> List[List[Hypothesis]]:
    """Search label by label for the best sum of the attention decoder's, the CTC head's and the scorer's scores.

    Args:
      model: has `blank_id`, and `ctc_output` ((N, T', D) to logits (N, T', V)) if the CTC head has a weight.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      attention: gives each label, and the end, its log-probability by the attention decoder; None: the CTC head alone.
      beam: beam, and what changes the CTC head's logits. config: weights and lengths.
      scorer: adds scores to labels.

    Returns:
      `beam.nbest` hypotheses for each utterance, best score first, fewer if fewer ended. Times are those of the best
      CTC alignment of the labels; where there is none, as there is no CTC head, the labels are spread evenly.
    """
    lens = check_encoder_output(encoder_out, encoder_lens)
    log_probs = None
    if has_ctc(model):
        log_probs = beam.log_probs(require_ctc(model, "an alignment").ctc_output(encoder_out), model)
    scores = _scores(model, log_probs, encoder_lens, attention, beam, config, scorer)
    search = LabelBeam(scores, lens, beam.beam_size, beam.nbest, config, encoder_out.device)
    found = search.search()
    return _with_times(found, log_probs, lens, model.blank_id)


def _scores(
    model: LabelModel,
    log_probs: Optional[Tensor],
    encoder_lens: Tensor,
    attention: Optional[Scorer],
    beam: BeamConfig,
    config: LabelSearchConfig,
    scorer: Optional[Scorer],
) -> LabelScores:
    """The weighted sum of what there is; a head without weight is not asked."""
    weight = config.ctc_weight if attention is not None else 1.0
    ctc = CtcPrefixScores(log_probs, encoder_lens, model.blank_id) if weight > 0 and log_probs is not None else None
    unknown = None if beam.emit_unk else unknown_id(model)
    parts = [(attention, 1.0 - weight), (scorer, 1.0)]
    used = [(part, scale) for part, scale in parts if part is not None and scale > 0]
    full: Scorer = SumScorer([part for part, _ in used], [scale for _, scale in used])
    if not used and log_probs is not None:
        full = _NoScores(log_probs.size(2), log_probs.dtype)
    return LabelScores(
        full,
        ctc,
        weight,
        chooses=weight < 1,
        only_falls=scorer is None and config.length_bonus <= 0,
        never=[model.blank_id, SOS_EOS_ID, *([] if unknown is None else [unknown])],
    )


def _with_times(
    found: List[List[Ended]], log_probs: Optional[Tensor], lens: List[int], blank_id: int
) -> List[List[Hypothesis]]:
    """The hypotheses with the frames of their labels; an empty one where nothing was found."""
    every = [(n, ended) for n, several in enumerate(found) for ended in several]
    utterances, labels = [n for n, _ in every], [ended.labels for _, ended in every]
    frames: List[Optional[List[int]]] = [None] * len(every)
    if log_probs is not None:
        frames = ctc_frames(log_probs, torch.tensor(lens), utterances, labels, blank_id)
    lists: List[List[Hypothesis]] = [[] for _ in found]
    for (n, ended), own in zip(every, frames):
        times = _spread(len(ended.labels), lens[n]) if own is None else own
        lists[n].append(Hypothesis(ended.labels, times, ended.score))
    return [several or [Hypothesis([], [], 0.0)] for several in lists]


def _spread(num: int, frames: int) -> List[int]:
    """Frames of `num` labels that are spread evenly."""
    return [min(frames - 1, (2 * i + 1) * frames // (2 * num)) for i in range(num)]
