"""The stages of models of text and speech: tokenizer, codes, check, training, answers, error rates."""

import dataclasses
from typing import Dict

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import stage_flags
from icefall_discrete.experiment.plan import Plan
from icefall_discrete.experiment.request_check import TRAINING
from icefall_discrete.experiment.run_options import Asked, RunOptions, choose
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
    planned = plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, lacks, FACTS))
    reason = _why_nothing_is_asked(asked)
    if not reason:
        return planned
    if asked.range.first > TRAINING:
        raise ValueError(
            f"{reason}, so that there is nothing behind stage {TRAINING}; go on with icefall-discrete continue"
        )
    kept = tuple(stage for stage in planned.stages if stage.number <= TRAINING)
    notice = f"{reason}: stages 7 and 8 are left out, and its validation losses are its figures"
    return dataclasses.replace(planned, stages=kept, notices=(*planned.notices, notice), shown="")


def _why_nothing_is_asked(asked: Asked) -> str:
    """Why the recipe's model cannot be asked for texts, as one of units alone; empty if it can, or if flags decide."""
    choice = choose(asked.read(RunOptions))
    lines = choice.section("task").get("layouts", ())
    task = choice.section("synthesis").get(
        "asked_task", stage_flags(asked.root, SYSTEM, SCRIPTS).default("decode", "asked-task")
    )
    decided = any(name.rpartition(".")[2].replace("_", "-") in ("layouts", "asked-task") for name, _ in asked.flags)
    if decided or not lines or any(line.partition("=")[0] == task for line in lines):
        return ""
    return f"no layout of recipe {choice.recipe_name} is of task {task}"
