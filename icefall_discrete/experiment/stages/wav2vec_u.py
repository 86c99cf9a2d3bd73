"""The stages of recognition without any pair (wav2vec-U): features, check, training of seeds, what is said, its errors.

A seed that is done stays, and `--num-seeds` may rise later: it is no setting of the experiment's name.
"""

import dataclasses
import shlex
from pathlib import Path
from typing import Dict, Optional, Tuple

from icefall_discrete.base.settings_digest import json_digest
from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.feature_stages import (
    TaskFacts,
    data_settings,
    data_stages,
    in_names,
    page_of_results,
    recipe_digest,
    shell_names,
    stage_flags,
)
from icefall_discrete.experiment.plan import Command, Plan, Stage, digest_of
from icefall_discrete.experiment.request_check import check_choice, check_options, check_request
from icefall_discrete.experiment.run_options import Asked, Corpus, RunOptions, choose, first_stages
from icefall_discrete.experiment.stage_flags import dashed
from icefall_discrete.experiment.stages.discrete_bert import NO_FACTS

SYSTEM = "wav2vec_u"
_OF_FEATURES = ("fit", "extract", "check")
GAN, SAY, SCORE = "unsupervised", "say", "score"
SCRIPTS: Dict[str, str] = {
    **{stage: feature_stages.SCRIPTS[stage] for stage in _OF_FEATURES},
    GAN: "train_unsupervised",
    SAY: "say_unsupervised",
    SCORE: "score_unsupervised",
}
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = dict.fromkeys(("pooling", "text", "generator", "discriminator", "loss", "train"), GAN)
# Flags of the training that more of the same is asked for by, or another choice of it.
_OF_MORE = ("num-seeds", "first-seed", "rule")
# The flag of the control, whose row is named by what its training noted.
_CONTROL = "shuffle-text"
# Options of run.sh that mean nothing here.
_OF_OTHERS = (
    *("backend", "shar", "world_size", "label_fraction", "max_duration", "num_epochs", "precision"),
    *("vocab_size", "decoding_method", "lm", "lm_scale", "lm_text", "teacher"),
)


@dataclasses.dataclass(frozen=True)
class _Facts(TaskFacts):
    """All that the stages are made from."""

    @property
    def exp_dir(self) -> str:
        """The experiment folder."""
        name = f"{self.choice.feature_name}_{self.choice.recipe_name}{self._tuned(_OF_MORE)}"
        return self.options.exp_dir or f"exp/{name}"

    @property
    def row_recipe(self) -> str:
        """The recipe's name in tables: the best of more seeds, or by another choice, is another row."""
        return self.choice.recipe_name + self._tuned((_CONTROL,))

    def _tuned(self, passed_over: Tuple[str, ...]) -> str:
        """What tells runs of the recipe apart."""
        languages = f"_{self.options.languages.replace(',', '_')}" if self.options.languages else ""
        told = {flag: value for flag, value in self.passed.get(GAN, {}).items() if flag not in passed_over}
        tuned = "".join(f"_{flag.rpartition('.')[2]}-{in_names(value)}" for flag, value in sorted(told.items()))
        return f"{self.corpus.suffix}{languages}{tuned}"

    @property
    def text_file(self) -> Optional[str]:
        """Text of any origin; None: the transcripts of the training split, in no order."""
        return self.passed.get(GAN, {}).get("text-file")


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    facts = _facts(asked)
    warnings = check_request(facts)
    _check_material(facts)
    old_words: Dict[str, str] = {}
    data = data_settings(facts, old_words)
    languages = asked.settings_of(["languages"]) if facts.options.languages else ()
    trained = (*data.features, *languages, recipe_digest(facts, old_words), *facts.extra(GAN))
    trained += (digest_of(facts.text_file),) if facts.text_file else ()
    flags: Dict[str, Optional[str]] = {"config": facts.choice.recipe_file, "feature-dir": facts.features_dir}
    flags.update({"train-split": facts.corpus.train_split, "dev-split": facts.corpus.dev_splits.split()[0]})
    flags.update({"exp-dir": facts.exp_dir, "languages": facts.options.languages or None})
    if "num-seeds" not in facts.passed.get(GAN, {}):  # what reads a dry run reckons with them
        flags["num-seeds"] = facts.flags.default(GAN, "num-seeds")
    flags["text-cuts"] = None if facts.text_file else facts.cuts(facts.corpus.train_split)
    said = (*trained, "say.all_seeds=true", *facts.extra(SAY))
    marker = f"{facts.exp_dir}/.done"
    stages = [
        *first_stages(asked, facts.corpus, data.data),
        *data_stages(facts, data, NO_FACTS),
        Stage(6, f"seeds of {facts.exp_dir}", f"{marker}-6", trained, (), (facts.command(GAN, flags),), (1, 3)),
        Stage(7, "what is said", f"{marker}-7", said, (), _said(facts), (3, 6)),
        _scoring(facts, f"{marker}-8", (*said, *facts.extra(SCORE))),
    ]
    scores = stages[-1].outputs[0] if asked.range.last >= stages[-1].number else ""
    return Plan(tuple(stages), shell_names(facts), warnings, old_words, "", scores)


def _facts(asked: Asked) -> _Facts:
    options, corpus = asked.read(RunOptions), asked.read(Corpus)
    given = next((name for name in _OF_OTHERS if name in asked.given), None)
    if given:
        raise ValueError(f"--{dashed(given)} says nothing to wav2vec-U, which learns without any pair; leave it away")
    flags = stage_flags(asked.root, SYSTEM, SCRIPTS)
    handed = {name: one for name, one in feature_stages.OPTIONS.items() if one[0] in SCRIPTS}
    check_options(flags, options, handed)
    # What is said is scored: flags of the search are those of saying.
    known = [name for name in asked.values if name not in _OF_OTHERS]
    passed = flags.assign(asked.flags, [stage for stage in SCRIPTS if stage != SCORE], known)
    choice = choose(options)
    check_choice(choice, flags, SYSTEM, SECTIONS, {})
    return _Facts(asked, options, corpus, choice, flags, passed, SYSTEM, SCRIPTS)


def _check_material(facts: _Facts) -> None:
    """Raise ValueError for a text that is not there, and for units that are not said, or not asked for."""
    if facts.text_file and not Path(facts.text_file).is_file():
        raise ValueError(f"--text-file {facts.text_file} does not exist; paths are relative to the recipe's folder")
    weight = facts.choice.section("loss").get("units", facts.flags.default(GAN, "units"))
    weight = float(facts.passed.get(GAN, {}).get("units", weight))
    if bool(weight) != ("unit-feature-dir" in facts.passed.get(GAN, {})):
        raise ValueError(
            f"loss.units is {weight:g} {'and there is no' if weight else 'beside'} --unit-feature-dir; give a folder "
            "of units and a weight of their loss, or neither"
        )


def _said(facts: _Facts) -> Tuple[Command, ...]:
    """Of the scored splits, by all seeds, and of the training split as pseudo-labels, where what is said is a text."""
    of_all = {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir, "languages": facts.options.languages or None}
    of_seeds = {**of_all, "all-seeds": "true"}
    commands = [facts.command(SAY, {**of_seeds, "split": split}) for split in facts.corpus.scored_splits]
    front = facts.choice.section("text").get("front", facts.flags.default(GAN, "front"))
    if facts.passed.get(GAN, {}).get("front", front) == "letters":
        split = facts.corpus.train_split
        labels = f"{facts.options.data_dir}/pseudo/{Path(facts.exp_dir).name}/{split}.jsonl.gz"
        commands.append(facts.command(SAY, {**of_all, "split": split, "pseudo-labels": labels}))
    return tuple(commands)


def _scoring(facts: _Facts, marker: str, settings: Tuple[str, ...]) -> Stage:
    """Stage 8: the row of the chosen seed, all seeds beside it, and RESULTS.md."""
    searched = {flag: value for flag, value in facts.passed.get(SAY, {}).items() if flag != "seed"}
    flags: Dict[str, Optional[str]] = {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir, **searched}
    flags.update({"splits": ",".join(facts.corpus.scored_splits), "recipe": facts.row_recipe})
    flags.update({"results-dir": facts.results_dir, "settings-digest": json_digest(list(settings))})
    scores = f"{facts.exp_dir}/said/scores.txt"
    score = facts.command(SCORE, {**flags, "run-command": shlex.join(facts.asked.command)}, output=scores)
    commands = (score, page_of_results(facts))
    return Stage(8, "errors of all seeds", marker, settings, (scores,), commands, (7,))
