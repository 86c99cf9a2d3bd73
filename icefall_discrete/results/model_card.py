"""The card of a model folder: README.md with what hubs read of a model, and what a person wants to know of it."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.metrics.facts import known_metrics

Json = Dict[str, Any]
_TAGS = ("speech-tokens", "icefall")
_RECOGNITION = ("wer", "cer")
_OF_RECOGNISERS = "asr"
# Systems that write texts themselves; of the others' audio a recogniser says what it hears.
_WRITE_TEXTS = (_OF_RECOGNISERS, "speech_lm")
_HEARD = "WER and CER are those of a recogniser that hears its audio."
# What a search may be given beside the model, by the setting that names it.
_BESIDE = {
    "lm": "the language model",
    "lodr": "the language model for LODR",
    "context_file": "the phrases",
    "graph_dir": "the graphs",
}
_WEIGHTS = ("epoch", "avg", "iter", "use_averaged_model")
# What YAML takes for a truth value, though it is the code of a language.
_NO = "no"


class _Kind(NamedTuple):
    """What a card says of a system: what it is, how hubs call its task (empty: not at all), and what runs it."""

    what: str
    task: str
    command: str


_FROM_IT = "egs/<corpus>/ASR/run.sh --stage 6 --init-from model"
_DECODE = "local/decode.py --exp-dir model --feature-dir FEATURES"
_CONTINUE = "icefall-discrete continue --exp-dir model a.wav"
_PULLED = {
    "classification": _Kind("A classifier", "audio-classification", _DECODE),
    "enhancement": _Kind("A network from codes of noisy or mixed speech to those of clean speech", "", _DECODE),
    "perceptual": _Kind(
        "A model of a codec's other codes", "", "icefall-discrete fill --exp-dir model first_codes.npy"
    ),
    "speech_lm": _Kind("A language model of text and speech", "", _CONTINUE),
    "tts": _Kind(
        "A model from texts to units",
        "text-to-speech",
        'icefall-discrete synthesise --exp-dir VOCODER --tts-exp-dir model --text "some words"',
    ),
    "unit_lm": _Kind("A language model of speech", "", _CONTINUE),
    "vocoder": _Kind("A vocoder", "audio-to-audio", "icefall-discrete resynthesise --exp-dir model a.wav"),
}


class CardFacts(NamedTuple):
    """What a card says.

    name: of the model. license: an identifier as hubs know it, such as apache-2.0. system: the one of its experiment.
    languages: their codes. spec: of the features. result: the experiment's result.json, or {}. made_by: its env.json,
    with git and versions. num_parameters: of the network. weights: the checkpoints that it is an average of, as
    `decoding` of a result names them. begun_with: the name of the model whose weights its training began with, or none.
    """

    name: str
    license: str
    system: str
    languages: Sequence[str]
    spec: FeatureSpec
    result: Json
    made_by: Json
    num_parameters: int
    weights: Json
    begun_with: str


def _kind_of(facts: CardFacts) -> _Kind:
    """Of encoders that learnt without labels one kind for all."""
    if facts.system == _OF_RECOGNISERS:
        command = f"icefall-discrete transcribe --model {facts.name} a.wav"
        return _Kind("A speech recogniser", "automatic-speech-recognition", command)
    kind = _PULLED.get(facts.system, _Kind(f"An encoder of speech ({facts.system})", "feature-extraction", _FROM_IT))
    return kind._replace(command=f"icefall-discrete pull {facts.name} --to model\n{kind.command}")


def _front_matter(facts: CardFacts, task: str) -> Iterator[str]:
    yield "---"
    yield f"license: {facts.license}"
    if facts.languages:
        yield "language:"
        yield from (f'- "{_NO}"' if language == _NO else f"- {language}" for language in facts.languages)
    yield "library_name: icefall_discrete"
    yield from (f"pipeline_tag: {task}",) if task else ()
    yield "tags:"
    yield from (f"- {tag}" for tag in (*filter(None, (task,)), *_TAGS))
    yield "---"


def corpus_of(result: Mapping[str, Any]) -> str:
    """The corpus of a result: the folder of its recipe, egs/<corpus>; empty if it does not say."""
    parts = Path(str(result.get("command") or "").partition(" ")[0]).parts
    return parts[1] if len(parts) > 2 and parts[0] == "egs" else ""


def _rate(scored: Mapping[str, Any], name: str) -> str:
    value = scored.get(name)
    rate = value.get("rate") if isinstance(value, dict) else None
    return f"{rate:.2f}" if isinstance(rate, (int, float)) else ""


def _values(scored: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """Each measure of a set that is one number, with its unit, and that number."""
    known = known_metrics()
    for name, found in scored.items():
        value = found.get("rate", found.get("value")) if isinstance(found, dict) else None
        if isinstance(value, (int, float)):
            metric = known.get(name)
            yield (metric.head, metric.shown(value, 1)) if metric else (name, f"{value:g}")


def _search(decoding: Mapping[str, Any]) -> str:
    """The search, and what else it had that a model folder does not hold."""
    given = [f"{said} {Path(str(decoding[name])).name}" for name, said in _BESIDE.items() if decoding.get(name)]
    beside = f", with {' and '.join(given)} (not held here, see the command below)" if given else ""
    return f"Search: {decoding.get('method', 'unknown')}{beside}."


def _other_weights(facts: CardFacts, decoding: Mapping[str, Any]) -> Iterator[str]:
    """A sentence if the figures are not those of the weights that are handed on."""
    by_name = facts.weights.get("checkpoint")  # a file of weights, such as an average, that says nothing of epochs
    known = [name for name in _WEIGHTS if name in facts.weights and name in decoding and not by_name]
    if any(facts.weights[name] != decoding[name] for name in known):
        scored, held = (
            ", ".join(f"{name} {int(values[name])}" for name in known) for values in (decoding, facts.weights)
        )
        yield f"These are figures of other weights ({scored}) than those that are held here ({held}).\n"


def _figures(facts: CardFacts) -> Iterator[str]:
    sets, decoding = facts.result.get("sets") or {}, facts.result.get("decoding") or {}
    if not sets:
        yield "It was not scored, or its result.json was not there."
        return
    yield from _other_weights(facts, decoding)
    if facts.system != _OF_RECOGNISERS or not any(name in scored for scored in sets.values() for name in _RECOGNITION):
        if facts.system not in _WRITE_TEXTS and any("wer" in scored for scored in sets.values()):
            yield f"{_HEARD}\n"
        yield "| set | measure | value |"
        yield "|---|---|---|"
        yield from (f"| {name} | {measure} | {value} |" for name in sets for measure, value in _values(sets[name]))
        return
    yield f"{_search(decoding)}\n"
    yield "| set | utterances | WER % | CER % |"
    yield "|---|---|---|---|"
    for name, scored in sets.items():
        rates = " | ".join(_rate(scored, one) for one in _RECOGNITION)
        yield f"| {name} | {scored.get('num_utterances', '')} | {rates} |"


def _spec_rows(spec: FeatureSpec) -> List[str]:
    rows = {"feature type": spec.name, "kind": spec.kind, "audio (Hz)": spec.sample_rate_hz}
    rows["frames a second"] = f"{spec.frame_rate_hz:g}"
    if spec.codebook_sizes:
        rows["codebooks"] = ", ".join(map(str, spec.codebook_sizes))
    else:
        rows["values a frame"] = spec.feature_dim
    return [f"| {name} | {value} |" for name, value in rows.items()]


def model_card(facts: CardFacts) -> str:
    """The text of the card."""
    corpus, kind = corpus_of(facts.result), _kind_of(facts)
    git = facts.made_by.get("git") or "unknown"
    versions = facts.made_by.get("versions") or {}
    shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "k2", "lhotse") if versions.get(name))
    lines = [
        *_front_matter(facts, kind.task),
        "",
        f"# {facts.name}",
        "",
        f"{kind.what} on {'discrete tokens' if facts.spec.kind == 'codes' else 'continuous features'} "
        f"({facts.spec.name}), of {facts.num_parameters / 1e6:.1f} million parameters"
        + (f", trained on the corpus {corpus}." if corpus else "."),
        "",
        "```bash",
        kind.command,
        "```",
        "",
        "## Figures",
        "",
        *_figures(facts),
        "",
        "## Features",
        "",
        "| | |",
        "|---|---|",
        *_spec_rows(facts.spec),
        "",
        "Pretrained networks that the tokenizer is made of are named in `spec.json` and `tokenizer/`, not held here.",
        "",
        "## How it was made",
        "",
        f"Commit {git}" + (f", with {shown}" if shown else "") + ".",
    ]
    if facts.begun_with:
        lines[-1] += f" It began with weights of `{facts.begun_with}`, whose licence is to be minded."
    if facts.result.get("command"):
        lines += ["", "```bash", str(facts.result["command"]), "```"]
    lines += ["", "All files are data: JSON, safetensors, a sentencepiece model. Nothing in them is run.", ""]
    return "\n".join(lines)
