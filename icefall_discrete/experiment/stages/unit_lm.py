"""The stages of language models of units: tokenizer, codes, check, training, codes told, what they cost."""

from pathlib import Path
from typing import Dict, Tuple

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import TaskFacts
from icefall_discrete.experiment.plan import Command, Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "unit_lm"
METHOD = "told"
_ALIGNMENTS = "alignments"  # a setting of section ranking: when words are said
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
    lacks = "a language model of units needs none"
    return plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, lacks, NO_FACTS, _ranking))


def _ranking(facts: TaskFacts) -> Tuple[Command, ...]:
    """No further command; alignments that are not there, which stage 7 would want after all else, are refused."""
    said = [facts.choice.section("ranking").get(_ALIGNMENTS, "")]
    said += [value for flag, value in facts.passed.get("decode", {}).items() if flag.endswith(_ALIGNMENTS)]
    if said[-1] and not Path(said[-1]).exists():
        raise ValueError(f"--{_ALIGNMENTS} {said[-1]} does not exist; paths are relative to the recipe's folder")
    return ()
