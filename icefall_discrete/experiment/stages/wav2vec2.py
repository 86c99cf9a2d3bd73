"""The stages of learning from samples alone: frames of them, check, training, how many hidden frames are told apart."""

from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import discrete_bert
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "wav2vec2"
METHOD = "contrast"
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {**discrete_bert.SECTIONS, "loss": "train"}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "hidden frames of dev and test", "how many are told from others")
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, "wav2vec 2.0 needs none", discrete_bert.NO_FACTS))
