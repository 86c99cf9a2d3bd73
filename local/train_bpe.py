#!/usr/bin/env python3
"""Stage 5: train the text pieces on the transcripts of the training cuts."""

import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from lhotse.cut import Cut

from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.names import names_in
from icefall_discrete.base.provenance import Provenance, changed_file, digest_of_lines, noting_files, set_aside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.cuts import is_speed_perturbed, language_of, load_cuts, text_of
from icefall_discrete.data.filters import FilterConfig, chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.text.language_pieces import by_language
from icefall_discrete.text.pieces import (
    RECORD,
    BpeConfig,
    TextEncoder,
    refuse_reserved,
    reserved_strings,
    train_bpe,
    train_characters,
    train_language_bpe,
)
from icefall_discrete.text.words import words_in

Utterance = Tuple[str, Optional[str]]  # text and language


FILES = ("bpe.model", "tokens.txt")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of the training split")
    parser.add_argument("--lang-dir", type=Path, required=True, help="folder to write bpe.model and tokens.txt to")
    parser.add_argument("--recipe-config", type=Path, help="recipe with sections bpe, filter (default: none)")
    parser.add_argument("--languages", default="", help="languages to train on, by commas (default: the recipe's, all)")
    parser.add_argument(
        "--label-fraction",
        type=Number(float, above=0, maximum=1),
        help="share of the training transcripts used, as in training (default: the recipe's, all)",
    )
    add_flags(parser, BpeConfig, "bpe")
    return parser


def utterance_of(cut: Cut, config: BpeConfig) -> Utterance:
    """Text and language. Raises ValueError, naming the cut, if the text has a string that the pieces reserve."""
    text, language = text_of(cut), language_of(cut)
    try:
        refuse_reserved(text, reserved_strings([language] if language and config.language_token else ()))
    except ValueError as error:
        raise ValueError(f"cut {cut.id}: {error}") from None
    return text, language


def is_trained(lang_dir: Path, origin: Provenance) -> bool:
    """Whether the folder holds the pieces that are asked for; those of other transcripts are set aside.

    Raises ValueError if they were trained with other settings.
    """
    if not all((lang_dir / name).exists() for name in (*FILES, RECORD)):
        return False
    advice = "choose another --lang-dir (models trained with these pieces need them), or give the same settings"
    before = Provenance.read(lang_dir / RECORD)
    if origin.is_stale(before, f"{lang_dir} holds pieces trained", advice):
        moved = set_aside(*(lang_dir / name for name in (*FILES, RECORD)))
        logging.info("the pieces of before are %s now", moved[0])
        return False
    changed = changed_file(lang_dir, before)
    if changed is not None:
        moved = set_aside(*(lang_dir / name for name in (*FILES, RECORD)))
        logging.warning("%s was changed: the pieces are trained anew; those of before are %s now", changed, moved[0])
    return changed is None


def made_from(config: BpeConfig, utterances: List[Utterance]) -> Provenance:
    """What the pieces depend on."""
    inputs: Dict[str, Any] = {"texts": digest_of_lines(text for text, _ in utterances)}
    settings: Dict[str, Any] = {"vocab_size": config.vocab_size}
    if config.piece_type != "unigram":
        settings.update(piece_type=config.piece_type)
    if config.language_token or config.by_language:
        groups = by_language(utterances)
        settings.update(language_token=config.language_token, by_language=config.by_language)
        inputs.update(languages={language: len(texts) for language, texts in groups.items()})
    if config.by_language:
        settings.update(sizes=config.sizes(list(groups)))
    return Provenance(inputs, settings)


def train(config: BpeConfig, utterances: List[Utterance], model_path: Path) -> None:
    """Train the pieces that the settings ask for."""
    if config.by_language:
        train_language_bpe(by_language(utterances), config, model_path)
        return
    languages = list(by_language(utterances)) if config.language_token else []
    texts = [text for text, _ in utterances]
    if config.piece_type == "char":
        train_characters(texts, model_path, languages)
    else:
        train_bpe(texts, config.vocab_size, model_path, languages)


def make_pieces(config: BpeConfig, utterances: List[Utterance], origin: Provenance, lang_dir: Path) -> None:
    """Write the pieces and their record, unless they are there."""
    if is_trained(lang_dir, origin):
        logging.info("%s is trained already: nothing to do", lang_dir / "bpe.model")
        return
    model = lang_dir / "bpe.model"
    aside = set_aside(model)  # one that no record tells of, perhaps the user's own
    (lang_dir / RECORD).unlink(missing_ok=True)
    train(config, utterances, model)
    for path in aside:
        if path.read_bytes() == model.read_bytes():
            path.unlink()
        else:
            logging.warning("%s, which was there before, is %s now", model, path)
    encoder = TextEncoder(lang_dir / "bpe.model")
    encoder.write_tokens(lang_dir / "tokens.txt")
    noting_files(origin, lang_dir, FILES).write(lang_dir / RECORD)
    labels = sum(len(encoder.encode(*utterance)) for utterance in utterances)
    words = sum(len(words_in(text)) for text, _ in utterances)
    logging.info(
        "%d pieces from %d utterances; %.2f labels a word", encoder.vocab_size, len(utterances), labels / words
    )
    if encoder.languages:
        how = "a token and pieces of its own" if config.language_token and config.by_language else "a token"
        how = how if config.language_token else "pieces of its own"
        logging.info("each language has %s: %s", how, ", ".join(encoder.languages))


def main() -> None:
    """Train the pieces, or say that there is nothing to do."""
    args = get_parser().parse_args()
    recipe = read_recipe(args.recipe_config) if args.recipe_config else {}
    config = override(from_dict(BpeConfig, recipe.get("bpe", {}), str(args.recipe_config)), args, "bpe")
    chosen = from_dict(FilterConfig, recipe.get("filter", {}), str(args.recipe_config))
    wanted = names_in(args.languages) or chosen.languages
    fraction = args.label_fraction or chosen.label_fraction
    cuts = with_labels(chosen_languages(load_cuts(args.cuts), wanted), fraction)
    utterances: List[Utterance] = [utterance_of(cut, config) for cut in cuts if not is_speed_perturbed(cut)]
    origin = made_from(config, utterances)
    with at_work(args.lang_dir / LOCK_FILE, str(args.lang_dir)):
        make_pieces(config, utterances, origin, args.lang_dir)


if __name__ == "__main__":
    run_script(main)
