"""The stages of enhancement and separation: tokenizer, codes of mixtures and sources, training, audio, its measures."""

from typing import Dict, Tuple

from icefall_discrete.experiment.feature_stages import TaskFacts
from icefall_discrete.experiment.plan import Command, Plan
from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import vocoder
from icefall_discrete.experiment.stages.classification import Outcome, Task, plan_for

SYSTEM = "enhancement"
METHOD = "enhancement"
SOUND = "sound"
SCRIPTS: Dict[str, str] = {**vocoder.SCRIPTS, SOUND: "sound_codes"}
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("target", "model", "loader", "filter", "train", "init"), "train"),
    "average": "decode",
}
VOCODER = "vocoder-exp-dir"


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    if asked.values.get("shar") == "true":
        raise ValueError("--shar true leaves the sources out, which are learnt; leave it away")
    if asked.values.get("speed_factors", "1.0") != "1.0":
        raise ValueError(
            f"--speed-factors {asked.values['speed_factors']} copies the mixtures, but not their sources; leave it away"
        )
    outcome = Outcome(METHOD, "codes of the sources of dev and test, and audio", "how far it is from the sources")
    task = Task(SYSTEM, SCRIPTS, SECTIONS, "enhancement has none", "language", sounding, (SOUND, *vocoder.LISTENERS))
    return plan_for(asked, outcome, task)


def sounding(facts: TaskFacts) -> Tuple[Command, ...]:
    """Audio of the codes; a recogniser hears it where one is named."""
    vocoder.experiment_of(facts, SOUND, VOCODER)
    sound = facts.command(SOUND, {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir})
    return (sound, *vocoder.listening(facts))
