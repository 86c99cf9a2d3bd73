"""The stages of models of text and speech: tokenizer, codes, check, training, answers, error rates."""

from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "speech_lm"
METHOD = "answers"
# Facts that cuts must have.
FACTS = "text"
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("task", "model", "loader", "filter", "train", "init"), "train"),
    **dict.fromkeys(("average", "synthesis"), "decode"),
}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "texts of dev and test", "error rates")
    lacks = "a model of text and speech has bytes and no pieces"
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, lacks, FACTS))
