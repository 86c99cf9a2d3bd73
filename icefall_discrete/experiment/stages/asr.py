"""The stages of speech recognition: tokenizer, codes, check, pieces, training, decoding, error rates."""

import dataclasses
from pathlib import Path
from typing import Dict, Optional, Tuple

from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.names import names_in
from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.settings_digest import canonical_json
from icefall_discrete.decoding.methods import (
    DEFAULT_SEARCH,
    HEAD_SCALES,
    METHODS,
    find_method,
    known_methods,
    require_used,
)
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment import feature_stages
from icefall_discrete.experiment.environment_choice import has_k2
from icefall_discrete.experiment.feature_stages import (
    DataSettings,
    TaskFacts,
    data_settings,
    data_stages,
    file_in_names,
    in_names,
    score_settings,
    scoring_stage,
    shell_names,
    stage_flags,
    training_settings,
    training_stage,
    typed_flags,
)
from icefall_discrete.experiment.plan import Plan, Stage
from icefall_discrete.experiment.request_check import TRAINING, check_choice, check_options, check_request
from icefall_discrete.experiment.run_options import Asked, Choice, Corpus, RunOptions, choose, first_stages
from icefall_discrete.experiment.stage_flags import dashed
from icefall_discrete.text.piece_sizes import check_size

SYSTEM = "asr"
PSEUDO = "pseudo"
SCRIPTS: Dict[str, str] = {
    **feature_stages.SCRIPTS,
    "bpe": "train_bpe",
    "graphs": "compile_graphs",
    "lm": "train_lm",
    PSEUDO: "pseudo_label",
}
# Sections of a recipe file, and the stage that reads each.
SECTIONS: Dict[str, str] = {
    **dict.fromkeys(("model", "loader", "filter", "augment", "loss", "train", "init", "own_labels"), "train"),
    "bpe": "bpe",
    "average": "decode",
    "decode": "decode",
}
_OPTIONS = {
    **feature_stages.OPTIONS,
    "vocab_size": ("bpe", "vocab-size"),
    "lm": ("lm", "lm-type"),
    "lm_scale": ("decode", "lm-scale"),
}
# Of pieces, of which a word of a small recipe has three or four: perplexities go on falling to six and beyond.
_LM_ORDER = "6"


@dataclasses.dataclass(frozen=True)
class _Facts(TaskFacts):
    """All that the stages are made from."""

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
        labels = f"_labels-{self.label_fraction}" if self.label_fraction else ""
        return f"{self.options.data_dir}/lang_{kind}{self.corpus.suffix}{kinds}{languages}{labels}"

    @property
    def search_name(self) -> str:
        """What sets the search apart from the recipe's own; empty: nothing."""
        extra = self.passed.get("decode", {})
        if self.method == self.own_method and not self.options.lm and not extra and not self.options.lm_text:
            return ""
        parts = [self.method, self.options.lm, self.options.lm and self.options.lm_scale, self.lm_text_name]
        parts += [f"{flag}-{self._in_names(flag, value)}" for flag, value in sorted(extra.items())]
        return "_".join(part for part in parts if part)

    def _in_names(self, flag: str, value: str) -> str:
        kind = self.flags.kind("decode", flag)
        return file_in_names(value) if kind == "path" else in_names(value) if kind == "text" else value

    @property
    def lm_order(self) -> str:
        """Longest n-grams of the search's language model."""
        return self.passed.get("lm", {}).get("ngram-order", _LM_ORDER)

    @property
    def lm_name(self) -> str:
        """What the folder of the search's language model is called."""
        kind = f"{self.lm_order}gram" if self.options.lm == "ngram" else self.options.lm
        return "_".join(part for part in ("lm", kind, self.lm_text_name) if part)

    @property
    def lm_text_name(self) -> str:
        """What folders and figures call the text beyond the transcripts; empty: there is none."""
        return file_in_names(self.options.lm_text, f"{self.options.data_dir}/text")


@dataclasses.dataclass(frozen=True)
class _Settings:
    """Lines of settings of each stage; each contains those of the stages before it that it depends on."""

    data: DataSettings
    text: Tuple[str, ...]
    train: Tuple[str, ...]
    decode: Tuple[str, ...]
    score: Tuple[str, ...]


def plan(asked: Asked) -> Plan:
    """What run.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    options, corpus = asked.read(RunOptions), asked.read(Corpus)
    choice = choose(options)
    facts = _facts(asked, options, corpus, choice)
    warnings = check_request(facts)
    _check_pieces(facts)
    _check_search(facts)
    _check_heads(facts)
    old_words: Dict[str, str] = {}
    settings = _settings(facts, old_words)
    stages = [*first_stages(asked, corpus, settings.data.data), *data_stages(facts, settings.data)]
    train, notices = training_stage(facts, settings.train, facts.lang_dir, (3, 5))
    stages += [_pieces(facts, settings), _taught(facts, train), _decoding(facts, settings)]
    stages.append(scoring_stage(facts, "error rates", facts.method, facts.search_name, settings.score))
    scores = stages[-1].outputs[0] if asked.range.last >= stages[-1].number else ""
    needs = facts.method if METHODS[facts.method].without_k2 else ""
    needs = needs if stages[-2].number in asked.range else ""
    return Plan(tuple(stages), _names(facts, settings), (*warnings, *notices), old_words, needs, scores)


def _facts(asked: Asked, options: RunOptions, corpus: Corpus, choice: Choice) -> _Facts:
    flags = stage_flags(asked.root, SYSTEM, SCRIPTS)
    check_options(flags, options, _OPTIONS)
    method = options.decoding_method or choice.section("decode").get("decoding_method", DEFAULT_SEARCH)
    needs_graph = find_method(method).needs_graph
    absent = {
        "lm": not options.lm,
        "graphs": not needs_graph,
        "shar": options.shar != "true",
        PSEUDO: not options.teacher,
    }
    present = [stage for stage in SCRIPTS if not absent.get(stage)]
    passed = flags.assign(asked.flags, present, list(asked.values))
    check_choice(choice, flags, SYSTEM, SECTIONS, passed.get("train", {}))
    require_used(method, (flag.replace("-", "_") for flag in passed.get("decode", {})))
    given = {"decoding_method": method, **typed_flags(flags, "decode", passed.get("decode", {}))}
    if options.lm_scale:
        given["lm_scale"] = float(options.lm_scale)
    values = {**choice.whole_numbers("decode"), **given}
    names = {field.name for field in dataclasses.fields(DecodeConfig)}
    decode = from_dict(DecodeConfig, {key: value for key, value in values.items() if key in names}, choice.recipe_file)
    return _Facts(asked, options, corpus, choice, flags, passed, SYSTEM, SCRIPTS, decode)


def _check_pieces(facts: _Facts) -> None:
    bpe = facts.choice.section("bpe")
    said = facts.passed.get("bpe", {}).get("piece-type", bpe.get("piece_type"))
    try:
        check_size(int(facts.vocab_size), said or facts.flags.default("bpe", "piece-type"))
    except ValueError as error:
        where = "--vocab-size: " if facts.options.vocab_size else f"{facts.choice.recipe_file}: "
        raise ValueError(f"{where}{error}") from None


def _check_search(facts: _Facts) -> None:
    method = METHODS[facts.method]
    wanted = [name for name in ("lm", "lodr", "context_file") if getattr(facts.decode, name)]
    wanted += ["lm"] if facts.options.lm else []
    if facts.options.lm_scale and not (facts.options.lm or facts.decode.lm):
        raise ValueError("--lm-scale is the weight of a language model, and none is asked for; give --lm too")
    if facts.options.lm_text and not (facts.options.lm or method.needs_graph):
        raise ValueError(
            "--lm-text is text for a language model or a graph, and none is asked for; give --lm ngram too"
        )
    if facts.options.lm_text and not Path(facts.options.lm_text).is_file():
        raise ValueError(
            f"--lm-text {facts.options.lm_text} does not exist; paths are relative to the recipe's folder, and "
            "local/fetch_help_text.py fetches such text"
        )
    of_languages = [name for name in ("language_token", "by_language") if facts.choice.section("bpe").get(name)]
    if facts.options.lm_text and of_languages:
        raise ValueError(
            f"--lm-text {facts.options.lm_text} says no languages, but the pieces need them, as {of_languages[0]} of "
            f"{facts.choice.recipe_file} has it; leave it away"
        )
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


def _check_heads(facts: _Facts) -> None:
    """Raise ValueError if the search asks a head that the losses of the recipe do not train."""
    weight, given = facts.decode.ctc_weight, facts.passed.get("train", {})
    losses, where = facts.choice.section("loss"), facts.choice.recipe_file
    trained_before = Path(facts.exp_dir) / "config.json"
    if TRAINING not in facts.asked.range and trained_before.is_file():
        losses, where, given = read_object(trained_before).get("loss", {}), str(trained_before), {}
    scales = {
        head: float(given.get(dashed(name), losses.get(name, facts.flags.default("train", dashed(name)))))
        for head, name in HEAD_SCALES.items()
    }
    absent = [head for head in METHODS[facts.method].heads_asked(weight) if scales[head] == 0.0]
    if not absent or facts.asked.range.last < 7:
        return
    others = [name for name in known_methods() if all(scales[head] for head in METHODS[name].heads_asked(weight))]
    scale = dashed(HEAD_SCALES[absent[0]])
    raise ValueError(
        f"{facts.method} needs a model with the {absent[0].replace('_', ' ')} head, and {HEAD_SCALES[absent[0]]} is 0 "
        f"{'by a flag' if scale in given else f'in {where}'}; train with --{scale} above 0, or give another "
        f"--decoding-method: {', '.join(others) or 'there is none for these losses'}"
    )


def _settings(facts: _Facts, old_words: Dict[str, str]) -> _Settings:
    """The lines of all stages; `old_words` gets what markers of before said in their place."""
    options, of, data = facts.options, facts.asked.settings_of, data_settings(facts, old_words)
    languages = of(["languages"]) if options.languages else ()
    vocab_size = f"vocab_size={facts.vocab_size}"
    labels = (f"label_fraction={facts.label_fraction}",) if facts.label_fraction else ()
    text = (*data.base, vocab_size, *languages, *labels, *_further_text(facts, old_words), *facts.extra("bpe"))
    train = (*data.features, vocab_size, *training_settings(facts, old_words))
    train += (*facts.extra("bpe", "shar", "train"), *facts.files_read("train"))
    train += (*of(["teacher"]), *facts.extra(PSEUDO)) if options.teacher else ()
    decode = (*train, f"decoding_method={facts.method}", *of(["lm", "lm_scale"]), *_fused_text(facts))
    decode += (*facts.extra("graphs", "lm", "decode"), *facts.files_read("decode"))
    return _Settings(data, text, train, decode, (*decode, *score_settings(facts, old_words)))


def _fused_text(facts: _Facts) -> Tuple[str, ...]:
    """The order of a model of n-grams, and the text beyond the transcripts."""
    order = (f"lm_order={facts.lm_order}",) if facts.options.lm == "ngram" else ()
    text = facts.options.lm_text
    return (*order, *((f"lm_text={text} {digest_of_file(text)}",) if text else ()))


def _further_text(facts: _Facts, old_words: Dict[str, str]) -> Tuple[str, ...]:
    languages = facts.choice.section("filter").get("languages", [])
    said = [*facts.choice.section("bpe").items(), ("languages", languages)]
    text = {key: value for key, value in said if value and key != "vocab_size"}
    if not text:
        return ()
    line = f"further_text_settings={canonical_json(text)}"
    old_words[line] = f"further_text_settings={text}"
    return (line,)


def _pieces(facts: _Facts, settings: _Settings) -> Stage:
    options, folder = facts.options, facts.lang_dir
    cuts, languages = facts.cuts(facts.corpus.train_split), options.languages or None
    flags: Dict[str, Optional[str]] = {"cuts": cuts, "vocab-size": facts.vocab_size, "lang-dir": folder}
    flags.update({"recipe-config": facts.choice.recipe_file, "languages": languages})
    flags["label-fraction"] = facts.options.label_fraction or None
    is_char = folder.startswith(f"{options.data_dir}/lang_char")
    title = "pieces that are characters" if is_char else f"BPE model of {facts.vocab_size} pieces"
    commands, model = (facts.command("bpe", flags),), (f"{folder}/bpe.model",)
    return Stage(5, title, f"{folder}/.done-5", settings.text, model, commands, (1,), (folder,))


def _taught(facts: _Facts, training: Stage) -> Stage:
    """The training, with what a teacher says of utterances without transcripts where there is one."""
    teacher = facts.options.teacher
    if not teacher:
        return training
    spec = Path(teacher) / "spec.json"
    heard = facts.features_dir
    if spec.is_file():
        name = read_object(spec).get("name", facts.choice.feature_name)
        heard = f"{facts.options.data_dir}/features/{name}{facts.corpus.suffix}"
    further = facts.passed.get("train", {}).get("untranscribed-splits", "")
    if not further and facts.label_fraction is None:
        raise ValueError(
            "--teacher has nobody to teach: all transcripts are used; give a --label-fraction below 1, or a recipe "
            "with one, or --untranscribed-splits"
        )
    splits = dict.fromkeys(names_in(further), "0")
    splits.update({facts.corpus.train_split: facts.label_fraction} if facts.label_fraction else {})
    commands, words = [], []
    for split, labelled in splits.items():
        output = f"{facts.options.data_dir}/pseudo/{Path(facts.exp_dir).name}/{split}.jsonl.gz"
        flags = {"exp-dir": teacher, "feature-dir": heard, "split": split, "except-labelled": labelled}
        commands.append(
            facts.command(PSEUDO, {**flags, "output": output}, announced=f"Stage 6: pseudo-labels of {split}")
        )
        words += ["--pseudo-labels", output]
    *before, train = training.commands
    train = dataclasses.replace(train, arguments=(*train.arguments, *words))
    return dataclasses.replace(training, commands=(*before, *commands, train))


def _decoding(facts: _Facts, settings: _Settings) -> Stage:
    options, lang_dir = facts.options, facts.lang_dir
    texts: Dict[str, Optional[str]] = {"cuts": facts.cuts(facts.corpus.train_split)}
    texts.update({"languages": options.languages or None, "label-fraction": facts.label_fraction})
    flags: Dict[str, Optional[str]] = {"exp-dir": facts.exp_dir, "feature-dir": facts.features_dir}
    flags.update({"splits": ",".join(facts.corpus.scored_splits), "recipe-config": facts.choice.recipe_file})
    flags.update({"decoding-method": facts.method, "lm-scale": options.lm_scale or None})
    commands, dev = [], facts.cuts(facts.corpus.dev_splits.split()[0])
    texts["text"] = options.lm_text or None
    if METHODS[facts.method].needs_graph:
        flags["graph-dir"] = "_".join(part for part in (f"{lang_dir}/graphs", facts.lm_text_name) if part)
        graphs = {**texts, "lang-dir": lang_dir, "graph-dir": flags["graph-dir"]}
        commands.append(facts.command("graphs", {**graphs, "dev-cuts": dev if options.lm_text else None}))
    if options.lm:
        flags["lm"] = f"{lang_dir}/{facts.lm_name}"
        lm = {**texts, "dev-cuts": dev, "lang-dir": lang_dir, "lm-dir": flags["lm"], "lm-type": options.lm}
        commands.append(facts.command("lm", {**lm, "ngram-order": facts.lm_order}))
    commands.append(facts.command("decode", flags))
    marker = f"{facts.exp_dir}/.done-7-{facts.method}"
    return Stage(7, f"decoding with {facts.method}", marker, settings.decode, (), tuple(commands), (3, 5, 6))


def _names(facts: _Facts, settings: _Settings) -> Dict[str, str]:
    """What run.sh wants to know for stages of its own."""
    search = {"decoding_method": facts.method, "search_name": facts.search_name}
    return {**shell_names(facts), **search, "decode_settings": "\n".join(settings.decode)}
