"""What a trained perceptual model does with the cuts of a split: it finds their codes, of the first and of a prompt."""

from pathlib import Path
from typing import List

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.code_files import CodeFiles
from icefall_discrete.systems.perceptual.network import FillConfig, Filler, generators
from icefall_discrete.systems.perceptual.settings import TrainSettings
from icefall_discrete.systems.perceptual.system import prompts_of, seeds_of, texts_in
from icefall_discrete.systems.prediction import Json, RunConfig, SearchlessPrediction, Trained, predict_batches
from icefall_discrete.systems.vocoder.scoring import score_speech

METHOD = "perceptual"


class PerceptualPrediction(SearchlessPrediction[FillConfig, CodeFiles, TrainSettings, Filler, CodeTargets]):
    """Codes of each cut."""

    files = CodeFiles
    folder = METHOD
    config = FillConfig
    searchless = "codes are found without"

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, Filler, CodeTargets],
        cuts: CutSet,
        config: FillConfig,
        run: RunConfig,
        files: CodeFiles,
    ) -> Json:
        """Write a folder of codes."""
        spec, network, device = trained.spec, trained.network, run.torch_device()

        def filled(batch: Batch) -> List[Tensor]:
            lens = batch["frame_lens"]
            draws = generators(seeds_of(batch["cut_ids"], config.draw_seed))
            known = (batch[batch_key(spec)].to(device), lens.to(device), prompts_of(lens, spec, config).to(device))
            found = network.filled(*known, config, draws, texts_in(batch, network)).cpu()
            return [one[:length] for one, length in zip(found, lens.tolist())]

        found, facts = predict_batches(filled, network.config, cuts, spec, run, f"Finding codes of {split}")
        files.write(split, ((cut, found[cut.id]) for cut in cuts if cut.id in found), spec)
        return facts

    def score(self, split: str, files: CodeFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """How far the audio of the codes is from the recordings. Raises FileNotFoundError if none was made of them."""
        return score_speech(split, files, feature_dir, rules)
