"""`search` and `search_nbest` find a method by its name: encoder output in, hypotheses out."""

import dataclasses
import importlib
from typing import Callable, Dict, List, Optional

from torch import Tensor

from icefall_discrete.base.backend import resolve
from icefall_discrete.decoding.attention_rescoring import rescored
from icefall_discrete.decoding.attention_scorer import AttentionScorer
from icefall_discrete.decoding.ctc_greedy import ctc_greedy_search
from icefall_discrete.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from icefall_discrete.decoding.greedy import greedy_search
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.joint_beam import label_beam_search
from icefall_discrete.decoding.methods import PREFIXES_RESCORED, find_method
from icefall_discrete.decoding.modified_beam import BeamConfig, modified_beam_search
from icefall_discrete.decoding.scorer import Scorer
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.nn.heads.contract import (
    LabelModel,
    has_ctc,
    require_attention_decoder,
    require_ctc,
    require_transducer,
)

Search = Callable[[LabelModel, Tensor, Tensor, DecodeConfig, Optional[Scorer]], List[List[Hypothesis]]]


def _one_each(found: List[Hypothesis]) -> List[List[Hypothesis]]:
    return [[hypothesis] for hypothesis in found]


def _greedy(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    _refuse_scorer("greedy_search", scorer)
    heads = require_transducer(model, "greedy_search")
    settings = (config.max_sym_per_frame, config.blank_penalty, config.emit_unk)
    return _one_each(greedy_search(heads, encoder_out, encoder_lens, *settings))


def _ctc_greedy(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    _refuse_scorer("ctc_greedy_search", scorer)
    heads = require_ctc(model, "ctc_greedy_search")
    return _one_each(ctc_greedy_search(heads, encoder_out, encoder_lens, config.blank_penalty, config.emit_unk))


def _modified_beam(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    return modified_beam_search(
        require_transducer(model, "modified_beam_search"), encoder_out, encoder_lens, _beam(config), scorer
    )


def _ctc_prefix_beam(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    heads = require_ctc(model, "ctc_prefix_beam_search")
    return ctc_prefix_beam_search(heads, encoder_out, encoder_lens, _beam(config), scorer)


def _prefixes_rescored(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    heads = require_ctc(model, PREFIXES_RESCORED)
    decoder = require_attention_decoder(model, PREFIXES_RESCORED).attention_decoder
    whole_beam = dataclasses.replace(_beam(config), nbest=config.beam_size)
    lists = ctc_prefix_beam_search(heads, encoder_out, encoder_lens, whole_beam, scorer)
    (ranked,) = rescored(decoder, encoder_out, encoder_lens, lists, [config.attention_scale])
    return [several[: config.nbest] for several in ranked]


def _attention_beam(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    attention = _attention(model, "attention_beam_search", encoder_out, encoder_lens)
    beam = BeamConfig(config.beam_size, nbest=config.nbest, emit_unk=config.emit_unk)
    alone = dataclasses.replace(config, ctc_weight=0.0)
    return label_beam_search(model, encoder_out, encoder_lens, attention, beam, alone, scorer)


def _joint_beam(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    weight = config.ctc_weight
    if weight > 0 and not has_ctc(model):
        raise ValueError(
            f"joint_beam_search with ctc_weight {weight:g} needs a model that was trained with a CTC loss; this one "
            "was not. Use attention_beam_search, or train with --ctc-loss-scale above 0."
        )
    # A decoder without a weight is not asked, and need not be there.
    attention = _attention(model, "joint_beam_search", encoder_out, encoder_lens) if weight < 1 else None
    beam = BeamConfig(config.beam_size, config.blank_penalty, nbest=config.nbest, emit_unk=config.emit_unk)
    return label_beam_search(model, encoder_out, encoder_lens, attention, beam, config, scorer)


def _attention(model: LabelModel, method: str, encoder_out: Tensor, encoder_lens: Tensor) -> AttentionScorer:
    decoder = require_attention_decoder(model, method).attention_decoder
    return AttentionScorer(decoder, encoder_out, encoder_lens)


def _beam(config: DecodeConfig) -> BeamConfig:
    return BeamConfig(config.beam_size, config.blank_penalty, config.temperature, config.nbest, config.emit_unk)


def _refuse_scorer(method: str, scorer: Optional[Scorer]) -> None:
    if scorer is not None:
        raise ValueError(f"{method} takes no scorer; use modified_beam_search or ctc_prefix_beam_search.")


_METHODS: Dict[str, Search] = {
    "greedy_search": _greedy,
    "modified_beam_search": _modified_beam,
    "ctc_greedy_search": _ctc_greedy,
    "ctc_prefix_beam_search": _ctc_prefix_beam,
    PREFIXES_RESCORED: _prefixes_rescored,
    "attention_beam_search": _attention_beam,
    "joint_beam_search": _joint_beam,
}
# Its K2_METHODS maps each method that needs k2 to a Search; it is imported only when one of them is asked for.
_K2_ROOM = "icefall_discrete.decoding.k2_searches"


def _k2_search(method: str, instead: str) -> Search:
    if resolve("auto") != "k2":
        raise RuntimeError(
            f"{method} needs k2, which cannot be imported here; make the k2 environment with "
            f"tools/setup_env.sh --env k2, or use {instead}."
        )
    return importlib.import_module(_K2_ROOM).K2_METHODS[method]


def check_method(method: str) -> None:
    """Raise ValueError if `method` is unknown, RuntimeError if it needs k2 and there is none."""
    _search_of(method)


def _search_of(method: str) -> Search:
    instead = find_method(method).without_k2
    return _METHODS[method] if instead is None else _k2_search(method, instead)


def search_nbest(
    method: str,
    model: LabelModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: DecodeConfig,
    scorer: Optional[Scorer] = None,
) -> List[List[Hypothesis]]:
    """Find up to `config.nbest` label sequences for each utterance, best first, at least one.

    Batching changes nothing for an utterance but rounding.

    Args:
      method: one of `known_methods`, or with k2 one of `k2_methods`.
      model: has the heads that the method searches (nn/heads/contract.py).
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      config: settings; those of other methods are ignored.
      scorer: adds scores to labels; for methods that take one (methods.py).
    """
    return _search_of(method)(model, encoder_out, encoder_lens, config, scorer)


def search(
    method: str,
    model: LabelModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: DecodeConfig,
    scorer: Optional[Scorer] = None,
) -> List[Hypothesis]:
    """The best hypothesis of each utterance; arguments as for `search_nbest`."""
    return [found[0] for found in search_nbest(method, model, encoder_out, encoder_lens, config, scorer)]
