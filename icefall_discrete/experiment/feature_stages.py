"""The stages that tasks on codes or features share: tokenizer, codes, check, training, figures.

The settings of a stage contain those of the stages before it, and its marker holds them, so that their lines and their
order are kept: what was done is known by them.
"""

import dataclasses
import glob
import re
import shlex
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.settings_digest import digests_of, json_digest
from icefall_discrete.experiment.plan import Command, Stage
from icefall_discrete.experiment.recipe_files import WHEN, read_layers
from icefall_discrete.experiment.run_options import FEATURES, Asked, Choice, Corpus, RunOptions
from icefall_discrete.experiment.stage_flags import FLAGS_FILE, StageFlags
from icefall_discrete.experiment.stage_notes import cksum

# Of each name that stands before the point of a flag, --train.base-lr, the script in local/ that takes it.
SCRIPTS: Dict[str, str] = {
    "fit": "fit_tokenizer",
    "extract": "extract_codes",
    "check": "check_cuts",
    "shar": "export_shar",
    "train": "train",
    "decode": "decode",
    "score": "score",
}
# Options of run.sh that are handed to a stage as they are, as its flag.
OPTIONS: Dict[str, Tuple[str, str]] = {
    "dtype": ("extract", "dtype"),
    "nj": ("extract", "nj"),
    "backend": ("train", "backend"),
    "world_size": ("train", "world-size"),
    "label_fraction": ("train", "label-fraction"),
    "max_duration": ("train", "max-duration"),
    "num_epochs": ("train", "num-epochs"),
    "precision": ("train", "precision"),
    "seed": ("train", "seed"),
    "speed_factors": ("extract", "speed-factors"),
    "device": ("extract", "device"),
}
# Flags that run.sh gives a stage and that one may give otherwise, by --<stage>.<flag>.
_REPLACEABLE = ("seed", "device", "nj", "ngram-order", "max-duration", "backend")
RULES, PUBLISHED = Path("conf/scoring.json"), Path("conf/published.json")


def in_names(value: str) -> str:
    """A flag's value as a part of names of folders and files; of a path, its last part."""
    return re.sub(r"[^\w.-]+", "-", Path(value).name if "/" in value else value)


def file_in_names(path: str, own_folder: str = "") -> str:
    """A file as a part of names of folders and figures: its stem and, unless it lies in `own_folder` as plain text, six
    digits of its digest, so that two files of one name are two searches, and a copy of one is the same. A folder: its
    name.
    """
    file = Path(path)
    if not file.is_file() or (own_folder and file.resolve() == Path(own_folder, f"{file.stem}.txt").resolve()):
        return in_names(file.name if file.is_dir() else file.stem)
    return f"{in_names(file.stem)}-{digest_of_file(file)[:6]}"


def generation_of(exp_dir: str) -> int:
    """How often the models were taught by another before this one was, by the name of its folder; 0: never."""
    found = re.search(r"_st(\d+)$", Path(exp_dir).name)
    return int(found.group(1)) if found else 0


@dataclasses.dataclass(frozen=True)
class TaskFacts:
    """All that the stages of a task are made from; `scripts` as SCRIPTS, `system` the one that its recipes train."""

    asked: Asked
    options: RunOptions
    corpus: Corpus
    choice: Choice
    flags: StageFlags
    passed: Mapping[str, Mapping[str, str]]
    system: str
    scripts: Mapping[str, str]

    @property
    def row_recipe(self) -> str:
        """The recipe's name in tables, with what tells runs of it apart, but for their seed, which results hold."""
        return self.choice.recipe_name + self._run_suffix("seed")

    def _run_suffix(self, *passed_over: str) -> str:
        languages = f"_{self.options.languages.replace(',', '_')}" if self.options.languages else ""
        precision = f"_{self.options.precision}" if self.options.precision else ""
        labels = f"_labels-{self.label_fraction or 1}" if self.options.label_fraction else ""
        passed = {name: value for name, value in self.passed.get("train", {}).items() if name not in passed_over}
        tuned = "".join(f"_{name.rpartition('.')[2]}-{in_names(value)}" for name, value in sorted(passed.items()))
        taught = f"_st{generation_of(self.options.teacher) + 1}" if self.options.teacher else ""
        return self.corpus.suffix + languages + labels + precision + tuned + taught

    @property
    def label_fraction(self) -> Optional[str]:
        """The share of the training transcripts that is used; None: all of them."""
        said = self.options.label_fraction or self.choice.section("filter").get("label_fraction", 1)
        return f"{float(said):g}" if float(said) != 1 else None

    @property
    def exp_dir(self) -> str:
        """The experiment folder."""
        name = f"{self.choice.feature_name}_{self.choice.recipe_name}{self._run_suffix()}"
        return self.options.exp_dir or f"exp/{name}"

    @property
    def results_dir(self) -> str:
        """Where the row goes: within the experiment if its figures are no results."""
        return self.options.results_dir or f"{self.exp_dir}/results"

    @property
    def features_dir(self) -> str:
        """Codes or features."""
        return f"{self.options.data_dir}/features/{self.choice.feature_name}{self.corpus.suffix}"

    def cuts(self, split: str) -> str:
        """The manifest of a split."""
        return f"{self.options.data_dir}/manifests/{self.corpus.corpus}_cuts_{split}.jsonl.gz"

    def extra(self, *stages: str) -> Tuple[str, ...]:
        """Lines of settings of the flags that run.sh passes on to these stages."""
        return tuple(
            f"{stage}.{flag.replace('-', '_')}={value}"
            for stage in stages
            for flag, value in sorted(self.passed.get(stage, {}).items())
        )

    def files_read(self, *stages: str) -> Tuple[str, ...]:
        """What the files hold that flags of these stages name: another file of the same name is read anew."""
        named = [(stage, *given) for stage in stages for given in sorted(self.passed.get(stage, {}).items())]
        files = [(flag, path) for stage, flag, path in named if self.flags.kind(stage, flag) == "path"]
        return tuple(f"read.{flag}={digest_of_file(path)}" for flag, path in files if Path(path).is_file())

    def command(self, stage: str, flags: Mapping[str, Optional[str]], output: str = "", announced: str = "") -> Command:
        """The command of a stage: its script with these flags (None: left out), and those that are passed on to it."""
        passed = self.passed.get(stage, {})
        for flag in set(passed) & set(flags) - set(_REPLACEABLE):
            raise ValueError(f"--{stage}.{flag} is what run.sh itself gives this stage; use run.sh's own options")
        given = [(flag, value) for flag, value in {**flags, **passed}.items() if value is not None]
        words = [word for flag, value in given for word in (f"--{flag}", value)]
        script = f"{self.asked.root}/local/{self.scripts[stage]}.py"
        return Command(("python", script, *words), announced, output)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Lines of settings of the corpus, the tokenizer, and codes or features."""

    data: Tuple[str, ...]
    tokenizer: Tuple[str, ...]
    features: Tuple[str, ...]

    @property
    def base(self) -> Tuple[str, ...]:
        """Those of the corpus, as later stages hold them."""
        return self.data or ("",)


def stage_flags(root: str, task: str, scripts: Mapping[str, str]) -> StageFlags:
    """The flags of a task's stages."""
    return StageFlags(Path(root) / "local" / FLAGS_FILE, task, scripts)


def typed_flags(flags: StageFlags, stage: str, given: Mapping[str, str]) -> Dict[str, Any]:
    """Values of flags of a stage as settings."""
    return {flag.replace("-", "_"): flags.check(stage, flag, value, flag) for flag, value in given.items()}


def file_digests(paths: Sequence[Path], old_words: Dict[str, str]) -> Tuple[str, ...]:
    """A line of settings for each file; `old_words` gets what markers of before said in its place."""
    lines = []
    for path, digest in digests_of(paths, [FEATURES]):
        lines.append(f"{path.name}={digest}")
        old_words[lines[-1]] = f"{path.name}={cksum(path.read_bytes())}"
    return tuple(lines)


def recipe_digest(facts: TaskFacts, old_words: Dict[str, str]) -> str:
    """A line of settings of the recipe; `old_words` as for `file_digests`."""
    said = {key: value for key, value in facts.choice.recipe.items() if key != "description"}
    line = f"recipe_digest={json_digest(said)}"
    old_words[line] = f"recipe_digest={cksum(f'{said}{chr(10)}'.encode())}"
    return line


def data_settings(facts: TaskFacts, old_words: Dict[str, str]) -> DataSettings:
    """Lines of settings of stages 1 to 3."""
    options, of = facts.options, facts.asked.settings_of
    data = of(facts.corpus.corpus_options.split())
    feature_files = file_digests([Path(path) for path in facts.choice.feature_files], old_words)
    tokenizer = (*(data or ("",)), *of(["seed"]), *feature_files, *facts.extra("fit"))
    features = (*tokenizer, *of(["speed_factors"]))
    features += of(["dtype"]) if options.dtype != "float32" else ()
    features += (*(of(["resample"]) if options.resample != "false" else ()), *facts.extra("extract"))
    return DataSettings(data, tokenizer, features)


def training_settings(facts: TaskFacts, old_words: Dict[str, str]) -> Tuple[str, ...]:
    """Lines of settings of stage 6 behind those of what it reads."""
    options, of = facts.options, facts.asked.settings_of
    lines = of(["max_duration", "num_epochs", "backend"])
    lines += of(["shar"]) if options.shar != "false" else ()
    lines += of(["precision"]) if options.precision else ()
    lines += of(["languages"]) if options.languages else ()
    lines += of(["label_fraction"]) if options.label_fraction else ()
    conditions = [layer[WHEN] for layer, _ in read_layers(Path(facts.choice.recipe_file)) if WHEN in layer]
    when = (f"when_digest={json_digest({WHEN: conditions})}",) if conditions else ()
    return (*lines, *when, recipe_digest(facts, old_words))


def score_settings(facts: TaskFacts, old_words: Dict[str, str]) -> Tuple[str, ...]:
    """Lines of settings of stage 8 behind those of what it reads."""
    return (*file_digests([path for path in (RULES,) if path.is_file()], old_words), *facts.extra("score"))


def data_stages(facts: TaskFacts, settings: DataSettings, required_facts: str = "") -> List[Stage]:
    """Stages 2 to 4. `required_facts` is what each cut must have, by commas; empty: a text."""
    options, corpus, name, folder = facts.options, facts.corpus, facts.choice.feature_name, facts.features_dir
    source = {"feature-type": options.feature_type, "conf-dir": str(FEATURES)}
    of_all = {"train-split": corpus.train_split, "out-dir": folder, "seed": options.seed, "device": options.device}
    fit = facts.command("fit", {**source, "cuts": facts.cuts(corpus.fitted_split), **of_all, "nj": options.nj})
    check = {"feature-dir": folder, "splits": ",".join(corpus.splits), "train-split": corpus.train_split}
    check.update({"facts": required_facts} if required_facts else {})
    cuts = tuple(f"{folder}/{split}.jsonl.gz" for split in corpus.splits)
    report, made = (f"{folder}/report.txt",), split_files(folder, corpus.splits)
    extracts = tuple(_extraction(facts, split, source) for split in corpus.splits)
    checks = (facts.command("check", check),)
    checked = (*settings.features, *facts.extra("check"))
    titles = (f"tokenizer of {name}", f"extraction of {name}", f"check of {folder}")
    return [
        Stage(2, titles[0], f"{folder}/.done-2", settings.tokenizer, (), (fit,), (1,), (folder,)),
        Stage(3, titles[1], f"{folder}/.done-3", settings.features, cuts, extracts, (1, 2), made),
        Stage(4, titles[2], f"{folder}/.done-4", checked, report, checks, (3,)),
    ]


def _extraction(facts: TaskFacts, split: str, source: Mapping[str, str]) -> Command:
    options = facts.options
    factors = options.speed_factors if split == facts.corpus.train_split else "1.0"
    flags = {**source, "cuts": facts.cuts(split), "split": split, "out-dir": facts.features_dir}
    flags.update({"speed-factors": factors, "nj": options.nj, "seed": options.seed})
    flags.update(device=options.device, dtype=options.dtype, resample=options.resample)
    return facts.command("extract", flags, announced=f"Stage 3: {split}")


def split_files(folder: str, splits: List[str]) -> Tuple[str, ...]:
    """All files that extraction has made for some splits."""
    patterns = [f"{prefix}{glob.escape(split)}.*" for split in splits for prefix in ("", ".", "extract-", "dropped-")]
    return tuple(path for pattern in patterns for path in sorted(glob.glob(f"{glob.escape(folder)}/{pattern}")))


def training_stage(
    facts: TaskFacts, settings: Tuple[str, ...], lang_dir: Optional[str], reads: Tuple[int, ...]
) -> Tuple[Stage, Tuple[str, ...]]:
    """Stage 6, and what is to be said about it; `lang_dir` holds text pieces, None: there are none."""
    options, corpus = facts.options, facts.corpus
    flags: Dict[str, Optional[str]] = {"recipe-config": facts.choice.recipe_file, "feature-dir": facts.features_dir}
    flags.update({"lang-dir": lang_dir, "train-split": corpus.train_split, "exp-dir": facts.exp_dir})
    flags.update({"valid-split": corpus.dev_splits.split()[0], "backend": options.backend, "seed": options.seed})
    flags.update({"world-size": options.world_size or None, "max-duration": options.max_duration or None})
    flags.update({"num-epochs": options.num_epochs or None, "precision": options.precision or None})
    commands, notices = [], []
    if options.shar == "true":
        shar_dir = f"{options.data_dir}/shar{corpus.suffix}"
        export = {"feature-dir": facts.features_dir, "splits": corpus.train_split, "shar-dir": shar_dir}
        commands.append(facts.command("shar", {**export, "seed": options.seed}))
        flags["shar-dir"] = shar_dir
        epochs = facts.choice.section("loader").get("curriculum_epochs", 0)
        if epochs and "curriculum-epochs" not in facts.passed.get("train", {}):
            flags["curriculum-epochs"] = "0"
            notices.append(
                f"The curriculum of recipe {facts.choice.recipe_name} (curriculum_epochs {epochs}) is left out: Shar "
                "is read in sequence, not sorted by duration"
            )
    flags.update({"languages": options.languages or None, "label-fraction": options.label_fraction or None})
    commands.append(facts.command("train", flags))
    exp_dir = facts.exp_dir
    title, marker = f"training of {exp_dir}", f"{exp_dir}/.done-6"
    return Stage(6, title, marker, settings, (), tuple(commands), reads), tuple(notices)


def scoring_stage(facts: TaskFacts, title: str, method: str, search_name: str, settings: Tuple[str, ...]) -> Stage:
    """Stage 8: figures of what was decoded with `method`, and RESULTS.md."""
    exp_dir = facts.exp_dir
    scores = f"{exp_dir}/{method}/scores.txt"
    rules = str(RULES) if RULES.is_file() else None
    flags: Dict[str, Optional[str]] = {"exp-dir": exp_dir, "decoding-method": method}
    flags.update(recipe=facts.row_recipe)
    flags.update({"search-name": search_name or None, "results-dir": facts.results_dir, "scoring-rules": rules})
    flags["settings-digest"] = json_digest(list(settings))
    score = facts.command("score", {**flags, "run-command": shlex.join(facts.asked.command)}, output=scores)
    marker = f"{exp_dir}/.done-8-{method}"
    return Stage(8, title, marker, settings, (scores,), (score, page_of_results(facts)), (7,))


def shell_names(facts: TaskFacts) -> Dict[str, str]:
    """What run.sh wants to know for stages of its own."""
    return {
        "exp_dir": facts.exp_dir,
        "results_dir": facts.results_dir,
        "features_dir": facts.features_dir,
        "feature_name": facts.choice.feature_name,
        "recipe_config": facts.choice.recipe_file,
        "recipe_name": facts.choice.recipe_name,
        "recipe_digest": recipe_digest(facts, {}).partition("=")[2],
        "suffix": facts.corpus.suffix,
    }


def page_of_results(facts: TaskFacts) -> Command:
    """The command that makes RESULTS.md of all rows."""
    corpus, published = facts.corpus, ["--published", str(PUBLISHED)] if PUBLISHED.is_file() else []
    page = ["--results-dir", facts.results_dir, "--output", str(Path(facts.results_dir).parent / "RESULTS.md")]
    page += ["--title", corpus.title, "--test-split", ",".join(corpus.test_splits.split())]
    page += ["--dev-split", ",".join(corpus.dev_splits.split()), *published]
    return Command(("python", f"{facts.asked.root}/tools/make_results.py", *page))
