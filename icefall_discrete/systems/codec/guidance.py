"""What makes the first codebook tell what is said: a teacher's frames, and the letters of transcripts.

Semantic distillation of SpeechTokenizer, https://arxiv.org/abs/2308.16692, and the auxiliary CTC of PAST,
https://arxiv.org/abs/2505.14470. Heads are there while the codec is trained, and are no part of the tokenizer.
N segments, T frames, D dimensions of the codec's states, V letters with the blank.
"""

from typing import Dict, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.losses.distillation import distillation_losses
from icefall_discrete.systems.codec.config import CodecConfig
from icefall_discrete.systems.codec.lessons import BLANK, LessonSizes

DISTILLATION, TRANSCRIPT = "distillation", "transcript"
NO_LESSONS = LessonSizes()


class Taught(NamedTuple):
    """The teacher's frames (N, T, D') of segments, and which of them (N, T) lie within the utterance."""

    frames: Tensor
    heard: Tensor


class Spoken(NamedTuple):
    """Whole utterances: audio (N, S), frames (N,) of each, labels (N, U) padded with the blank, label_lens (N,)."""

    audio: Tensor
    frame_lens: Tensor
    labels: Tensor
    label_lens: Tensor


class LetterHead(nn.Module):
    """Log probabilities (N, T, V) of letters from states (N, T, D), by an LSTM in both directions."""

    def __init__(self, in_dim: int, dim: int, num_letters: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(in_dim, dim, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * dim, num_letters)

    def forward(self, states: Tensor, lens: Tensor) -> Tensor:
        """See the class; frames behind lens (N,) take no part."""
        packed = nn.utils.rnn.pack_padded_sequence(states, lens.cpu(), batch_first=True, enforce_sorted=False)
        found, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.output(found).log_softmax(dim=2)


class Guidance(nn.Module):
    """The heads on the states of the first codebook, and their losses.

    Args:
      config: of the codec. sizes: of what is learnt.
    """

    def __init__(self, config: CodecConfig, sizes: LessonSizes) -> None:
        super().__init__()
        self.weights: Dict[str, float] = {}
        self.projection: Optional[nn.Linear] = None
        self.letters: Optional[LetterHead] = None
        if sizes.teacher_dim:
            self.projection = nn.Linear(config.state_dim, sizes.teacher_dim)
            self.weights[DISTILLATION] = config.distillation_weight
        if sizes.num_letters:
            self.letters = LetterHead(config.state_dim, config.transcript_dim, sizes.num_letters)
            self.weights[TRANSCRIPT] = config.transcript_weight

    def distillation(self, states: Tensor, taught: Taught) -> Tensor:
        """Mean over segments of the loss of states (N, T, D) against the teacher's."""
        assert self.projection is not None, "a codec without a teacher is given no frames of one"
        return distillation_losses(self.projection(states), taught.frames, taught.heard).mean()

    def transcript(self, states: Tensor, spoken: Spoken) -> Tensor:
        """Nats a letter of CTC on states (N, T, D)."""
        assert self.letters is not None, "a codec without transcripts is given none"
        log_probs = self.letters(states, spoken.frame_lens).transpose(0, 1)
        lens = (spoken.frame_lens, spoken.label_lens)
        return F.ctc_loss(log_probs, spoken.labels, *lens, BLANK, "sum") / spoken.label_lens.sum()


def make_guidance(config: CodecConfig, sizes: LessonSizes, generator: torch.Generator) -> Guidance:
    """Fresh heads; their weights are drawn by the generator (torch's own is left as it was)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        return Guidance(config, sizes)
