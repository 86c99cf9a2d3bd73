"""RoBERTa's encoder: a batch gives what each gives alone, long utterances go in pieces, all of it learns."""

import pytest
import torch

from icefall_discrete.nn.encoders.contract import build_encoder
from icefall_discrete.nn.encoders.roberta import RobertaConfig

SMALL = {"dim": 16, "num_layers": 2, "num_heads": 2, "feedforward_dim": 24, "dropout": 0.0, "attention_dropout": 0.0}
LENS = (29, 1, 14, 27, 20)


def small(**changes):
    torch.manual_seed(0)
    return build_encoder(RobertaConfig(**{**SMALL, "max_positions": 12, **changes}))


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("places", [12, 64])
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(marks, places):
    encoder = small(marks=marks, max_positions=places).train()
    x = torch.randn(len(LENS), 33, 16)
    x[0, 29:] = 1e4  # behind the end of all of them
    together, lens, inner = encoder(x, torch.tensor(LENS), inner=(1, 0))
    assert together.shape == x.shape and lens.tolist() == list(LENS)
    for index, length in enumerate(LENS):
        one = slice(index, index + 1)
        alone, _, alone_inner = encoder(x[one, :length], torch.tensor([length]), inner=(1, 0))
        torch.testing.assert_close(together[one, :length], alone, rtol=1e-5, atol=1e-5)
        for (batched, _), (single, _) in zip(inner, alone_inner):
            torch.testing.assert_close(batched[one, :length], single, rtol=1e-5, atol=1e-5)


def test_pieces_are_utterances_of_their_own():
    encoder = small()  # of 10 frames
    x = torch.randn(1, 24, 16)
    whole = encoder(x, torch.tensor([24])).encoder_out
    for start, length in ((0, 10), (10, 10), (20, 4)):
        piece = encoder(x[:, start : start + length], torch.tensor([length])).encoder_out
        torch.testing.assert_close(whole[:, start : start + length], piece, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole[:, :10], whole[:, 10:20])


def test_an_utterance_without_frames_spoils_nothing():
    out, lens, _ = small().eval()(torch.randn(2, 19, 16), torch.tensor([19, 0]))
    assert lens.tolist() == [19, 0] and bool(out.isfinite().all())


def test_training_reaches_every_parameter():
    encoder = small().train()
    out, _, _ = encoder(torch.randn(3, 20, 16), torch.tensor([20, 20, 13]))
    (out * torch.randn_like(out)).sum().backward()
    idle = [name for name, value in encoder.named_parameters() if value.grad is None or not bool(value.grad.any())]
    # A constant that is added to all keys changes no weight.
    assert [name for name in idle if not name.endswith("linear_k.bias")] == []
