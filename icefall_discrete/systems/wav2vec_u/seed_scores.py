"""What each seed said, and how much of it is wrong: figures of transcripts beside those that chose without any.

said/<split>-<search>-seedN.tsv    symbols of each cut
said/<split>-<search>-seedN.json   errors, and what saying it cost
said/seeds-<search>.json           all seeds (`ScoredSeeds`)
"""

from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Sequence

from icefall_discrete.base.environment import CLEAN
from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.shapes import (
    BOOLEAN,
    NAME,
    NUMBER,
    OBJECT,
    OBJECTS,
    POSITIVE,
    TEXT,
    WHOLE,
    read_shaped,
    require,
)
from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.systems.wav2vec_u.judge import WEIGHTED
from icefall_discrete.systems.wav2vec_u.training import SEEDS_DIR, TABLE, WEIGHTS, table_of

Json = Dict[str, Any]
# What errors are called, by what a text is said by.
METRIC_OF = {"letters": "ler", "phones": "per"}
_ORIGIN = "made_from"  # of a seed's record, the same for all of them
# Ends the recipe's name of a control in tables.
CONTROL = "_shuffled-text"
_TRAIN, _SAY = "train it with train_unsupervised.py", "say it with say_unsupervised.py and --all-seeds"
_TABLE = {
    "chosen": WHOLE,
    "seeds": OBJECTS,
    "failed": OBJECT,
    "rule": NAME,
    "text_ppl": POSITIVE,
    "shuffled_text": BOOLEAN,
}
_SEED = {
    **dict.fromkeys(("seed", "step"), WHOLE),
    **dict.fromkeys(("lm_ppl", "symbols_seen", WEIGHTED, "minutes"), NUMBER),
    "verdict": TEXT,
}
_SAID = {"metric": NAME, "weights_sha256": NAME, "git": NAME, "device_name": TEXT, "scores": OBJECT}


def said_file(folder: Path, split: str, search: str, seed: int) -> Path:
    """Where the figures of what a seed said are."""
    return folder / "said" / f"{split}-{search}-seed{seed}.json"


def read_seeds(folder: Path) -> Json:
    """The table of seeds that training left. Raises FileNotFoundError, ValueError naming file and entry."""
    table = read_shaped(folder / TABLE, _TABLE, _TRAIN)
    for place, row in enumerate(table["seeds"]):
        try:
            require(row, _SEED, f"entry {place} of 'seeds'")
        except ValueError as error:
            raise ValueError(f"{folder / TABLE}: {error}; {_TRAIN}.") from None
    if table["chosen"] not in [row["seed"] for row in table["seeds"]]:
        raise ValueError(f"{folder / TABLE}: 'chosen' is {table['chosen']}, no seed of its table; {_TRAIN}.")
    return table


def weights_of(folder: Path, seed: int) -> Path:
    """The generator of a seed."""
    return folder / SEEDS_DIR / str(seed) / WEIGHTS


class ScoredSeeds(NamedTuple):
    """table: as training left it. said: by split and seed, what `said_file` has."""

    table: Json
    said: Mapping[str, Mapping[int, Json]]

    @classmethod
    def read(cls, folder: Path, splits: Sequence[str], search: str) -> "ScoredSeeds":
        """All seeds of the table, none left out.

        Raises:
          FileNotFoundError: if a seed has not said a split. ValueError: if it was said by other weights.
        """
        table = read_seeds(folder)
        seeds = [row["seed"] for row in table["seeds"]]
        return cls(table, {split: {seed: _said(folder, split, search, seed) for seed in seeds} for split in splits})

    @property
    def chosen(self) -> Dict[str, Json]:
        """By split, what the seed said that was chosen without transcripts."""
        return {split: dict(seeds[self.table["chosen"]]) for split, seeds in self.said.items()}

    @property
    def sets(self) -> Dict[str, Json]:
        """The same as results have it."""
        return {split: said["scores"] for split, said in self.chosen.items()}

    def to_json(self) -> Json:
        """The table, with the error rates of each seed in percent by split; None where nothing has a transcript."""
        kept = [{name: value for name, value in row.items() if name != _ORIGIN} for row in self.table["seeds"]]
        rows = [
            {**row, "errors": {split: _rate(seeds[row["seed"]]) for split, seeds in self.said.items()}} for row in kept
        ]
        return {**self.table, "seeds": rows}

    def shown(self) -> str:
        """The table for a terminal."""
        columns: Dict[str, Dict[int, str]] = {}
        for split, seeds in self.said.items():
            metric = metric_named(next(iter(seeds.values()))["metric"])
            columns[f"{split} {metric.head}"] = {seed: metric.shown(_rate(said)) or "-" for seed, said in seeds.items()}
        return table_of(self.table, columns)

    def minutes(self) -> float:
        """What all seeds took."""
        return sum(row["minutes"] for row in self.table["seeds"])

    def said_by(self) -> str:
        """The commit that said what the chosen seed said; of several, one that does not hold all that was run."""
        return min((said["git"] for said in self.chosen.values()), key=lambda commit: commit.endswith(CLEAN))


def _rate(said: Json) -> Any:
    return metric_named(said["metric"]).of(said["scores"])


def _said(folder: Path, split: str, search: str, seed: int) -> Json:
    path, weights = said_file(folder, split, search, seed), weights_of(folder, seed)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: seed {seed} has not said {split}; {_SAY}.")
    said = read_shaped(path, _SAID, _SAY)
    if not weights.is_file() or said["weights_sha256"] != digest_of_file(weights):
        raise ValueError(f"{path} was said by other weights than {weights}; {_SAY}.")
    return said
