#!/usr/bin/env python3
"""Train a language model on the transcripts of the training cuts, for shallow fusion, LODR or a grammar.

An n-gram model is written to lm.arpa (interpolated, modified Kneser-Ney), an LSTM or transformer to model.safetensors.
With --text an n-gram model is a mixture of one of the transcripts and one of that text, weighed by the dev text; a
neural model learns from both together. The dev perplexity is printed and written to lm.json. A model of the same text
and settings is not trained again.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.atomic_files import copy_file
from icefall_discrete.base.device import resolve
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import names_in
from icefall_discrete.base.provenance import (
    STRICT,
    Provenance,
    Rules,
    digest_of_file,
    digest_of_lines,
    read_record,
    set_aside,
)
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting, to_dict
from icefall_discrete.data.cuts import is_speed_perturbed, language_of, load_cuts, text_of
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.lm.arpa import UNKNOWN, perplexity, write_arpa
from icefall_discrete.lm.folder import ARPA, FACTS, PIECES, WEIGHTS, changed_model
from icefall_discrete.lm.further_text import further_lines
from icefall_discrete.lm.mixture import estimate_mixture
from icefall_discrete.lm.neural import MODELS, NeuralLmConfig
from icefall_discrete.systems.language_model.training import NeuralLmTraining, NeuralTrainConfig
from icefall_discrete.text.coverage import MAX_UNKNOWN_PERCENT, Coverage
from icefall_discrete.text.pieces import SPECIAL_PIECES, UNK_ID, TextEncoder
from icefall_discrete.text.words import words_in
from icefall_discrete.training.averages import training_checkpoints
from icefall_discrete.training.fit_folder import TRAINING_DIR

LOG = logging.getLogger("train_lm")
RECORD = "inputs.json"  # written first, since training goes on where it was
UNITS = ("pieces", "words")
Sentence = Tuple[str, Optional[str]]  # text and language


class Texts(NamedTuple):
    """What a model learns from, and what it is tried on."""

    transcripts: List[Sentence]
    further: List[Sentence]
    dev: List[Sentence]


@dataclasses.dataclass(frozen=True)
class LmConfig:
    """Kind of language model."""

    lm_type: str = setting("ngram", "kind of model", choices=("ngram", *MODELS))
    lm_unit: str = setting("pieces", "what it predicts; words are for n-gram models in grammars", choices=UNITS)
    ngram_order: int = setting(3, "longest n-grams; 2 for LODR", minimum=1)

    def __post_init__(self) -> None:
        if self.lm_unit == "words" and self.lm_type != "ngram":
            raise ValueError(f"lm_unit words is for n-gram models only; use --lm-unit pieces for {self.lm_type}.")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of the training split")
    parser.add_argument("--dev-cuts", type=Path, required=True, help="manifest of the split for the perplexity")
    parser.add_argument("--languages", default="", help="languages of both splits, by commas (default: all)")
    parser.add_argument(
        "--label-fraction",
        type=Number(float, above=0, maximum=1),
        default=1.0,
        help="share of the training transcripts used, as in training (default: 1)",
    )
    parser.add_argument("--text", type=Path, help="further training text, one sentence a line (default: none)")
    parser.add_argument("--lang-dir", type=Path, required=True, help="folder with bpe.model")
    parser.add_argument(
        "--lm-dir", type=Path, required=True, help="folder to write the model to; a rerun goes on in it"
    )
    parser.add_argument(
        "--max-unknown-percent",
        type=float,
        default=MAX_UNKNOWN_PERCENT,
        help=f"most characters without a piece, in percent (default: {MAX_UNKNOWN_PERCENT:g})",
    )
    for kind in (LmConfig, NeuralLmConfig, NeuralTrainConfig):
        add_flags(parser, kind)
    return parser


def sentences_of(path: Path, languages: str, fraction: float = 1.0) -> Dict[str, Sentence]:
    """Transcripts of the cuts in some languages (by commas, none: all) that are not copies at another speed, by cut.

    `fraction` is the share of them that is used, as `with_labels` has it.
    """
    cuts = with_labels(chosen_languages(load_cuts(path), names_in(languages)), fraction)
    return {f"cut {cut.id}": (text_of(cut), language_of(cut)) for cut in cuts if not is_speed_perturbed(cut)}


def lines_of(path: Path, encoder: TextEncoder) -> Dict[str, Sentence]:
    """The lines of a text file, by their number."""
    return {f"{path}, line {number}": (line, None) for number, line in further_lines(path, encoder)}


def require_covered(what: str, sentences: Dict[str, Sentence], encoder: TextEncoder, max_percent: float) -> None:
    """Report what of the sentences has no piece.

    Raises ValueError if that is too much, or if the labels of a sentence would be of another text; it is named.
    """
    coverage = Coverage(what)
    for name, (text, language) in sentences.items():
        try:
            encoder.labels_of(text, language)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        coverage.add(name, text, encoder.outside(text, language))
    coverage.report(max_percent)


def is_trained(lm_dir: Path, origin: Provenance) -> bool:
    """Whether the folder holds the model that is asked for; one of other texts or pieces is set aside.

    Raises ValueError if it was begun with other settings.
    """
    begun = Provenance.read_if_there(lm_dir / RECORD)
    made = [*(lm_dir / name for name in (FACTS, ARPA, WEIGHTS)), *training_checkpoints(lm_dir / TRAINING_DIR)]
    if begun is None or not any(path.is_file() for path in made):  # what has saved nothing holds nobody to its settings
        return False
    made_as, advice = f"{lm_dir} holds a language model trained", "choose another --lm-dir, or the same settings"
    # The order of n-grams is noted of neural models too, which have none.
    rules = STRICT if origin.settings["lm_type"] == "ngram" else Rules(free=("ngram_order",))
    if origin.is_stale(begun, made_as, advice, rules):
        LOG.info("the language model of before is %s now", set_aside(lm_dir)[0])
        return False
    if not ((lm_dir / FACTS).is_file() and ((lm_dir / ARPA).is_file() or (lm_dir / WEIGHTS).is_file())):
        return False
    changed = changed_model(lm_dir, read_record(lm_dir / FACTS))
    if changed is not None:
        moved = set_aside(lm_dir)[0]
        LOG.warning("%s was changed: the model is trained anew; the folder of before is %s now", changed, moved)
    return changed is None


def train_ngram(config: LmConfig, texts: Texts, encoder: TextEncoder, lm_dir: Path) -> Dict[str, Any]:
    """Write lm.arpa; returns the dev perplexity, and the weights of transcripts and further text if there is any."""
    vocabulary: List[str] = []
    if config.lm_unit == "pieces":
        pieces = encoder.pieces()
        vocabulary = [piece for piece in pieces if piece not in (*SPECIAL_PIECES, pieces[UNK_ID])]
        # Whatever the pieces call it, an ARPA file calls it <unk>.
        names = [UNKNOWN if label == UNK_ID else piece for label, piece in enumerate(pieces)]

    def tokens_of(sentence: Sentence) -> Sequence[str]:
        if config.lm_unit == "words":
            return words_in(encoder.marked(*sentence))
        return [names[label] for label in encoder.labels_of(*sentence)]

    parts = [texts.transcripts, texts.further] if texts.further else [texts.transcripts]
    dev = [tokens_of(sentence) for sentence in texts.dev]
    tokens = [[tokens_of(sentence) for sentence in part] for part in parts]
    model, weights = estimate_mixture(tokens, dev, config.ngram_order, vocabulary)
    write_arpa(lm_dir / ARPA, model)
    LOG.info(f"{lm_dir / ARPA}: {', '.join(f'{len(grams)} {n}-grams' for n, grams in enumerate(model.grams, 1))}")
    facts: Dict[str, Any] = {"dev_perplexity": perplexity(model, dev)}
    if texts.further:
        facts["mixture_weights"] = weights
        LOG.info("the transcripts' model has a weight of %.3f, that of the further text %.3f", *weights)
    return facts


def make_model(args: Any, origin: Provenance, encoder: TextEncoder, texts: Texts) -> None:
    """Train the model and write its folder."""
    config, shape = override(LmConfig(), args), override(NeuralLmConfig(), args)
    training = override(NeuralTrainConfig(), args)
    origin.write(args.lm_dir / RECORD)
    facts: Dict[str, Any] = {**to_dict(config), "pieces_sha256": origin.inputs["pieces_sha256"]}
    train = [*texts.transcripts, *texts.further]
    facts.update(vocab_size=encoder.vocab_size, num_sentences=len(train))
    if config.lm_type == "ngram":
        facts.update(train_ngram(config, texts, encoder, args.lm_dir))
    else:
        device = resolve("auto", "training")
        settings = {"lm_type": config.lm_type, "vocab_size": encoder.vocab_size, "model": to_dict(shape)}
        neural_training = NeuralLmTraining(settings, training, args.lm_dir, device)
        labels = ([encoder.labels_of(*sentence) for sentence in part] for part in (train, texts.dev))
        facts.update(model=to_dict(shape), **neural_training.fit(*labels))
    facts["model_sha256"] = digest_of_file(args.lm_dir / (ARPA if config.lm_type == "ngram" else WEIGHTS))
    copy_file(args.lang_dir / PIECES, args.lm_dir / PIECES)
    write_json(args.lm_dir / FACTS, facts)
    if config.lm_type != "ngram":
        neural_training.finish()
    LOG.info(f"{args.lm_dir}: dev perplexity {facts['dev_perplexity']:.2f} over {config.lm_unit}")


def main() -> None:
    """Train the model, or say that there is nothing to do."""
    args = get_parser().parse_args()
    config, shape = override(LmConfig(), args), override(NeuralLmConfig(), args)
    training = override(NeuralTrainConfig(), args)
    encoder = TextEncoder(args.lang_dir / PIECES)
    train = sentences_of(args.cuts, args.languages, args.label_fraction)
    dev = sentences_of(args.dev_cuts, args.languages)
    further = lines_of(args.text, encoder) if args.text else {}
    neural = {} if config.lm_type == "ngram" else {**to_dict(shape), **to_dict(training)}
    inputs = {
        "texts": _digest([*train.values(), *further.values()], encoder),
        "dev_texts": _digest(dev.values(), encoder),
        "pieces_sha256": digest_of_file(args.lang_dir / PIECES),
    }
    if further and config.lm_type == "ngram":
        inputs["further_texts"] = _digest(further.values(), encoder)
    origin = Provenance(inputs, {**to_dict(config), **neural})
    # Beside the folder, which may be set aside.
    with at_work(args.lm_dir.parent / f"{LOCK_FILE}-{args.lm_dir.name}", str(args.lm_dir)):
        if is_trained(args.lm_dir, origin):
            LOG.info(f"{args.lm_dir} is trained already: nothing to do")
            return
        if config.lm_unit == "pieces":
            for what, named in (("training text", train), ("further text", further), ("dev text", dev)):
                require_covered(what, named, encoder, args.max_unknown_percent)
        make_model(args, origin, encoder, Texts(*(list(part.values()) for part in (train, further, dev))))


def _digest(sentences: Iterable[Sentence], encoder: TextEncoder) -> str:
    return digest_of_lines(encoder.marked(*sentence) for sentence in sentences)


if __name__ == "__main__":
    run_script(main)
