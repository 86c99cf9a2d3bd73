"""Trials of verification: pairs of utterances, and whether each is of one speaker; read, drawn, checked, written.

A list holds a line `<1 or 0> <utterance> <utterance>` a trial, 1 for those that belong together. Those of a recipe name
cuts by their ids and lie in one folder, `<split>.txt`.
"""

import itertools
import logging
import random
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError, listed, manifest_path

LOG = logging.getLogger(__name__)
_SHOWN = 60


class Trial(NamedTuple):
    """Two utterances by id, and whether they are of the same speaker (or whatever else is verified)."""

    is_target: bool
    left: str
    right: str


def trials_path(folder: PathLike, split: str) -> Path:
    """Where the trials of a split lie."""
    return Path(folder) / f"{split}.txt"


def read_trials(path: PathLike, id_of: Callable[[str], Optional[str]] = lambda name: name) -> List[Trial]:
    """The trials of a list, in its order.

    Args:
      id_of: the utterance's id by the name that the list has for it, None for what can be no such name.
    Raises:
      CorpusError: if there is no such file, it holds no trial, or a line is none.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"{path}, the list of trials, does not exist; fetch it, or run stage 1 again.")
    trials = []
    for number, line in numbered_lines(path):
        label, *names = line.split()
        ids = [id_of(name) for name in names]
        if label not in ("0", "1") or len(ids) != 2 or ids[0] is None or ids[1] is None:
            raise CorpusError(
                f"{path}, line {number}: expected '<1 or 0> <utterance> <utterance>', got {line.strip()[:_SHOWN]!r}; "
                "fetch the list again."
            )
        trials.append(Trial(label == "1", ids[0], ids[1]))
    if not trials:
        raise CorpusError(f"{path}: it holds no trial; fetch the list again.")
    return trials


def write_trials(path: PathLike, trials: Sequence[Trial]) -> None:
    """Write the trials as they are."""
    write_text(path, "".join(f"{int(trial.is_target)} {trial.left} {trial.right}\n" for trial in trials))
    together = sum(trial.is_target for trial in trials)
    LOG.info(f"{path}: {len(trials)} trials, {together} of the same and {len(trials) - together} of others")


def check_trials(where: str, trials: Sequence[Trial], classes: Mapping[str, Optional[str]]) -> None:
    """Make sure that the trials can be decided and their errors be counted.

    Args:
      where: the list's name. classes: speaker (or whatever is verified) of the utterances that there are, by id.
    Raises:
      CorpusError: for an utterance that is not there or whose speaker is not known, a trial of an utterance with
        itself, or of another sort than its speakers say, and a list with trials of one sort only.
    """
    absent = {name for trial in trials for name in trial[1:]} - set(classes)
    if absent:
        what = "utterance that is" if len(absent) == 1 else "utterances that are"
        raise CorpusError(
            f"{where}: its trials name {len(absent)} {what} not there, or cannot be read ({listed(absent)}); correct "
            "the list, or fetch the audio again."
        )
    for number, trial in enumerate(trials, start=1):
        left, right = classes[trial.left], classes[trial.right]
        unknown = [name for name in trial[1:] if classes[name] is None]
        if unknown:
            raise CorpusError(
                f"{where}: trial {number} names {unknown[0]}, whose speaker is not known; correct the list."
            )
        if trial.left == trial.right:
            raise CorpusError(f"{where}: trial {number} compares {trial.left} with itself; correct the list.")
        if (left == right) != trial.is_target:
            raise CorpusError(
                f"{where}: trial {number} of {trial.left} and {trial.right} is marked {int(trial.is_target)}, but they "
                f"are of {left} and {right}; correct the list."
            )
    together = sum(trial.is_target for trial in trials)
    if together in (0, len(trials)):
        sort = "different" if not together else "the same"
        raise CorpusError(
            f"{where}: all {len(trials)} trials are of {sort} speakers; errors are told by both sorts: add trials of "
            "the other one."
        )


def draw_trials(where: str, classes: Mapping[str, str], most: int, seed: int) -> List[Trial]:
    """As many trials of the same class as of different ones, no pair twice, no utterance with itself.

    Args:
      where: the split's name. classes: speaker (or whatever is verified) by id.
      most: number of each sort; where there are fewer pairs of one, that many of both. seed: decides which.
    Raises:
      CorpusError: if the utterances are of one class only, or there are not two of any.
    """
    by_class: Dict[str, List[str]] = {}
    for name in sorted(classes):
        by_class.setdefault(classes[name], []).append(name)
    groups = list(by_class.values())
    every = [name for group in groups for name in group]
    same = [len(group) * (len(group) - 1) // 2 for group in groups]
    other = [len(group) * (len(every) - len(group)) for group in groups]  # each pair is counted from both ends
    number = min(most, sum(same), sum(other) // 2)
    if not number:
        why = "as many speakers as there are" if any(other) else "one speaker only"
        raise CorpusError(
            f"{where}: its {len(every)} utterances are of {why}, so that no pairs of both sorts can be drawn; was the "
            "whole corpus given?"
        )
    starts = [0, *itertools.accumulate(map(len, groups))]
    generator = random.Random(seed)

    def alike(place: int) -> Sequence[str]:
        return generator.sample(groups[place], 2)

    def unlike(place: int) -> Sequence[str]:
        size = len(groups[place])
        right = generator.randrange(len(every) - size)
        return generator.choice(groups[place]), every[right + size * (right >= starts[place])]

    def drawn(weights: List[int], pair_of: Callable[[int], Sequence[str]]) -> List[Tuple[str, str]]:
        sums = list(itertools.accumulate(weights))
        found: Set[Tuple[str, str]] = set()
        while len(found) < number:
            left, right = sorted(pair_of(generator.choices(range(len(groups)), cum_weights=sums)[0]))
            found.add((left, right))
        return sorted(found)

    together, apart = drawn(same, alike), drawn(other, unlike)
    return [Trial(True, *pair) for pair in together] + [Trial(False, *pair) for pair in apart]


def draw_trials_of_splits(
    manifests: PathLike,
    corpus: str,
    fact: str,
    splits: Sequence[str],
    folder: PathLike,
    most: int,
    seed: int,
    within: str = "",
) -> None:
    """Draw the trials of splits from their manifests and write them; arguments as of `draw_trials`.

    Args:
      manifests: folder of the manifests. corpus: their name. fact: what is verified. folder: of the lists.
      within: a fact that both utterances of a trial have in common, such as the language, which would tell different
        speakers apart without their voices; `most` is of each value of it. Empty: none.
    Raises:
      CorpusError: as `draw_trials`, or if a manifest is missing or a fact of a cut is not known.
    """
    for split in splits:
        path = manifest_path(manifests, corpus, split)
        if not path.is_file():
            raise CorpusError(f"{path}, of whose cuts pairs are to be drawn, does not exist; prepare its corpus first.")
        classes = _known_facts(path, fact)
        groups = _known_facts(path, within) if within else dict.fromkeys(classes, "")
        trials: List[Trial] = []
        for group in sorted(set(groups.values())):
            of_group = {name: value for name, value in classes.items() if groups[name] == group}
            trials += draw_trials(f"{split}, {within} {group}" if within else split, of_group, most, seed)
        write_trials(trials_path(folder, split), trials)


def _known_facts(path: Path, fact: str) -> Dict[str, str]:
    """A fact of each cut of a manifest by its id. Raises CorpusError if it is not known of one."""
    found = {cut.id: facts_of(cut).get(fact) for cut in load_cuts(path)}
    unknown = [name for name, value in found.items() if value is None]
    if unknown:
        raise CorpusError(f"{path}: the {fact} of cut {min(unknown)} is not known; give it one, or drop it.")
    return {name: str(value) for name, value in found.items()}
