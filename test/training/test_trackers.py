"""A tracker is given the figures that TensorBoard has, begins offline, and is asked for by its flag alone."""

import json
import sys

import pytest

from icefall_discrete.training.progress import Reporter

# Writes what it is told beside itself.
PACKAGE = """
import json, os, pathlib
class Run:
    def __init__(self): self.told = []
    def log(self, values, step): self.told.append([step, values])
    def finish(self):
        told = [flags, self.told, os.environ.get("WANDB_ERROR_REPORTING")]
        pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(told))
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
    for variable in ("WANDB_MODE", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(variable, "")  # noted, so that what is set meanwhile goes again
        monkeypatch.delenv(variable)
    yield request.param, tmp_path / f"{request.param}.json"
    sys.modules.pop(request.param, None)


def test_it_has_what_tensorboard_has_and_sends_nothing(tracker, tmp_path):
    name, told = tracker
    reporter = Reporter(tmp_path / "exp", True, False, name)
    reporter.scalars("train/valid_", {"loss": 0.5, "dev_wer": 20.0}, 7)
    reporter.close()
    flags, figures, error_reports = json.loads(told.read_text())
    assert figures == [[7, {"train/valid_loss": 0.5, "train/valid_dev_wer": 20.0}]]
    assert (flags["project"], flags["name"]) == ("icefall_discrete", "exp")
    assert (flags.get("mode"), error_reports) == (("offline", "false") if name == "wandb" else (None, None))


FAILING = """
class Run:
    def log(self, values, step): raise BrokenPipeError("its process is gone")
    def finish(self): raise BrokenPipeError("its process is gone")
def init(**given): return Run()
"""


def test_training_outlives_it(tracker, tmp_path, caplog):
    name, _ = tracker
    (tmp_path / f"{name}.py").write_text(FAILING)
    reporter = Reporter(tmp_path, True, False, name)
    for step in range(3):
        reporter.scalars("train/", {"loss": 0.5}, step)
    reporter.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} failed (BrokenPipeError: its process is gone); training goes on and tells it no more. "
        "TensorBoard and the log have all figures."
    ]


def test_one_that_cannot_begin_is_named(tracker, tmp_path):
    name, _ = tracker
    (tmp_path / f"{name}.py").write_text("def init(**given): raise RuntimeError('no key is set')")
    with pytest.raises(ValueError, match=rf"tracker '{name}' cannot begin a run \(RuntimeError: no key is set\); corr"):
        Reporter(tmp_path, True, False, name)


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
