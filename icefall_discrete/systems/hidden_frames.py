"""What systems that look for hidden frames do with the cuts of a split, and the seeds by which frames are hidden."""

import abc
import zlib
from pathlib import Path
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Union,
)

import torch
from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.data.cuts import language_of, load_cuts
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.metrics.masked_codes import Recovered, masked_figures
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.prediction import (
    Json,
    N,
    OutputFiles,
    RunConfig,
    S,
    SearchlessPrediction,
    T,
    Trained,
    predict_batches,
    require_no_search,
    rows_of_split,
)
from icefall_discrete.training.system import Prepared, System

Look = Callable[[Batch], Iterable[Recovered]]
_COLUMNS = 4


def own_seeds(names: Sequence[str]) -> List[int]:
    """A seed of each utterance that is always its own, so that what is hidden of it for a measure is too."""
    return [zlib.crc32(name.encode()) for name in names]


def seeds_of(names: Sequence[str], training: bool) -> List[int]:
    """Seeds of what is hidden of each utterance: other ones at every step of training, else its own."""
    return torch.randint(2**31, (len(names),)).tolist() if training else own_seeds(names)


class Sought(Protocol):
    """Of each utterance (N,): hidden frames, and those that were found."""

    @property
    def hidden(self) -> Tensor:
        """Its hidden frames."""

    @property
    def correct(self) -> Tensor:
        """Those that were found."""


def errors_in(
    name: str, system: System[Prepared], batches: Iterable[Mapping[str, Any]], find: Callable[[Prepared], Sought]
) -> Dict[str, float]:
    """{name: hidden frames that are not found, in percent}; nothing if none is hidden."""
    device = next(system.network.parameters()).device
    correct = count = 0.0
    with torch.no_grad():
        for batch in batches:
            found = find(system.prepare(batch, device))
            correct, count = correct + float(found.correct.sum()), count + float(found.hidden.sum())
    return {name: 100.0 * (1.0 - correct / count)} if count else {}


def rows_of(hidden: Tensor, correct: Tensor, nats: Tensor) -> List[Recovered]:
    """What was found of each utterance, from values (N,)."""
    return [Recovered(*row) for row in zip(hidden.tolist(), correct.tolist(), nats.tolist())]


class RecoveredFiles(OutputFiles):
    """Paths of one prediction."""

    def said(self, split: str) -> Path:
        """`<cut id><tab><hidden frames><tab><found><tab><nats>`, sorted by cut id."""
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


class HiddenPrediction(SearchlessPrediction[None, RecoveredFiles, S, N, T]):
    """Hidden frames are looked for.

    Class attributes a subclass sets, besides `folder`: title: of the system, in sentences. doing: what is done, for the
    progress bar.
    """

    files = RecoveredFiles
    title: ClassVar[str]
    doing: ClassVar[str]

    @abc.abstractmethod
    def look(self, trained: Trained[S, N, T], device: torch.device, cuts: CutSet) -> Look:
        """From a batch to what is found of each of its utterances; `cuts` are all of the split."""

    @abc.abstractmethod
    def measured(self, lines: Iterable[Recovered]) -> Dict[str, Dict[str, float]]:
        """Figures by name of what was found of utterances."""

    @abc.abstractmethod
    def told(self, scored: Json) -> str:
        """The figures in words."""

    def add_flags(self, parser: ScriptParser) -> None:
        """None."""

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> None:
        """None. Raises ValueError if the recipe has settings of a search."""
        require_no_search(recipe, where, f"{self.title} has none")

    def noted(self, config: None) -> Json:
        """Nothing."""
        return {}

    def predict(
        self,
        split: str,
        trained: Trained[S, N, T],
        cuts: CutSet,
        config: None,
        run: RunConfig,
        files: RecoveredFiles,
    ) -> Json:
        """Write what was found of each cut; cuts too short to hide anything of are left out."""
        look = self.look(trained, run.torch_device(), cuts)

        @torch.no_grad()
        def find(batch: Batch) -> List[Recovered]:
            return list(look(batch))

        title = f"{self.doing} of {split}"
        said, facts = predict_batches(find, trained.settings.model, cuts, trained.spec, run, title)
        lines = [f"{cut_id}\t{one.hidden:g}\t{one.correct:g}\t{one.nats:.6g}\n" for cut_id, one in sorted(said.items())]
        write_text(files.said(split), "".join(lines))
        return facts

    def score(self, split: str, files: RecoveredFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """The figures over all and by language."""
        if rules != ScoringRules():
            raise ValueError(f"scoring rules are about words, and {self.title} says none; leave --scoring-rules away.")
        found = read_recovered(files.said(split))
        groups: Dict[str, List[Recovered]] = {}
        for cut in load_cuts(feature_dir / f"{split}.jsonl.gz"):
            if cut.id in found and found[cut.id].hidden:
                groups.setdefault(language_of(cut) or "unknown", []).append(found[cut.id])
        scored: Json = {"num_utterances": len(found), **self.measured(found.values())}
        scored["languages"] = {
            name: {"num_utterances": len(lines), **self.measured(lines)} for name, lines in sorted(groups.items())
        }
        print(f"{split}: {self.told(scored)}, of {len(found)} utterances")
        return scored


class MaskedCodePrediction(HiddenPrediction[S, N, T]):
    """Codes of hidden frames are looked for."""

    folder = "masked_prediction"

    def measured(self, lines: Iterable[Recovered]) -> Dict[str, Dict[str, float]]:
        """See HiddenPrediction."""
        return masked_figures(lines)

    def told(self, scored: Json) -> str:
        """See HiddenPrediction."""
        return (
            f"{scored['masked_errors']['rate']:.2f} % of the hidden codes are not found, perplexity "
            f"{scored['code_perplexity']['value']:.2f}"
        )


class HiddenStages(SystemStages[S, N, CodeTargets]):
    """Systems that learn from frames alone."""

    def targets(self, settings: S, train: Union[CutSet, SharSource], lang_dir: Optional[Path]) -> CodeTargets:
        """The frames themselves."""
        return CodeTargets()

    def load_targets(self, exp_dir: Path) -> CodeTargets:
        """The frames themselves."""
        return CodeTargets.load(exp_dir)
