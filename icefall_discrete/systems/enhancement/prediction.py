"""What a trained network does with the cuts of a split: it finds the codes of their sources."""

import dataclasses
from pathlib import Path
from typing import Any, List, Mapping

from lhotse import CutSet
from lhotse.utils import fastcopy
from torch import Tensor

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.data.targets.sources import SourceTargets
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.enhancement.files import METHOD, EnhancementFiles, output_id
from icefall_discrete.systems.enhancement.network import Enhancer
from icefall_discrete.systems.enhancement.settings import TrainSettings
from icefall_discrete.systems.prediction import (
    Json,
    RunConfig,
    SearchlessPrediction,
    Trained,
    predict_batches,
    require_no_search,
)
from icefall_discrete.systems.vocoder.scoring import score_speech


@dataclasses.dataclass(frozen=True)
class NothingToChoose:
    """There is one way to find codes: the most probable ones."""


class EnhancementPrediction(
    SearchlessPrediction[NothingToChoose, EnhancementFiles, TrainSettings, Enhancer, SourceTargets]
):
    """Codes of the sources of each cut."""

    files = EnhancementFiles
    folder = METHOD

    def add_flags(self, parser: ScriptParser) -> None:
        """There are none."""

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> NothingToChoose:
        """None. Raises ValueError for settings of a search."""
        require_no_search(recipe, where, "enhancement has none")
        return NothingToChoose()

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, Enhancer, SourceTargets],
        cuts: CutSet,
        config: NothingToChoose,
        run: RunConfig,
        files: EnhancementFiles,
    ) -> Json:
        """Write a folder of codes; nothing that was said of others is left."""
        spec, network, device = trained.spec, trained.network, run.torch_device()

        def parted(batch: Batch) -> List[Tensor]:
            lens = batch["frame_lens"]
            found = network.parted(batch[batch_key(spec)].to(device), lens.to(device)).cpu()
            return [one[:length] for one, length in zip(found, lens.tolist())]

        found, facts = predict_batches(parted, network.config, cuts, spec, run, f"Finding sources of {split}")
        by_id, names = {cut.id: cut for cut in cuts}, trained.targets.names
        outputs = (
            (fastcopy(by_id[name], id=output_id(name, source, names)), codes)
            for name in sorted(found)
            for source, codes in zip(names, found[name].unbind(dim=1))
        )
        files.write(split, outputs, spec)
        return facts

    def score(self, split: str, files: EnhancementFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """How far what is found is from the sources' own audio, and how far the mixtures were.

        Raises:
          FileNotFoundError: if no audio was made of the codes.
        """
        return score_speech(split, files, feature_dir, rules)
