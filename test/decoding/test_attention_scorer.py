"""The attention decoder within a search: its scores are those of whole texts, however the beam is reordered."""

import torch
from toy_transducer import toy_decoder

from icefall_discrete.decoding.attention_scorer import AttentionScorer

VOCAB_SIZE, ENCODER_DIM = 9, 12


def test_scores_of_a_reordered_beam_add_up_to_those_of_whole_texts():
    torch.manual_seed(0)
    decoder, out, lens = toy_decoder(VOCAB_SIZE), torch.randn(3, 8, ENCODER_DIM), torch.tensor([8, 5, 6])
    scorer = AttentionScorer(decoder, out, lens)
    utterances = torch.tensor([0, 0, 1, 1, 2, 2])
    state, scores = scorer.start(utterances)
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(6))
    texts, total = torch.zeros(6, 0, dtype=torch.int64), torch.zeros(6)
    for rows, units in (([0, 1, 2, 3, 4, 5], [3, 4, 3, 5, 2, 2]), ([1, 0, 3, 3, 5, 4], [2, 8, 7, 4, 6, 2])):
        rows, units = torch.tensor(rows), torch.tensor(units)
        total = total[rows] + scores[rows, units]
        texts = torch.cat([texts[rows], units.unsqueeze(1)], dim=1)
        state, scores = scorer.advance(tuple(tensor[rows] for tensor in state), units)
    expected = decoder.score(out, lens, texts, torch.full((6,), 2), state[0]).sum(dim=1)
    torch.testing.assert_close(total + scorer.final(state), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(state[0], utterances)


def test_a_beam_without_prefixes_goes_on():
    scorer = AttentionScorer(toy_decoder(VOCAB_SIZE), torch.randn(2, 8, ENCODER_DIM), torch.tensor([8, 5]))
    state, scores = scorer.start(torch.tensor([0, 1]))
    none = torch.zeros(0, dtype=torch.int64)
    state, scores = scorer.advance(tuple(tensor[none] for tensor in state), none)
    assert scores.shape == (0, VOCAB_SIZE) and scorer.final(state).shape == (0,)
