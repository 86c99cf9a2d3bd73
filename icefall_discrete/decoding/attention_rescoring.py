"""Of the texts that a search has found for an utterance, those that it and the attention decoder like best together."""

import dataclasses
from typing import List, Sequence

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder


@torch.no_grad()
def attention_scores(
    decoder: AttentionDecoder,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    sentences: Sequence[Sequence[int]],
    utterances: Sequence[int],
) -> List[float]:
    """Log-probability of each sentence, its end included, in nats; 0 where there are no frames to tell anything.

    Args:
      decoder: in evaluation mode. encoder_out: (N, T', D). encoder_lens: (N,).
      sentences: labels. utterances: the row of encoder_out of each.
    """
    if not sentences:
        return []
    device = encoder_out.device
    lens = torch.tensor([len(labels) for labels in sentences], device=device)
    rows = [torch.tensor(list(labels), dtype=torch.int64) for labels in sentences]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    of = torch.tensor(list(utterances), device=device)
    scores = decoder.score(encoder_out, encoder_lens, padded, lens, of).sum(dim=1)
    return scores.masked_fill(encoder_lens[of] == 0, 0.0).tolist()


def rescored(
    decoder: AttentionDecoder,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    lists: Sequence[Sequence[Hypothesis]],
    scales: Sequence[float],
) -> List[List[List[Hypothesis]]]:
    """For each of several scales, the hypotheses of each utterance with the decoder's scores added, best first.

    The network is run once. A score becomes score + scale * log-probability by the decoder.

    Args:
      decoder: in evaluation mode. encoder_out: (N, T', D). encoder_lens: (N,). lists: hypotheses of N utterances.
    """
    flat = [hypothesis for several in lists for hypothesis in several]
    utterances = [n for n, several in enumerate(lists) for _ in several]
    scores = attention_scores(decoder, encoder_out, encoder_lens, [one.labels for one in flat], utterances)
    found: List[List[List[Hypothesis]]] = []
    for scale in scales:
        of_scale: List[List[Hypothesis]] = [[] for _ in lists]
        for utterance, hypothesis, score in zip(utterances, flat, scores):
            of_scale[utterance].append(dataclasses.replace(hypothesis, score=hypothesis.score + scale * score))
        found.append([sorted(several, key=lambda hypothesis: -hypothesis.score) for several in of_scale])
    return found
