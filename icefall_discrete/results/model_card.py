"""The card of a model folder: README.md with what hubs read of a model, and what a person wants to know of it."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence

from icefall_discrete.base.spec import FeatureSpec

Json = Dict[str, Any]
_TAGS = ("automatic-speech-recognition", "speech-tokens", "zipformer", "icefall")
_FIGURES = ("wer", "cer")


class CardFacts(NamedTuple):
    """What a card says.

    name: of the model. license: an identifier as hubs know it, such as apache-2.0. languages: their codes. spec: of the
    features. result: the experiment's result.json, or {}. made_by: its env.json, with git and versions. num_parameters:
    of the network.
    """

    name: str
    license: str
    languages: Sequence[str]
    spec: FeatureSpec
    result: Json
    made_by: Json
    num_parameters: int


def _front_matter(facts: CardFacts) -> Iterator[str]:
    yield "---"
    yield f"license: {facts.license}"
    if facts.languages:
        yield "language:"
        yield from (f"- {language}" for language in facts.languages)
    yield "library_name: icefall_discrete"
    yield "pipeline_tag: automatic-speech-recognition"
    yield "tags:"
    yield from (f"- {tag}" for tag in _TAGS)
    yield "---"


def corpus_of(result: Mapping[str, Any]) -> str:
    """The corpus of a result: the folder of its recipe, egs/<corpus>; empty if it does not say."""
    parts = Path(str(result.get("command") or "").partition(" ")[0]).parts
    return parts[1] if len(parts) > 2 and parts[0] == "egs" else ""


def _rate(scored: Mapping[str, Any], name: str) -> str:
    value = scored.get(name)
    rate = value.get("rate") if isinstance(value, dict) else None
    return f"{rate:.2f}" if isinstance(rate, (int, float)) else ""


def _figures(result: Mapping[str, Any]) -> Iterator[str]:
    sets = result.get("sets") or {}
    if not sets:
        yield "It was not scored, or its result.json was not there."
        return
    decoding = result.get("decoding") or {}
    yield f"Search: {decoding.get('method', 'unknown')}.\n"
    yield "| set | utterances | WER % | CER % |"
    yield "|---|---|---|---|"
    for name, scored in sets.items():
        yield f"| {name} | {scored.get('num_utterances', '')} | {' | '.join(_rate(scored, one) for one in _FIGURES)} |"


def _spec_rows(spec: FeatureSpec) -> List[str]:
    sizes = ", ".join(map(str, spec.codebook_sizes)) or f"{spec.feature_dim} values"
    rows = {"feature type": spec.name, "kind": spec.kind, "audio (Hz)": spec.sample_rate_hz}
    rows.update({"frames a second": f"{spec.frame_rate_hz:g}", "codebooks": sizes})
    return [f"| {name} | {value} |" for name, value in rows.items()]


def model_card(facts: CardFacts) -> str:
    """The text of the card."""
    corpus = corpus_of(facts.result)
    git = facts.made_by.get("git") or "unknown"
    versions = facts.made_by.get("versions") or {}
    shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "k2", "lhotse") if versions.get(name))
    lines = [
        *_front_matter(facts),
        "",
        f"# {facts.name}",
        "",
        f"A speech recogniser on {'discrete tokens' if facts.spec.kind == 'codes' else 'continuous features'} "
        f"({facts.spec.name}), of {facts.num_parameters / 1e6:.1f} million parameters"
        + (f", trained on the corpus {corpus}." if corpus else "."),
        "",
        "```bash",
        f"icefall-discrete transcribe --model {facts.name} a.wav",
        "```",
        "",
        "## Figures",
        "",
        *_figures(facts.result),
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
    if facts.result.get("command"):
        lines += ["", "```bash", str(facts.result["command"]), "```"]
    lines += ["", "All files are data: JSON, safetensors, a sentencepiece model. Nothing in them is run.", ""]
    return "\n".join(lines)
