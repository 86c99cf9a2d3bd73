import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
from ddp_worker import NO_NOISE, losses_of
from lhotse import CutSet
from quiet_forward import without_noise
from synthetic_codes import make_trainer

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.training import distributed
from icefall_discrete.training import launch as launch_module
from icefall_discrete.training.distributed import Group, is_lost_peer
from icefall_discrete.training.launch import launch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def together(corpus_dir, tmp_path_factory):
    """Results of two processes, and what they printed."""
    results = tmp_path_factory.mktemp("together")
    command = [sys.executable, str(Path(__file__).parents[1] / "toys" / "ddp_worker.py"), str(corpus_dir), str(results)]
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.setenv("OMP_NUM_THREADS", "1")
    output = results / "output.txt"
    kept = os.dup(2)
    with open(output, "w") as stream:
        os.dup2(stream.fileno(), 2)
        try:
            status = launch(command, 2, 0)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            patch.undo()
    seen = [json.loads((results / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    return results, seen, status, output.read_text()


def assert_close(left, right, rel):
    assert len(left) == len(right)
    for one, other in zip(left, right):
        for figures, expected in zip(one[:2], other[:2]):
            assert figures == pytest.approx(expected, rel=rel)
        assert one[2:] == other[2:]


def test_two_processes_train_as_one_with_the_same_global_batches(corpus_dir, tmp_path, together, monkeypatch):
    without_noise(monkeypatch.setattr)
    cuts, spec = load_feature_cuts(corpus_dir / "features" / "train.jsonl.gz")
    first, second = (seen["quiet_cuts"] for seen in together[1])
    assert [len(epoch) for epoch in first] == [len(epoch) for epoch in second]

    def batch_of(names):
        return collate(CutSet.from_cuts(cuts[name] for name in names), spec)

    def one_after_the_other(epoch, start):
        return [batch_of(names) for pair in zip(first[epoch - 1], second[epoch - 1]) for names in pair]

    def together_in_one(epoch, start):
        return [batch_of(left + right) for left, right in zip(first[epoch - 1], second[epoch - 1])]

    # Each process has as many batches a step; gradients are exchanged once for all of them.
    assert [seen["accumulated_cuts"] for seen in together[1]] == [first, second]
    trainer, data = make_trainer(corpus_dir, tmp_path / "accumulated", train__accum_grad=4, **NO_NOISE)
    summary = trainer.fit(dataclasses.replace(data, train_batches=one_after_the_other))
    for seen in together[1]:
        assert_close(seen["accumulated"], losses_of(summary), 1e-5)

    # In one batch the shorter half gets more padding, whose edge the strided layers see; apart they are equal.
    for train_batches, accum_grad, rel in ((one_after_the_other, 2, 1e-5), (together_in_one, 1, 2e-3)):
        exp_dir = tmp_path / train_batches.__name__
        trainer, data = make_trainer(corpus_dir, exp_dir, train__accum_grad=accum_grad, **NO_NOISE)
        initial = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        summary = trainer.fit(dataclasses.replace(data, train_batches=train_batches))
        for seen in together[1]:
            assert_close(seen["quiet"], losses_of(summary), rel)
    alone = load_checkpoint(tmp_path / one_after_the_other.__name__ / "epoch-2.pt")["model"]
    both = load_checkpoint(together[0] / "quiet" / "epoch-2.pt")["model"]
    # As a whole: where a gradient is near zero, Adam turns its rounding into a step.
    learnt = [name for name, value in both.items() if value.is_floating_point()]
    apart, moved = (
        sum(float((left[name] - right[name]).square().sum()) for name in learnt) ** 0.5
        for left, right in ((both, alone), (both, initial))
    )
    assert moved > 0.1 and apart < 1e-3 * moved


def test_a_process_that_is_killed_is_started_again_and_training_goes_on(corpus_dir, tmp_path, together):
    worker = Path(__file__).parents[1] / "toys" / "elastic_worker.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(worker), str(corpus_dir), str(tmp_path / "exp")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    for rank in (0, 1):
        seen = json.loads((tmp_path / "exp" / f"rank-{rank}.json").read_text())
        assert seen == {"attempt": 1, "losses": together[1][rank]["whole"]}


def test_the_last_batch_is_divided_and_no_cut_is_lost(corpus_dir, tmp_path, together):
    _, alone = make_trainer(corpus_dir, tmp_path)
    for epoch in (1, 2):
        batches = [batch["cut_ids"] for batch in alone.train_batches(epoch, 0)]
        pairs = [seen["quiet_cuts"][epoch - 1] for seen in together[1]]
        assert sorted(chain.from_iterable(chain(*pairs))) == sorted(chain.from_iterable(batches))
        if len(batches) % 2 and epoch == 1:  # short utterances first: the batches are the same, in turn
            assert pairs[0][-1] + pairs[1][-1] == batches[-1] and pairs[0][:-1] == batches[:-1:2]
    assert len(batches) > 2


def test_only_the_first_process_writes_and_both_report_the_same(together):
    results, (first, second), _, _ = together
    assert all(first[name] == second[name] for name in ("whole", "resumed", "bad", "quiet"))
    assert json.loads((results / "whole" / "train.json").read_text())["world_size"] == 2
    names = {path.name for path in (results / "whole").iterdir()}
    assert {"train.json", "epoch-1.pt", "epoch-2.pt"} <= names
    assert not any(".tmp" in name for name in names)


def test_a_bad_batch_of_one_process_is_left_out_by_both(together):
    results, seen, _, _ = together
    assert all(one["bad"] == {"bad_batches": 1, "finite": True} for one in seen)
    (record,) = [json.loads(line) for line in (results / "bad" / "bad-batches.jsonl").read_text().splitlines()]
    assert record["rank"] == 1 and record["cut_ids"] and record["saved"] == "bad-batches/epoch-1-batch-2-rank-1.pt"
    assert [path.name for path in (results / "bad" / "bad-batches").iterdir()] == [Path(record["saved"]).name]


def test_an_error_in_one_process_ends_the_other_with_its_sentence(together):
    _, _, status, output = together
    assert status == 1
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert sorted(lines) == ["error: process 1: this cut has no codes.", "error: this cut has no codes."]


def test_resuming_with_another_number_of_processes_within_an_epoch_is_refused(corpus_dir, tmp_path, monkeypatch):
    trainer, _ = make_trainer(corpus_dir, tmp_path)
    trainer.progress.batch = 1
    trainer.resume_points.save()
    trainer.resume_points.group = Group(0, 2)
    monkeypatch.setattr(Group, "gather", lambda self, value: [value, value])
    with pytest.raises(ValueError, match="within epoch 1 by 1 processes, and there are 2 now"):
        trainer.resume_points.load_newest()


def run_python(code, world_size=2):
    return launch([sys.executable, "-c", code], world_size, 0)


def test_processes_are_numbered_as_torchrun_does(tmp_path):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")
    code = f"import os; open(r'{tmp_path}/' + os.environ['RANK'], 'w').write(' '.join(os.environ[n] for n in {names}))"
    assert run_python(code) == 0
    assert [(tmp_path / str(rank)).read_text() for rank in (0, 1)] == ["0 0 2 127.0.0.1", "1 1 2 127.0.0.1"]


def test_the_failure_of_one_process_ends_the_others(monkeypatch):
    monkeypatch.setattr(launch_module, "_GRACE_SEC", 0.3)
    assert run_python("import os, sys, time; sys.exit(3) if os.environ['RANK'] == '1' else time.sleep(600)") == 3
    code = "import os, time; os.kill(os.getpid(), 9) if os.environ['RANK'] == '1' else time.sleep(600)"
    with pytest.raises(RuntimeError, match=r"process 1 of 2 was ended by signal 9 .*lack of memory"):
        run_python(code)
    with pytest.raises(ValueError, match="--world-size is 0"):
        run_python("", world_size=0)


def test_nobody_is_with_the_store_of_failures_any_more_when_a_process_ends(monkeypatch):
    """Who comes back from it while the interpreter ends would abort the process."""
    begun, is_awaited, back = (threading.Event() for _ in range(3))

    def slow_answer(key, amount):
        begun.set()
        is_awaited.wait()
        back.set()
        return 0

    def join(timeout):
        is_awaited.set()
        threading.Thread.join(board._watcher, timeout)

    monkeypatch.setattr(distributed, "_POLL_SEC", 0.01)
    monkeypatch.setattr(distributed, "_store_of_attempt", lambda: SimpleNamespace(add=slow_answer))
    board = distributed.FailureBoard(Group(0, 2))
    monkeypatch.setattr(board._watcher, "join", join)
    assert begun.wait(10)
    board.close()
    was_back = back.is_set()
    is_awaited.set()
    assert was_back, "the answer was waited for"


def test_a_thread_of_the_group_does_not_abort_a_process_that_is_done():
    """It comes back from C++ while the interpreter ends."""
    script = """
import atexit, threading, time
import torch.distributed as dist
from icefall_discrete.training.distributed import leave

store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
other = dist.TCPStore("127.0.0.1", store.port, is_master=False)


class AnswersLate:
    def __del__(self):
        other.set("key", "value")
        time.sleep(0.5)


late = AnswersLate()
atexit.register(print, "at exit")
threading.Thread(target=store.get, args=("key",), daemon=True).start()
time.sleep(0.2)
print("done")
leave()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\nat exit\n"), done.stderr


def test_what_a_lost_connection_says_is_told_from_other_errors():
    assert is_lost_peer(RuntimeError("[gloo/pair.cc:598] Connection closed by peer [127.0.0.1]:24"))
    assert not is_lost_peer(RuntimeError("shapes do not match"))


def test_processes_end_with_a_launcher_that_is_killed(corpus_dir, tmp_path):
    flags = {"recipe-config": corpus_dir / "recipe.json", "conf-dir": corpus_dir, "exp-dir": tmp_path / "exp"}
    flags.update({"feature-dir": corpus_dir / "features", "lang-dir": corpus_dir / "lang", "world-size": 2})
    command = [sys.executable, str(ROOT / "local" / "train.py"), "--num-epochs", "500"]
    command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "output.txt", "w+") as output:
        launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output, env=environment)
        deadline = time.monotonic() + 600  # on a machine that others work on; elsewhere some seconds
        while not (tmp_path / "exp" / "epoch-1.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        launcher.kill()
        # Both processes hold the other end of this pipe: it ends when they do.
        assert launcher.communicate(timeout=120)[0] == b""
        output.seek(0)
        said = output.read()
    assert said.count("error: what started this process is gone") == 2 and "Traceback" not in said
