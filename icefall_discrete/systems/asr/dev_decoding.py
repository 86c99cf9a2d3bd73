"""Error rates on part of the dev set while training, so that a person sees words come, not only a loss fall."""

import itertools
import logging
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.decoding.attention_scorer import AttentionScorer
from icefall_discrete.decoding.ctc_greedy import ctc_greedy_search
from icefall_discrete.decoding.greedy import greedy_search
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.joint_beam import label_beam_search
from icefall_discrete.decoding.joint_settings import LabelSearchConfig
from icefall_discrete.decoding.modified_beam import BeamConfig
from icefall_discrete.metrics.language_id import identification
from icefall_discrete.metrics.wer import characters_of, count_errors, normal_form, total_errors
from icefall_discrete.nn.heads.contract import (
    has_attention_decoder,
    has_ctc,
    has_transducer,
    require_attention_decoder,
    require_ctc,
    require_transducer,
)
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in

LOG = logging.getLogger(__name__)
_NUM_EXAMPLES = 3


def greedy_hypotheses(model: Transducer, encoder_out: Tensor, encoder_lens: Tensor) -> List[Hypothesis]:
    """What greedy search finds with the head that is trained: the transducer, or else CTC, or else the decoder."""
    if has_transducer(model):
        return greedy_search(require_transducer(model, "greedy search"), encoder_out, encoder_lens)
    if has_attention_decoder(model) and not has_ctc(model):
        decoder = require_attention_decoder(model, "greedy search").attention_decoder
        scorer = AttentionScorer(decoder, encoder_out, encoder_lens)
        alone = LabelSearchConfig(ctc_weight=0.0)
        lists = label_beam_search(model, encoder_out, encoder_lens, scorer, BeamConfig(beam_size=1), alone)
        return [several[0] for several in lists]
    return ctc_greedy_search(require_ctc(model, "greedy search"), encoder_out, encoder_lens)


@torch.no_grad()
def decode_dev(
    model: Transducer,
    batches: Iterable[Mapping[str, Any]],
    spec: FeatureSpec,
    text_encoder: TextEncoder,
    num_utterances: int,
) -> Dict[str, float]:
    """{"dev_wer", "dev_cer"} of `model` (in evaluation mode) in percent, by greedy search
    of the head that is trained: the transducer, or else CTC, or else the attention decoder.

    Where labels tell languages apart, "dev_language_accuracy", in percent, is there too.
    It decodes the first `num_utterances` utterances of `batches` and logs a few of them.
    """
    device = next(model.parameters()).device
    refs: List[str] = []
    hyps: List[str] = []
    languages: List[Tuple[Optional[str], Optional[str]]] = []
    batch_of = iter(batches)
    while len(refs) < num_utterances and (batch := next(batch_of, None)) is not None:
        encoded = model.encode(batch[batch_key(spec)].to(device), batch["frame_lens"].to(device))
        found = greedy_hypotheses(model, encoded.encoder_out, encoded.lens)
        hyps.extend(text_encoder.decode(hypothesis.labels) for hypothesis in found)
        refs.extend(batch["text"])
        said = (text_encoder.language_of(hypothesis.labels) for hypothesis in found)
        languages.extend(zip(batch["languages"], said))
    for ref, hyp in itertools.islice(zip(refs, hyps), _NUM_EXAMPLES):
        LOG.info(f"dev: ref '{ref}' hyp '{hyp}'")
    pairs = [(normal_form(words_in(ref)), normal_form(words_in(hyp))) for ref, hyp in zip(refs, hyps)]
    words = total_errors(count_errors(ref, hyp) for ref, hyp in pairs)
    characters = total_errors(count_errors(characters_of(ref), characters_of(hyp)) for ref, hyp in pairs)
    figures = {"dev_wer": words.rate, "dev_cer": characters.rate}
    if text_encoder.languages:
        figures["dev_language_accuracy"] = identification(languages).rate
    return figures
