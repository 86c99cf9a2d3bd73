"""Wanted rows against what there is: a dry run of the recipe's run.sh says what a row does, results what was done."""

import dataclasses
import functools
import itertools
import subprocess
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from icefall_discrete.base.environment import CLEAN, DIRTY, commits_in, is_since
from icefall_discrete.base.shapes import TEXT, TEXTS, or_null, read_shaped
from icefall_discrete.experiment.plan import ToldStage, told_stages
from icefall_discrete.metrics.facts import metrics_of
from icefall_discrete.results.joined import BETWEEN_COMMANDS
from icefall_discrete.results.ledger import Json, asked_by, commits_of, portable_command, read_result
from icefall_discrete.results.wanted_rows import ROWS_FILE, TOGETHER, Options, read_wanted

RUN, RESULTS = "run.sh", "results"
TRAINING, DECODING, SCORING = 6, 7, 8  # numbers of stages
_MADE_BY = {"git": or_null(TEXT), "commits": or_null(TEXTS)}
_ADVICE = "move the experiment aside, and train anew"
_OF_SEEDS = "train_unsupervised.py"
_TRAIN, _SCORE, _PAGE = ("train.py", _OF_SEEDS), ("score.py", "score_unsupervised.py"), "make_results.py"
# One of these is in the folder of an experiment that has begun: of a model, of seeds.
_BEGUN = ("config.json", "trained_from.json")


@dataclasses.dataclass(frozen=True)
class Trust:
    """Which results count: those of a clean commit, of one `since` another if that is given; dirty ones if allowed."""

    since: str = ""
    allow_dirty: bool = False

    def mistrust(self, commits: Sequence[str]) -> str:
        """Why a result of these commits does not count; empty: it does."""
        if not all(commit.endswith((CLEAN, DIRTY)) for commit in commits):
            return "of an unknown commit"
        dirty = [commit for commit in commits if commit.endswith(DIRTY)]
        if dirty and not self.allow_dirty:
            return f"of {dirty[0]}"
        old = [commit for commit in commits if self.since and not is_since(commit, self.since)]
        return f"of {old[0]}, before {self.since}" if old else ""

    def mistrust_result(self, result: Json) -> str:
        """Why a result does not count; empty: it does."""
        return self.mistrust(commits_of(result)) or ("" if metrics_of([result]) else "without figures")


@dataclasses.dataclass(frozen=True)
class Row:
    """A wanted row.

    here: the recipe's folder, egs/<corpus>/<TASK>. options: those of run.sh. stages: what a dry run says of them.
    refusal: what it says instead, if it refuses the options.
    """

    here: Path
    options: Options
    stages: Tuple[ToldStage, ...] = ()
    refusal: str = ""

    def __str__(self) -> str:
        said = dict(self.options)
        first = [said.pop(name, "") for name in ("feature_type", "recipe")]
        others = [f"{name.rpartition('.')[2]} {value}" for name, value in said.items()]
        return " ".join(filter(None, [*first, *others]))

    @property
    def arguments(self) -> List[str]:
        """The options as run.sh takes them."""
        said = [(name, value) for name, value in self.options if name != TOGETHER]
        said += [("results_dir", f"exp/{self.together}/{RESULTS}")] if self.together else []
        return [word for name, value in said for word in (f"--{name.replace('_', '-')}", value)]

    @property
    def together(self) -> str:
        """The name of the row that is made of this one and others; empty: it is a row by itself."""
        return dict(self.options).get(TOGETHER, "")

    def flags(self, *scripts: str) -> Dict[str, str]:
        """Flags that the first of the scripts is given, without dashes in front."""
        words = self.words(*scripts)
        return {name[2:]: value for name, value in itertools.pairwise(words) if name.startswith("--")}

    def words(self, *scripts: str) -> Tuple[str, ...]:
        """The command line of the first one of the scripts. Raises ValueError if no stage runs any."""
        for stage in self.stages:
            for words in stage.commands:
                if len(words) > 1 and Path(words[1]).name in scripts:
                    return words
        raise ValueError(
            f"the dry run of {self.here / RUN} for {self} names no {' or '.join(scripts)}; rows need stages 0 to "
            f"{SCORING}."
        )

    @property
    def training(self) -> Dict[str, str]:
        """The flags of its training."""
        return self.flags(*_TRAIN)

    @property
    def is_of_seeds(self) -> bool:
        """Whether it trains seeds, each of so many steps, of which one is chosen without transcripts (wav2vec-U)."""
        return Path(self.words(*_TRAIN)[1]).name == _OF_SEEDS

    @property
    def recipe_file(self) -> Path:
        """Its settings."""
        training = self.training
        return self.here / (training["config"] if self.is_of_seeds else training["recipe-config"])

    @property
    def scoring(self) -> Dict[str, str]:
        """The flags of its scoring."""
        return self.flags(*_SCORE)

    @property
    def page(self) -> Tuple[str, ...]:
        """The command that makes the page of its results."""
        return self.words(_PAGE)

    @property
    def exp_dir(self) -> Path:
        """The experiment folder."""
        return self.here / self.scoring["exp-dir"]

    @property
    def results_dir(self) -> Path:
        """The folder of result files."""
        return self.here / self.scoring["results-dir"]

    @property
    def settings_changed(self) -> bool:
        """Whether it was trained with other settings than now."""
        return any(stage.settings_changed for stage in self.stages if stage.number == TRAINING)

    def marker(self, number: int) -> Path:
        """What says that decoding or scoring is done: of its search, where one model may have several."""
        method = self.scoring.get("decoding-method")
        return self.exp_dir / (f".done-{number}-{method}" if method else f".done-{number}")

    def has_done(self, number: int) -> bool:
        """Whether the stages of a number were done."""
        return all(stage.is_done for stage in self.stages if stage.number == number)

    def result(self, device: str) -> Optional[Json]:
        """Its result file, made on a kind of device; None if there is none."""
        found = (row for row in _results_in(self.results_dir) if row["device"] == device)
        return next((row for row in found if self._asked == asked_by(row.get("command") or "")), None)

    def joined_result(self, device: str) -> Optional[Json]:
        """The result of the models that it is one of, made on a kind of device; None if there is none."""
        wanted: Dict[str, Optional[str]] = {"device": device, "recipe": self.together}
        wanted["feature_type"] = Path(self.training["feature-dir"]).name
        wanted["search"] = self.scoring.get("search-name")
        for row in _results_in(self.here / RESULTS) if self.together else ():
            commands = (row.get("command") or "").split(BETWEEN_COMMANDS)
            if all(row.get(key) == value for key, value in wanted.items()) and self._asked in map(asked_by, commands):
                return row
        return None

    @property
    def _asked(self) -> List[Tuple[str, str]]:
        return asked_by(portable_command(self.scoring["run-command"], self.here.resolve().parents[2]))

    def mistrust_result(self, trust: Trust, result: Json) -> str:
        """Why a result that has its command does not count; empty: it does.

        One that says nothing of its settings, of before, is taken to have those of now.
        """
        made_with, now = result.get("settings_digests"), self.scoring.get("settings-digest")
        others = "made with other settings: of the recipe, the feature type, or what these are based on"
        return trust.mistrust_result(result) or (others if made_with and now and now not in made_with else "")

    def mistrusted_experiment(self, trust: Trust) -> str:
        """Why the experiment folder that is there does not count; empty: it does, or there is none."""
        if not any((self.exp_dir / name).is_file() for name in _BEGUN):
            return ""
        if self.settings_changed:
            return "of other settings"
        path = self.exp_dir / "env.json"
        return trust.mistrust(commits_in(read_shaped(path, _MADE_BY, _ADVICE) if path.is_file() else {}))

    def what_is_to_do(self, trust: Trust, device: str) -> str:
        """In words; empty: it is done."""
        joined = self.joined_result(device)
        if joined is not None and not self.mistrust_result(trust, joined):
            return ""
        result = self.result(device)
        if result is None:
            aside = self.mistrusted_experiment(trust)
            return f"to do, its experiment is {aside}" if aside else "to do"
        why = self.mistrust_result(trust, result)
        return f"again, it is {why}" if why else ""


def _results_in(folder: Path) -> List[Json]:
    return [_read(path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.json"))]


@functools.lru_cache(maxsize=4096)
def _read(path: Path, mtime_ns: int) -> Json:
    return read_result(path)


def planned(here: Path, options: Options, env: Mapping[str, str], further: Sequence[str] = ()) -> Row:
    """What run.sh would do for a row.

    Args:
      env: the environment of the dry run. further: options of run.sh that say how, not what.
    """
    row = Row(here, options)
    command = [f"./{RUN}", "--dry-run", "true", *row.arguments, *further]
    done = subprocess.run(command, cwd=here, env=dict(env), capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"it ended with {done.returncode}").splitlines()[-1]
        return dataclasses.replace(row, refusal=said.removeprefix("error: "))
    return dataclasses.replace(row, stages=tuple(told_stages(done.stdout)))


def wanted_rows(here: Path, only: Sequence[str] = (), without: Sequence[str] = ()) -> List[Options]:
    """The rows of a recipe whose words hold each of `only`, none of `without`, or no rows. Raises as `read_wanted`."""
    path = here / ROWS_FILE
    if not (here / RUN).is_file():
        raise FileNotFoundError(f"{here} has no {RUN}; give the folder of a recipe, egs/<corpus>/<TASK>.")
    named = [(str(Row(here, options)), options) for options in read_wanted(path)]
    return [
        options
        for name, options in named
        if all(text in name for text in only) and not any(text in name for text in without)
    ]
