"""The stages of learning from codes alone: tokenizer, codes, check, training, hidden codes, how many are found."""

from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "discrete_bert"
METHOD = "masked_prediction"
# Facts that cuts must have: none, a list with nothing in it.
NO_FACTS = ","
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("mask", "model", "loader", "filter", "train", "init"), "train"),
    "average": "decode",
}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "hidden codes of dev and test", "how many are found")
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, "Discrete BERT needs none", NO_FACTS))
