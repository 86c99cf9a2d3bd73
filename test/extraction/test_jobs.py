import functools
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from toy_corpus import ToyConfig, ToyTokenizer, make_tokenizer, run_stage_script, write_manifest

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction import jobs
from icefall_discrete.extraction import workers as encode_workers
from icefall_discrete.extraction.extract import ExtractionConfig, extract

pytestmark = pytest.mark.usefixtures("small_batches")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("manifests"), "train", 8)


@pytest.fixture(scope="module")
def fbank(manifest, tmp_path_factory):
    """Filter banks of one job alone."""
    folder = tmp_path_factory.mktemp("fbank")
    run_stage_script("extract_codes.py", *flags(manifest, folder))
    return folder


def flags(manifest, folder):
    return ["--feature-type", "fbank", "--cuts", manifest, "--split", "train", "--out-dir", folder]


def assert_same(folder, reference):
    spec = FeatureSpec.read(reference / "spec.json")
    ours, theirs = load_cuts(folder / "train.jsonl.gz"), load_cuts(reference / "train.jsonl.gz")
    assert [cut.id for cut in ours] == [cut.id for cut in theirs]
    for cut, expected in zip(ours, theirs):
        np.testing.assert_array_equal(load_frames(cut, spec), load_frames(expected, spec))


def test_processes_of_torchrun_are_shards_and_the_first_merges(manifest, fbank, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command += [ROOT / "local" / "extract_codes.py", *flags(manifest, tmp_path), "--device", "auto"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "merged 2 shards, 8 cuts" in done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.codes")) == [
        "train.shard-0-of-2.codes",
        "train.shard-1-of-2.codes",
    ]
    assert_same(tmp_path, fbank)


def test_a_process_of_torchrun_takes_its_shard_and_its_device(monkeypatch):
    environment = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}
    config = jobs.config_of_process(ExtractionConfig(device="cuda"), environment)
    assert (config.num_shards, config.shard_id) == (4, 3)
    with pytest.raises(ValueError, match="torchrun's processes are the shards; leave out --num-shards"):
        jobs.config_of_process(ExtractionConfig(num_shards=2), environment)
    assert jobs.in_group(environment) and not jobs.in_group({})
    asked = []

    class Recording:
        def why_not_elsewhere(self):
            return ""

        def to(self, device, dtype):
            asked.append((device, dtype))

    monkeypatch.setattr(encode_workers.torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for device in ("auto", "cuda", "cuda:3", "cpu"):
        encode_workers.placed(Recording, device, "float16")
    assert asked == [(device, "float16") for device in ("cuda:1", "cuda:1", "cuda:3", "cpu")]


@pytest.mark.parametrize("num_shards", [1, 3])
def test_tasks_of_an_executor_are_shards(manifest, tmp_path, num_shards):
    extract(load_cuts(manifest), make_tokenizer, tmp_path / "alone", "train")
    with ThreadPoolExecutor(2) as executor:
        figures = jobs.extract_with(
            executor,
            functools.partial(load_cuts, manifest),
            make_tokenizer,
            tmp_path / "out",
            "train",
            ExtractionConfig(num_shards=num_shards),
        )
    assert figures["num_cuts"] == 8
    assert_same(tmp_path / "out", tmp_path / "alone")


def test_a_task_that_fails_says_why_and_nothing_is_merged(manifest, tmp_path):
    read_cuts = functools.partial(load_cuts, manifest)
    with ThreadPoolExecutor(2) as executor:
        with pytest.raises(ValueError, match="it runs no network of torch"):
            config = ExtractionConfig(num_shards=2, dtype="bfloat16")
            jobs.extract_with(executor, read_cuts, make_tokenizer, tmp_path, "train", config)
        with pytest.raises(ValueError, match="the workers are the processes: leave out --nj"):
            config = ExtractionConfig(num_shards=2, nj=2)
            jobs.extract_with(executor, read_cuts, make_tokenizer, tmp_path, "train", config)
    assert not (tmp_path / "train.jsonl.gz").exists()


def test_a_dask_cluster_does_the_shards(manifest, fbank, tmp_path):
    distributed = pytest.importorskip("dask.distributed", reason="Dask is not installed (extra 'dask')")
    with distributed.LocalCluster(n_workers=1, processes=False, threads_per_worker=2, dashboard_address=None) as here:
        address = here.scheduler_address
        run_stage_script("extract_codes.py", *flags(manifest, tmp_path), "--dask-scheduler", address, "--num-shards", 3)
    assert len(list(tmp_path.glob("train.shard-*-of-3.codes"))) == 3
    assert_same(tmp_path, fbank)


class DyingTokenizer(ToyTokenizer):
    """Kills the process that it is in at the third utterance, once: the first such process leaves its number behind."""

    encoded, left_behind = 0, Path()

    def _encode_one(self, samples):
        self.encoded += 1
        if self.encoded == 3 and not self.left_behind.exists():
            self.left_behind.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._encode_one(samples)


def make_dying_tokenizer(left_behind):
    extraction.BATCH_SEC = 3.0  # in the worker, a process of its own, which no fixture reaches
    tokenizer = DyingTokenizer("toy", ToyConfig())
    tokenizer.left_behind = left_behind
    return tokenizer


def test_a_local_dask_worker_that_is_killed_changes_no_byte(manifest, tmp_path):
    pytest.importorskip("dask.distributed", reason="Dask is not installed (extra 'dask')")
    read_cuts, config = functools.partial(load_cuts, manifest), ExtractionConfig(num_shards=2)
    with ThreadPoolExecutor(1) as executor:
        jobs.extract_with(executor, read_cuts, make_tokenizer, tmp_path / "alone", "train", config)
    dying = functools.partial(make_dying_tokenizer, tmp_path / "killed")
    with jobs.dask_client("", 1) as client:
        (process,) = client.run(os.getpid).values()
        assert process != os.getpid()
        jobs.extract_with(client.get_executor(), read_cuts, dying, tmp_path / "out", "train", config)
    assert (tmp_path / "killed").read_text() == str(process)
    written = [*sorted(path.name for path in (tmp_path / "alone").glob("train*.codes")), "train.jsonl.gz", "spec.json"]
    assert len(written) == 4
    for name in written:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_without_dask_the_error_says_what_to_install(manifest, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    failed = run_stage_script("extract_codes.py", *flags(manifest, tmp_path), "--dask-workers", 2, check=False)
    assert failed.returncode == 1
    assert "run `pip install 'icefall-discrete[dask]'`" in failed.stderr.splitlines()[-1]


def test_impossible_devices_are_refused():
    with pytest.raises(ValueError, match=r"device is 'gpu', expected cpu, cuda, cuda:N or auto"):
        ExtractionConfig(device="gpu")
    with pytest.raises(ValueError, match="it runs no network of torch"):
        encode_workers.placed(functools.partial(make_tokenizer, ToyConfig()), "cpu", "bfloat16")
