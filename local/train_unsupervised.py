#!/usr/bin/env python3
"""Recognition from speech and text that do not belong together (wav2vec-U): several seeds, of which the one whose
speech is most like the text is chosen, without any transcript. A rerun goes on; more seeds may be added.

Speech is a folder of features, best of a pretrained network, or of codes of k-means on such. As a control,
--shuffle-text learns from the same text with its symbols in random order, of which nothing can be learnt.

Example: local/train_unsupervised.py --config icefall_discrete/conf/recipes/wav2vec_u_small.json --feature-dir \
data/features/whisper_base_l4 --text-file text.txt --exp-dir exp/unsupervised --num-seeds 8
"""

import logging
from pathlib import Path
from typing import Any, List, Optional

from icefall_discrete.base import environment
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.flags import SEED, Number, ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.cuts import load_cuts, text_of
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.experiment.folder import Experiment, read_codebooks, require_no_other
from icefall_discrete.experiment.recipe_check import NOT_SECTIONS
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.systems.wav2vec_u.config import Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import Judge
from icefall_discrete.systems.wav2vec_u.material import hear, prepare_speech
from icefall_discrete.systems.wav2vec_u.saying import MODEL, SPEC, keep_model
from icefall_discrete.systems.wav2vec_u.seed_scores import weights_of
from icefall_discrete.systems.wav2vec_u.text import Text, read_text, shuffled_text
from icefall_discrete.systems.wav2vec_u.training import RULES, SEED_FILE, Material, Sweep, settings_to_keep, table_of

LOG = logging.getLogger("train_unsupervised")
# Of clusters and of the control, which all seeds of a folder share.
_FIXED_SEED = 42


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--config", type=Path, help="recipe of settings, below what flags say (default: none)")
    parser.add_argument(
        "--feature-dir", type=Path, required=True, help="folder of continuous features, or of codes with codebooks"
    )
    parser.add_argument(
        "--unit-feature-dir", type=Path, help="folder of codes that 2.0 predicts beside (default: none)"
    )
    parser.add_argument("--train-split", default="train", help="split that is heard (default: train)")
    parser.add_argument("--dev-split", default="dev", help="split on which steps and seeds are chosen (default: dev)")
    parser.add_argument("--languages", default="", help="of these languages only, by commas (default: all)")
    parser.add_argument("--text-file", type=Path, help="text, a sentence a line, of any origin")
    parser.add_argument("--text-cuts", type=Path, help="or the transcripts of these cuts, of which nothing is heard")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder to write to; a rerun goes on in it")
    parser.add_argument("--num-seeds", type=Number(int, minimum=1), default=5, help="seeds to train (default: 5)")
    parser.add_argument("--first-seed", type=SEED, default=0, help="number of the first one (default: 0)")
    parser.add_argument(
        "--rule", choices=sorted(RULES), default="weighted_perplexity", help="chooses (default: weighted_perplexity)"
    )
    parser.add_argument(
        "--shuffle-text",
        type=Number(bool),
        nargs="?",
        const=True,
        default=False,
        help="the control: symbols of lines in random order (default: false)",
    )
    add_flags(parser, Wav2vecUConfig)
    return parser


def text_in(args: Any, config: Wav2vecUConfig, languages: List[str]) -> Text:
    """The text, shuffled if that is asked for. Raises ValueError unless it is said where it is."""
    if bool(args.text_file) == bool(args.text_cuts):
        raise ValueError("give --text-file or --text-cuts, one of them.")
    where = args.text_file or args.text_cuts
    if args.text_file:
        lines = [line for _, line in numbered_lines(where)]
    else:
        # Sorted, so that nothing is left of the order of the cuts.
        lines = sorted(text_of(cut) for cut in chosen_languages(load_cuts(where), languages))
    text = read_text(lines, config.text, str(where))
    LOG.info(f"{where}: {len(text.lines)} of {len(lines)} lines, {len(text.symbols) - 1} sounds")
    return shuffled_text(text, _FIXED_SEED) if args.shuffle_text else text


def settings_in(recipe_file: Optional[Path]) -> Wav2vecUConfig:
    """The settings of a recipe of system wav2vec_u; the defaults without one."""
    if recipe_file is None:
        return Wav2vecUConfig()
    sections = {name: value for name, value in read_recipe(recipe_file).items() if name not in NOT_SECTIONS}
    return from_dict(Wav2vecUConfig, sections, str(recipe_file))


def note_who_trains(exp_dir: Path) -> None:
    """Write env.json, or add this commit to those that it names."""
    path = exp_dir / "env.json"
    if not path.is_file():
        write_json(path, environment.describe())
    Experiment(exp_dir).note_commit()


def main() -> None:
    """Train what is left of the seeds, choose, and show them all."""
    args = get_parser().parse_args()
    config = override(settings_in(args.config), args)
    if bool(config.loss.units) != bool(args.unit_feature_dir):
        raise ValueError(
            f"loss.units is {config.loss.units:g} and --unit-feature-dir {args.unit_feature_dir}; give a folder of "
            "units and a weight of their loss, or neither."
        )
    require_no_other(args.exp_dir, MODEL)
    languages = names_in(args.languages)
    text = text_in(args, config, languages)
    books, units = read_codebooks(args.feature_dir / "codebooks.safetensors"), args.unit_feature_dir
    train = hear(args.feature_dir, args.train_split, languages, books, unit_dir=units)
    dev = hear(args.feature_dir, args.dev_split, languages, books, train.spec, units)
    with at_work(args.exp_dir / LOCK_FILE, str(args.exp_dir)):
        speech = prepare_speech(args.exp_dir, train, dev, config.pooling, _FIXED_SEED)
        judge = Judge(text.flat, len(text.symbols), config.text.ngram_order)
        material = Material(speech["train"], speech["dev"], text, judge, train.num_units)
        sweep = Sweep(config, settings_to_keep(config), material, args.exp_dir)
        sweep.begin()
        train.spec.write(args.exp_dir / SPEC)
        keep_model(args.exp_dir, config, text, material.sizes, judge)
        seeds = range(args.first_seed, args.first_seed + args.num_seeds)
        if not all(weights_of(args.exp_dir, seed).with_name(SEED_FILE).is_file() for seed in seeds):
            note_who_trains(args.exp_dir)
        found = sweep.run(seeds, args.rule)
    print(table_of(found), end="")


if __name__ == "__main__":
    run_script(main)
