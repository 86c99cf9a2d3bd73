"""Word errors for many weights of the attention decoder, from one search: which of them to take is for dev to say."""

import dataclasses
from typing import Dict, List, Optional, Sequence

import torch
from lhotse import CutSet

from icefall_discrete.data.cuts import text_of
from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.decoding.attention_rescoring import rescored
from icefall_discrete.decoding.methods import PREFIXES_RESCORED
from icefall_discrete.decoding.search import search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.metrics.wer import ErrorCounts, count_errors, normal_form, total_errors
from icefall_discrete.nn.heads.contract import require_attention_decoder, require_ctc
from icefall_discrete.systems.asr.prediction import TrainedAsr, scorers
from icefall_discrete.systems.prediction import RunConfig, predict_batches
from icefall_discrete.text.words import words_in


def errors_by_scale(
    trained: TrainedAsr,
    cuts: CutSet,
    config: DecodeConfig,
    run: RunConfig,
    scales: Sequence[float],
    title: Optional[str] = None,
) -> Dict[float, ErrorCounts]:
    """Word errors of the cuts by the attention scale with which their prefixes are rescored.

    Args:
      config: of ctc-prefix-beam-search-attention-decoder-rescoring; its own scale is not asked. title: of the progress
        bar; None shows none.
    Raises:
      ValueError: if the network lacks a CTC head or an attention decoder.
    """
    network, device = trained.network, run.torch_device()
    decoder = require_attention_decoder(require_ctc(network, PREFIXES_RESCORED), PREFIXES_RESCORED).attention_decoder
    whole_beam = dataclasses.replace(config, decoding_method="ctc_prefix_beam_search", nbest=config.beam_size)
    scorer_of = scorers(trained, whole_beam, device)
    encoder = trained.targets.text_encoder

    @torch.no_grad()
    def search(batch: Batch) -> List[List[str]]:
        frames, lens = batch[batch_key(trained.spec)].to(device), batch["frame_lens"].to(device)
        encoded = network.encode(frames, lens)
        found = (network, encoded.encoder_out, encoded.lens)
        scorer = scorer_of(batch) if scorer_of else None
        lists = search_nbest(whole_beam.decoding_method, *found, whole_beam, scorer)
        by_scale = rescored(decoder, encoded.encoder_out, encoded.lens, lists, scales)
        return [[encoder.decode(of_scale[n][0].labels) for of_scale in by_scale] for n in range(len(lists))]

    said, _ = predict_batches(search, network.config, cuts, trained.spec, run, title)
    nothing = [""] * len(scales)
    return {
        scale: total_errors(
            count_errors(normal_form(words_in(text_of(cut))), normal_form(words_in(said.get(cut.id, nothing)[place])))
            for cut in cuts
        )
        for place, scale in enumerate(scales)
    }
