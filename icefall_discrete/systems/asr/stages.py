"""What the recogniser offers to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.pieces import FILE_NAME, PieceTargets
from icefall_discrete.losses.cr_ctc import NUM_VIEWS
from icefall_discrete.systems.asr.prediction import AsrPrediction
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.system import AsrSystem
from icefall_discrete.systems.asr.transducer import Heads, Transducer, build_transducer
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.text.pieces import TextEncoder


class AsrStages(SystemStages[TrainSettings, Transducer, PieceTargets]):
    """A transducer with CTC heads that learns pieces of text."""

    settings = TrainSettings
    prediction = AsrPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> PieceTargets:
        """The pieces of `lang_dir`."""
        if lang_dir is None:
            raise ValueError("a recogniser learns text pieces; give the folder that holds them with --lang-dir.")
        with_ctc = settings.loss.ctc_loss_scale > 0 or settings.loss.inner_ctc_loss_scale > 0
        return PieceTargets(TextEncoder(lang_dir / FILE_NAME), with_ctc)

    def load_targets(self, exp_dir: Path) -> PieceTargets:
        """The pieces of the experiment."""
        return PieceTargets.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: PieceTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Transducer:
        """The transducer, with the heads that its losses train."""
        heads = Heads.trained_by(settings.loss)
        return build_transducer(settings.model, spec, targets.size, settings.augment, codebooks, heads)

    def system(
        self, network: Transducer, settings: TrainSettings, spec: FeatureSpec, targets: PieceTargets, backend: str
    ) -> AsrSystem:
        """The transducer and its losses."""
        system = AsrSystem(network, settings.loss, spec, targets, backend, settings.train.decode_utterances)
        if settings.own_labels.batches_each:
            system.labels_itself(settings.own_labels, settings.augment)
        return system

    def num_views(self, settings: TrainSettings) -> int:
        """Two for CR-CTC."""
        return NUM_VIEWS if settings.loss.cr_loss_scale > 0 else 1

    def unlabelled_batches(self, settings: TrainSettings, epoch: int) -> int:
        """Those that it labels itself."""
        return settings.own_labels.batches_in(epoch)

    def uses_unlabelled(self, settings: TrainSettings) -> bool:
        """If it labels some itself."""
        return settings.own_labels.batches_each > 0
