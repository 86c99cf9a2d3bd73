"""The stages of telling classes apart, such as languages or speakers: tokenizer, codes, check, training, accuracies."""

import dataclasses
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import (
    TaskFacts,
    data_settings,
    data_stages,
    score_settings,
    scoring_stage,
    shell_names,
    stage_flags,
    training_settings,
    training_stage,
)
from icefall_discrete.experiment.plan import Command, Plan, Stage
from icefall_discrete.experiment.request_check import check_choice, check_options, check_request
from icefall_discrete.experiment.run_options import Asked, Corpus, RunOptions, choose, first_stages

SYSTEM = "classification"
METHOD = "classification"
SCRIPTS: Dict[str, str] = feature_stages.SCRIPTS
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("target", "model", "loader", "filter", "augment", "loss", "train", "init"), "train"),
    "average": "decode",
}
# Options of run.sh that mean nothing here.
_OF_TEXT = ("vocab_size", "decoding_method", "lm", "lm_scale", "lm_text", "teacher")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trained network is used for.

    method: folder of what is said. said, figures: titles of the last two stages. flags: of the first of them.
    search_name: what sets what is said apart from the recipe's own; empty: nothing.
    """

    method: str
    said: str
    figures: str
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    search_name: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """What tasks of stages 0 to 4 and 6 to 8 differ in.

    system, scripts, sections: as the module of each has them. lacks: what a network of its system has none of.
    fact: what each cut must have; None: what the recipe's target names. more: commands behind those of stage 7, and
    the names of stages whose flags they take. prepared: of the settings of the features a stage before training, and
    the folder that it fills for it; None: there is none.
    """

    system: str
    scripts: Mapping[str, str]
    sections: Mapping[str, str]
    lacks: str
    fact: Optional[str] = None
    more: Callable[[TaskFacts], Tuple[Command, ...]] = lambda facts: ()
    more_stages: Tuple[str, ...] = ()
    prepared: Optional[Callable[[TaskFacts, Tuple[str, ...]], Tuple[Stage, str]]] = None


CLASSES = Task(SYSTEM, SCRIPTS, SECTIONS, "a classifier has none")


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    return plan_for(asked, Outcome(METHOD, "classes of dev and test", "accuracies"))


def plan_for(asked: Asked, outcome: Outcome, task: Task = CLASSES) -> Plan:
    """The same, for an outcome, and for another task. Raises ValueError for whatever can be known to be wrong now."""
    options, corpus = asked.read(RunOptions), asked.read(Corpus)
    facts = _facts(asked, options, corpus, task)
    warnings = check_request(facts)
    old_words: Dict[str, str] = {}
    data = data_settings(facts, old_words)
    prepared = None if task.prepared is None else task.prepared(facts, data.features)
    made = () if prepared is None else prepared[:1]
    before = data.features if prepared is None else prepared[0].settings
    train = (*before, *training_settings(facts, old_words), *facts.extra("shar", "train"), *facts.files_read("train"))
    deciding = ("decode", *task.more_stages)
    decode = (*train, *facts.extra(*deciding), *facts.files_read(*deciding))
    reads = (3, *(stage.number for stage in made))
    training, notices = training_stage(facts, train, None if prepared is None else prepared[1], reads)
    decoding = {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}
    decoding.update({"splits": ",".join(corpus.scored_splits), "recipe-config": facts.choice.recipe_file})
    decoding.update(outcome.flags)
    commands = (facts.command("decode", decoding), *task.more(facts))
    scoring = (*decode, *score_settings(facts, old_words))
    stages = [
        *first_stages(asked, corpus, data.data),
        *data_stages(facts, data, _fact(facts) if task.fact is None else task.fact),
        *made,
        training,
        Stage(7, outcome.said, f"{facts.exp_dir}/.done-7-{outcome.method}", decode, (), commands, (3, 6)),
        scoring_stage(facts, outcome.figures, outcome.method, outcome.search_name, scoring),
    ]
    scores = stages[-1].outputs[0] if asked.range.last >= stages[-1].number else ""
    names = {**shell_names(facts), "decode_settings": "\n".join(decode)}
    return Plan(tuple(stages), names, (*warnings, *notices), old_words, "", scores)


def options_of(asked: Asked) -> List[str]:
    """The options of run.sh that mean something here."""
    return [name for name in asked.values if name not in _OF_TEXT]


def _facts(asked: Asked, options: RunOptions, corpus: Corpus, task: Task) -> TaskFacts:
    given = [name for name in _OF_TEXT if getattr(options, name)]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} is about text, and {task.lacks}; leave it away")
    flags = stage_flags(asked.root, task.system, task.scripts)
    check_options(flags, options, feature_stages.OPTIONS)
    present = [stage for stage in task.scripts if stage != "shar" or options.shar == "true"]
    passed = flags.assign(asked.flags, present, options_of(asked))
    choice = choose(options)
    check_choice(choice, flags, task.system, task.sections, passed.get("train", {}))
    return TaskFacts(asked, options, corpus, choice, flags, passed, task.system, task.scripts)


def _fact(facts: TaskFacts) -> str:
    """What the classes are: as a flag says, or else the recipe, or else the default."""
    said = facts.choice.section("target").get("fact", facts.flags.default("train", "fact"))
    return str(facts.passed.get("train", {}).get("fact", said))
