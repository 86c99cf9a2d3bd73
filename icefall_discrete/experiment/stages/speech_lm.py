"""The stages of models of text and speech: tokenizer, codes, check, training, answers, error rates."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Callable, Dict, Mapping, Tuple

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import TaskFacts, in_names, stage_flags
from icefall_discrete.experiment.plan import Command, Plan
from icefall_discrete.experiment.request_check import TRAINING
from icefall_discrete.experiment.run_options import Asked, Choice, RunOptions, choose
from icefall_discrete.experiment.stages import tts, vocoder
from icefall_discrete.experiment.stages.classification import Outcome, Task, options_of, plan_for

SYSTEM = "speech_lm"
METHOD, SPOKEN = "answers", tts.METHOD
# Facts that cuts must have.
FACTS = "text"
SCRIPTS: Dict[str, str] = {
    **feature_stages.SCRIPTS,
    tts.SPEAK: tts.SCRIPTS[tts.SPEAK],
    **{stage: tts.SCRIPTS[stage] for stage in vocoder.LISTENERS},
}
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("task", "model", "loader", "filter", "train", "init"), "train"),
    **dict.fromkeys(("average", "synthesis"), "decode"),
}
_TASK, _LAYOUTS, _VOICES = "asked-task", "layouts", "voices"
_VOICE = "{voice}"  # what a layout begins with that has the vector of a speaker
# The first field of an answer, as of `asr={speech}{answer}{text}<eos>`.
_ANSWERED = re.compile(r"\{answer\}[^{]*\{(\w+)")


@dataclasses.dataclass(frozen=True)
class _Request:
    """What is asked of the model.

    task, own: the task that is asked with, and that of the recipe. layouts: by task. voices: file of vectors of voices.
    others: further flags of stage 7, by name.
    """

    task: str
    own: str
    layouts: Mapping[str, str]
    voices: str
    others: Mapping[str, str]

    @classmethod
    def of(cls, asked: Asked, choice: Choice) -> "_Request":
        """As flags say, or else the recipe, or else the defaults."""
        flags = stage_flags(asked.root, SYSTEM, SCRIPTS)
        present = [stage for stage in SCRIPTS if stage != "shar" or asked.values.get("shar") == "true"]
        passed = flags.assign(asked.flags, present, options_of(asked))
        trained, others = passed.get("train", {}), dict(passed.get("decode", {}))
        own = choice.section("synthesis").get("asked_task", flags.default("decode", _TASK))
        lines = choice.section("task").get(_LAYOUTS)
        if lines is None or _LAYOUTS in trained:
            given = trained.get(_LAYOUTS, flags.default("train", _LAYOUTS))
            lines = flags.check("train", _LAYOUTS, given, _LAYOUTS)
        layouts = {line.partition("=")[0]: line for line in lines}
        if others.get(_TASK, own) not in layouts and _TASK in others:
            raise ValueError(f"--{_TASK} {others[_TASK]}: layouts are of {', '.join(layouts)}; name one of these tasks")
        voices = trained.get(_VOICES, choice.section("task").get(_VOICES, ""))
        return cls(others.pop(_TASK, own), own, layouts, voices, others)

    def require_voices(self) -> None:
        """Raise ValueError where layouts begin with voices, and there is no file of them, or the other way round."""
        asking = [task for task, line in self.layouts.items() if _VOICE in line]
        make = "local/embed_voices.py makes one"
        if asking and not self.voices:
            raise ValueError(f"layouts of {', '.join(asking)} begin with {_VOICE}: give --{_VOICES} FILE; {make}")
        if self.voices and not asking:
            raise ValueError(f"--{_VOICES} {self.voices}: no layout begins with {_VOICE}; leave it away, or add one")
        if self.voices and not Path(self.voices).is_file():
            raise ValueError(
                f"--{_VOICES} {self.voices} does not exist ({make}); paths are relative to the recipe's folder"
            )

    @property
    def is_spoken(self) -> bool:
        """Whether answers are speech."""
        answer = _ANSWERED.search(self.layouts.get(self.task, ""))
        return answer is not None and answer[1] == "speech"

    @property
    def search_name(self) -> str:
        """What sets it apart from what is asked of the recipe; empty: nothing."""
        parts = [self.task] if self.task != self.own else []
        parts += [f"{in_names(flag)}-{in_names(value)}" for flag, value in sorted(self.others.items())]
        return "_".join(parts)


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    choice = choose(asked.read(RunOptions))
    request = _Request.of(asked, choice)
    if asked.range.first <= TRAINING:
        request.require_voices()
    outcome = Outcome(METHOD, "texts of dev and test", "error rates", {}, request.search_name)
    more: Callable[[TaskFacts], Tuple[Command, ...]] = functools.partial(_unheard, task=request.task)
    if request.is_spoken:
        figures = "how far it is from the recordings"
        outcome = Outcome(SPOKEN, "synthesis of the texts of dev and test", figures, {}, request.search_name)
        more = _heard
    lacks = "a model of text and speech has bytes and no pieces"
    listeners = (tts.SPEAK, *vocoder.LISTENERS)
    planned = plan_for(asked, outcome, Task(SYSTEM, SCRIPTS, SECTIONS, lacks, FACTS, more, listeners))
    if request.is_spoken and not _is_heard(planned):
        notice = (
            f"Nobody hears what is said: with --{tts.VOCODER} a vocoder says it and --{tts.RECOGNISER} hears that; a "
            "recogniser of the same units reads them without a vocoder"
        )
        planned = dataclasses.replace(planned, notices=(*planned.notices, notice))
    if request.task in request.layouts:
        return planned
    reason = f"no layout of recipe {choice.recipe_name} is of task {request.task}"
    if asked.range.first > TRAINING:
        raise ValueError(
            f"{reason}, so that there is nothing behind stage {TRAINING}; go on with icefall-discrete continue"
        )
    kept = tuple(stage for stage in planned.stages if stage.number <= TRAINING)
    notice = f"{reason}: stages 7 and 8 are left out, and its validation losses are its figures"
    return dataclasses.replace(planned, stages=kept, notices=(*planned.notices, notice), shown="")


def _is_heard(planned: Plan) -> bool:
    """Whether a recogniser hears the words, or others whose voice it is."""
    scripts = {f"{SCRIPTS[stage]}.py" for stage in vocoder.LISTENERS}
    return any(Path(word).name in scripts for one in planned.stages for step in one.commands for word in step.arguments)


def _heard(facts: TaskFacts) -> Tuple[Command, ...]:
    """A vocoder and a recogniser, as of text to speech; one that could hear nothing is refused."""
    recogniser = facts.passed.get(tts.HEAR, {}).get(tts.RECOGNISER)
    commands = tts.speech(facts)
    if recogniser is not None and not commands:
        raise ValueError(
            f"--{tts.RECOGNISER} {recogniser} does not read units of {facts.choice.feature_name}; give "
            f"--{tts.VOCODER} too, a vocoder of these units, or a recogniser that reads them"
        )
    return commands


def _unheard(facts: TaskFacts, task: str) -> Tuple[Command, ...]:
    """Of texts nothing is said, so that whoever would say or hear it is refused."""
    voices = ((vocoder.JUDGE, flag) for flag in (vocoder.CLASSIFIER, vocoder.VERIFIER, vocoder.ASKED))
    for stage, flag in ((tts.SPEAK, tts.VOCODER), (tts.HEAR, tts.RECOGNISER), *voices):
        if flag in facts.passed.get(stage, {}):
            raise ValueError(
                f"--{flag} is about speech, and answers of task {task} are texts; ask with another, --{_TASK} tts, or "
                "leave it away"
            )
    return ()
