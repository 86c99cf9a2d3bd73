"""The stages of making codes sound: tokenizer, codes, check, training, resynthesis, its measures."""

from pathlib import Path
from typing import Callable, Dict, Optional, Tuple
from urllib.parse import quote

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import TaskFacts, file_in_names
from icefall_discrete.experiment.plan import Command, Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "vocoder"
METHOD = "resynthesis"
HEAR = "hear"
JUDGE = "judge"
SCRIPTS: Dict[str, str] = {**feature_stages.SCRIPTS, HEAR: "hear_speech", JUDGE: "judge_voices"}
# Stages of which run.sh passes flags on to stage 7.
LISTENERS = (HEAR, JUDGE)
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("target", "model", "loader", "filter", "loss", "train", "init"), "train"),
    **dict.fromkeys(("average", "synthesis"), "decode"),
}
# Who hears what was said: a flag of its script that turns it on.
RECOGNISER = "recogniser-exp-dir"
# Who tells voices, and the flag that says which of the classifier's classes is to be heard.
CLASSIFIER, VERIFIER, ASKED = "classifier-exp-dir", "verifier-exp-dir", "asked"
# Flags of stage 7 by which the same model says it otherwise, so that its figures are others, and their names.
_OTHERWISE: Dict[str, Callable[[str], str]] = {"prompt": file_in_names, "voice": str}


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
    task = Task(SYSTEM, SCRIPTS, SECTIONS, "a vocoder has none", "text", listening, LISTENERS)
    return plan_for(asked, outcome, task)


def experiment_of(facts: TaskFacts, stage: str, flag: str) -> Optional[str]:
    """The experiment folder that a flag of a stage names, if it is given. Raises ValueError if it is none."""
    folder = facts.passed.get(stage, {}).get(flag)
    if folder is not None and not (Path(folder) / "config.json").is_file():
        raise ValueError(f"--{flag} {folder} holds no experiment; paths are relative to the recipe's folder")
    return folder


def listening(facts: TaskFacts) -> Tuple[Command, ...]:
    """A recogniser hears it, and others tell whose voice it is, where they are named."""
    given = {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}
    heard = () if experiment_of(facts, HEAR, RECOGNISER) is None else (facts.command(HEAR, given),)
    return (*heard, *judging(facts))


def judging(facts: TaskFacts) -> Tuple[Command, ...]:
    """Others tell whose voice it is, where they are named."""
    judges = [experiment_of(facts, JUDGE, flag) for flag in (CLASSIFIER, VERIFIER)]
    asked = facts.passed.get(JUDGE, {}).get(ASKED)
    if asked and judges[0] is None:
        raise ValueError(f"--{ASKED} {asked} is a class that a classifier hears; give --{CLASSIFIER} too")
    if judges == [None, None]:
        return ()
    return (facts.command(JUDGE, {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}),)
