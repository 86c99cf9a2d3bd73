"""The stages of making codes sound: tokenizer, codes, check, training, resynthesis, its measures."""

from pathlib import Path
from typing import Callable, Dict, Tuple
from urllib.parse import quote

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import TaskFacts
from icefall_discrete.experiment.plan import Command, Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "vocoder"
METHOD = "resynthesis"
HEAR = "hear"
SCRIPTS: Dict[str, str] = {**feature_stages.SCRIPTS, HEAR: "hear_speech"}
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("target", "model", "loader", "filter", "loss", "train", "init"), "train"),
    **dict.fromkeys(("average", "synthesis"), "decode"),
}
# Who hears what was said: a flag of its script that turns it on.
RECOGNISER = "recogniser-exp-dir"
# Flags of stage 7 by which the same model says it otherwise, so that its figures are others, and their names.
_OTHERWISE: Dict[str, Callable[[str], str]] = {"prompt": lambda path: Path(path).stem, "voice": str}


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    if asked.values.get("shar") == "true":
        raise ValueError("--shar true leaves audio out, which a vocoder learns from; leave it away")
    said = ((name.rpartition(".")[2], value) for name, value in asked.flags)
    named = {name: _OTHERWISE[name](value) for name, value in said if name in _OTHERWISE and value}
    search_name = "_".join(f"{name}-{quote(value, safe='')}" for name, value in sorted(named.items()))
    outcome = Outcome(
        METHOD, "resynthesis of dev and test", "how far it is from the recordings", search_name=search_name
    )
    task = Task(SYSTEM, SCRIPTS, SECTIONS, "a vocoder has none", "text", hearing, (HEAR,))
    return plan_for(asked, outcome, task)


def hearing(facts: TaskFacts) -> Tuple[Command, ...]:
    """A recogniser hears it where one is named."""
    recogniser = facts.passed.get(HEAR, {}).get(RECOGNISER)
    if recogniser is None:
        return ()
    if not (Path(recogniser) / "config.json").is_file():
        raise ValueError(f"--{RECOGNISER} {recogniser} holds no experiment; paths are relative to the recipe's folder")
    return (facts.command(HEAR, {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}),)
