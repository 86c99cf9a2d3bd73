"""The stages of predictive coding: frames of samples, check, training, how many frames ahead are told from others."""

from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import discrete_bert, wav2vec2
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "predictive_coding"
METHOD = wav2vec2.METHOD
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {name: stage for name, stage in wav2vec2.SECTIONS.items() if name != "mask"}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    outcome = Outcome(METHOD, "frames ahead in dev and test", "how many are told from others")
    lacks = "predictive coding needs none"
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, lacks, discrete_bert.NO_FACTS))
