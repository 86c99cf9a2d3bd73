"""The stages of text to speech: codes, alignments, training from texts to units, synthesis, its measures.

Recipes of vocoders, which say units, are of the same task: theirs are planned by vocoder.py.
"""

from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from icefall_discrete.base.json_files import read_object
from icefall_discrete.experiment.feature_stages import TaskFacts
from icefall_discrete.experiment.plan import Command, Plan, Stage, digest_of
from icefall_discrete.experiment.run_options import Asked, RunOptions, choose
from icefall_discrete.experiment.stages import vocoder
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "tts"
METHOD = "synthesis"
ALIGN, SPEAK, HEAR = "align", "speak", vocoder.HEAR
SCRIPTS: Dict[str, str] = {
    **vocoder.SCRIPTS,
    ALIGN: "align_cuts",
    SPEAK: "speak_units",
}
SECTIONS: Dict[str, str] = vocoder.SECTIONS
VOCODER, RECOGNISER = "vocoder-exp-dir", vocoder.RECOGNISER
_EXP_DIR, _FILE = "exp-dir", "alignments"  # flags of the script that aligns


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    if choose(asked.read(RunOptions)).recipe.get("system") == vocoder.SYSTEM:
        return vocoder.plan(asked)
    if asked.values.get("shar") == "true":
        raise ValueError("--shar true is not for text to speech, which reads manifests; leave it away")
    outcome = Outcome(METHOD, "synthesis of the texts of dev and test", "how far it is from the recordings")
    lacks, listeners = "units are told without", (SPEAK, *vocoder.LISTENERS)
    task = Task(SYSTEM, SCRIPTS, SECTIONS, lacks, "text", speech, listeners, _alignments)
    return plan_for(asked, outcome, task)


def _alignments(facts: TaskFacts, settings: Tuple[str, ...]) -> Tuple[Stage, str]:
    """Stage 5, when letters are said: by a recogniser with a CTC head, or from a file; and the folder that it fills."""
    given = facts.passed.get(ALIGN, {})
    path, recogniser = given.get(_FILE), given.get(_EXP_DIR)
    if path is None and recogniser is None:
        recogniser = vocoder.experiment_of(facts, HEAR, RECOGNISER)
    if path is None and recogniser is None:
        raise ValueError(
            f"text to speech needs to know when letters are said: give --{RECOGNISER}, a recogniser of the same cuts "
            f"with a CTC head, or --{_FILE}, a file or folder of alignments"
        )
    source = Path(path or str(recogniser))
    if not source.exists():
        flag = _FILE if path else f"{ALIGN}.{_EXP_DIR}"
        raise ValueError(f"--{flag} {source} does not exist; paths are relative to the recipe's folder")
    folder = f"{facts.options.data_dir}/alignments{facts.corpus.suffix}/{source.name}"
    splits = [facts.corpus.train_split, facts.corpus.dev_splits.split()[0]]
    flags: Dict[str, Optional[str]] = {"splits": ",".join(splits), "output-dir": folder}
    flags["feature-dir"] = facts.features_dir if path else _heard_features(facts, source, splits)
    if path is None and _EXP_DIR not in given:
        flags[_EXP_DIR] = str(recogniser)
    if _learns_copies(facts):
        flags["speed-copies"] = "yes"
    outputs = tuple(f"{folder}/{split}.ctm" for split in splits)
    lines = (*settings, f"aligned_by={source}", *facts.extra(ALIGN), *((digest_of(path),) if path else ()))
    command = facts.command(ALIGN, flags)
    return Stage(5, f"alignments by {source.name}", f"{folder}/.done-5", lines, outputs, (command,), (1, 3)), folder


def _learns_copies(facts: TaskFacts) -> bool:
    """Whether training reads the copies at other speeds too."""
    said = facts.choice.section("filter").get("use_speed_copies", True)
    for flag, value in facts.passed.get("train", {}).items():
        if flag.rpartition(".")[2] == "use-speed-copies":
            said = facts.flags.check("train", flag, value, flag)
    return bool(said)


def _heard_features(facts: TaskFacts, recogniser: Path, splits: Sequence[str]) -> str:
    """The folder of the codes that a recogniser hears."""
    name = read_object(recogniser / "spec.json", "a spec").get("name")
    folder = f"{facts.options.data_dir}/features/{name}{facts.corpus.suffix}"
    missing = [split for split in splits if not Path(f"{folder}/{split}.jsonl.gz").is_file()]
    if missing and folder != facts.features_dir and 5 in facts.asked.range:
        raise ValueError(
            f"{recogniser} hears '{name}', and {folder}/{missing[0]}.jsonl.gz does not exist; make it with "
            f"--feature-type {name} --stop-stage 3, or give --{_FILE}"
        )
    return folder


def speech(facts: TaskFacts) -> Tuple[Command, ...]:
    """A vocoder says the units where one is named, and a recogniser hears it; without one it reads units of its own."""
    vocoder_dir = vocoder.experiment_of(facts, SPEAK, VOCODER)
    recogniser = vocoder.experiment_of(facts, HEAR, RECOGNISER)
    commands = [] if vocoder_dir is None else [facts.command(SPEAK, {"exp-dir": facts.exp_dir})]
    if recogniser is not None and (vocoder_dir is not None or reads_units(facts, recogniser)):
        commands.append(facts.command(HEAR, {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}))
    judges = vocoder.judging(facts)
    if judges and vocoder_dir is None:
        raise ValueError(f"units have no voice that could be told; give --{VOCODER} too, whose audio is heard")
    return (*commands, *judges)


def reads_units(facts: TaskFacts, recogniser: str) -> bool:
    """Whether a recogniser reads units of the feature type that is asked for."""
    name: str = read_object(Path(recogniser) / "spec.json", "a spec").get("name", "")
    return name == facts.choice.feature_name
