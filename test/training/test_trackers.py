"""A tracker is given the figures that TensorBoard has, begins offline, and is asked for by its flag alone."""

import json
import sys

import pytest

from icefall_discrete.training.progress import Reporter

# Writes what it is told beside itself.
PACKAGE = """
import json, pathlib
class Run:
    def __init__(self): self.told = []
    def log(self, values, step): self.told.append([step, values])
    def finish(self): pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps([flags, self.told]))
def init(**given):
    global flags
    flags = given
    return Run()
"""


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request, tmp_path, monkeypatch):
    """The name of a package that stands for the real one, and the file that it writes at its end."""
    (tmp_path / f"{request.param}.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield request.param, tmp_path / f"{request.param}.json"
    sys.modules.pop(request.param, None)


def test_it_has_what_tensorboard_has_and_sends_nothing(tracker, tmp_path):
    name, told = tracker
    reporter = Reporter(tmp_path / "exp", True, False, name)
    reporter.scalars("train/valid_", {"loss": 0.5, "dev_wer": 20.0}, 7)
    reporter.close()
    flags, figures = json.loads(told.read_text())
    assert figures == [[7, {"train/valid_loss": 0.5, "train/valid_dev_wer": 20.0}]]
    assert (flags["project"], flags["name"]) == ("icefall_discrete", "exp")
    assert flags.get("mode") == ("offline" if name == "wandb" else None)


def test_one_process_tells_it_and_who_did_not_ask_has_none(tracker, tmp_path):
    name, told = tracker
    for reporter in (Reporter(tmp_path, False, False, name), Reporter(tmp_path, True, False)):
        reporter.scalars("train/", {"loss": 0.5}, 1)
        reporter.close()
    assert name not in sys.modules and not told.exists()


def test_one_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    for active in (True, False):
        with pytest.raises(ImportError, match="tracker is 'trackio', which is not installed; pip install trackio, or"):
            Reporter(tmp_path, active, False, "trackio")
