"""Settings of the searches, under icefall's names where it has them."""

from dataclasses import dataclass
from typing import List

from icefall_discrete.base.settings import LEAST_TEMPERATURE, check_settings, path_setting, setting
from icefall_discrete.decoding.joint_settings import LabelSearchConfig, label_search_parts
from icefall_discrete.decoding.k2_settings import K2SearchConfig
from icefall_discrete.decoding.methods import METHODS


@dataclass(frozen=True)
class FusionConfig:
    """Outside knowledge that a beam search adds to the model: language models and phrases to prefer."""

    lm: str = path_setting("language model: folder written by train_lm.py, or .arpa file over pieces; empty: none")
    lm_scale: float = setting(0.3, "weight of the language model's log-probabilities")
    lodr: str = path_setting("low-order language model to take off (LODR), given as for lm; empty: none")
    lodr_scale: float = setting(0.1, "weight with which the low-order model's log-probabilities are taken off")
    context_file: str = path_setting(
        "phrases to prefer: text, one a line, or JSON with a list for each cut id; empty: none"
    )
    context_score: float = setting(2.0, "nats added for each piece of a phrase that is found")

    @property
    def is_used(self) -> bool:
        """Whether any of it is asked for."""
        return bool(self.lm or self.lodr or self.context_file)


@dataclass(frozen=True)
class DecodeConfig(FusionConfig, LabelSearchConfig, K2SearchConfig):
    """How hypotheses are searched; a method ignores the settings of others."""

    decoding_method: str = setting("greedy_search", "search to use, such as greedy_search or modified_beam_search")
    beam_size: int = setting(4, "prefixes kept for each utterance by the beam searches that need no k2", minimum=1)
    max_sym_per_frame: int = setting(1, "most labels that greedy_search emits on one encoder frame", minimum=1)
    blank_penalty: float = setting(0.0, "taken off the logit of blank; above 0 gives fewer deletions, more insertions")
    temperature: float = setting(1.0, "divides the logits in beam searches", minimum=LEAST_TEMPERATURE)
    emit_unk: bool = setting(False, "let searches emit <unk>, which stands for text outside the pieces")
    nbest: int = setting(
        1, "hypotheses kept for each utterance; above 1 they are written with scores and times", minimum=1
    )

    def __post_init__(self) -> None:
        LabelSearchConfig.__post_init__(self)
        K2SearchConfig.__post_init__(self)
        check_settings(self)


def require_enough(config: DecodeConfig) -> None:
    """Raise ValueError if more hypotheses are asked for than the search follows prefixes, or draws paths."""
    read = METHODS[config.decoding_method].settings
    name = next((name for name in ("beam_size", "num_paths") if name in read), None)
    if "nbest" in read and name is not None and config.nbest > getattr(config, name):
        flag = name.replace("_", "-")
        raise ValueError(f"nbest is {config.nbest}, but {name} keeps {getattr(config, name)}; raise --{flag}.")


def setting_parts(config: DecodeConfig) -> List[str]:
    """What a beam search's settings add to the names of its files, such as `lm-3gram-scale-0.3`."""
    parts = label_search_parts(config.decoding_method, config)
    if config.temperature != DecodeConfig.temperature and "temperature" in METHODS[config.decoding_method].settings:
        parts.append(f"temperature-{config.temperature}")
    for kind, path, scale in (("lm", config.lm, config.lm_scale), ("LODR", config.lodr, config.lodr_scale)):
        if path:
            parts.append(f"{kind}-{_stem(path)}-scale-{scale}")
    if config.context_file:
        parts.append(f"context-{_stem(config.context_file)}-score-{config.context_score}")
    if "attention_scale" in METHODS[config.decoding_method].settings:
        parts.append(f"attention-scale-{config.attention_scale}")
    if config.nbest > 1:
        parts.append(f"nbest-{config.nbest}")
    return parts


def _stem(path: str) -> str:
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if "." in name else name
