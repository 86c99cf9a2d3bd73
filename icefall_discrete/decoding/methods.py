"""The searches by name and what each of them takes; importing this imports no network."""

from typing import Dict, List, NamedTuple, Optional

from icefall_discrete.base.names import did_you_mean

# What a recipe is decoded with that says nothing of it.
DEFAULT_SEARCH = "modified_beam_search"


class Method(NamedTuple):
    """What a search takes.

    takes_scorer: language models and phrases can be added. needs_graph: of LG, HLG or G.
    without_k2: what to use instead where there is no k2; None for a search that does not need it.
    """

    takes_scorer: bool = False
    needs_graph: bool = False
    without_k2: Optional[str] = None


_PREFIXES = "ctc_prefix_beam_search with --lm"
METHODS: Dict[str, Method] = {
    "greedy_search": Method(),
    "modified_beam_search": Method(takes_scorer=True),
    "ctc_greedy_search": Method(),
    "ctc_prefix_beam_search": Method(takes_scorer=True),
    "fast_beam_search": Method(without_k2="modified_beam_search"),
    "fast_beam_search_nbest": Method(without_k2="modified_beam_search with --nbest"),
    "fast_beam_search_nbest_oracle": Method(without_k2="modified_beam_search with --nbest"),
    "fast_beam_search_nbest_LG": Method(needs_graph=True, without_k2="modified_beam_search with --lm"),
    "ctc_decoding": Method(without_k2="ctc_prefix_beam_search"),
    "1best": Method(needs_graph=True, without_k2=_PREFIXES),
    "nbest-rescoring": Method(needs_graph=True, without_k2=_PREFIXES),
}


def known_methods() -> List[str]:
    """Methods that work everywhere."""
    return [name for name, method in METHODS.items() if method.without_k2 is None]


def k2_methods() -> List[str]:
    """Methods that need k2."""
    return [name for name, method in METHODS.items() if method.without_k2 is not None]


def find_method(name: str) -> Method:
    """What the search `name` takes. Raises ValueError if there is none of that name; the known ones are listed."""
    if not isinstance(name, str) or name not in METHODS:
        known = f"known: {', '.join(known_methods())}; with k2: {', '.join(k2_methods())}."
        raise ValueError(f"unknown decoding method {name!r}; {known} {did_you_mean(str(name), METHODS)}".rstrip())
    return METHODS[name]
