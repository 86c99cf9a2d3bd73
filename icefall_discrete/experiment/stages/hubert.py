"""The stages of learning units: what is heard, check, training, how many units of hidden frames are found.

The units are those of another feature type, which its own stages 2 and 3 extract.
"""

from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import discrete_bert, wav2vec2
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "hubert"
METHOD = discrete_bert.METHOD
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {**wav2vec2.SECTIONS, "target": "train"}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "units of hidden frames of dev and test", "how many are found")
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, "HuBERT needs none", discrete_bert.NO_FACTS))
