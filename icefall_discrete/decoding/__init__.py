"""Searches: encoder output in, hypotheses out. `search` finds a method by its name."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from torch import Tensor

from icefall_discrete.config import setting
from icefall_discrete.decoding.ctc_greedy import ctc_greedy_search
from icefall_discrete.decoding.greedy import greedy_search
from icefall_discrete.decoding.hypothesis import Hypothesis, PrefixScorer
from icefall_discrete.decoding.modified_beam import BeamConfig, modified_beam_search

__all__ = ["DecodeConfig", "Hypothesis", "PrefixScorer", "known_methods", "search"]


@dataclass(frozen=True)
class DecodeConfig:
    """How hypotheses are searched."""

    decoding_method: str = setting(
        "greedy_search", "search to use: greedy_search, modified_beam_search or ctc_greedy_search"
    )
    beam_size: int = setting(4, "prefixes kept for each utterance by modified_beam_search")
    max_sym_per_frame: int = setting(1, "most labels that greedy_search emits on one encoder frame")
    blank_penalty: float = setting(0.0, "taken off the logit of blank; above 0 gives fewer deletions, more insertions")
    temperature: float = setting(1.0, "divides the logits in modified_beam_search")


def _greedy(model: Any, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Any):
    _refuse_scorer("greedy_search", scorer)
    return greedy_search(model, encoder_out, encoder_lens, config.max_sym_per_frame, config.blank_penalty)


def _ctc_greedy(model: Any, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Any):
    _refuse_scorer("ctc_greedy_search", scorer)
    if getattr(model, "ctc_output", None) is None:
        raise ValueError(
            "ctc_greedy_search needs a model with a CTC head; this one has none, train with ctc_loss_scale."
        )
    return ctc_greedy_search(model, encoder_out, encoder_lens, config.blank_penalty)


def _modified_beam(model: Any, encoder_out: Tensor, encoder_lens: Tensor, config: DecodeConfig, scorer: Any):
    beam = BeamConfig(config.beam_size, config.blank_penalty, config.temperature)
    return modified_beam_search(model, encoder_out, encoder_lens, beam, scorer)


def _refuse_scorer(method: str, scorer: Any) -> None:
    if scorer is not None:
        raise ValueError(f"{method} takes no scorer; use modified_beam_search.")


_METHODS: Dict[str, Callable[..., List[Hypothesis]]] = {
    "greedy_search": _greedy,
    "modified_beam_search": _modified_beam,
    "ctc_greedy_search": _ctc_greedy,
}


def known_methods() -> List[str]:
    """Names that `search` and --decoding-method take."""
    return list(_METHODS)


def search(
    method: str,
    model: Any,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: DecodeConfig,
    scorer: Optional[PrefixScorer] = None,
) -> List[Hypothesis]:
    """Find the labels of each utterance; batching changes nothing for an utterance but rounding.

    Args:
      method: one of `known_methods`.
      model: has `predictor` (with `context_size` and `blank_id`), `joiner`, and `ctc_output` for CTC.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      config: settings; those of other methods are ignored.
      scorer: adds scores to labels; for modified_beam_search only.
    """
    if method not in _METHODS:
        raise ValueError(f"unknown decoding method '{method}'; known: {', '.join(_METHODS)}.")
    return _METHODS[method](model, encoder_out, encoder_lens, config, scorer)
