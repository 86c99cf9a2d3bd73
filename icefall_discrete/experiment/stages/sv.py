"""The stages of verification (SV): those of telling speakers apart, but trials, pairs of utterances, at the end."""

from typing import Dict

from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, plan_for

METHOD = "verification"
SCRIPTS: Dict[str, str] = {}  # none of its own: those of classification
TRIALS = "trials"  # below the data folder, where stage 1 writes them


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    flags = {"trials": f"{asked.values['data_dir']}/{TRIALS}"}
    return plan_for(asked, Outcome(METHOD, "scores of the trials of dev and test", "error rates of trials", flags))
