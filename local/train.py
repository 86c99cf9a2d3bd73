#!/usr/bin/env python3
"""Stage 6: train the system of a recipe on the features of a folder; see --help for every setting and its default."""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Set, Union

import torch
from lhotse import CutSet

from icefall_discrete.base import backend, random_state
from icefall_discrete.base.addresses import readable
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.device import resolve
from icefall_discrete.base.flags import Number, ScriptParser, value_of_flag
from icefall_discrete.base.hub_names import names_no_place
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.names import names_in
from icefall_discrete.base.provenance import Provenance, digest_of_file
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import cuts_digest, is_speed_perturbed, load_cuts, load_feature_cuts
from icefall_discrete.data.pseudo_labels import with_pseudo_labels, without_text
from icefall_discrete.data.shar import CUTS_FOLDER, SUMMARY_FILE, SharSource, require_current
from icefall_discrete.experiment.fitted_recipe import Facts, has_conditions, known_facts, what_was_chosen
from icefall_discrete.experiment.folder import TOKENIZER_DIR, Experiment, read_codebooks
from icefall_discrete.experiment.initial_weights import (
    begin_with,
    keep_parts,
    require_something_to_adapt,
    try_beginning,
)
from icefall_discrete.experiment.model_list import check_model_folder
from icefall_discrete.experiment.published_encoders import is_published
from icefall_discrete.experiment.recipe import add_setting_flags, read_settings
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, keep_for_transcription
from icefall_discrete.inference.hub import fetched
from icefall_discrete.systems import DEFAULT_SYSTEM
from icefall_discrete.systems.assembly import (
    build_network,
    build_trainer,
    filtered_corpus,
    require_covered,
    training_data,
)
from icefall_discrete.systems.contract import stages_of, system_stages
from icefall_discrete.systems.training_settings import TrainSettings
from icefall_discrete.systems.unit_dropout import piece_sampler
from icefall_discrete.training.averages import lost_epochs, read_summary, restore_epochs, training_checkpoints
from icefall_discrete.training.distributed import Group, joined_group, leave
from icefall_discrete.training.launch import launch
from icefall_discrete.training.meters import clock
from icefall_discrete.training.progress import setup_logging

LOG = logging.getLogger("train")


def get_parser(system: str = DEFAULT_SYSTEM) -> ScriptParser:
    """The stage's flags: files, and one for each setting of a system."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--recipe-config", type=Path, required=True, help="JSON file with the recipe's settings")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument("--lang-dir", type=Path, help="folder with bpe.model, for systems that learn text")
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment folder; a rerun goes on in it")
    parser.add_argument("--model-size", help="name or path of a model size (default: the recipe's)")
    parser.add_argument("--conf-dir", type=Path, action="append", default=[], help="folder with models/ of the recipe")
    parser.add_argument("--train-split", default="train", help="split to train on (default: train)")
    parser.add_argument("--valid-split", default="dev", help="split to validate on (default: dev)")
    parser.add_argument(
        "--shar-dir",
        type=readable,
        help="read the training split in sequence from here, or an address (export_shar.py)",
    )
    parser.add_argument("--mux-dir", type=Path, help="features of another corpus whose training split is mixed in")
    parser.add_argument("--mux-split", default="train", help="that split of the other corpus (default: train)")
    parser.add_argument(
        "--pseudo-labels",
        type=Path,
        action="append",
        default=[],
        help="manifest of pseudo_label.py, for training cuts whose transcripts are not used; can be repeated",
    )
    parser.add_argument(
        "--untranscribed-splits", default="", help="further splits, by commas, for pseudo-labels (default: none)"
    )
    parser.add_argument("--backend", default="auto", choices=backend.BACKENDS, help="pruned RNN-T (default: auto)")
    parser.add_argument(
        "--master-port",
        type=Number(int, minimum=0, maximum=65535),
        default=0,
        help="port they meet at (default: any free one)",
    )
    add_setting_flags(parser, system_stages(system).settings)
    return parser


def _facts_of_cuts(cuts: CutSet) -> Dict[str, Any]:
    return {"cuts": cuts_digest(cuts), "num_cuts": len(cuts)}


def data_of(train_cuts: Union[CutSet, SharSource], valid_cuts: CutSet, mixed_in: Optional[CutSet]) -> Provenance:
    """What the experiment is trained on; which cuts it is validated on is noted."""
    if isinstance(train_cuts, SharSource):
        inputs = {"train": {key: train_cuts.summary[key] for key in ("digest", "num_cuts")}}
    else:
        inputs = {"train": _facts_of_cuts(train_cuts)}
    if mixed_in is not None:
        inputs["mixed_in"] = _facts_of_cuts(mixed_in)
    return Provenance(inputs, noted={"valid": _facts_of_cuts(valid_cuts)})


def mixed_in_cuts(args: Any, settings: TrainSettings, spec: FeatureSpec) -> Optional[CutSet]:
    """The training cuts of another corpus that are mixed in. Raises ValueError if their features are others."""
    if args.mux_dir is None:
        return None
    if args.shar_dir is not None:
        raise ValueError("--mux-dir mixes cuts of manifests, but --shar-dir reads in sequence; leave one of them out.")
    path = args.mux_dir / f"{args.mux_split}.jsonl.gz"
    if not path.is_file():
        raise FileNotFoundError(f"--mux-dir: {path} does not exist; extract the features of that corpus first.")
    spec.require_same(FeatureSpec.read(args.mux_dir / "spec.json"), str(args.feature_dir), str(args.mux_dir))
    cuts = load_feature_cuts(path)[0]
    return system_stages(settings.system).with_more(settings, cuts, spec, args.mux_dir, args.mux_split)


def place_to_begin_with(init_from: str) -> Path:
    """Where the weights that --init-from names lie: on this machine, fetched from a hub if need be."""
    if not names_no_place(init_from):
        return Path(init_from)
    folder = fetched(init_from)
    return folder if is_published(folder) else check_model_folder(folder)


def labelled_cuts(args: Any, cuts: CutSet, spec: FeatureSpec, fraction: float) -> CutSet:
    """The training cuts as they are, or where there are pseudo-labels all that have a label of either kind."""
    if not args.pseudo_labels:
        if args.untranscribed_splits:
            raise ValueError("--untranscribed-splits need --pseudo-labels, as nothing is known of what is said there.")
        return cuts
    further = names_in(args.untranscribed_splits)
    others = [load_feature_cuts(args.feature_dir / f"{name}.jsonl.gz", spec)[0] for name in further]
    unwritten = [without_text(cut) for part in others for cut in part]
    pseudo = {cut.id: cut for path in args.pseudo_labels for cut in load_cuts(path)}
    return with_pseudo_labels(CutSet.from_cuts([*cuts, *unwritten]), CutSet.from_cuts(pseudo.values()), fraction)


def noted_labels(args: Any) -> Dict[str, Any]:
    """What the record of the data says of files of pseudo-labels."""
    found = {str(path): digest_of_file(path) for path in args.pseudo_labels}
    return {"pseudo_labels": found} if found else {}


def training_cuts(args: Any, settings: TrainSettings, spec: FeatureSpec) -> Union[CutSet, SharSource]:
    """What is trained on, of `spec`: cuts of the manifest, or those of Shar."""
    manifest = args.feature_dir / f"{args.train_split}.jsonl.gz"
    if args.shar_dir is None:
        stages, cuts = system_stages(settings.system), load_feature_cuts(manifest, spec)[0]
        whole = stages.with_more(settings, cuts, spec, args.feature_dir, args.train_split)
        return labelled_cuts(args, whole, spec, settings.filter.label_fraction)
    if args.pseudo_labels:
        raise ValueError("--pseudo-labels cannot be used with --shar-dir; train from the manifest.")
    source = SharSource(args.shar_dir / args.train_split, spec.name)
    spec.require_same(source.spec, str(args.feature_dir), str(args.shar_dir))
    require_current(args.shar_dir / args.train_split, spec, manifest)
    return source


def bring_back_epochs(exp_dir: Path) -> None:
    """Restore lost weights of epochs from checkpoints; those that no checkpoint holds are named."""
    restored, lost = restore_epochs(exp_dir), lost_epochs(exp_dir)
    if restored:
        LOG.info(f"{exp_dir}: {', '.join(restored)} had been lost, and came back from a checkpoint.")
    if lost:
        LOG.warning(
            f"{exp_dir}: the weights of epoch {', '.join(map(str, lost))} are lost, and no checkpoint holds them; "
            "decode with other epochs (--epoch, --avg), or train in another --exp-dir."
        )


@contextlib.contextmanager
def taken_back(exp_dir: Path, there: Set[Path], is_main: bool) -> Iterator[None]:
    """Take back the files of an experiment whose data or settings turn out wrong before its first step.

    They would hold its next try to what was wrong. `there`: the files of before; what was begun stays as it is.
    """
    try:
        yield
    except ValueError:
        if is_main and exp_dir / "config.json" not in there:
            for path in set(exp_dir.glob("[!.]*")) - there:
                if path.is_file():
                    path.unlink()
        raise


def train(args: Any, settings: TrainSettings, device_type: str, group: Group) -> None:
    """Prepare or check the experiment folder, then train what is left to train."""
    stages = system_stages(settings.system)
    valid_cuts, spec = load_feature_cuts(args.feature_dir / f"{args.valid_split}.jsonl.gz")
    train_cuts = training_cuts(args, settings, spec)
    mixed_in = mixed_in_cuts(args, settings, spec)
    valid_cuts = stages.with_more(settings, valid_cuts, spec, args.feature_dir, args.valid_split)
    codebooks = read_codebooks(args.feature_dir / "codebooks.safetensors")
    resegment = piece_sampler(args.feature_dir / TOKENIZER_DIR, spec, settings.augmentation)
    targets = stages.targets(settings, train_cuts, args.lang_dir)
    experiment, there = Experiment(args.exp_dir), set(args.exp_dir.glob("[!.]*"))
    begins = bool(settings.init.init_from) and not training_checkpoints(args.exp_dir)
    require_something_to_adapt(settings)
    place = place_to_begin_with(settings.init.init_from) if begins else None
    # Tried before anything is written, and by all before one writes: what does not fit is to leave no folder behind.
    begun_with = try_beginning(settings, spec, targets, codebooks, place) if begins else {}
    if not experiment.has_learnt():
        require_covered(settings, targets, train_cuts, valid_cuts)
    group.any(begins)
    if group.is_main:
        data = data_of(train_cuts, valid_cuts, mixed_in)
        data.noted.update({**begun_with, **noted_labels(args)})
        experiment.start(settings, spec, targets, codebooks, data)
        bring_back_epochs(args.exp_dir)
        keep_for_transcription(args.exp_dir, args.feature_dir, args.recipe_config, args.facts)
    if group.any(group.is_main and experiment.is_finished(settings)):
        summary = read_summary(args.exp_dir / "train.json")
        LOG.info(
            f"{args.exp_dir}: training is finished ({summary['num_epochs']} epochs, stopped by "
            f"{summary.get('stopped_by')}); nothing to do."
        )
        return
    if group.is_main:
        experiment.note_commit()
    config = settings.train
    setup_logging(args.exp_dir / "log", "log-train", group.rank)
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.set_flush_denormal(True)
    device = torch.device(device_type, group.local_rank) if device_type == "cuda" else torch.device("cpu")
    random_state.seed_everything(config.seed)

    with taken_back(args.exp_dir, there, group.is_main):
        corpus = filtered_corpus(settings, spec, train_cuts, valid_cuts, targets, mixed_in)
        network = build_network(settings, corpus, codebooks)
        if begins:
            LOG.info(begin_with(network, settings.init, spec, targets, place).said)
        for said in keep_parts(network, settings.init, experiment.parts_taken()):
            LOG.info(said)
        network = network.to(device)
        trainer = build_trainer(settings, corpus, network, args.exp_dir, group, backend.resolve(args.backend))
    if group.is_main:
        experiment.note_settings(settings)
    summary = trainer.fit(training_data(settings, corpus, resegment))
    LOG.info(
        f"Trained {summary['num_epochs']} epochs in {clock(summary['train_sec'])}, stopped by {summary['stopped_by']}; "
        f"best validation loss after epoch {summary['best_valid_epoch']}. Results are in {args.exp_dir}."
    )


@contextlib.contextmanager
def alone_in(exp_dir: Path, group: Group) -> Iterator[None]:
    """See to it that no other training is at work in the folder."""
    with at_work(exp_dir / LOCK_FILE, str(exp_dir)) if group.is_main else contextlib.nullcontext():
        yield


def facts_of(args: Any, settings: TrainSettings) -> Optional[Facts]:
    """What the recipe is to fit itself to: as when the experiment began, or as things are; None if it does not."""
    if not has_conditions(args.recipe_config):
        return None
    if Experiment(args.exp_dir).has_learnt():
        return known_facts(args.exp_dir / RECIPE_FILE)
    if args.shar_dir is not None:
        seconds = read_object(args.shar_dir / args.train_split / CUTS_FOLDER / SUMMARY_FILE)["duration_sec"]
    else:
        cuts = load_cuts(args.feature_dir / f"{args.train_split}.jsonl.gz", lazy=True)
        seconds = sum(cut.duration for cut in cuts if not is_speed_perturbed(cut))
    return Facts(round(seconds / 3600, 2), resolve(settings.train.device, "training").type)


def main() -> None:
    """Train, in this process or in as many as world_size says, or in those that torchrun has started."""
    recipe = value_of_flag("recipe-config", sys.argv[1:])
    args = get_parser(stages_of(read_recipe(recipe) if recipe else {}).settings.system).parse_args()
    settings = read_settings(args.recipe_config, args.model_size, args.conf_dir, args)
    args.facts = facts_of(args, settings)
    if args.facts is not None:
        settings = read_settings(args.recipe_config, args.model_size, args.conf_dir, args, args.facts)
    if settings.train.world_size != 1 and "WORLD_SIZE" not in os.environ:
        sys.exit(launch([sys.executable, *sys.argv], settings.train.world_size, args.master_port))
    device_type = resolve(settings.train.device, "training").type
    with joined_group(device_type) as group, alone_in(args.exp_dir, group):
        if not group.is_main:
            logging.getLogger().setLevel(logging.WARNING)  # on the console one process is enough
        elif args.facts is not None:
            LOG.info(what_was_chosen(args.recipe_config, args.facts))
        train(args, settings, device_type, group)
    if group.world_size > 1:
        leave()


if __name__ == "__main__":
    run_script(main)
