"""One process at a time in a folder; what killed ones leave is in nobody's way. Files on full disks."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from icefall_discrete.base import at_work as at_work_module
from icefall_discrete.base import atomic_files
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.atomic_files import replacing, write_text
from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from icefall_discrete.base.at_work import at_work
from icefall_discrete.base.atomic_files import replacing
folder = Path(sys.argv[1])
with at_work(folder / ".at-work", "x"), replacing(folder / "a.txt") as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that is at work in the folder, and writes a file there."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(autouse=True)
def as_a_new_process(monkeypatch):
    monkeypatch.setattr(atomic_files, "_seen_folders", set())
    monkeypatch.setattr(at_work_module, "PATIENCE_SEC", 0.2)


def test_a_second_process_is_told_who_is_at_work(tmp_path, holder):
    who = rf"process {holder.pid} on \S+ since .* is at work on exp; wait for it"
    with pytest.raises(RuntimeError, match=who), at_work(tmp_path / LOCK_FILE, "exp"):
        pass
    holder.communicate("\n")
    assert (tmp_path / "a.txt").read_text() == "half" and os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_process_leaves_is_in_nobodys_way(tmp_path, holder):
    write_text(tmp_path / "b.txt", "b")
    assert len(list(tmp_path.glob(".*.partial.a.txt"))) == 1  # its writer is alive
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    atomic_files._seen_folders.clear()
    with at_work(tmp_path / LOCK_FILE, "exp"):
        write_text(tmp_path / "b.txt", "c")
    assert os.listdir(tmp_path) == ["b.txt"]


def test_a_lock_waits_for_one_that_ends_and_leaves_no_folder(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(at_work_module, "PATIENCE_SEC", 20.0)
    timer = threading.Timer(0.3, holder.kill)
    timer.start()
    with at_work(tmp_path / LOCK_FILE, "exp"):
        timer.join()
    with at_work(tmp_path / "new" / LOCK_FILE, "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_on_a_full_disk_is_a_sentence_and_the_old_one_stays(tmp_path):
    save_checkpoint(tmp_path / "epoch-1.pt", {"model": {"w": torch.zeros(3)}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40000, hard))
    try:
        said = r"could not write .*epoch-1\.pt: File too large \(.* MiB are free in .*free"
        with pytest.raises(OSError, match=said) as of:
            save_checkpoint(tmp_path / "epoch-1.pt", {"model": {"w": torch.zeros(100000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert of.value.errno == errno.EFBIG and os.listdir(tmp_path) == ["epoch-1.pt"]
    assert load_checkpoint(tmp_path / "epoch-1.pt")["model"]["w"].shape == (3,)


def test_an_input_that_cannot_be_read_is_not_called_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"), replacing(tmp_path / "a.txt"):
        (tmp_path / "nowhere.txt").read_text()
    assert os.listdir(tmp_path) == []


def test_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "a")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
