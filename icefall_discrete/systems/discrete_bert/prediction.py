"""What a trained Discrete BERT does with the cuts of a split: it finds what is hidden of them, always the same."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.data.cuts import language_of, load_cuts
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.metrics.masked_codes import Recovered, masked_figures
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.discrete_bert.network import DiscreteBert
from icefall_discrete.systems.discrete_bert.settings import TrainSettings
from icefall_discrete.systems.discrete_bert.system import DiscreteBertSystem, find_hidden, own_seeds
from icefall_discrete.systems.prediction import (
    Json,
    OutputFiles,
    Prediction,
    RunConfig,
    Trained,
    in_batches,
    predict_cuts,
    rows_of_split,
)

METHOD = "masked_prediction"
_COLUMNS = 4


class RecoveredFiles(OutputFiles):
    """Paths of one prediction."""

    def said(self, split: str) -> Path:
        """`<cut id><tab><hidden frames><tab><codes found><tab><nats>`, sorted by cut id."""
        return self.folder / f"recovered-{split}-{self.suffix}.tsv"

    def page(self, split: str) -> Path:
        """The same: there are no errors to read."""
        return self.said(split)


def read_recovered(path: Path) -> Dict[str, Recovered]:
    """What was found of each cut. Raises FileNotFoundError, or ValueError naming the line."""
    found = {}
    for number, parts in rows_of_split(path):
        try:
            cut_id, *values = parts
            found[cut_id] = Recovered(*map(float, values))
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}:{number}: expected {_COLUMNS} columns with three numbers; decode the split again."
            ) from None
    return found


class DiscreteBertPrediction(Prediction[None, RecoveredFiles, TrainSettings, DiscreteBert, CodeTargets]):
    """Hidden codes are looked for."""

    files = RecoveredFiles

    def add_flags(self, parser: ScriptParser) -> None:
        """None."""

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> None:
        """None. Raises ValueError if the recipe has settings of a search."""
        if recipe.get("decode"):
            raise ValueError(f"{where}: section decode chooses a search, and Discrete BERT has none; leave it away.")

    def noted(self, config: None) -> Json:
        """Nothing."""
        return {}

    def method(self, asked: str) -> str:
        """There is but one."""
        return METHOD

    def output(
        self, exp_dir: Path, settings: TrainSettings, config: None, checkpoints: str, averaged: bool
    ) -> RecoveredFiles:
        """`<exp>/masked_prediction`, with the checkpoints as suffix."""
        return RecoveredFiles(exp_dir / METHOD, checkpoints + ("_use-averaged-model" if averaged else ""))

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, DiscreteBert, CodeTargets],
        cuts: CutSet,
        config: None,
        run: RunConfig,
        files: RecoveredFiles,
    ) -> Json:
        """Write how many hidden codes of each cut were found; cuts too short to hide anything of are left out."""
        network, masks = trained.network, trained.settings.mask
        system = DiscreteBertSystem(network, masks, trained.spec)

        @torch.no_grad()
        def find(batch: Batch) -> List[Recovered]:
            prepared = system.prepare(batch, run.torch_device())
            found = find_hidden(network, prepared, masks, own_seeds(prepared.names))
            rows = zip(*(values.tolist() for values in (found.hidden, found.correct, found.nats)))
            return [Recovered(*row) for row in rows]

        def say(kept: List[Cut]) -> Iterator[Tuple[str, Recovered]]:
            return in_batches(find, kept, trained.spec, run)

        said, facts = predict_cuts(say, network.config, cuts, trained.spec, f"Finding codes of {split}")
        lines = [f"{cut_id}\t{one.hidden:g}\t{one.correct:g}\t{one.nats:.6g}\n" for cut_id, one in sorted(said.items())]
        write_text(files.said(split), "".join(lines))
        return facts

    def score(self, split: str, files: RecoveredFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Codes that are not found, and the perplexity of the hidden ones, over all and by language."""
        if rules != ScoringRules():
            raise ValueError("scoring rules are about words, and Discrete BERT says none; leave --scoring-rules away.")
        found = read_recovered(files.said(split))
        groups: Dict[str, List[Recovered]] = {}
        for cut in load_cuts(feature_dir / f"{split}.jsonl.gz"):
            if cut.id in found and found[cut.id].hidden:
                groups.setdefault(language_of(cut) or "unknown", []).append(found[cut.id])
        scored: Json = {"num_utterances": len(found), **masked_figures(found.values())}
        scored["languages"] = {
            name: {"num_utterances": len(lines), **masked_figures(lines)} for name, lines in sorted(groups.items())
        }
        print(
            f"{split}: {scored['masked_errors']['rate']:.2f} % of the hidden codes are not found, perplexity "
            f"{scored['code_perplexity']['value']:.2f}, of {len(found)} utterances"
        )
        return scored
