"""The stages of language models of units: tokenizer, codes, check, training, codes told, what they cost."""

from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "unit_lm"
METHOD = "told"
# Facts that cuts must have: none, a list with nothing in it.
NO_FACTS = ","
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("model", "loader", "filter", "train", "init"), "train"),
    **dict.fromkeys(("average", "ranking"), "decode"),
}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "codes of dev and test told and ranked", "bits a second")
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, "a language model of units needs none", NO_FACTS))
