"""The stages of speech recognition: tokenizer, codes, check, pieces, training, decoding, error rates.

The settings of a stage contain those of the stages before it, and its marker holds them, so that their lines and their
order are kept: what was done is known by them.
"""

import dataclasses
import glob
import shlex
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from icefall_discrete.base.names import did_you_mean
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.settings_digest import canonical_json, digests_of, json_digest
from icefall_discrete.decoding.methods import DEFAULT_SEARCH, METHODS, find_method, known_methods
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.environment_choice import has_k2
from icefall_discrete.experiment.folder_options import require_folder
from icefall_discrete.experiment.plan import Command, Plan, Stage
from icefall_discrete.experiment.run_options import FEATURES, Asked, Choice, Corpus, RunOptions, choose, first_stages
from icefall_discrete.experiment.stage_flags import FLAGS_FILE, StageFlags, dashed
from icefall_discrete.experiment.stage_notes import cksum
from icefall_discrete.training.train_config import TrainConfig

SYSTEM = "asr"
# Of each name that stands before the point of a flag, --train.base-lr, the script in local/ that takes it.
SCRIPTS: Dict[str, str] = {
    "fit": "fit_tokenizer",
    "extract": "extract_codes",
    "check": "check_cuts",
    "bpe": "train_bpe",
    "shar": "export_shar",
    "train": "train",
    "graphs": "compile_graphs",
    "lm": "train_lm",
    "decode": "decode",
    "score": "score",
}
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("model", "loader", "filter", "augment", "loss", "train"), "train"),
    "bpe": "bpe",
    "average": "decode",
    "decode": "decode",
}
NOT_SECTIONS = ("system", "model_size", "description")
# Options of run.sh that are handed to a stage as they are, as its flag.
_OPTIONS = {
    "dtype": ("extract", "dtype"),
    "nj": ("extract", "nj"),
    "backend": ("train", "backend"),
    "world_size": ("train", "world-size"),
    "max_duration": ("train", "max-duration"),
    "num_epochs": ("train", "num-epochs"),
    "precision": ("train", "precision"),
    "vocab_size": ("bpe", "vocab-size"),
    "lm": ("lm", "lm-type"),
    "lm_scale": ("decode", "lm-scale"),
}
# Flags that run.sh gives a stage and that one may give otherwise, by --<stage>.<flag>.
_REPLACEABLE = ("seed", "device", "nj", "ngram-order", "max-duration", "backend")
_LM_ORDER = "4"


@dataclasses.dataclass(frozen=True)
class _Facts:
    """All that the stages are made from."""

    asked: Asked
    options: RunOptions
    corpus: Corpus
    choice: Choice
    flags: StageFlags
    passed: Mapping[str, Mapping[str, str]]
    decode: DecodeConfig

    @property
    def method(self) -> str:
        """The search."""
        return self.decode.decoding_method

    @property
    def own_method(self) -> str:
        """The search of the recipe, which another one may be asked for instead of."""
        return self.choice.section("decode").get("decoding_method", DEFAULT_SEARCH)

    @property
    def run_suffix(self) -> str:
        """What tells runs of one recipe apart, in the names of folders and rows."""
        languages = f"_{self.options.languages.replace(',', '_')}" if self.options.languages else ""
        return self.corpus.suffix + languages + (f"_{self.options.precision}" if self.options.precision else "")

    @property
    def exp_dir(self) -> str:
        """The experiment folder."""
        name = f"{self.choice.feature_name}_{self.choice.recipe_name}{self.run_suffix}"
        return self.options.exp_dir or f"exp/{name}"

    @property
    def results_dir(self) -> str:
        """Where the row goes: within the experiment if its figures are no results."""
        return self.options.results_dir or f"{self.exp_dir}/results"

    @property
    def features_dir(self) -> str:
        """Codes or features."""
        return f"{self.options.data_dir}/features/{self.choice.feature_name}{self.corpus.suffix}"

    @property
    def vocab_size(self) -> str:
        """Pieces of text."""
        said = self.choice.section("bpe").get("vocab_size", self.flags.default("bpe", "vocab-size"))
        return self.options.vocab_size or str(said)

    @property
    def lang_dir(self) -> str:
        """The text pieces."""
        bpe = self.choice.section("bpe")
        pieces = bpe.get("piece_type", self.flags.default("bpe", "piece-type"))
        kind = "char" if pieces == "char" else f"bpe_{self.vocab_size}"
        kinds = "".join(f"_{key}" for key in ("language_token", "by_language") if bpe.get(key))
        languages = f"_{self.options.languages.replace(',', '_')}" if self.options.languages else ""
        return f"{self.options.data_dir}/lang_{kind}{self.corpus.suffix}{kinds}{languages}"

    @property
    def search_name(self) -> str:
        """What sets the search apart from the recipe's own; empty: nothing."""
        extra = self.passed.get("decode", {})
        if self.method == self.own_method and not self.options.lm and not extra:
            return ""
        parts = [self.method, self.options.lm, self.options.lm and self.options.lm_scale]
        parts += [f"{flag}-{Path(value).stem if '/' in value else value}" for flag, value in sorted(extra.items())]
        return "_".join(part for part in parts if part)

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

    def command(self, stage: str, flags: Mapping[str, Optional[str]], output: str = "", announced: str = "") -> Command:
        """The command of a stage: its script with these flags (None: left out), and those that are passed on to it."""
        passed = self.passed.get(stage, {})
        for flag in set(passed) & set(flags) - set(_REPLACEABLE):
            raise ValueError(f"--{stage}.{flag} is what run.sh itself gives this stage; use run.sh's own options")
        given = [(flag, value) for flag, value in {**flags, **passed}.items() if value is not None]
        words = [word for flag, value in given for word in (f"--{flag}", value)]
        script = f"{self.asked.root}/local/{SCRIPTS[stage]}.py"
        return Command(("python", script, *words), announced, output)


@dataclasses.dataclass(frozen=True)
class _Settings:
    """Lines of settings of each stage; each contains those of the stages before it that it depends on."""

    data: Tuple[str, ...]
    tokenizer: Tuple[str, ...]
    features: Tuple[str, ...]
    text: Tuple[str, ...]
    train: Tuple[str, ...]
    decode: Tuple[str, ...]
    score: Tuple[str, ...]


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    options, corpus = asked.read(RunOptions), asked.read(Corpus)
    choice = choose(options)
    facts = _facts(asked, options, corpus, choice)
    _check(facts)
    old_words: Dict[str, str] = {}
    settings = _settings(facts, old_words)
    stages = [*first_stages(asked, corpus, settings.data), *_data_stages(facts, settings)]
    train, notices = _training(facts, settings)
    stages += [train, _decoding(facts, settings), _scoring(facts, settings)]
    scores = stages[-1].outputs[0] if asked.range.last >= stages[-1].number else ""
    needs = facts.method if METHODS[facts.method].without_k2 else ""
    needs = needs if stages[-2].number in asked.range else ""
    return Plan(tuple(stages), _names(facts, settings), notices, old_words, needs, scores)


def _facts(asked: Asked, options: RunOptions, corpus: Corpus, choice: Choice) -> _Facts:
    flags = StageFlags(Path(asked.root) / "local" / FLAGS_FILE, SYSTEM, SCRIPTS)
    for option, (stage, flag) in _OPTIONS.items():
        value = getattr(options, option)
        if value:
            flags.check(stage, flag, value, dashed(option))
    method = options.decoding_method or choice.section("decode").get("decoding_method", DEFAULT_SEARCH)
    needs_graph = find_method(method).needs_graph
    absent = {"lm": not options.lm, "graphs": not needs_graph, "shar": options.shar != "true"}
    present = [stage for stage in SCRIPTS if not absent.get(stage)]
    passed = flags.assign(asked.flags, present, list(asked.values))
    given = {"decoding_method": method, **_typed(flags, "decode", passed.get("decode", {}))}
    if options.lm_scale:
        given["lm_scale"] = float(options.lm_scale)
    values = {**choice.whole_numbers("decode"), **given}
    names = {field.name for field in dataclasses.fields(DecodeConfig)}
    for key in set(choice.section("decode")) - names:
        flags.check_section("decode", "decode", [key], choice.recipe_file)
    decode = from_dict(DecodeConfig, {key: value for key, value in values.items() if key in names}, choice.recipe_file)
    return _Facts(asked, options, corpus, choice, flags, passed, decode)


def _typed(flags: StageFlags, stage: str, given: Mapping[str, str]) -> Dict[str, Any]:
    return {flag.replace("-", "_"): flags.typed(stage, flag, value) for flag, value in given.items()}


def _check(facts: _Facts) -> None:
    """Raise ValueError for what no stage would accept."""
    facts.asked.range.check(facts.asked.last_stage)
    _check_recipe(facts)
    _check_search(facts)
    known = facts.corpus.known_languages.split()
    for language in facts.options.languages.split(",") if facts.options.languages and known else ():
        if language not in known:
            hint = did_you_mean(language, known)
            raise ValueError(f"--languages has '{language}'; known: {', '.join(known)}; {hint}".rstrip("; "))
    last = facts.asked.range.last
    for option, path, first in (("data-dir", facts.options.data_dir, 1), ("exp-dir", facts.exp_dir, 6)):
        if last >= first:
            require_folder(option, path)


def _check_recipe(facts: _Facts) -> None:
    choice = facts.choice
    if choice.recipe.get("system", SYSTEM) != SYSTEM:
        raise ValueError(
            f"{choice.recipe_file} is a recipe of system {choice.recipe['system']}; these stages are of {SYSTEM}"
        )
    for name in set(choice.recipe) - {*SECTIONS, *NOT_SECTIONS}:
        known = ", ".join((*SECTIONS, *NOT_SECTIONS))
        raise ValueError(f"{choice.recipe_file}: unknown section {name}; known: {known}")
    for section, stage in SECTIONS.items():
        facts.flags.check_section(stage, section, choice.section(section), choice.recipe_file)
    given = _typed(facts.flags, "train", facts.passed.get("train", {}))
    if facts.options.num_epochs:
        given["num_epochs"] = int(facts.options.num_epochs)
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    values = {**choice.whole_numbers("train"), **given}
    from_dict(TrainConfig, {key: value for key, value in values.items() if key in names}, choice.recipe_file)


def _check_search(facts: _Facts) -> None:
    method = METHODS[facts.method]
    wanted = [name for name in ("lm", "lodr", "context_file") if getattr(facts.decode, name)]
    wanted += ["lm"] if facts.options.lm else []
    if wanted and not method.takes_scorer:
        takers = ", ".join(name for name in known_methods() if METHODS[name].takes_scorer)
        raise ValueError(f"--{dashed(wanted[0])} cannot be used with {facts.method}; it can with {takers}")
    phrases = facts.decode.context_file
    if phrases and not Path(phrases).is_file():
        raise ValueError(f"--context-file {phrases} does not exist; paths are relative to the recipe's folder")
    with_k2 = has_k2(Path(facts.asked.root), facts.options.env)
    if method.without_k2 and with_k2 is False and facts.asked.range.last >= 7:
        raise ValueError(
            f"{facts.method} needs k2, which this environment does not have; use --env k2 (Linux on x86-64, Python "
            f"3.10), or {method.without_k2}"
        )
    if facts.options.backend == "k2" and with_k2 is False and facts.asked.range.last >= 6:
        raise ValueError("--backend k2, but this environment does not have k2; use --env k2, or --backend torch")


def _settings(facts: _Facts, old_words: Dict[str, str]) -> _Settings:
    """The lines of all stages; `old_words` gets what markers of before said in their place."""
    options, of = facts.options, facts.asked.settings_of
    data = of(facts.corpus.corpus_options.split())
    base = data or ("",)
    languages = of(["languages"]) if options.languages else ()
    feature_files = _digests([Path(path) for path in facts.choice.feature_files], old_words)
    tokenizer = (*base, *of(["seed"]), *feature_files, *facts.extra("fit"))
    features = (*tokenizer, *of(["speed_factors"]))
    features += of(["dtype"]) if options.dtype != "float32" else ()
    features += (*(of(["resample"]) if options.resample != "false" else ()), *facts.extra("extract"))
    vocab_size = f"vocab_size={facts.vocab_size}"
    text = (*base, vocab_size, *languages, *_further_text(facts, old_words), *facts.extra("bpe"))
    train = (*features, vocab_size, *of(["max_duration", "num_epochs", "backend"]))
    train += of(["shar"]) if options.shar != "false" else ()
    train += (*(of(["precision"]) if options.precision else ()), *languages, _recipe_digest(facts, old_words))
    train += facts.extra("bpe", "shar", "train")
    decode = (*train, f"decoding_method={facts.method}", *of(["lm", "lm_scale"]))
    decode += facts.extra("graphs", "lm", "decode")
    rules = [path for path in (Path("conf/scoring.json"),) if path.is_file()]
    score = (*decode, *_digests(rules, old_words), *facts.extra("score"))
    return _Settings(data, tokenizer, features, text, train, decode, score)


def _digests(paths: List[Path], old_words: Dict[str, str]) -> Tuple[str, ...]:
    lines = []
    for path, digest in digests_of(paths, [FEATURES]):
        lines.append(f"{path.name}={digest}")
        old_words[lines[-1]] = f"{path.name}={cksum(path.read_bytes())}"
    return tuple(lines)


def _further_text(facts: _Facts, old_words: Dict[str, str]) -> Tuple[str, ...]:
    languages = facts.choice.section("filter").get("languages", [])
    said = [*facts.choice.section("bpe").items(), ("languages", languages)]
    text = {key: value for key, value in said if value and key != "vocab_size"}
    if not text:
        return ()
    line = f"further_text_settings={canonical_json(text)}"
    old_words[line] = f"further_text_settings={text}"
    return (line,)


def _recipe_digest(facts: _Facts, old_words: Dict[str, str]) -> str:
    said = {key: value for key, value in facts.choice.recipe.items() if key != "description"}
    line = f"recipe_digest={json_digest(said)}"
    old_words[line] = f"recipe_digest={cksum(f'{said}{chr(10)}'.encode())}"
    return line


def _data_stages(facts: _Facts, settings: _Settings) -> List[Stage]:
    options, corpus, name, folder = facts.options, facts.corpus, facts.choice.feature_name, facts.features_dir
    source = {"feature-type": options.feature_type, "conf-dir": str(FEATURES)}
    train = facts.cuts(corpus.train_split)
    of_all = {"train-split": corpus.train_split, "out-dir": folder, "seed": options.seed, "device": options.device}
    fit = facts.command("fit", {**source, "cuts": train, **of_all})
    languages = options.languages or None
    bpe: Dict[str, Optional[str]] = {"cuts": train, "vocab-size": facts.vocab_size, "lang-dir": facts.lang_dir}
    bpe.update({"recipe-config": facts.choice.recipe_file, "languages": languages})
    is_char = facts.lang_dir.startswith(f"{options.data_dir}/lang_char")
    pieces = "pieces that are characters" if is_char else f"BPE model of {facts.vocab_size} pieces"
    check = {"feature-dir": folder, "splits": ",".join(corpus.splits), "train-split": corpus.train_split}
    cuts = tuple(f"{folder}/{split}.jsonl.gz" for split in corpus.splits)
    report, model, lang = (f"{folder}/report.txt",), (f"{facts.lang_dir}/bpe.model",), facts.lang_dir
    made = _stale(folder, corpus.splits)
    extracts = tuple(_extraction(facts, split, source) for split in corpus.splits)
    checks = (facts.command("check", check),)
    checked = (*settings.features, *facts.extra("check"))
    titles = (f"tokenizer of {name}", f"extraction of {name}", f"check of {folder}")
    return [
        Stage(2, titles[0], f"{folder}/.done-2", settings.tokenizer, (), (fit,), (1,), (folder,)),
        Stage(3, titles[1], f"{folder}/.done-3", settings.features, cuts, extracts, (1, 2), made),
        Stage(4, titles[2], f"{folder}/.done-4", checked, report, checks, (3,)),
        Stage(5, pieces, f"{lang}/.done-5", settings.text, model, (facts.command("bpe", bpe),), (1,), (lang,)),
    ]


def _extraction(facts: _Facts, split: str, source: Mapping[str, str]) -> Command:
    options = facts.options
    factors = options.speed_factors if split == facts.corpus.train_split else "1.0"
    flags = {**source, "cuts": facts.cuts(split), "split": split, "out-dir": facts.features_dir}
    flags.update({"speed-factors": factors, "nj": options.nj, "seed": options.seed})
    flags.update(device=options.device, dtype=options.dtype, resample=options.resample)
    return facts.command("extract", flags, announced=f"Stage 3: {split}")


def _stale(folder: str, splits: List[str]) -> Tuple[str, ...]:
    patterns = [f"{prefix}{glob.escape(split)}.*" for split in splits for prefix in ("", ".", "extract-", "dropped-")]
    return tuple(path for pattern in patterns for path in sorted(glob.glob(f"{glob.escape(folder)}/{pattern}")))


def _training(facts: _Facts, settings: _Settings) -> Tuple[Stage, Tuple[str, ...]]:
    """Stage 6, and what is to be said about it."""
    options, corpus = facts.options, facts.corpus
    flags: Dict[str, Optional[str]] = {"recipe-config": facts.choice.recipe_file, "feature-dir": facts.features_dir}
    flags.update({"lang-dir": facts.lang_dir, "train-split": corpus.train_split, "exp-dir": facts.exp_dir})
    flags.update({"valid-split": corpus.dev_splits.split()[0], "backend": options.backend, "seed": options.seed})
    flags.update({"world-size": options.world_size, "max-duration": options.max_duration or None})
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
    flags["languages"] = options.languages or None
    commands.append(facts.command("train", flags))
    exp_dir = facts.exp_dir
    title, marker = f"training of {exp_dir}", f"{exp_dir}/.done-6"
    return Stage(6, title, marker, settings.train, (), tuple(commands), (3, 5)), tuple(notices)


def _decoding(facts: _Facts, settings: _Settings) -> Stage:
    options, lang_dir = facts.options, facts.lang_dir
    cuts, languages = facts.cuts(facts.corpus.train_split), options.languages or None
    flags: Dict[str, Optional[str]] = {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}
    flags.update({"splits": ",".join(facts.corpus.scored_splits), "recipe-config": facts.choice.recipe_file})
    flags.update({"decoding-method": facts.method, "lm-scale": options.lm_scale or None})
    commands = []
    if METHODS[facts.method].needs_graph:
        graphs = {"cuts": cuts, "lang-dir": lang_dir, "graph-dir": f"{lang_dir}/graphs", "languages": languages}
        commands.append(facts.command("graphs", graphs))
        flags["graph-dir"] = f"{lang_dir}/graphs"
    if options.lm:
        dev = facts.cuts(facts.corpus.dev_splits.split()[0])
        flags["lm"] = f"{lang_dir}/lm_{options.lm}"
        lm: Dict[str, Optional[str]] = {"cuts": cuts, "dev-cuts": dev, "lang-dir": lang_dir, "lm-dir": flags["lm"]}
        lm.update({"lm-type": options.lm, "ngram-order": _LM_ORDER, "languages": languages})
        commands.append(facts.command("lm", lm))
    commands.append(facts.command("decode", flags))
    marker = f"{facts.exp_dir}/.done-7-{facts.method}"
    return Stage(7, f"decoding with {facts.method}", marker, settings.decode, (), tuple(commands), (3, 5, 6))


def _scoring(facts: _Facts, settings: _Settings) -> Stage:
    corpus, exp_dir = facts.corpus, facts.exp_dir
    scores = f"{exp_dir}/{facts.method}/scores.txt"
    rules, published = (path if Path(path).is_file() else None for path in ("conf/scoring.json", "conf/published.json"))
    flags: Dict[str, Optional[str]] = {"exp-dir": exp_dir, "decoding-method": facts.method}
    flags.update(recipe=facts.choice.recipe_name + facts.run_suffix)
    flags.update({"search-name": facts.search_name or None, "results-dir": facts.results_dir, "scoring-rules": rules})
    score = facts.command("score", {**flags, "run-command": shlex.join(facts.asked.command)}, output=scores)
    page = ["--results-dir", facts.results_dir, "--output", str(Path(facts.results_dir).parent / "RESULTS.md")]
    page += ["--title", corpus.title, "--test-split", ",".join(corpus.test_splits.split())]
    page += ["--dev-split", ",".join(corpus.dev_splits.split()), *(["--published", published] if published else [])]
    results = Command(("python", f"{facts.asked.root}/tools/make_results.py", *page))
    marker = f"{exp_dir}/.done-8-{facts.method}"
    return Stage(8, "error rates", marker, settings.score, (scores,), (score, results), (7,))


def _names(facts: _Facts, settings: _Settings) -> Dict[str, str]:
    """What run.sh wants to know for stages of its own."""
    return {
        "exp_dir": facts.exp_dir,
        "results_dir": facts.results_dir,
        "features_dir": facts.features_dir,
        "feature_name": facts.choice.feature_name,
        "recipe_config": facts.choice.recipe_file,
        "recipe_name": facts.choice.recipe_name,
        "recipe_digest": _recipe_digest(facts, {}).partition("=")[2],
        "decoding_method": facts.method,
        "search_name": facts.search_name,
        "suffix": facts.corpus.suffix,
        "decode_settings": "\n".join(settings.decode),
    }
