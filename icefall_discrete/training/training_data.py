"""Where the loop gets its batches, and in which unit it counts what it has seen."""

import dataclasses
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Tuple

from icefall_discrete.training.meters import clock
from icefall_discrete.training.system import Batch


class Unit(NamedTuple):
    """What speed and time left are counted in.

    name: in train.json, where the rate is `<name>_per_sec`. shown: in the log.
    """

    name: str
    shown: str

    def told(self, amount: float) -> str:
        """An amount as a person reads it: 1h02m of audio, 8123 labels."""
        return f"{clock(amount)} of audio" if self == AUDIO else f"{amount:.0f} {self.shown}"


AUDIO = Unit("audio_sec", "audio s")
LABELS = Unit("labels", "labels")


def seconds_of(batch: Batch) -> float:
    """Seconds of audio of a batch with "duration_sec" (N,)."""
    return float(batch["duration_sec"].sum())


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Where batches come from.

    train_batches: (epoch from 1, number of batches to leave out) -> batches. Where training is counted in steps, there
      is one epoch of as many batches.
    epoch_amount: what an epoch holds, over all processes, in `unit`; `amount_of` says it of a batch.
    valid_batches: () -> batches; none: no validation losses, and no best epoch by them.
    figure_batches: () -> batches that the system's figures are taken on.
    largest_batches: () -> (what is largest, training batch), the batches that need most memory.
    epoch_facts: epoch -> what train.json says about it besides.
    """

    train_batches: Callable[[int, int], Iterable[Batch]]
    epoch_amount: float
    valid_batches: Callable[[], Iterable[Batch]] = tuple
    figure_batches: Callable[[], Iterable[Batch]] = tuple
    largest_batches: Callable[[], Iterable[Tuple[str, Batch]]] = tuple
    epoch_facts: Callable[[int], Mapping[str, Any]] = lambda epoch: {}
    amount_of: Callable[[Batch], float] = seconds_of
    unit: Unit = AUDIO
