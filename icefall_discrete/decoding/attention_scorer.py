"""The attention decoder as a scorer of a label-synchronous search, in which all prefixes are of one length."""

from typing import Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.scorer import State
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder


class AttentionScorer:
    """Gives each next label its log-probability by the attention decoder, and the end of a text its own.

    A state holds the utterance of each prefix (M,), keys and values of its labels (M, L, 2, U + 1, D), which grow with
    every label, and the log-probability of its end (M,). Scores have a column for every unit, that of `eos_id` too, so
    that the probabilities of a row sum to 1: a search takes no label from it, nor from that of the blank, and asks
    `final`.

    Args:
      decoder: in evaluation mode. encoder_out: (N, T', D'). encoder_lens: (N,).
    """

    def __init__(self, decoder: AttentionDecoder, encoder_out: Tensor, encoder_lens: Tensor) -> None:
        self.eos_id = decoder.eos_id
        self._decoder = decoder
        with torch.no_grad():
            self._memory = decoder.start(encoder_out, encoder_lens)

    def start(self, utterances: Tensor) -> Tuple[State, Tensor]:
        """Empty prefixes of utterances (M,), and the scores (M, V) of their first labels."""
        nothing = self._decoder.no_labels(len(utterances), utterances.device)
        return self._step(utterances, nothing, torch.full_like(utterances, self.eos_id))

    def advance(self, state: State, units: Tensor) -> Tuple[State, Tensor]:
        """Append labels (E,); returns the states and the scores (E, V) of what follows."""
        utterances, earlier, _ = state
        return self._step(utterances, earlier, units)

    def final(self, state: State) -> Tensor:
        """(M,) log-probability of the end after each prefix."""
        return state[2]

    def _step(self, utterances: Tensor, earlier: Tensor, units: Tensor) -> Tuple[State, Tensor]:
        earlier, log_probs = self._decoder.advance(self._memory, utterances, earlier, units)
        return (utterances, earlier, log_probs[:, self.eos_id]), log_probs
