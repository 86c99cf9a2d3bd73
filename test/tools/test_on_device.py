"""tools/benchmark/on_device.py: the benchmarks that want an accelerator, on toys."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "tools" / "benchmark"
EXTRACTION = "bench_extraction.py"  # a dozen processes: its toy is measured in this one


@pytest.fixture
def on_device(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import on_device

    def call(*flags):
        monkeypatch.setattr(sys, "argv", ["on_device.py", *map(str, flags)])
        on_device.main()

    call.checks = on_device.CHECKS
    return call


def test_every_benchmark_leaves_its_table(on_device, tmp_path, capsys):
    one_a_script = {check.script: check for check in on_device.checks if check.script != EXTRACTION}
    names = ",".join(check.name for check in one_a_script.values())
    with pytest.raises(SystemExit) as ended:
        on_device("--device", "cpu", "--small", 1, "--only", names, "--out", tmp_path)
    assert (ended.value.code, capsys.readouterr().err) == (0, "")
    for check in one_a_script.values():
        text = (tmp_path / f"{check.name}.md").read_text()
        assert f"`tools/benchmark/{check.script} --device cpu " in text
        assert text.count("\n|") >= 3, "a head, a rule and a row"


def test_extraction_of_noise_has_figures_alone_and_together(on_device, tmp_path):
    import bench_extraction as bench

    config = bench.BenchConfig(
        cuts="",
        num_cuts=3,
        min_sec=0.3,
        max_sec=0.5,
        dim=64,
        num_layers=2,
        layer=1,
        num_clusters=8,
        work_dir=str(tmp_path),
    )
    bench.make_model(tmp_path, config)
    bench.write_cuts(tmp_path / "cuts.jsonl.gz", bench.chosen_cuts(config, tmp_path))
    threads = torch.get_num_threads()
    found = [
        bench.run_variant(bench.Variant(kind, 1, threads, together), 3, config)
        for kind, together in (("plain", 0.0), ("ours", 0.0), ("ours", 2.0))
    ]
    assert [row["audio"] for row in found] == pytest.approx([1.2] * 3)
    assert [row["checked"] > 0 for row in found] == [False, False, True]
    assert all(row["wall"] > 0 and row["cpu"] > 0 for row in found)
    # Without what the first one took; times are differences here, which may be anything on a busy machine.
    others = bench.run_twice(bench.Variant("ours", 1, threads, 2.0), config)
    assert others["audio"] == pytest.approx(0.8, abs=0.1)
    assert others["checked"] > 0 and others["mib"] > 0


def test_one_that_takes_too_long_is_told_and_another_has_its_table(on_device, tmp_path, capsys, monkeypatch):
    import on_device as module

    slow = module.Check("slow", "bench_optimizer.py", "", "--sizes tiny,large --repeats 1000000")
    known = {check.name: check for check in module.CHECKS}
    monkeypatch.setattr(module, "CHECKS", (slow, known["searches"]))
    monkeypatch.setattr(module.threading, "Timer", _no_patience(module.threading.Timer))
    with pytest.raises(SystemExit) as ended:
        on_device("--device", "cpu", "--small", 1, "--out", tmp_path)
    assert ended.value.code == 1
    assert f"slow: took more than --limit 180 seconds; what it printed until then is in {tmp_path / 'slow.md'}" in (
        capsys.readouterr().err
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["searches.md", "slow.md"]
    assert "cpu, 2 threads, torch" in (tmp_path / "slow.md").read_text()
    assert "ctc_greedy_search" in (tmp_path / "searches.md").read_text()


def _no_patience(timer):
    def make(seconds, function, arguments):
        is_slow = any("bench_optimizer" in word for word in arguments[0].args)
        return timer(8 if is_slow else seconds, function, arguments)

    return make


@pytest.mark.parametrize(
    "flags, said",
    [
        (("--device", "cpu", "--only", "search"), "--only names 'search'; known: train_medium"),
        (("--device", "cuda"), "--device is cuda, which torch"),
    ],
)
def test_what_is_not_there_is_a_sentence(on_device, tmp_path, capsys, flags, said):
    with pytest.raises((SystemExit, ValueError)) as ended:
        on_device(*flags, "--out", tmp_path / "figures")
    assert said in capsys.readouterr().err + str(ended.value)
    assert not (tmp_path / "figures").exists()
