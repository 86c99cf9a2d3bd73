"""From settings, cuts and targets to a trainer that is ready to run: what systems of codes and features share."""

import contextlib
import dataclasses
import functools
import logging
import math
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base import random_state
from icefall_discrete.base.clustering import fit_centroids
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Batch, BatchDataset, Resegment, with_views
from icefall_discrete.data.filters import FilterConfig, chosen_languages, filter_cuts, filter_shar
from icefall_discrete.data.label_share import label_hours, with_labels
from icefall_discrete.data.language_sampling import hours_by_language
from icefall_discrete.data.loaders import (
    Cuts,
    LoaderConfig,
    epoch_cuts,
    largest_batches,
    make_epoch_batches,
    make_test_batches,
    report_long_cuts,
)
from icefall_discrete.data.mixing import has_mixed_in, with_mixed_in
from icefall_discrete.data.pseudo_labels import pseudo_label_hours, require_truth
from icefall_discrete.data.shar import KeptCuts, SharSource
from icefall_discrete.data.statistics import feature_statistics, sampled_frames
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.data.unlabelled import interleaved, places_of, unlabelled_batches, without_labels
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import FeatureNormalizer
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.nn.learned_codes import LearnedCodes
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.training_settings import TrainSettings
from icefall_discrete.text.coverage import Coverage
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import TrainingData

LOG = logging.getLogger(__name__)
# Cuts from which mean and deviation of continuous features are taken: enough for three digits, seconds to read.
_STATISTICS_CUTS = 500
# Frames of those on which centroids are found that are to be learnt: a beginning.
_CENTROID_FRAMES = 50000


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What is trained on: features of a spec, cuts that survived the filter, and what is learnt of them.

    unlabelled: cuts without text, for systems that have use for them.
    """

    spec: FeatureSpec
    train: Cuts
    valid: CutSet
    targets: Targets
    unlabelled: Optional[CutSet] = None

    @functools.cached_property
    def hours(self) -> Dict[str, float]:
        """Hours of training data by language."""
        return self.train.hours if isinstance(self.train, KeptCuts) else hours_by_language(self.train)

    @property
    def label_hours(self) -> float:
        """Hours of transcribed training data that are no copies at another speed."""
        return self.train.label_hours if isinstance(self.train, KeptCuts) else label_hours(self.train)

    @property
    def pseudo_label_hours(self) -> float:
        """Hours of training data with pseudo-labels, counted likewise."""
        return 0.0 if isinstance(self.train, KeptCuts) else pseudo_label_hours(self.train)


def filtered_corpus(
    settings: TrainSettings,
    spec: FeatureSpec,
    train: Union[CutSet, SharSource],
    valid: CutSet,
    targets: Targets,
    mixed_in: Optional[CutSet] = None,
) -> Corpus:
    """Drop the cuts that cannot be trained on; reasons and counts go to the log.

    `mixed_in` are training cuts of another corpus, of which all labels and languages are used.

    Raises ValueError if nothing is left, and if the settings ask for parts of utterances where the rate varies.
    """
    if spec.has_variable_rate and settings.loader.longest_sec < math.inf:
        raise ValueError(
            f"crop_sec is {settings.loader.longest_sec:g}, but '{spec.name}' has a variable rate, so that its codes "
            "belong to whole utterances only; set crop_sec to 0, or take a feature type of a constant rate."
        )

    def frames(num_frames: int) -> int:
        return settings.model.num_encoder_frames(num_frames, spec)

    with _covered("validation", targets, settings.filter) as frames_needed:
        require_truth(valid, "validation")
        kept_valid = filter_cuts(valid, settings.filter, spec, frames, frames_needed, "validation (dev)").cuts
    kept: Cuts
    unlabelled = None
    stages = system_stages(settings.system)
    with _covered("training", targets, settings.filter) as frames_needed:
        if isinstance(train, SharSource):
            if stages.uses_unlabelled(settings):
                raise ValueError(
                    "own_labels.batches_each is above 0, which data in Shar cannot serve; leave --shar-dir away."
                )
            kept = filter_shar(train, settings.filter, frames, frames_needed)
        else:
            labelled = with_labels(train, settings.filter.label_fraction)
            kept = filter_cuts(labelled, settings.filter, spec, frames, frames_needed).cuts
            if mixed_in is not None:
                whole = dataclasses.replace(settings.filter, languages=())
                others = filter_cuts(mixed_in, whole, spec, frames, frames_needed, "mixed in").cuts
                kept = with_mixed_in(kept, others)
            report_long_cuts(stages.cuts_of_epoch(settings, kept, spec, 1), settings.loader)
            if stages.uses_unlabelled(settings):
                rest = without_labels(train, labelled)
                unlabelled = filter_cuts(rest, settings.filter, spec, frames, lambda cut: 1, "without labels").cuts
    corpus = Corpus(spec, kept, kept_valid, targets, unlabelled)
    if len(corpus.hours) > 1:
        LOG.info(f"Training data by language: {_shown_hours(corpus.hours)}.")
    return corpus


def require_covered(settings: TrainSettings, targets: Targets, train: Union[CutSet, SharSource], valid: CutSet) -> None:
    """Raise ValueError if more of the texts than the settings allow cannot be learnt.

    As `filtered_corpus` does, but before anything is written; mistakes in single cuts are left to that, and cuts that
    are read in sequence too.
    """
    for what, cuts in (("validation", valid), ("training", train)):
        if isinstance(cuts, SharSource):
            continue
        used = with_labels(cuts, settings.filter.label_fraction) if cuts is train else cuts
        coverage = Coverage(what)
        for cut in chosen_languages(used, settings.filter.languages):
            with contextlib.suppress(ValueError):
                targets.cover(cut, coverage)
        coverage.require(settings.filter.max_unknown_percent)


@contextlib.contextmanager
def _covered(what: str, targets: Targets, config: FilterConfig) -> Iterator[Callable[[Cut], int]]:
    """The targets' `frames_needed`, which also counts what of the texts can be learnt, and a report in the end.

    Raises ValueError if more than the settings allow cannot.
    """
    coverage = Coverage(what)
    is_open = True

    def frames_needed(cut: Cut) -> int:
        needed = targets.frames_needed(cut)
        if is_open:  # a filter of cuts that are read in sequence asks in every epoch
            targets.cover(cut, coverage)
        return needed

    yield frames_needed
    is_open = False
    coverage.report(config.max_unknown_percent)


def _shown_hours(hours: Dict[str, float]) -> str:
    return ", ".join(f"{language} {hours_text(amount)} h" for language, amount in hours.items())


def _is_mixed(cuts: Cuts) -> bool:
    return isinstance(cuts, CutSet) and has_mixed_in(cuts)


def drawn_hours(cuts: CutSet, config: LoaderConfig, epoch: int, seed: int) -> Dict[str, Any]:
    """Facts of an epoch for train.json: hours drawn of each language; none where each cut is drawn once."""
    if config.language_temperature == 1.0 and not _is_mixed(cuts):
        return {}
    hours = hours_by_language(epoch_cuts(cuts, config, epoch, seed))
    LOG.info(f"Epoch {epoch} drew {_shown_hours(hours)}.")
    return {"drawn_hours": hours}


def _some_of(cuts: CutSet, number: int) -> CutSet:
    """About `number` cuts, spread over the manifest, which may be sorted by language or speaker."""
    return CutSet.from_cuts(list(cuts)[:: max(1, len(cuts) // max(1, number))])


def _epoch_sec(corpus: Corpus, config: LoaderConfig, seed: int) -> float:
    """Seconds of audio of an epoch, of each utterance at most what is trained on of it."""
    longest_sec = config.longest_sec
    if _is_mixed(corpus.train):
        return sum(cut.duration for cut in epoch_cuts(corpus.train, config, 1, seed))
    if longest_sec == math.inf:
        return 3600.0 * sum(corpus.hours.values())
    return sum(min(cut.duration, longest_sec) for cut in corpus.train)


def training_data(settings: TrainSettings, corpus: Corpus, resegment: Optional[Resegment] = None) -> TrainingData:
    """Batches of the corpus for the trainer; `resegment` as for BatchDataset (unit_dropout.py)."""
    loader, spec, seed = settings.loader, corpus.spec, settings.train.seed
    stages = system_stages(settings.system)
    num_views, completion = stages.num_views(settings), stages.completion(settings, spec, corpus.targets)

    def batches(epoch: int, start: int) -> Iterator[Batch]:
        dataset = BatchDataset(
            spec, settings.augmentation, seed, epoch, num_views=num_views, resegment=resegment, completion=completion
        )
        cuts, each = (
            stages.cuts_of_epoch(settings, corpus.train, spec, epoch),
            stages.unlabelled_batches(settings, epoch),
        )
        if corpus.unlabelled is None or not each:
            return make_epoch_batches(cuts, loader, dataset, start)
        begun, others = places_of(start, each)
        untold = unlabelled_batches(corpus.unlabelled, loader, spec, seed, epoch, others)
        return interleaved(make_epoch_batches(cuts, loader, dataset, begun), untold, each, start)

    return TrainingData(
        train_batches=batches,
        valid_batches=lambda: make_test_batches(corpus.valid, loader, spec, completion),
        figure_batches=lambda: make_test_batches(
            _some_of(corpus.valid, settings.train.decode_utterances), loader, spec, completion
        ),
        epoch_amount=_epoch_sec(corpus, loader, seed),
        epoch_facts=lambda epoch: drawn_hours(corpus.train, loader, epoch, seed),
        largest_batches=lambda: (
            (what, with_views(batch, spec, num_views))
            for what, batch in largest_batches(
                stages.cuts_of_epoch(settings, corpus.train, spec, 1), loader, spec, seed, completion
            )
        ),
    )


def build_network(settings: TrainSettings, corpus: Corpus, codebooks: Optional[List[Tensor]]) -> FrameNetwork:
    """The network with its initial weights; continuous features get the statistics of the training data.

    Raises:
      ValueError: if the network cannot hear such features.
    """
    if isinstance(settings.model, AcousticEncoderConfig):
        settings.model.require_heard(corpus.spec)
    network = system_stages(settings.system).network(settings, corpus.spec, corpus.targets, codebooks)
    raw = isinstance(network, AcousticEncoder) and network.config.front_end.reads_samples
    if isinstance(network.input_embedding, FeatureNormalizer) and not raw:
        statistics = feature_statistics(corpus.train, corpus.spec, _STATISTICS_CUTS, settings.train.seed)
        network.input_embedding.set_statistics(*statistics)
    if isinstance(network.input_embedding, LearnedCodes):
        frames = sampled_frames(corpus.train, corpus.spec, _STATISTICS_CUTS, _CENTROID_FRAMES, settings.train.seed)
        with torch.no_grad():
            normal = network.input_embedding.normalized(frames).numpy()
        found, _ = fit_centroids(normal, len(network.input_embedding.centroids), 1, 1, 5, 0, settings.train.seed)
        network.input_embedding.set_centroids(torch.from_numpy(found))
    return network


def build_trainer(
    settings: TrainSettings, corpus: Corpus, network: FrameNetwork, exp_dir: Path, group: Group, backend: str
) -> Trainer:
    """A trainer of `network`, on the device where it is; from here on each process draws noise of its own."""
    config = settings.train
    if group.rank > 0:
        random_state.seed_everything(config.seed + group.rank)
    trainable = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
    optimizer, scheduler = config.optimizer.build(trainable, config)
    facts = {"backend": backend, "train_cuts": len(corpus.train), "label_hours": round(corpus.label_hours, 4)}
    if corpus.pseudo_label_hours:
        facts["pseudo_label_hours"] = round(corpus.pseudo_label_hours, 4)
    if corpus.unlabelled is not None:
        facts["unlabelled_hours"] = round(label_hours(corpus.unlabelled), 4)
    system = system_stages(settings.system).system(network, settings, corpus.spec, corpus.targets, backend)
    if isinstance(system, AcousticSystem):
        system.frozen_steps = settings.init.frozen_steps
    return Trainer(system, optimizer, scheduler, config, exp_dir, group, facts)
