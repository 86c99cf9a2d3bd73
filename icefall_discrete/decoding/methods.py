"""The searches by name and what each of them takes; importing this imports no network."""

from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from icefall_discrete.base.names import did_you_mean

# What a recipe is decoded with that says nothing of it.
DEFAULT_SEARCH = "modified_beam_search"
# The n-best list of ctc_prefix_beam_search, rescored with the attention decoder; icefall's name.
PREFIXES_RESCORED = "ctc-prefix-beam-search-attention-decoder-rescoring"


# Heads of a recogniser, each with the setting of the losses that is above 0 where it is trained.
HEAD_SCALES = {
    "transducer": "transducer_loss_scale",
    "ctc": "ctc_loss_scale",
    "attention_decoder": "attention_decoder_loss_scale",
}


class Method(NamedTuple):
    """What a search takes.

    settings: those of DecodeConfig that it reads, beside the method's name. takes_scorer: language models and phrases
    can be added. needs_graph: of LG, HLG or G. without_k2: what to use instead where there is no k2; None for a search
    that does not need it. from_label_to_label: rather than from frame to frame, so that the end of a sentence is
    something that is said. heads: those of the model that it asks, of HEAD_SCALES.
    """

    settings: Tuple[str, ...]
    takes_scorer: bool = False
    needs_graph: bool = False
    without_k2: Optional[str] = None
    from_label_to_label: bool = False
    heads: Tuple[str, ...] = ("ctc",)

    def heads_asked(self, ctc_weight: float) -> Tuple[str, ...]:
        """The heads that it asks, where CTC has this weight beside the attention decoder; one without weight is not."""
        unasked = {0.0: "ctc", 1.0: "attention_decoder"}.get(ctc_weight) if "ctc_weight" in self.settings else None
        return tuple(head for head in self.heads if head != unasked)


_PREFIXES = "ctc_prefix_beam_search with --lm"
_BEAM = ("beam_size", "blank_penalty", "temperature", "nbest")
_LENGTHS = ("beam_size", "nbest", "length_bonus", "maxlenratio", "minlenratio")
_FAST = ("beam", "max_contexts", "max_states", "blank_penalty", "temperature")
_PATHS = ("num_paths", "nbest_scale", "nbest")
_CTC = ("search_beam", "output_beam", "min_active_states", "max_active_states", "blank_penalty")
_GRAPH = ("graph_dir",)
_WORDS = (*_CTC, *_GRAPH, "hlg_scale")
_TRANSDUCER, _BOTH = ("transducer",), ("ctc", "attention_decoder")
METHODS: Dict[str, Method] = {
    "greedy_search": Method(("max_sym_per_frame", "blank_penalty"), heads=_TRANSDUCER),
    "modified_beam_search": Method(_BEAM, takes_scorer=True, heads=_TRANSDUCER),
    "ctc_greedy_search": Method(("blank_penalty",)),
    "ctc_prefix_beam_search": Method(_BEAM, takes_scorer=True),
    "attention_beam_search": Method(_LENGTHS, takes_scorer=True, from_label_to_label=True, heads=_BOTH[1:]),
    "joint_beam_search": Method(
        (*_LENGTHS, "ctc_weight", "blank_penalty"), takes_scorer=True, from_label_to_label=True, heads=_BOTH
    ),
    "fast_beam_search": Method(_FAST, without_k2="modified_beam_search", heads=_TRANSDUCER),
    "fast_beam_search_nbest": Method(
        (*_FAST, *_PATHS), without_k2="modified_beam_search with --nbest", heads=_TRANSDUCER
    ),
    "fast_beam_search_nbest_oracle": Method(
        (*_FAST, *_PATHS), without_k2="modified_beam_search with --nbest", heads=_TRANSDUCER
    ),
    "fast_beam_search_nbest_LG": Method(
        (*_FAST, *_PATHS, *_GRAPH, "ngram_lm_scale"),
        needs_graph=True,
        without_k2="modified_beam_search with --lm",
        heads=_TRANSDUCER,
    ),
    "ctc_decoding": Method(_CTC, without_k2="ctc_prefix_beam_search"),
    "1best": Method(_WORDS, needs_graph=True, without_k2=_PREFIXES),
    "nbest-rescoring": Method((*_WORDS, *_PATHS, "rescoring_lm_scale"), needs_graph=True, without_k2=_PREFIXES),
    PREFIXES_RESCORED: Method((*_BEAM, "attention_scale"), takes_scorer=True, heads=_BOTH),
    "attention-decoder-rescoring-no-ngram": Method(
        (*_CTC, *_PATHS, "attention_scale"), without_k2=PREFIXES_RESCORED, heads=_BOTH
    ),
    "attention-decoder-rescoring-with-ngram": Method(
        (*_WORDS, *_PATHS, "rescoring_lm_scale", "attention_scale"),
        needs_graph=True,
        without_k2=f"{PREFIXES_RESCORED} with --lm",
        heads=_BOTH,
    ),
}
_OF_SCORERS = ("lm", "lm_scale", "lodr", "lodr_scale", "context_file", "context_score")


def known_methods() -> List[str]:
    """Methods that work everywhere."""
    return [name for name, method in METHODS.items() if method.without_k2 is None]


def k2_methods() -> List[str]:
    """Methods that need k2."""
    return [name for name, method in METHODS.items() if method.without_k2 is not None]


def find_method(name: str) -> Method:
    """What the search `name` takes. Raises ValueError if there is none of that name; the known ones are listed."""
    if not isinstance(name, str) or name not in METHODS:
        meant = did_you_mean(str(name), METHODS)
        known = f"known: {', '.join(known_methods())}; with k2: {', '.join(k2_methods())}."
        raise ValueError(f"unknown decoding method {name!r}; {f'{meant} ' if meant else ''}{known}")
    return METHODS[name]


def require_used(method: str, given: Iterable[str]) -> None:
    """Raise ValueError if the search does not read a setting that is `given` for this run; the error says which do.

    A recipe may hold settings of several searches, so that one can be changed by a flag; this is about flags.
    """
    for name in given:
        users = [one for one, of in METHODS.items() if name in of.settings or (of.takes_scorer and name in _OF_SCORERS)]
        if users and method not in users:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} cannot be used with {method}; it can with {', '.join(users)}.")
