"""What a trained network from texts to units does with the cuts of a split: units of the text of each, in its voice."""

import logging
from pathlib import Path
from typing import Iterator, List, Tuple

from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.data.targets.spoken_text import SpokenTextTargets
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.prediction import Json, RunConfig, SearchlessPrediction, Trained, predict_cuts
from icefall_discrete.systems.tts.files import METHOD, SynthesisFiles, write_units
from icefall_discrete.systems.tts.network import TextToUnits
from icefall_discrete.systems.tts.scoring import score_synthesis
from icefall_discrete.systems.tts.settings import TrainSettings
from icefall_discrete.systems.tts.synthesis import SynthesisConfig, units_of

LOG = logging.getLogger(__name__)


class TtsPrediction(
    SearchlessPrediction[SynthesisConfig, SynthesisFiles, TrainSettings, TextToUnits, SpokenTextTargets]
):
    """Units of each cut's text."""

    files = SynthesisFiles
    folder = METHOD
    config = SynthesisConfig
    searchless = "units are told without"

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, TextToUnits, SpokenTextTargets],
        cuts: CutSet,
        config: SynthesisConfig,
        run: RunConfig,
        files: SynthesisFiles,
    ) -> Json:
        """Write a folder of units as extraction writes codes, so that whatever reads codes can read them."""
        spec = trained.spec
        unsayable: List[str] = []

        def told(kept: List[Cut]) -> Iterator[Tuple[Cut, Tensor]]:
            for cut in kept:
                try:
                    yield cut, units_of(trained.network, trained.targets.of(cut), config)
                except ValueError as error:
                    unsayable.append(str(error) if cut.id in str(error) else f"cut {cut.id}: {error}")

        def say(kept: List[Cut]) -> Iterator[Tuple[str, Cut]]:
            return write_units(split, files, spec, told(kept))

        found, facts = predict_cuts(say, trained.network.config, cuts, spec, f"Saying {split}")
        if unsayable:
            LOG.warning(f"{split}: of {len(unsayable)} cuts nothing can be said, such as: {unsayable[0]}")
        if not found:
            raise ValueError(
                f"{split}: nothing can be said of any cut: {unsayable[0] if unsayable else 'all too short'}"
            )
        write_cuts(files.said(split), (found[name] for name in sorted(found)))
        return {**facts, "num_unsayable": len(unsayable)}

    def score(self, split: str, files: SynthesisFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Units against those of the recordings; audio and what was heard, where they are there."""
        return score_synthesis(split, files, feature_dir, rules)
