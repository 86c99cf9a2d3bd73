"""How long a row will take, from what rows took before: rough, and said before hours are spent.

Minutes are those of one training at a time on the machine that earlier results were made on, if it is this one.
"""

import collections
import functools
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Set, Tuple

from icefall_discrete.base.device import resolve
from icefall_discrete.base.environment import cpu_name
from icefall_discrete.base.json_files import read_object
from icefall_discrete.data.cuts import language_of, load_cuts
from icefall_discrete.experiment.fitted_recipe import Facts, fitted_recipe
from icefall_discrete.results.ledger import Json, read_ledger
from icefall_discrete.results.planned_rows import TRAINING, Row
from icefall_discrete.systems.wav2vec_u.config import GanTraining
from icefall_discrete.systems.wav2vec_u.seed_scores import CONTROL
from icefall_discrete.systems.wav2vec_u.training import SEED_FILE, SEEDS_DIR
from icefall_discrete.training.averages import read_summary
from icefall_discrete.training.train_config import TrainConfig

# Where nothing was measured: a tiny model on one core trains on 75 s of audio a second, if they have 50 frames each.
_FRAMES_A_SECOND = 3750.0
_USUAL_FRAME_RATE_HZ = 50.0
# Loading, decoding and scoring a row; fitting and extracting features, which depends most on what they are.
_DECODING_MINUTES, _FEATURE_MINUTES = 1.5, 6.0
# A step of wav2vec-U's small recipe on one core, which hardly depends on how much speech there is.
_SECONDS_A_STEP = 0.036
GUESS = "a guess"
_TEACHER = "teacher"
_SIMILAR = 0.25  # frame rates that differ by less are alike


class Cost(NamedTuple):
    """Estimated minutes, and what they are known from."""

    minutes: float
    known_from: str


class Costs:
    """Estimates for the rows of a recipe. Features and models that several rows need are counted with the first."""

    def __init__(self, here: Path) -> None:
        results = read_ledger(sorted((Path(here) / "results").glob("*.json")))
        known = [row for row in results if not row.get("search") and (row.get("training") or {}).get("minutes")]
        mine = [row for row in known if (row.get("environment") or {}).get("cpu") == cpu_name()]
        self._known, self._of_others = mine or known, bool(known) and not mine
        self._rates = {row["feature_type"]: _rate(row) for row in results}
        self._counted: Set[Tuple[Path, str]] = set()

    def of(self, row: Row, begins_anew: bool = False) -> Cost:
        """Minutes of a row that is to do, for whatever of it was not counted with rows before.

        begins_anew: the experiment that is there does not count.
        """
        minutes, known_from = _DECODING_MINUTES, ""
        features = row.here / row.training["feature-dir"]
        if not (row.has_done(2) and row.has_done(3)) and self._is_first(features, "features"):
            minutes += _FEATURE_MINUTES
        if (begins_anew or not row.has_done(TRAINING)) and self._is_first(row.exp_dir, "model"):
            training = self._training_of_seeds(row) if row.is_of_seeds else self._training(row, features)
            done = 0.0 if begins_anew else _share_done(row)
            minutes, known_from = minutes + training.minutes * max(0.0, 1.0 - done), training.known_from
        return Cost(minutes, known_from)

    def _is_first(self, folder: Path, what: str) -> bool:
        key = (folder, what)
        is_new = key not in self._counted
        self._counted.add(key)
        return is_new

    def _training_of_seeds(self, row: Row) -> Cost:
        """Of one seed after the other; a control, whose text is shuffled, takes as long."""
        name, num_seeds = row.scoring["recipe"], _num_seeds(row)
        same = [one for one in self._known if one["recipe"] in (name, name + CONTROL) and one.get("seeds")]
        if same:
            each = _mean([one["training"]["minutes"] / len(one["seeds"]["seeds"]) for one in same])
            return Cost(num_seeds * each, "as before" + (" of another machine" if self._of_others else ""))
        steps = int(row.training.get("steps") or _section(row, "train").get("steps", GanTraining.steps))
        return Cost(num_seeds * steps * _SECONDS_A_STEP / 60.0, f"by a usual speed ({GUESS}: speed not known)")

    def _training(self, row: Row, features: Path) -> Cost:
        recipe, name, epochs = row.scoring["recipe"], features.name, _epochs(row)
        of_recipe = [one for one in self._known if one["recipe"] == recipe]
        # Of other numbers of epochs only where there are no others: the recipe may have been another one then.
        of_recipe = [one for one in of_recipe if one["training"].get("epochs") == epochs] or of_recipe
        rate = _frame_rate(features, self._rates.get(name, _USUAL_FRAME_RATE_HZ))
        same = [one for one in of_recipe if one["feature_type"] == name]
        alike = [one for one in of_recipe if abs(_rate(one) - rate) <= _SIMILAR * rate]
        machine = " of another machine" if self._of_others else ""
        for found, words in ((same, "as before"), (alike, "of like features")):
            if found:
                return Cost(epochs * _mean([_minutes_an_epoch(one) for one in found]), words + machine)
        speeds = [one["training"]["audio_sec_per_sec"] * _rate(one) for one in self._known if _has_speed(one)]
        frames_a_second = _mean(speeds) if speeds else _FRAMES_A_SECOND
        # A teacher says the text of all that has none.
        share = 1.0 if _TEACHER in dict(row.options) else _section(row, "filter").get("label_fraction", 1.0)
        seconds = epochs * share * self._epoch_seconds(row) * rate / frames_a_second
        known = f"by frames a second{machine}" if speeds else "by a usual speed"
        unknown = [] if speeds else ["speed"]
        unknown += [] if self._seen_seconds() or _manifest(row).is_file() else ["hours"]
        unknown += [] if name in self._rates or (features / "spec.json").is_file() else ["frame rate"]
        return Cost(seconds / 60.0, known + (f" ({GUESS}: {', '.join(unknown)} not known)" if unknown else ""))

    def _epoch_seconds(self, row: Row) -> float:
        """Audio of an epoch, with the copies at other speeds."""
        seen = self._seen_seconds(sum(_seconds_in(_manifest(row)).values()))
        return (seen or _manifest_seconds(row) * len(_speeds(row))) * _share_of_languages(row)

    def _seen_seconds(self, corpus_seconds: float = 0.0) -> float:
        """Seconds of audio that an epoch of an earlier row had, or would have had of all labels; 0: there is none.

        corpus_seconds: audio of the corpus, by which it is known what share of the labels a row had; 0: not known.
        """
        for one in self._known:
            training = one["training"]
            if _has_speed(one) and training.get("seconds_per_epoch"):
                hours = 0.0 if f" --{_TEACHER} " in (one.get("command") or "") else training.get("label_hours") or 0.0
                share = 3600.0 * hours / corpus_seconds if corpus_seconds else 0.0
                return training["audio_sec_per_sec"] * training["seconds_per_epoch"] / (share or 1.0)
        return 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _minutes_an_epoch(result: Json) -> float:
    training = result["training"]
    return training["minutes"] / max(1, training.get("epochs") or 1)


def _has_speed(result: Json) -> bool:
    return bool(result["training"].get("audio_sec_per_sec"))


def _rate(result: Json) -> float:
    return (result.get("features") or {}).get("frame_rate_hz") or _USUAL_FRAME_RATE_HZ


def _frame_rate(features: Path, otherwise: float) -> float:
    path = features / "spec.json"
    return read_object(path).get("frame_rate_hz") or otherwise if path.is_file() else otherwise


def _manifest(row: Row) -> Path:
    return row.here / row.flags("fit_tokenizer.py")["cuts"]


def _manifest_seconds(row: Row) -> float:
    """Audio of its corpus; an hour, if there is no manifest yet."""
    return sum(_seconds_in(_manifest(row)).values()) or 3600.0


def _share_of_languages(row: Row) -> float:
    """Which part of the audio is of the languages that it is trained on; all of it where that is not known."""
    seconds, languages = _seconds_in(_manifest(row)), row.training.get("languages", "")
    part = sum(seconds.get(language, 0.0) for language in languages.split(","))
    return part / sum(seconds.values()) if part else 1.0


@functools.lru_cache
def _seconds_in(manifest: Path) -> Dict[str, float]:
    """Audio of a manifest by language; none, if it is not there yet."""
    seconds: Dict[str, float] = collections.defaultdict(float)
    for cut in load_cuts(manifest, lazy=True) if manifest.is_file() else ():
        seconds[language_of(cut) or ""] += cut.duration
    return dict(seconds)


def _speeds(row: Row) -> List[str]:
    return row.flags("extract_codes.py").get("speed-factors", "1.0").replace(",", " ").split()


def _epochs(row: Row) -> int:
    """Epochs that it trains for."""
    said = row.training.get("num-epochs")
    if said:
        return int(said)
    return int(_section(row, "train").get("num_epochs", TrainConfig.num_epochs))


def _section(row: Row, name: str) -> Dict[str, Any]:
    """A section of its recipe, as it fits itself to the corpus and this machine."""
    device = resolve(row.training.get("device", "auto"), "training").type
    return fitted_recipe(row.recipe_file, Facts(_manifest_seconds(row) / 3600.0, device)).get(name, {})


def _num_seeds(row: Row) -> int:
    return int(row.training["num-seeds"])


def _share_done(row: Row) -> float:
    """Which part of its training is done."""
    if row.is_of_seeds:
        return len([*row.exp_dir.glob(f"{SEEDS_DIR}/*/{SEED_FILE}")]) / _num_seeds(row)
    path = row.exp_dir / "train.json"
    return (read_summary(path)["num_epochs"] if path.is_file() else 0) / max(1, _epochs(row))
