"""Sums of losses over frames and batches, and their line in the log."""

from typing import Any, Dict, Mapping


class LossMeter:
    """Losses in nats summed over utterances, with the frames and utterances they were summed over.

    Encoder frames are the unit of the log, as in icefall: `loss=0.21` means 0.21 nats a frame.
    """

    def __init__(self) -> None:
        self.sums: Dict[str, float] = {}
        self.frames = 0.0
        self.utterances = 0.0

    def add(self, sums: Mapping[str, float], frames: float, utterances: float) -> None:
        """Add the summed losses of one batch."""
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.frames += frames
        self.utterances += utterances

    def clear(self) -> None:
        """Begin anew."""
        self.sums, self.frames, self.utterances = {}, 0.0, 0.0

    def merge(self, other: "LossMeter") -> None:
        """Add what another meter holds."""
        self.add(other.sums, other.frames, other.utterances)

    def decay(self, factor: float) -> None:
        """Scale everything down, so that the meter forgets old batches."""
        self.sums = {name: value * factor for name, value in self.sums.items()}
        self.frames *= factor
        self.utterances *= factor

    def per_frame(self) -> Dict[str, float]:
        """Each loss in nats a frame; empty before the first batch."""
        return {name: value / self.frames for name, value in self.sums.items()} if self.frames else {}

    def __str__(self) -> str:
        losses = ", ".join(f"{name}={value:.4g}" for name, value in self.per_frame().items())
        return f"{losses}, over {self.frames:.2f} frames."

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"sums": dict(self.sums), "frames": self.frames, "utterances": self.utterances}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.sums = dict(state["sums"])
        self.frames = state["frames"]
        self.utterances = state["utterances"]


def clock(seconds: float) -> str:
    """A duration as a person reads it: 45s, 12m05s, 3h07m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
