"""Trials of a split by a trained classifier: how alike the two utterances of each are, and the errors that makes."""

import dataclasses
import logging
from pathlib import Path
from typing import List, NamedTuple, Sequence

from lhotse import CutSet

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.provenance import read_record
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.targets.classes import ClassTargets
from icefall_discrete.data.trials import Trial, check_trials, read_trials, trials_path
from icefall_discrete.metrics.verification import equal_error_rate, least_cost, verification_intervals
from icefall_discrete.systems.classification.embeddings import cosine_scores, embeddings_and_facts
from icefall_discrete.systems.classification.network import Classifier
from icefall_discrete.systems.classification.settings import TrainSettings
from icefall_discrete.systems.prediction import Json, OutputFiles, RunConfig, Trained, rows_of_split

LOG = logging.getLogger(__name__)
METHOD = "verification"
_MAX_WORST = 20


class VerificationFiles(OutputFiles):
    """Paths of one comparison of trials."""

    def said(self, split: str) -> Path:
        """`<1 or 0><tab><cut id><tab><cut id><tab><score>`, a line a trial, in the order of the list."""
        return self.folder / f"scores-{split}-{self.suffix}.tsv"

    def page(self, split: str) -> Path:
        """The trials that are taken for the other sort most clearly."""
        return self.folder / f"errors-{split}-{self.suffix}.txt"


@dataclasses.dataclass(frozen=True)
class Compared:
    """The folder of the lists of trials, `<split>.txt`."""

    trials: Path

    def files(self) -> List[Path]:
        """All lists that there are."""
        return sorted(self.trials.glob("*.txt"))


class Scored(NamedTuple):
    """A trial, and the cosine between its embeddings."""

    trial: Trial
    score: float


def write_scores(path: PathLike, lines: Sequence[Scored]) -> None:
    """Write the lines as they are."""
    text = ""
    for (is_target, left, right), score in lines:
        text += f"{int(is_target)}\t{left}\t{right}\t{score:.6f}\n"
    write_text(path, text)


def read_scores(path: PathLike) -> List[Scored]:
    """Read what `write_scores` wrote. Raises FileNotFoundError, or ValueError naming the line."""
    lines = []
    for number, parts in rows_of_split(path):
        try:
            label, left, right, score = parts
            lines.append(Scored(Trial({"0": False, "1": True}[label], left, right), float(score)))
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{path}:{number}: expected 1 or 0, two cut ids and a score between tabs, got "
                f"{' '.join(parts)[:60]!r}; decode the split again."
            ) from error
    if not lines:
        raise ValueError(f"{path} holds no score; decode the split again.")
    return lines


def compare(
    split: str,
    trained: Trained[TrainSettings, Classifier, ClassTargets],
    cuts: CutSet,
    compared: Compared,
    run: RunConfig,
    files: OutputFiles,
) -> Json:
    """Write the scores of the trials of a split; return the facts of `predict_cuts`, of the utterances in trials.

    Raises:
      CorpusError: if the list cannot be read, or does not fit the cuts. ValueError: if a cut is too short.
    """
    path, fact = trials_path(compared.trials, split), trained.targets.fact
    trials = read_trials(path)
    known = {cut.id: facts_of(cut).get(fact) for cut in cuts}
    classes = {cut_id: None if value is None else str(value) for cut_id, value in known.items()}
    if trained.settings.filter.languages:
        every, trials = len(trials), [one for one in trials if one.left in classes and one.right in classes]
        LOG.info(f"{split}: {len(trials)} of {every} trials are of the languages that are chosen")
    check_trials(str(path), trials, classes)
    used = {name for trial in trials for name in trial[1:]}
    chosen = CutSet.from_cuts(cut for cut in cuts if cut.id in used)
    embeddings, facts = embeddings_and_facts(trained.network, chosen, trained.spec, run, f"Embedding {split}")
    scores = cosine_scores(embeddings, [trial[1:] for trial in trials])
    write_scores(files.said(split), [Scored(*pair) for pair in zip(trials, scores)])
    return {**facts, "num_trials": len(trials), "fact": fact}


def score_trials(split: str, files: OutputFiles, feature_dir: Path) -> Json:
    """Equal error rate and least cost with intervals over pairs of speakers, and a page of the worst trials."""
    lines, fact = read_scores(files.said(split)), str(read_record(files.record(split), "fact")["fact"])
    class_of = {cut.id: _class(facts_of(cut).get(fact)) for cut in load_cuts(feature_dir / f"{split}.jsonl.gz")}
    scores, together = [line.score for line in lines], [line.trial.is_target for line in lines]
    groups = ["\t".join(sorted(class_of[name] for name in line.trial[1:])) for line in lines]
    eer, (cost, threshold) = equal_error_rate(scores, together), least_cost(scores, together)
    intervals = verification_intervals(scores, together, groups)
    scored: Json = {
        "num_utterances": len({name for line in lines for name in line.trial[1:]}),
        "num_trials": len(lines),
        "num_target_trials": sum(together),
        "num_speakers": len({name for group in groups for name in group.split("\t")}),
        "eer": {"rate": round(eer, 4), "interval": [round(end, 2) for end in intervals["eer"]]},
        "min_dcf": {"value": round(cost, 5), "interval": [round(end, 4) for end in intervals["min_dcf"]]},
        "languages": {},
    }
    if threshold != float("inf"):
        scored["min_dcf"]["threshold"] = round(threshold, 4)
    write_text(files.page(split), _worst(lines))
    print(
        f"{split}: EER {eer:.2f} %, minDCF {cost:.3f}, of {len(lines)} trials ({sum(together)} of the same {fact}) of "
        f"{scored['num_utterances']} utterances"
    )
    return scored


def _worst(lines: Sequence[Scored]) -> str:
    same = sorted((line for line in lines if line.trial.is_target), key=lambda line: line.score)[:_MAX_WORST]
    other = sorted((line for line in lines if not line.trial.is_target), key=lambda line: -line.score)[:_MAX_WORST]
    rows = [
        [sort, line.trial.left, line.trial.right, f"{line.score:.3f}"]
        for sort, worst in (("same, least alike", same), ("different, most alike", other))
        for line in worst
    ]
    return text_table(["trials", "left", "right", "score"], rows)


def _class(value: object) -> str:
    return "not known" if value is None else str(value)
