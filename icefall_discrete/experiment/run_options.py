"""What a recipe's run.sh was asked for: its options, what it says about its corpus, and its stages 0 and 1."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Type, TypeVar

from icefall_discrete import CONF_DIR
from icefall_discrete.base.feature_types import VIEW_SEPARATOR, known_feature_types, named_conf
from icefall_discrete.base.names import known_names
from icefall_discrete.base.settings_digest import canonical_json
from icefall_discrete.experiment.plan import Command, Stage, StageRange
from icefall_discrete.experiment.recipe_files import read_recipe

FEATURES = Path("conf/features")  # of the recipe's own feature types, in its folder
RECIPES = Path("conf/recipes")
SHARED_RECIPES = CONF_DIR / "recipes"
_BEFORE_COMMAND = "--"
TRAINING_SEED = "train.seed"  # the flag that makes another run on the same codes
_NOT_IN_COMMANDS = ("stage", "stop_stage", "dry_run", "feature_type", "recipe")

C = TypeVar("C", "RunOptions", "Corpus")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The options of tools/recipe_options.sh, as they were written; empty: as the recipe file says."""

    stage: str
    stop_stage: str
    dry_run: str
    feature_type: str
    recipe: str
    env: str
    backend: str
    nj: str
    device: str
    dtype: str
    resample: str
    exp_dir: str
    data_dir: str
    results_dir: str
    speed_factors: str
    languages: str
    label_fraction: str
    vocab_size: str
    max_duration: str
    num_epochs: str
    precision: str
    shar: str
    world_size: str
    decoding_method: str
    lm: str
    lm_scale: str
    lm_text: str
    teacher: str
    seed: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What run.sh says about its corpus; the lists are joined by spaces.

    corpus_options: names of its options that decide what the manifests hold. variant: another choice of training data.
    known_languages: those that there are; empty: run.sh does not know. mixture_sources: what the utterances of each
    split are made of, each a split of its own, `<split>-<source>`; empty: they are what they are.
    """

    corpus: str
    title: str
    train_split: str
    dev_splits: str
    test_splits: str
    corpus_options: str
    variant: str
    known_languages: str
    mixture_sources: str = ""

    @property
    def splits(self) -> List[str]:
        """All of them, the training split first, and those of sources last."""
        whole = [self.train_split, *self.scored_splits]
        return [*whole, *(f"{split}-{source}" for source in self.mixture_sources.split() for split in whole)]

    @property
    def fitted_split(self) -> str:
        """The one that a tokenizer is fitted on: of mixtures, the first of their sources."""
        return "-".join([self.train_split, *self.mixture_sources.split()[:1]])

    @property
    def scored_splits(self) -> List[str]:
        """Those that are decoded."""
        return [*self.dev_splits.split(), *self.test_splits.split()]

    @property
    def suffix(self) -> str:
        """What the names of its folders and markers end in."""
        return f"_{self.variant}" if self.variant else ""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What run.sh hands over, all of it as text.

    root: folder of the repository. here: the recipe's folder, egs/<corpus>/<TASK>. script: name of the script there.
    values: all options and what is said about the corpus, by name. given: options that differ from their defaults.
    flags: what run.sh does not know, for the stages. last_stage: the last stage that there is.
    own_stages: stages 0 and 1, as run.sh declares them.
    """

    root: str
    here: str
    script: str
    last_stage: int
    values: Mapping[str, str]
    given: Mapping[str, str]
    flags: Tuple[Tuple[str, str], ...]
    own_stages: Tuple[Tuple[str, ...], ...]

    @classmethod
    def from_records(cls, records: Sequence[Sequence[str]]) -> "Asked":
        """Read what tools/recipe.sh tells: (option, given or flag, name, value), (stage or manifests, what it is)."""
        by_kind: Dict[str, List[Tuple[str, str]]] = {"option": [], "given": [], "flag": []}
        own_stages = [tuple(record) for record in records if record[0] not in by_kind]
        for kind, *rest in records:
            if kind in by_kind:
                by_kind[kind].append((rest[0], rest[1]))
        values = dict(by_kind["option"])
        place = (values.pop("ROOT"), values.pop("HERE"), values.pop("SCRIPT"), int(values.pop("LAST_STAGE")))
        # Training with the seed of all stages is no other run, whichever way it is said.
        flags = tuple(flag for flag in by_kind["flag"] if flag != (TRAINING_SEED, values.get("seed")))
        return cls(*place, values, dict(by_kind["given"]), flags, tuple(own_stages))

    def read(self, cls: Type[C]) -> C:
        """The options, or what is said about the corpus, by its kind; what is not said is empty."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: self.values.get(name, "") for name in names})

    @property
    def range(self) -> StageRange:
        """The stages that were asked for."""
        return StageRange(int(self.values["stage"]), int(self.values["stop_stage"]))

    @property
    def command(self) -> List[str]:
        """A command that does the same again, from the root of the repository: whatever differs from a default."""
        always = {name: self.values[name] for name in ("feature_type", "recipe")}
        given = {name: value for name, value in self.given.items() if name not in _NOT_IN_COMMANDS}
        pairs = [*always.items(), *given.items(), *self.flags]
        place = "/".join(["egs", *Path(self.here).parts[-2:], self.script])
        return [place, *(part for name, value in pairs for part in (f"--{name.replace('_', '-')}", value))]

    def settings_of(self, names: Sequence[str]) -> Tuple[str, ...]:
        """Lines of settings of options, by name."""
        return tuple(f"{name}={self.values[name]}" for name in names)


def first_stages(asked: Asked, corpus: Corpus, data_settings: Tuple[str, ...]) -> List[Stage]:
    """Stages 0 and 1 as run.sh declares them: what fetches the corpus, and what makes its manifests."""
    manifests = f"{asked.values['data_dir']}/manifests"
    stages = []
    for kind, *rest in asked.own_stages:
        if kind == "manifests":
            title, *words = rest
            commands = _divided(words)
            outputs = [f"{manifests}/{corpus.corpus}_cuts_{split}.jsonl.gz" for split in corpus.splits]
            marker, number, settings = f"{manifests}/.done-1{corpus.suffix}", 1, data_settings
        else:
            end = rest.index(_BEFORE_COMMAND)
            (title, marker, line, *outputs), commands = rest[:end], _divided(rest[end + 1 :])
            number, settings = 0, (line,)
        stages.append(Stage(number, title, marker, settings, tuple(outputs), commands))
    return stages


def _divided(words: Sequence[str]) -> Tuple[Command, ...]:
    """The commands in `words`, one after the other, with _BEFORE_COMMAND between them."""
    ends = [place for place, word in enumerate(words) if word == _BEFORE_COMMAND]
    return tuple(
        Command(tuple(words[begin:end])) for begin, end in zip([0, *(end + 1 for end in ends)], [*ends, len(words)])
    )


@dataclasses.dataclass(frozen=True)
class Choice:
    """The feature type and the recipe file that were asked for.

    feature_files: one, or one of each view. recipe: what the file says, with what it is based on.
    """

    feature_files: Tuple[str, ...]
    feature_name: str
    recipe_file: str
    recipe_name: str
    recipe: Mapping[str, Any]

    def section(self, name: str) -> Dict[str, Any]:
        """A section of the recipe, empty if it has none."""
        found = self.recipe.get(name, {})
        if not isinstance(found, dict):
            raise ValueError(f"{self.recipe_file}: section '{name}' is {found!r}, expected an object of settings")
        return found

    def whole_numbers(self, name: str) -> Dict[str, Any]:
        """The same, whole numbers without a point."""
        return json.loads(canonical_json(self.section(name)))


def choose(options: RunOptions) -> Choice:
    """Find the feature type and the recipe. Raises ValueError, naming the known ones, where there is none."""
    files = _feature_files(options.feature_type)
    recipe_file = _recipe_file(options.recipe)
    name = VIEW_SEPARATOR.join(path.stem for path in files)
    recipe = read_recipe(recipe_file)
    return Choice(tuple(map(str, files)), name, str(recipe_file), _stem(options.recipe), recipe)


def _stem(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1].removesuffix(".json")


def _unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    return ValueError(f"unknown {kind} '{name}'; {known_names(known, name)}")


def _feature_files(feature_type: str) -> List[Path]:
    if feature_type.endswith(".json") and not Path(feature_type).is_file():
        raise ValueError(
            f"--feature-type {feature_type} does not exist; paths are relative to the recipe's folder, and names have "
            "no .json"
        )
    whole = named_conf(feature_type, [FEATURES])
    if whole is not None:
        return [whole]
    parts = [(part, named_conf(part, [FEATURES])) for part in feature_type.split(VIEW_SEPARATOR)]
    for part, found in parts:
        if found is None:
            raise _unknown("feature type", part, known_feature_types([FEATURES]))
    return [found for _, found in parts if found is not None]


def _recipe_file(recipe: str) -> Path:
    folders = (RECIPES, SHARED_RECIPES)
    for path in [Path(recipe), *(folder / f"{recipe}.json" for folder in folders)]:
        if path.is_file():
            return path
    if recipe.endswith(".json"):
        raise ValueError(f"--recipe {recipe} does not exist; paths are relative to the recipe's folder")
    raise _unknown("recipe", recipe, sorted({path.stem for folder in folders for path in folder.glob("*.json")}))
