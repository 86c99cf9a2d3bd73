"""A bigram model of each utterance in the place of an attention decoder, for the tests of searches."""

import torch

EOS = 1


class BigramScorer:
    """Log-probabilities of the next label by the utterance and the last label; the state is (utterance, last label)."""

    def __init__(self, num=4, vocab_size=11, seed=5, scale=1.5, dtype=torch.float32):
        torch.manual_seed(seed)
        logits = scale * torch.randn(num, vocab_size, vocab_size, dtype=dtype)
        logits[..., 0] = float("-inf")
        self.table = logits.log_softmax(dim=2)

    def start(self, utterances):
        state = utterances, torch.full_like(utterances, EOS)
        return state, self.table[state]

    def advance(self, state, units):
        state = state[0], units
        return state, self.table[state]

    def final(self, state):
        return self.table[state][:, EOS]

    def total(self, utterance, labels):
        """Nats of labels and the end behind them."""
        steps = zip((EOS, *labels), (*labels, EOS))
        return sum(self.table[utterance, last, label].item() for last, label in steps)
