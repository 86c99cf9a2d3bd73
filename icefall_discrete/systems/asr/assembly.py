"""From settings, cuts and pieces to a trainer that is ready to run."""

import dataclasses
import functools
import itertools
import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Union

from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base import random_state
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import language_of, text_of
from icefall_discrete.data.dataset import with_views
from icefall_discrete.data.filters import filter_cuts, filter_shar
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
from icefall_discrete.data.shar import KeptCuts, SharSource
from icefall_discrete.data.statistics import feature_statistics
from icefall_discrete.losses.cr_ctc import NUM_VIEWS
from icefall_discrete.nn.code_embedding import FeatureNormalizer
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.system import AsrSystem
from icefall_discrete.systems.asr.transducer import Heads, Transducer, build_transducer
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.eden import Eden
from icefall_discrete.training.scaled_adam import ScaledAdam
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import TrainingData

LOG = logging.getLogger(__name__)
# Cuts from which mean and deviation of continuous features are taken: enough for three digits, seconds to read.
_STATISTICS_CUTS = 500


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What is trained on: features of a spec, cuts that survived the filter, and the pieces of their text."""

    spec: FeatureSpec
    train: Cuts
    valid: CutSet
    text_encoder: TextEncoder

    @functools.cached_property
    def hours(self) -> Dict[str, float]:
        """Hours of training data by language."""
        return self.train.hours if isinstance(self.train, KeptCuts) else hours_by_language(self.train)


def frames_needed(text_encoder: TextEncoder, with_ctc: bool) -> Callable[[Cut], List[int]]:
    """Return a function from a cut to a sequence with as many items as its text needs encoder frames.

    That is its labels; for CTC, also a blank between equal neighbours, without which the loss is infinite
    (https://www.cs.toronto.edu/~graves/icml_2006.pdf, section 4.1).
    """

    def symbols(cut: Cut) -> List[int]:
        text, language = text_of(cut), language_of(cut)
        try:
            labels = text_encoder.labels_of(text, language)
        except ValueError as error:
            raise ValueError(f"cut {cut.id}: {error}") from None
        if not with_ctc:
            return labels
        repeats = sum(left == right for left, right in itertools.pairwise(labels))
        return labels + [text_encoder.blank_id] * repeats

    return symbols


def filtered_corpus(
    settings: TrainSettings,
    spec: FeatureSpec,
    train: Union[CutSet, SharSource],
    valid: CutSet,
    text_encoder: TextEncoder,
) -> Corpus:
    """Drop the cuts that cannot be trained on; reasons and counts go to the log."""
    needed = frames_needed(text_encoder, settings.loss.ctc_loss_scale > 0 or settings.loss.inner_ctc_loss_scale > 0)

    def frames(num_frames: int) -> int:
        return settings.model.num_encoder_frames(num_frames, spec)

    kept_valid = filter_cuts(valid, settings.filter, spec, frames, needed).cuts
    kept: Cuts
    if isinstance(train, SharSource):
        kept = filter_shar(train, settings.filter, frames, needed)
    else:
        kept = filter_cuts(train, settings.filter, spec, frames, needed).cuts
        report_long_cuts(kept, settings.loader)
    corpus = Corpus(spec, kept, kept_valid, text_encoder)
    if len(corpus.hours) > 1:
        LOG.info(f"Training data by language: {_shown_hours(corpus.hours)}.")
    return corpus


def _shown_hours(hours: Dict[str, float]) -> str:
    return ", ".join(f"{language} {amount:.2f} h" for language, amount in hours.items())


def drawn_hours(cuts: CutSet, config: LoaderConfig, epoch: int, seed: int) -> Dict[str, Any]:
    """Facts of an epoch for train.json: hours drawn of each language; none where each cut is drawn once."""
    if config.language_temperature == 1.0:
        return {}
    hours = hours_by_language(epoch_cuts(cuts, config, epoch, seed))
    LOG.info(f"Epoch {epoch} drew {_shown_hours(hours)}.")
    return {"drawn_hours": hours}


def _some_of(cuts: CutSet, number: int) -> CutSet:
    """About `number` cuts, spread over the manifest, which may be sorted by language or speaker."""
    return CutSet.from_cuts(list(cuts)[:: max(1, len(cuts) // max(1, number))])


def training_data(settings: TrainSettings, corpus: Corpus) -> TrainingData:
    """Batches of the corpus for the trainer."""
    loader, spec, seed = settings.loader, corpus.spec, settings.train.seed
    num_views = NUM_VIEWS if settings.loss.cr_loss_scale > 0 else 1
    return TrainingData(
        train_batches=lambda epoch, start: make_epoch_batches(
            corpus.train, loader, spec, settings.augment, epoch, seed, start, num_views
        ),
        valid_batches=lambda: make_test_batches(corpus.valid, loader, spec),
        figure_batches=lambda: make_test_batches(
            _some_of(corpus.valid, settings.train.decode_utterances), loader, spec
        ),
        epoch_amount=3600.0 * sum(corpus.hours.values()),
        epoch_facts=lambda epoch: drawn_hours(corpus.train, loader, epoch, seed),
        largest_batches=lambda: (
            (what, with_views(batch, spec, num_views))
            for what, batch in largest_batches(corpus.train, loader, spec, seed)
        ),
    )


def build_model(settings: TrainSettings, corpus: Corpus, codebooks: Optional[List[Tensor]]) -> Transducer:
    """The model with its initial weights; continuous features get the statistics of the training data."""
    vocab_size = corpus.text_encoder.vocab_size
    model = build_transducer(
        settings.model, corpus.spec, vocab_size, settings.augment, codebooks, Heads.trained_by(settings.loss)
    )
    if isinstance(model.input_embedding, FeatureNormalizer):
        statistics = feature_statistics(corpus.train, corpus.spec, _STATISTICS_CUTS, settings.train.seed)
        model.input_embedding.set_statistics(*statistics)
    return model


def build_trainer(
    settings: TrainSettings, corpus: Corpus, model: Transducer, exp_dir: Path, group: Group, backend: str
) -> Trainer:
    """A trainer of `model`, on the device where the model is; from here on each process draws noise of its own."""
    config = settings.train
    if group.rank > 0:
        random_state.seed_everything(config.seed + group.rank)
    trainable = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    optimizer = ScaledAdam(trainable, lr=config.base_lr, clipping_scale=config.clipping_scale)
    scheduler = Eden(optimizer, config.lr_batches, config.lr_epochs, config.lr_warmup_batches)
    facts = {"backend": backend, "train_cuts": len(corpus.train)}
    system = AsrSystem(
        model, settings.loss, corpus.spec, corpus.text_encoder, backend, dev_utterances=config.decode_utterances
    )
    return Trainer(system, optimizer, scheduler, config, exp_dir, group, facts)
