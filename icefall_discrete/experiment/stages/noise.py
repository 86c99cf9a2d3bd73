"""What run_noise.sh, which measures a trained experiment, wants to know of it; its stages lie in tools/noise.sh."""

from typing import Dict

from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import asr

SYSTEM = asr.SYSTEM
SCRIPTS: Dict[str, str] = {}


def plan(asked: Asked) -> Plan:
    """No stages, but the names and old words of the experiment's own run.sh."""
    found = asr.plan(asked)
    return Plan((), found.names, old_words=found.old_words)
