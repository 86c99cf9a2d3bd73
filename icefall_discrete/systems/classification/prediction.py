"""What a trained classifier does with the cuts of a split: predictions, confusions, accuracies; or trials."""

import logging
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from lhotse import CutSet

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import language_of, load_cuts
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.targets.classes import ClassTargets
from icefall_discrete.metrics.classification import accuracy, accuracy_intervals, balanced_accuracy, confusions
from icefall_discrete.metrics.paired import utterance_counts
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.classification.network import Classifier
from icefall_discrete.systems.classification.settings import TrainSettings
from icefall_discrete.systems.classification.system import predicted_classes
from icefall_discrete.systems.classification.verification import METHOD as VERIFICATION
from icefall_discrete.systems.classification.verification import Compared, VerificationFiles, compare, score_trials
from icefall_discrete.systems.prediction import (
    Json,
    OutputFiles,
    Prediction,
    RunConfig,
    Trained,
    predict_batches,
    require_no_search,
    rows_of_split,
    with_average,
)

LOG = logging.getLogger(__name__)
METHOD = "classification"
_NONE = "-"
_MAX_WORST = 5


class Predicted(NamedTuple):
    """A line of predictions: the class of a cut, and the one that is said of it; None: not known, nothing said."""

    cut_id: str
    true: Optional[str]
    said: Optional[str]
    probability: Optional[float]

    @property
    def pair(self) -> Tuple[str, Optional[str]]:
        """Class and class that is said."""
        return self.true or _NONE, self.said


class ClassificationFiles(OutputFiles):
    """Paths of one prediction."""

    def said(self, split: str) -> Path:
        """`<cut id><tab><class><tab><said><tab><its probability>`, sorted by cut id; - stands for none."""
        return self.folder / f"predictions-{split}-{self.suffix}.tsv"

    def page(self, split: str) -> Path:
        """Table of what is said of which class, in numbers of utterances."""
        return self.folder / f"confusions-{split}-{self.suffix}.txt"


def write_predictions(path: PathLike, lines: Sequence[Predicted]) -> None:
    """Write the lines, sorted by cut id."""
    text = ""
    for line in sorted(lines):
        probability = _NONE if line.probability is None else f"{line.probability:.4f}"
        text += f"{line.cut_id}\t{line.true or _NONE}\t{line.said or _NONE}\t{probability}\n"
    write_text(path, text)


def read_predictions(path: PathLike) -> List[Predicted]:
    """Read what `write_predictions` wrote. Raises FileNotFoundError, or ValueError naming the line."""
    lines = []
    for number, parts in rows_of_split(path):
        if len(parts) != 4:
            raise ValueError(f"{path}:{number}: {len(parts)} columns, expected 4; decode the split again.")
        cut_id, true, said, probability = (None if part == _NONE else part for part in parts)
        lines.append(Predicted(cut_id or _NONE, true, said, None if probability is None else float(probability)))
    return lines


def _confusion_table(pairs: Sequence[Tuple[str, Optional[str]]]) -> str:
    table = confusions(pairs)
    columns = sorted({said for row in table.values() for said in row} | set(table))
    rows = [[true, *(str(row.get(said, 0)) for said in columns)] for true, row in table.items()]
    return text_table(["class \\ said", *columns], rows)


def _figures(pairs: Sequence[Tuple[str, Optional[str]]]) -> Json:
    correct = sum(true == said for true, said in pairs)
    return {
        "num_utterances": len(pairs),
        "accuracy": {"rate": round(accuracy(pairs), 4), "num": len(pairs), "correct": correct},
    }


def _files_of(folder: Path, suffix: str) -> OutputFiles:
    return (VerificationFiles if folder.name == VERIFICATION else ClassificationFiles)(folder, suffix)


class ClassificationPrediction(Prediction[Optional[Compared], OutputFiles, TrainSettings, Classifier, ClassTargets]):
    """The most probable class of each cut; where there are trials, how alike the utterances of each are."""

    files = OutputFiles

    def add_flags(self, parser: ScriptParser) -> None:
        """Trials; without them the most probable class is said."""
        parser.add_argument(
            "--trials", type=Path, help="folder of lists of trials, <split>.txt: these are compared (default: none)"
        )

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> Optional[Compared]:
        """The trials if there are any. Raises ValueError if the recipe has settings of a search."""
        require_no_search(recipe, where, "a classifier has none")
        return None if args.trials is None else Compared(args.trials)

    def noted(self, config: Optional[Compared]) -> Json:
        """Nothing: the lists themselves are held against their record."""
        return {}

    def inputs(self, config: Optional[Compared]) -> List[Path]:
        """The lists of trials."""
        return config.files() if config else []

    def method(self, asked: str) -> str:
        """Comparing trials where that is asked for, else telling classes."""
        return VERIFICATION if asked == VERIFICATION else METHOD

    def output(
        self, exp_dir: Path, settings: TrainSettings, config: Optional[Compared], checkpoints: str, averaged: bool
    ) -> OutputFiles:
        """`<exp>/classification` or `<exp>/verification`, with the checkpoints as suffix."""
        folder = exp_dir / (VERIFICATION if config else METHOD)
        return _files_of(folder, with_average(checkpoints, averaged))

    def last(self, exp_dir: PathLike, asked: str) -> Tuple[OutputFiles, List[str]]:
        """As it is for every system."""
        files, splits = super().last(exp_dir, asked)
        return _files_of(files.folder, files.suffix), splits

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, Classifier, ClassTargets],
        cuts: CutSet,
        config: Optional[Compared],
        run: RunConfig,
        files: OutputFiles,
    ) -> Json:
        """Write predictions, or the scores of trials.

        A class that the training data lacks stays what it is, and counts as an error.
        """
        if config is not None:
            return compare(split, trained, cuts, config, run, files)
        network, names, fact = trained.network, trained.targets.names, trained.targets.fact

        def predict(batch: Batch) -> List[Tuple[str, float]]:
            numbers, probabilities = predicted_classes(network, batch, trained.spec)
            return list(zip((names[number] for number in numbers), probabilities))

        found, facts = predict_batches(predict, network.config, cuts, trained.spec, run, f"Classifying {split}")
        lines, unknown = [], set()
        for cut in cuts:
            value = facts_of(cut).get(fact)
            true = None if value is None else str(value)
            if true not in names:
                unknown.add(true or "not known")
            lines.append(Predicted(cut.id, true, *found.get(cut.id, (None, None))))
        if unknown:
            LOG.warning(
                f"{split}: the {fact} of some cuts is {', '.join(sorted(unknown))}, which is none of the {len(names)} "
                "classes of the training data; they count as errors."
            )
        write_predictions(files.said(split), lines)
        return facts

    def score(self, split: str, files: OutputFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Accuracies with intervals, of each class and of each language, and a table of confusions; or of trials."""
        if rules != ScoringRules():
            raise ValueError("scoring rules are about words, and a classifier says none; leave --scoring-rules away.")
        if files.folder.name == VERIFICATION:
            return score_trials(split, files, feature_dir)
        lines = read_predictions(files.said(split))
        if not lines:
            raise ValueError(f"{files.said(split)} holds no prediction; decode the split again.")
        pairs = [line.pair for line in lines]
        language = {cut.id: language_of(cut) or "unknown" for cut in load_cuts(feature_dir / f"{split}.jsonl.gz")}
        groups = {
            name: [line.pair for line in lines if language[line.cut_id] == name]
            for name in sorted({*language.values()})
        }
        scored = {**_figures(pairs), "balanced_accuracy": {"rate": round(balanced_accuracy(pairs), 4)}}
        for name, (low, high) in accuracy_intervals(pairs).items():
            scored[name]["interval"] = [round(low, 2), round(high, 2)]
        scored["languages"] = {name: _figures(group) for name, group in groups.items() if group}
        scored["confusions"] = confusions(pairs)
        right = {line.cut_id: (int(line.pair[0] == line.pair[1]), 1) for line in lines}
        scored.update(utterance_counts({"accuracy": right}))
        table = _confusion_table(pairs)
        write_text(files.page(split), table)
        print(
            f"{split}: accuracy {scored['accuracy']['rate']:.2f} %, "
            f"balanced {scored['balanced_accuracy']['rate']:.2f} %, of {len(pairs)} utterances\n\n{table}"
        )
        self._print_worst(split, lines)
        return scored

    def _print_worst(self, split: str, lines: Sequence[Predicted]) -> None:
        wrong = sorted((line for line in lines if line.true != line.said), key=lambda line: -(line.probability or 0.0))
        if wrong:
            shown = [
                f"  {line.cut_id}: {line.true} -> {line.said} ({line.probability or 0:.2f})"
                for line in wrong[:_MAX_WORST]
            ]
            print("\n".join([f"Surest errors of {split} (class -> said, probability):", *shown, ""]))
