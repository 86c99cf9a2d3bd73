"""Settings of the searches that go from label to label, under ESPnet's names where it has them."""

import dataclasses
from typing import List

from icefall_discrete.base.settings import check_settings, setting

ATTENTION, JOINT = "attention_beam_search", "joint_beam_search"
# Labels for each prefix that are given CTC scores, as a multiple of the beam: those that the other scorers like best.
PRE_BEAM = 1.5
# A search without a limit of length ends where the best hypothesis of each of the last lengths is so much worse, in
# nats, than the best of all.
LAST_LENGTHS, HOPELESS = 3, -10.0


@dataclasses.dataclass(frozen=True)
class LabelSearchConfig:
    """Weights of the two heads and limits of length; other methods ignore them."""

    ctc_weight: float = setting(
        0.3, "joint_beam_search: weight of the CTC head; the attention decoder has 1 minus it", minimum=0, maximum=1
    )
    length_bonus: float = setting(0.0, "attention and joint beam search: nats added for each label")
    maxlenratio: float = setting(
        0.0,
        "attention and joint beam search: most labels for each encoder frame; 0: as many as there are frames, and the "
        "search ends where longer hypotheses have become hopeless",
        minimum=0,
    )
    minlenratio: float = setting(
        0.0, "attention and joint beam search: fewest labels for each encoder frame", minimum=0, maximum=1
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if 0 < self.maxlenratio < self.minlenratio:
            raise ValueError(
                f"minlenratio is {self.minlenratio} and maxlenratio {self.maxlenratio}; expected minlenratio <= "
                "maxlenratio."
            )


def label_search_parts(method: str, config: LabelSearchConfig) -> List[str]:
    """What the settings add to the names of a search's files, such as `ctc-weight-0.3`; nothing for other searches."""
    if method not in (ATTENTION, JOINT):
        return []
    parts = [f"ctc-weight-{config.ctc_weight}"] if method == JOINT else []
    for name in ("length_bonus", "maxlenratio", "minlenratio"):
        value = getattr(config, name)
        if value != getattr(LabelSearchConfig, name):
            parts.append(f"{name.replace('_', '-')}-{value}")
    return parts


def label_search_settings() -> List[str]:
    """The names of the settings."""
    return [field.name for field in dataclasses.fields(LabelSearchConfig)]
