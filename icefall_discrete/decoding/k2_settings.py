"""Settings of the searches that need k2, under icefall's names and with its defaults."""

import dataclasses
from pathlib import PurePath
from typing import Dict, List, Tuple

from icefall_discrete.base.settings import check_settings, path_setting, setting
from icefall_discrete.decoding.methods import METHODS

_FAST, _NBEST = ("beam", "max_contexts", "max_states"), ("nbest_scale", "num_paths")
_CTC = ("search_beam", "output_beam", "min_active_states", "max_active_states")
# The settings that the names of a method's files always state, and those that they state where they were changed.
_STATED: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
    "fast_beam_search": (_FAST, ()),
    "fast_beam_search_nbest": ((*_FAST, *_NBEST), ()),
    "fast_beam_search_nbest_oracle": ((*_FAST, *_NBEST), ()),
    "fast_beam_search_nbest_LG": ((*_FAST, *_NBEST, "ngram_lm_scale"), ()),
    "ctc_decoding": ((), _CTC),
    "1best": (("hlg_scale",), _CTC),
    "nbest-rescoring": (("hlg_scale", *_NBEST, "rescoring_lm_scale"), _CTC),
    "attention-decoder-rescoring-no-ngram": ((*_NBEST, "attention_scale"), _CTC),
    "attention-decoder-rescoring-with-ngram": (
        ("hlg_scale", *_NBEST, "rescoring_lm_scale", "attention_scale"),
        _CTC,
    ),
}


@dataclasses.dataclass(frozen=True)
class K2SearchConfig:
    """Pruning, sampling, graphs and their scales; a method ignores the settings of others."""

    beam: float = setting(20.0, "fast_beam_search*: nats below the best at which a state is dropped", above=0)
    max_contexts: int = setting(8, "fast_beam_search*: most contexts of the predictor kept on a frame", minimum=1)
    max_states: int = setting(64, "fast_beam_search*: most states of the graph kept on a frame", minimum=1)
    num_paths: int = setting(200, "n-best methods: paths sampled from the lattice", minimum=1)
    nbest_scale: float = setting(
        0.5, "n-best methods: scales the lattice while sampling; smaller: more varied paths", above=0
    )
    graph_dir: str = path_setting("methods with LG, HLG or G: folder written by local/compile_graphs.py")
    ngram_lm_scale: float = setting(0.01, "fast_beam_search_nbest_LG: weight of the grammar's scores", minimum=0)
    hlg_scale: float = setting(0.6, "methods with HLG: weight of the grammar's scores while searching HLG", minimum=0)
    rescoring_lm_scale: float = setting(
        0.6, "nbest-rescoring, attention-decoder-rescoring-with-ngram: weight of the scores of G", minimum=0
    )
    attention_scale: float = setting(
        1.0, "attention decoder rescoring, by k2 or without: weight of the decoder's log-probabilities", minimum=0
    )
    search_beam: float = setting(20.0, "H and HLG: nats below the best at which a state is dropped", above=0)
    output_beam: float = setting(8.0, "H and HLG: nats below the best path at which a path leaves the lattice", above=0)
    min_active_states: int = setting(30, "H and HLG: states kept on a frame whatever the beam says", minimum=0)
    max_active_states: int = setting(10000, "H and HLG: most states kept on a frame", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if not 0 <= self.min_active_states <= self.max_active_states:
            raise ValueError(
                f"min_active_states is {self.min_active_states} and max_active_states {self.max_active_states}; "
                "expected 0 <= min_active_states <= max_active_states."
            )


def k2_setting_parts(method: str, config: K2SearchConfig) -> List[str]:
    """What a k2 search's settings add to the names of its files, such as `beam-20.0`; icefall's names and order."""
    always, changed = _STATED[method]
    names = [*always, *(name for name in changed if getattr(config, name) != getattr(K2SearchConfig, name))]
    parts = [f"{name.replace('_', '-')}-{getattr(config, name)}" for name in names]
    return [*parts, f"graphs-{PurePath(config.graph_dir).name}"] if METHODS[method].needs_graph else parts
