import sys
from pathlib import Path

from icefall_discrete.base.backend import resolve

ROOT = Path(__file__).resolve().parents[2]


def test_every_search_has_a_factor_for_every_size(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "tools" / "benchmark")
    monkeypatch.syspath_prepend(ROOT / "test" / "toys")
    import bench_rtf

    sizes = {"frames": 6, "vocab-size": 12, "encoder-dim": 8, "joiner-dim": 8, "decoder-dim": 8, "repeats": 1}
    flags = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["bench_rtf.py", "--batches", "1,3", *flags])
    bench_rtf.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    names = [f"`{name}`" for name in bench_rtf.SEARCHES + (bench_rtf.WITH_K2 if resolve("auto") == "k2" else ())]
    assert [row[0] for row in rows] == names
    assert all(len(row) == 3 and float(row[1]) > 0 and float(row[2]) > 0 for row in rows)
