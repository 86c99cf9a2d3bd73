"""A small random model, its encoder output, and text pieces, for the tests of searches."""

import torch
from torch import nn

from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder, AttentionDecoderConfig
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor


def random_model(vocab_size=11, context_size=2, seed=0):
    torch.manual_seed(seed)
    model = nn.Module()
    model.blank_id = 0
    model.predictor = StatelessPredictor(vocab_size, 8, 0, context_size)
    model.joiner = Joiner(12, 8, 10, vocab_size)
    model.ctc_output = nn.Linear(12, vocab_size)
    with torch.no_grad():
        for param in model.joiner.parameters():
            param.mul_(6.0)
        model.ctc_output.weight.mul_(4.0)
    model.attention_decoder = toy_decoder(vocab_size)
    return model.eval()


def toy_decoder(vocab_size):
    """An attention decoder for the same encoder output, which is sure of what it says, and ends seldom."""
    decoder = AttentionDecoder(AttentionDecoderConfig(16, 2, 4, 24), 12, vocab_size, 1).eval()
    with torch.no_grad():
        decoder.output.weight.mul_(4.0)
        decoder.output.bias[1] -= 4.0
    return decoder


class PlantedDecoder(nn.Module):
    """Instead of an attention decoder: sure of one text, whatever it hears."""

    def __init__(self, text):
        super().__init__()
        self.text = list(text)

    def score(self, encoder_out, lens, labels, label_lens, utterances):
        """0 nats for the text, -10 for others."""
        sentences = [row[:length].tolist() for row, length in zip(labels, label_lens)]
        return torch.tensor([[0.0 if sentence == self.text else -10.0] for sentence in sentences])


def random_output(num=4, num_frames=15, seed=1):
    torch.manual_seed(seed)
    return torch.randn(num, num_frames, 12), torch.tensor([num_frames, 6, 9, 1][:num])
