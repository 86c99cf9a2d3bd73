#!/usr/bin/env python3
"""What a trained recogniser says of a split, as a manifest of cuts with pseudo-labels, for another one to learn from.

By any search, with language models and rescoring, as decode.py. What is doubtful is left out, and counted. The text
that cuts have is not looked at. Each pseudo-label keeps who said it: model, weights, commit, search, score, confidence.

Example: local/pseudo_label.py --exp-dir exp/a --feature-dir data/features/mfcc_km500 --split train --except-labelled \
0.1 --keep-share 0.9 --output data/pseudo/a.jsonl.gz
"""

import logging
from pathlib import Path
from typing import Any, Iterable, List, Mapping, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import MonoCut

from icefall_discrete.base import environment
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance, digest_of_file, read_record, recorded_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.cuts import (
    is_speed_perturbed,
    load_feature_cuts,
    require_manifest_name,
    without_frames,
    write_cuts,
)
from icefall_discrete.data.label_share import labelled_ids
from icefall_discrete.data.pseudo_labels import pseudo_labelled, transcribed
from icefall_discrete.decoding.methods import find_method
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, files_of, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, load_recipe
from icefall_discrete.systems import DEFAULT_SYSTEM
from icefall_discrete.systems.asr.prediction import AsrPrediction, Search, scorers
from icefall_discrete.systems.asr.self_training import Chosen, Guess, PseudoFilterConfig, Teacher, choose_guesses
from icefall_discrete.systems.prediction import Json, RunConfig

LOG = logging.getLogger("pseudo_label")
ORACLE = "fast_beam_search_nbest_oracle"


def get_parser() -> ScriptParser:
    """The flags of this stage: files, checkpoints, the search, and what is kept."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the recogniser that says the text")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument("--split", default="train", help="split that is labelled, at speed 1 (default: train)")
    parser.add_argument(
        "--except-labelled",
        type=Number(float, minimum=0, maximum=1),
        default=0.0,
        help="leave out the cuts whose transcripts a training with this label_fraction uses; 0: none (default: 0)",
    )
    parser.add_argument("--output", type=Path, required=True, help="manifest to write, .jsonl.gz; a report lies beside")
    parser.add_argument("--recipe-config", type=Path, help="recipe with sections average, decode (default: its own)")
    add_flags(parser, CheckpointChoice, "average")
    AsrPrediction().add_flags(parser)
    add_flags(parser, PseudoFilterConfig)
    add_flags(parser, RunConfig)
    return parser


def cuts_to_label(path: Path, experiment: Experiment, except_labelled: float) -> List[MonoCut]:
    """The cuts at speed 1 whose transcripts are not used. Raises ValueError if there are none."""
    cuts, _ = load_feature_cuts(path, experiment.spec())
    own = [cut for cut in cuts if not is_speed_perturbed(cut)]
    used = labelled_ids(transcribed(cuts), except_labelled) if except_labelled else set()
    left = [cut for cut in own if cut.id not in used]
    if not left:
        raise ValueError(
            f"{path}: the transcripts of all {len(own)} cuts are used (--except-labelled {except_labelled:g}), so that "
            "none is left to label; lower it, or give another --split."
        )
    return left


def settings_of(args: Any) -> Tuple[CheckpointChoice, Search]:
    """Checkpoints and the search: the recipe's, then the flags. Raises ValueError for a search that asks the truth."""
    recipe, where = load_recipe(args.exp_dir, args.recipe_config), str(args.recipe_config or args.exp_dir / RECIPE_FILE)
    choice = override(from_dict(CheckpointChoice, recipe.get("average", {}), where), args, "average")
    search = AsrPrediction().read_settings(recipe, where, args)
    if search.decode.decoding_method == ORACLE or search.streams.streaming:
        raise ValueError(
            f"pseudo-labels cannot be of {ORACLE}, which knows what was said, nor of streams; use another "
            "--decoding-method, without --streaming."
        )
    return resolve_choice(choice, args.exp_dir), search


def report_on(chosen: Chosen, number: int) -> Json:
    """How many are kept, how many are not for which reason, and what the log says of it.

    Raises ValueError if none is kept.
    """
    for reason, names in sorted(chosen.dropped.items()):
        LOG.info("dropped %d of %d pseudo-labels: %s (such as %s)", len(names), number, reason, names[0])
    if not chosen.kept:
        why = {reason: len(names) for reason, names in sorted(chosen.dropped.items())}
        raise ValueError(f"no pseudo-label of {number} cuts is left: {why}; lower the thresholds, or train longer.")
    scores = [guess.score_per_label for guess in chosen.kept.values()]
    confidences = [guess.confidence for guess in chosen.kept.values()]
    return {
        "num_cuts": number,
        "num_kept": len(chosen.kept),
        "dropped": {reason: len(names) for reason, names in sorted(chosen.dropped.items())},
        "dropped_cuts": dict(sorted(chosen.dropped.items())),
        "mean_score_per_label": sum(scores) / len(scores),
        "mean_confidence": sum(confidences) / len(confidences),
    }


def label(args: Any, experiment: Experiment, choice: CheckpointChoice, search: Search) -> Tuple[List[MonoCut], Json]:
    """The cuts with pseudo-labels that are kept, and what is to be reported of all."""
    run = override(RunConfig(), args)
    cuts = cuts_to_label(args.feature_dir / f"{args.split}.jsonl.gz", experiment, args.except_labelled)
    torch.set_flush_denormal(True)
    trained = trained_system(experiment, choice, run.torch_device())
    by_label = find_method(search.decode.decoding_method).from_label_to_label
    parts = (trained.network, trained.spec, trained.targets.text_encoder, search.decode, by_label)
    teacher = Teacher(*parts, scorers(trained, search.decode, run.torch_device()))
    guesses, facts = teacher.guesses(CutSet.from_cuts(cuts), run, f"Labelling {args.split}")
    chosen = choose_guesses(cuts, guesses, override(PseudoFilterConfig(), args))
    said = {**report_on(chosen, len(cuts)), "decode_rtf": facts["decode_rtf"]}
    files = AsrPrediction().output(args.exp_dir, trained.settings, search, choice.suffix, choice.use_averaged_model)
    source = {
        "model": args.exp_dir.resolve().name,
        "weights_sha256": Provenance(digests(files_of(choice, args.exp_dir))).digest(),
        "commit": environment.git_revision(),
        "search": f"{files.folder.name} {files.suffix}",
    }
    kept = [cut for cut in cuts if cut.id in chosen.kept]
    said["kept_sec"] = sum(cut.duration for cut in kept)
    LOG.info(
        f"{args.output}: {len(kept)} of {len(cuts)} cuts, {said['kept_sec'] / 3600:.3f} h, have pseudo-labels, mean "
        f"confidence {said['mean_confidence']:.3f}"
    )
    return [labelled(cut, chosen.kept[cut.id], source) for cut in kept], said


def labelled(cut: MonoCut, guess: Guess, source: Mapping[str, str]) -> MonoCut:
    """The cut with what is said of it, without codes."""
    sure = {"score": guess.score, "confidence": guess.confidence, "word_confidence": guess.word_confidence}
    said_by = {**source, **{name: round(value, 4) for name, value in sure.items()}}
    return pseudo_labelled(without_frames(cut), guess.text, said_by)


def digests(paths: Iterable[Path]) -> Json:
    """Digests of files by their names."""
    return {path.name: digest_of_file(path) for path in paths}


def main() -> None:
    """Label the split, or say that it was labelled from the same before."""
    args = get_parser().parse_args()
    require_manifest_name(args.output)
    experiment = Experiment(args.exp_dir)
    if experiment.settings().system != DEFAULT_SYSTEM:
        raise ValueError(
            f"{args.exp_dir} is no recogniser, but {experiment.settings().system}; give the folder of one."
        )
    choice, search = settings_of(args)
    prediction, report = AsrPrediction(), args.output.with_name(f"{args.output.name}.json")
    read = [*files_of(choice, args.exp_dir), args.feature_dir / f"{args.split}.jsonl.gz", *prediction.inputs(search)]
    settings = {"search": prediction.noted(search), "filters": to_dict(override(PseudoFilterConfig(), args))}
    made_from = Provenance(digests(read), {**settings, "except_labelled": args.except_labelled})
    before = recorded_in(read_record(report, "made_from"), report) if report.is_file() else None
    if before is not None and args.output.is_file() and made_from.is_same(before):
        LOG.info(f"{args.output} exists, made from the same checkpoints and cuts: nothing to do")
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with at_work(args.output.with_name(f"{LOCK_FILE}-{args.output.name}"), str(args.output)):
        cuts, said = label(args, experiment, choice, search)
        report.unlink(missing_ok=True)  # what is written now is not what it tells of
        write_cuts(args.output, cuts)
        write_json(report, {"made_from": made_from.to_json(), **said, "environment": environment.describe()})


if __name__ == "__main__":
    run_script(main)
