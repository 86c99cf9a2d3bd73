#!/usr/bin/env python3
"""When the letters of each transcript are said, by the CTC head of a trained recogniser: a CTM file a split.

What `measure_units.py` holds the codes of other feature types against, and text to speech takes durations from. Any
recogniser of the same cuts will do; with --alignments, those of a file (TextGrid, CTM) are taken, whoever made them.

Example: local/align_cuts.py --exp-dir exp/fbank_default --feature-dir data/features/fbank --splits test \
--output-dir data/alignments
"""

import logging
from pathlib import Path
from typing import Any, Callable

from lhotse import CutSet
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.cuts import is_speed_perturbed, load_feature_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import load_recipe
from icefall_discrete.systems.asr.letter_times import ctc_log_probs, letters_in_time
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.alignments import Alignments, read_alignments, write_ctm
from icefall_discrete.text.symbols import is_sound
from icefall_discrete.text.words import plain_spaces

TEXT_RULES = ("written", "lower", "upper")


def in_rule(cuts: CutSet, rule: str) -> CutSet:
    """The cuts with their texts as a recogniser of other texts writes them."""
    if rule == "written":
        return cuts

    def changed(text: str) -> str:
        kept = "".join(char if is_sound(char) or char == "'" else " " for char in text)
        return plain_spaces(kept.lower() if rule == "lower" else kept.upper())

    return CutSet.from_cuts(
        fastcopy(cut, supervisions=[fastcopy(said, text=changed(said.text or "")) for said in cut.supervisions])
        for cut in cuts
    )


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, help="folder of a recogniser with a CTC head")
    parser.add_argument("--alignments", type=Path, help="instead of a recogniser: a file, or a folder of TextGrids")
    parser.add_argument("--tier", default="words", help="tier of TextGrids that is read (default: words)")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with the codes that it hears")
    parser.add_argument("--splits", default="test", help="splits to align, by commas (default: test)")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for <split>.ctm")
    parser.add_argument(
        "--text-rule",
        choices=TEXT_RULES,
        default="written",
        help="how the recogniser writes: as the texts, or in lower or upper case, without signs (default: written)",
    )
    parser.add_argument(
        "--speed-copies", choices=("no", "yes"), default="no", help="align copies at other speeds too (default: no)"
    )
    parser.add_argument("--labels", choices=("letters", "pieces"), default="letters", help="(default: letters)")
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, RunConfig)
    return parser


def _by_recogniser(args: Any) -> Callable[[CutSet], Alignments]:
    """What aligns cuts by the CTC head of an experiment."""
    experiment, run = Experiment(args.exp_dir), override(RunConfig(), args)
    model, targets, spec = experiment.build_model(), experiment.targets(), experiment.spec()
    if not isinstance(model, Transducer) or not isinstance(targets, PieceTargets):
        raise ValueError(f"{args.exp_dir} is no recogniser; give the folder of one that was trained with a CTC loss.")
    section = load_recipe(args.exp_dir, None).get("average", {})
    choice = override(from_dict(CheckpointChoice, section, str(args.exp_dir)), args, "average")
    load_into(model, resolve_choice(choice, args.exp_dir), args.exp_dir)
    model.to(run.torch_device()).eval()
    frame_sec = model.config.encoder_frame_sec(spec)

    def align(cuts: CutSet) -> Alignments:
        log_probs, _ = ctc_log_probs(model, cuts, spec, run, "align")
        return letters_in_time(log_probs, cuts, targets.text_encoder, frame_sec, args.labels == "pieces")

    return align


def _from_file(args: Any) -> Callable[[CutSet], Alignments]:
    """What looks cuts up in a file."""
    known = read_alignments(args.alignments, args.tier)
    return lambda cuts: {cut.id: known[cut.id] for cut in cuts if cut.id in known}


def main() -> None:
    """Align each split and write its file; say how many cuts have no alignment."""
    args = get_parser().parse_args()
    if (args.exp_dir is None) == (args.alignments is None):
        raise ValueError("give either --exp-dir, a recogniser, or --alignments, a file; one of them is needed.")
    expected = None if args.exp_dir is None else Experiment(args.exp_dir).spec()
    splits = some_names_in(args.splits, "splits")
    align = _from_file(args) if args.exp_dir is None else _by_recogniser(args)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    number = 0
    for split in splits:
        cuts, _ = load_feature_cuts(args.feature_dir / f"{split}.jsonl.gz", expected)
        if args.speed_copies == "no":
            cuts = CutSet.from_cuts(cut for cut in cuts if not is_speed_perturbed(cut))
        found = align(in_rule(cuts, args.text_rule))
        write_ctm(args.output_dir / f"{split}.ctm", found)
        number, missing = number + len(found), len(list(cuts)) - len(found)
        logging.info(f"{args.output_dir / split}.ctm: {len(found)} cuts; {missing} have no alignment")
    if not number:
        raise ValueError(
            f"no cut has an alignment: {args.alignments or args.exp_dir} knows none of their ids, or can say none of "
            "their texts; give another one."
        )


if __name__ == "__main__":
    run_script(main)
