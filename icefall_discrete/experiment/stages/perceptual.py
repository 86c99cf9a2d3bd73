"""The stages of perceptual models: tokenizer, codes, check, training, codes that are found, audio, its measures."""

from typing import Dict

from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import enhancement, vocoder
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for
from icefall_discrete.experiment.stages.unit_lm import NO_FACTS

SYSTEM = "perceptual"
METHOD = "perceptual"
SCRIPTS: Dict[str, str] = enhancement.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("task", "model", "loader", "filter", "train", "init"), "train"),
    **dict.fromkeys(("average", "synthesis"), "decode"),
}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "codes of dev and test found, and audio", "how far it is from the recordings")
    lacks = "a perceptual model has none"
    more = (enhancement.sounding, (enhancement.SOUND, *vocoder.LISTENERS))
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, lacks, NO_FACTS, *more))
