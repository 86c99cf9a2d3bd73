#!/usr/bin/env python3
"""Optional stage: lexicon and graphs for the searches that need k2 and a lexicon or a grammar.

Writes words.txt, tokens.txt, lexicon.txt, L.pt, L_disambig.pt, G.arpa, G.pt, LG.pt and HLG.pt to the graph folder,
which local/decode.py takes as --graph-dir. The words are those of the training transcripts, and the frequent ones of
--text. G is the n-gram model of --arpa (one over words), or one that is estimated: from the transcripts, or from both
texts apart, weighed by the transcripts of --dev-cuts. H needs no file.
"""

import collections
import logging
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Set

from icefall_discrete.base import backend
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.atomic_files import copy_file
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.names import names_in
from icefall_discrete.base.provenance import (
    Provenance,
    changed_file,
    digest_of_file,
    digest_of_lines,
    noting_files,
    summary,
)
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import is_speed_perturbed, language_of, load_cuts, text_of
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.decoding.k2_graph_files import GRAPH_FORMAT, RECORD
from icefall_discrete.decoding.k2_graphs import write_graphs
from icefall_discrete.decoding.k2_lexicon import make_lexicon
from icefall_discrete.lm.arpa import NgramModel, read_arpa, write_arpa
from icefall_discrete.lm.further_text import further_lines
from icefall_discrete.lm.mixture import estimate_mixture
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in

LOG = logging.getLogger("compile_graphs")
FILES = ("words.txt", "tokens.txt", "lexicon.txt", "L.pt", "L_disambig.pt", "G.arpa", "G.pt", "LG.pt", "HLG.pt")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of the training split")
    parser.add_argument("--lang-dir", type=Path, required=True, help="folder with bpe.model")
    parser.add_argument("--graph-dir", type=Path, required=True, help="folder to write the graphs to")
    parser.add_argument("--languages", default="", help="languages of the words, by commas (default: all)")
    parser.add_argument(
        "--label-fraction",
        type=Number(float, above=0, maximum=1),
        default=1.0,
        help="share of the training transcripts used, as in training (default: 1)",
    )
    parser.add_argument("--text", type=Path, help="further text, one sentence of spoken words a line (default: none)")
    parser.add_argument("--dev-cuts", type=Path, help="manifest whose transcripts weigh --text and the transcripts")
    parser.add_argument(
        "--text-min-count",
        type=Number(int, minimum=1),
        default=3,
        help="how often --text must have a word that the transcripts have not (default: 3)",
    )
    parser.add_argument("--arpa", type=Path, help="n-gram model over words (default: estimate one)")
    parser.add_argument(
        "--ngram-order",
        type=Number(int, minimum=1),
        default=3,
        help="longest n-grams of an estimated model (default: 3)",
    )
    return parser


def is_compiled(graph_dir: Path, origin: Provenance) -> bool:
    """Whether the folder holds every file, made from the same in the format of now; what changed goes to the log."""
    if not all((graph_dir / name).is_file() for name in (*FILES, RECORD)):
        return False
    before = Provenance.read(graph_dir / RECORD)
    found, changed = origin.differences(before), changed_file(graph_dir, before)
    if found:
        LOG.info("%s holds graphs of other %s: they are compiled anew", graph_dir, summary(found))
    if changed is not None:
        LOG.warning("%s was changed: the graphs are compiled anew", changed)
    return not found and changed is None


def given_before(graph_dir: Path) -> Optional[Path]:
    """The model that was given for graphs of an older format, which are then made anew with it; None if none was."""
    record, arpa = graph_dir / RECORD, graph_dir / "G.arpa"
    before = Provenance.read(record).compared() if record.is_file() and arpa.is_file() else {}
    if not before or "format" in before or before.get("grammar") != digest_of_file(arpa):
        return None
    LOG.info("%s holds graphs of an older format: they are made anew with their G.arpa", graph_dir)
    return arpa


class Texts(NamedTuple):
    """Sentences of the transcripts and of the further text, and what weighs them."""

    transcripts: List[str]
    further: List[str]
    dev: List[str]


def frequent_words(texts: Texts, min_count: int) -> List[str]:
    """Words of the further text that it has `min_count` times, in order."""
    counts = collections.Counter(word for text in texts.further for word in words_in(text))
    return sorted(word for word, count in counts.items() if count >= min_count)


def runs_within(words: Sequence[str], known: Set[str]) -> Iterator[List[str]]:
    """Yield the parts of a sentence that are of known words."""
    run: List[str] = []
    for word in words:
        if word in known:
            run.append(word)
        elif run:
            yield run
            run = []
    if run:
        yield run


def compile_graphs(encoder: TextEncoder, texts: Texts, args: Any) -> None:
    """Write every file of the graph folder."""
    lexicon, left_out = make_lexicon(encoder, [*texts.transcripts, *frequent_words(texts, args.text_min_count)])
    if left_out:
        LOG.warning("%d words are left out, as the pieces cannot spell them, such as '%s'", len(left_out), left_out[0])
    lexicon.write(args.graph_dir)
    encoder.write_tokens(args.graph_dir / "tokens.txt")
    model = _ngram_model(texts, list(lexicon.spellings), args)
    num_arcs = write_graphs(args.graph_dir, lexicon, model)
    arcs = ", ".join(f"{name} {number}" for name, number in num_arcs.items())
    LOG.info("%d words, n-grams up to %d; arcs: %s", len(lexicon.spellings), model.order, arcs)


def _ngram_model(texts: Texts, words: List[str], args: Any) -> NgramModel:
    """The model of --arpa, of which a copy is kept, or one of the texts."""
    if args.arpa is not None:
        model = read_arpa(args.arpa)
        if args.arpa.resolve() != (args.graph_dir / "G.arpa").resolve():
            copy_file(args.arpa, args.graph_dir / "G.arpa")
    else:
        parts, known = [[words_in(text) for text in texts.transcripts]], set(words)
        if texts.further:
            parts.append([run for text in texts.further for run in runs_within(words_in(text), known)])
            if not parts[-1]:
                raise ValueError(
                    f"{args.text} has none of the {len(known)} words of the lexicon; give text of the language of the "
                    "transcripts, written as they are, or leave --text out."
                )
        dev = [words_in(text) for text in texts.dev]
        model, weights = estimate_mixture(parts, dev, args.ngram_order, words)
        if texts.further:
            LOG.info("the transcripts' model has a weight of %.3f, that of %s %.3f", weights[0], args.text, weights[1])
        write_arpa(args.graph_dir / "G.arpa", model)
    return model


def read_texts(encoder: TextEncoder, args: Any) -> Texts:
    """The sentences of all manifests and files; dev's only where there is something to weigh.

    Raises ValueError if there is further text and no transcripts of dev, or pieces that need its language.
    """
    wanted = names_in(args.languages)
    cuts = with_labels(chosen_languages(load_cuts(args.cuts), wanted), args.label_fraction)
    transcripts = [encoder.marked(text_of(cut), language_of(cut)) for cut in cuts if not is_speed_perturbed(cut)]
    if args.text is None:
        return Texts(transcripts, [], [])
    if args.dev_cuts is None:
        raise ValueError(f"--text {args.text} needs --dev-cuts, whose transcripts say how much it counts.")
    further = [line for _, line in further_lines(args.text, encoder)]
    dev = [text_of(cut) for cut in chosen_languages(load_cuts(args.dev_cuts), wanted)]
    return Texts(transcripts, further, dev)


def main() -> None:
    """Compile the graphs, or say that there is nothing to do."""
    args = get_parser().parse_args()
    if backend.resolve("auto") != "k2":
        raise RuntimeError(
            "graphs are compiled by k2, which cannot be imported here; make the k2 environment with tools/setup_env.sh "
            "--env k2, or decode with a method that needs no graph, such as modified_beam_search."
        )
    encoder = TextEncoder(args.lang_dir / "bpe.model")
    texts = read_texts(encoder, args)
    if args.arpa is not None and not args.arpa.is_file():
        raise FileNotFoundError(f"{args.arpa} does not exist; leave --arpa out to estimate a model here.")
    args.arpa = args.arpa or given_before(args.graph_dir)
    inputs = {
        "bpe_model": digest_of_file(args.lang_dir / "bpe.model"),
        "texts": digest_of_lines(texts.transcripts),
        "grammar": args.ngram_order if args.arpa is None else digest_of_file(args.arpa),
    }
    if texts.further:
        inputs.update(further_texts=digest_of_lines(texts.further), dev_texts=digest_of_lines(texts.dev))
        inputs["text_min_count"] = args.text_min_count
    origin = Provenance(inputs, {"format": GRAPH_FORMAT})
    with at_work(args.graph_dir / LOCK_FILE, str(args.graph_dir)):
        if is_compiled(args.graph_dir, origin):
            LOG.info("%s holds these graphs already: nothing to do", args.graph_dir)
            return
        (args.graph_dir / RECORD).unlink(missing_ok=True)
        compile_graphs(encoder, texts, args)
        noting_files(origin, args.graph_dir, FILES).write(args.graph_dir / RECORD)


if __name__ == "__main__":
    run_script(main)
