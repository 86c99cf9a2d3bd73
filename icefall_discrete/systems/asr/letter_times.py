"""When the letters of transcripts are said, and how probable a text is given units: both by the CTC head.

N cuts of a batch, T' encoder frames, V pieces.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import language_of, text_of
from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.decoding.ctc_alignment import ctc_frames
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import require_ctc
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig, predict_batches
from icefall_discrete.text.alignments import Alignments, Segment, segments_of_peaks
from icefall_discrete.text.pieces import TextEncoder

# The farthest that a piece reaches from the frame on which CTC says it: farther away there is a pause.
REACH_SEC = 0.15
_SPACE = "▁"


def ctc_log_probs(
    model: Transducer, cuts: CutSet, spec: FeatureSpec, run: RunConfig, title: Optional[str] = None
) -> Tuple[Dict[str, Tensor], Dict[str, Any]]:
    """Log-probabilities (T', V) in nats by cut id; of one that is too short for the network there are none.

    Returns:
      them, on the CPU, and the facts of `predict_cuts`.
    Raises:
      ValueError: if the model has no CTC head.
    """
    device, heads = run.torch_device(), require_ctc(model, "an alignment")

    @torch.no_grad()
    def predict(batch: Batch) -> List[Tensor]:
        encoded = model.encode(batch[batch_key(spec)].to(device), batch["frame_lens"].to(device))
        log_probs = unit_log_probs(heads.ctc_output(encoded.encoder_out), heads, emit_unk=True).cpu()
        return [row[:length] for row, length in zip(log_probs, encoded.lens.tolist())]

    return predict_batches(predict, model.config, cuts, spec, run, title)


def letters_in_time(
    log_probs: Dict[str, Tensor], cuts: CutSet, text_encoder: TextEncoder, frame_sec: float, pieces: bool = False
) -> Alignments:
    """The letters of each transcript in its most probable CTC alignment; nothing of a cut that has none.

    CTC says on which frame a piece begins to be heard. It is taken to last to the middle between two such frames, at
    most REACH_SEC to either side, and its letters as equal parts of that.

    Args:
      frame_sec: duration of an encoder frame. pieces: whole pieces instead of letters.
    """
    found: Alignments = {}
    symbols, silent = text_encoder.pieces(), set(text_encoder.language_tokens.values())
    for cut in cuts:
        if cut.id not in log_probs:
            continue
        labels = text_encoder.labels_of(text_of(cut), language_of(cut))
        mine = log_probs[cut.id]
        (frames,) = ctc_frames(mine[None], torch.tensor([len(mine)]), [0], [labels], text_encoder.blank_id)
        if frames is None:
            continue
        said = [(frame, symbols[label]) for frame, label in zip(frames, labels) if label not in silent]
        peaks = [(frame + 0.5) * frame_sec for frame, _ in said]
        segments = segments_of_peaks(peaks, [symbol for _, symbol in said], cut.duration, REACH_SEC)
        found[cut.id] = segments if pieces else [part for one in segments for part in _letters(one)]
    return found


def _letters(piece: Segment) -> List[Segment]:
    """Equal parts of a piece, one a letter; none of a piece that is only a space."""
    letters = piece.label.replace(_SPACE, "")
    edges = np.linspace(piece.begin_sec, piece.end_sec, len(letters) + 1).tolist()
    return [Segment(begin, end, letter) for begin, end, letter in zip(edges, edges[1:], letters)]


def text_scores(log_probs: Sequence[Tensor], labels: Sequence[Sequence[int]], blank_id: int) -> np.ndarray:
    """Log-probability in nats (N, N) of each text given each utterance: rows utterances, columns texts; -inf for none.

    Args:
      log_probs: (T', V) of each utterance. labels: (U,) of each text.
    """
    sizes = torch.tensor([len(one) for one in labels])
    joined = torch.tensor([label for one in labels for label in one])
    rows = []
    for mine in log_probs:
        many = mine[:, None].expand(-1, len(labels), -1)
        lens = torch.full((len(labels),), len(mine))
        rows.append(-F.ctc_loss(many, joined, lens, sizes, blank=blank_id, reduction="none"))
    return torch.stack(rows).double().numpy()
