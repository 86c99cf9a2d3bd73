"""What a training noted of itself: figures of epochs from train.json, those between epochs from TensorBoard's files."""

import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from icefall_discrete.base.shapes import OBJECT, OBJECTS, WHOLE, read_shaped, require
from icefall_discrete.results.inline_charts import Line, line_chart

LOG = logging.getLogger(__name__)
_SUMMARY = "train.json"
_SETS = ("train", "valid")
_LOSS, _RATE = "loss", "lr"
_RUNNING = "train/tot_"  # how the loop calls its running averages for TensorBoard
_RATE_TAG = "train/learning_rate"


class Chart(NamedTuple):
    """A heading and an <svg> element."""

    heading: str
    svg: str


def read_epochs(exp_dir: Path) -> List[Dict[str, Any]]:
    """Figures of the epochs of an experiment, oldest first; empty before the first one has ended."""
    path = exp_dir / _SUMMARY
    if not path.is_file():
        return []
    advice = "let training go on, which writes it again"
    epochs = read_shaped(path, {"epochs": OBJECTS}, advice)["epochs"]
    for number, epoch in enumerate(epochs, start=1):
        try:
            require(epoch, {"step": WHOLE, **{name: OBJECT for name in _SETS if name in epoch}}, f"epoch {number}")
        except ValueError as error:
            raise ValueError(f"{path}: {error}; {advice}.") from None
    return epochs


def _line(name: str, epochs: Sequence[Mapping[str, Any]], values: Sequence[Optional[float]]) -> Line:
    points = [(epoch["step"], value) for epoch, value in zip(epochs, values) if isinstance(value, (int, float))]
    return Line(name, points)


def _losses_of(epochs: Sequence[Mapping[str, Any]], part: str) -> List[Line]:
    lines = [_line(kind, epochs, [epoch.get(kind, {}).get(part) for epoch in epochs]) for kind in _SETS]
    return [line for line in lines if line.points]


def read_scalars(folder: Path) -> Dict[str, Line]:
    """Lines of TensorBoard's files by tag; empty without such files, or without TensorBoard."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return {}
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        LOG.warning(
            "TensorBoard is not installed, so that figures between epochs are left out: pip install tensorboard."
        )
        return {}
    # It tells of several files in a folder, which is what a training that went on leaves.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: Line(tag, [(event.step, event.value) for event in accumulator.Scalars(tag)])
        for tag in accumulator.Tags()["scalars"]
    }


def training_charts(exp_dir: Path) -> List[Chart]:
    """Losses, learning rate and dev figures over the steps of an experiment; what was not noted is left out."""
    epochs, scalars = read_epochs(exp_dir), read_scalars(exp_dir / "tensorboard")
    charts = []
    whole = _losses_of(epochs, _LOSS)
    running = scalars.get(_RUNNING + _LOSS)
    whole += [running._replace(name="train, running")] if running and running.points else []
    if whole:
        charts.append(Chart("Loss", line_chart(whole, "nats a frame", "step")))
    parts = sorted({part for epoch in epochs for kind in _SETS for part in epoch.get(kind, {})} - {_LOSS})
    lines = [_line(part, epochs, [epoch.get("valid", {}).get(part) for epoch in epochs]) for part in parts]
    if any(line.points for line in lines):
        shown = [line for line in lines if line.points]
        charts.append(Chart("Parts of the validation loss", line_chart(shown, "nats a frame", "step")))
    figures = sorted({name for epoch in epochs for name in epoch if name.startswith("dev_")})
    lines = [_line(name.removeprefix("dev_"), epochs, [epoch.get(name) for epoch in epochs]) for name in figures]
    if any(line.points for line in lines):
        charts.append(Chart("Dev figures", line_chart([one for one in lines if one.points], "%", "step", True)))
    rate = scalars.get(_RATE_TAG, _line(_RATE, epochs, [epoch.get(_RATE) for epoch in epochs]))
    if rate.points:
        charts.append(Chart("Learning rate", line_chart([rate], "learning rate", "step", True)))
    return charts
