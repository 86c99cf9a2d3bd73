"""The plan for large corpora: docs/scale.md holds what the tool prints, and its arithmetic is that of the formats."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from icefall_discrete.data.array_shards import ArrayShardWriter

ROOT = Path(__file__).resolve().parents[2]


def plan(*flags):
    """The rows of the table by corpus, and the table itself."""
    command = [sys.executable, ROOT / "tools" / "plan_scale.py", *flags]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    head, _, *rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in printed.splitlines()]
    return {row[0]: dict(zip(head, row)) for row in rows}, printed


def test_the_page_holds_the_plan_of_today():
    assert plan()[1] in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_costs_follow_the_assumptions_and_bytes_the_formats(tmp_path):
    costly, _ = plan("--peak-share", "0.1", "--dollars-per-gpu-hour", "6", "--epochs", "40")
    row, twice = plan()[0]["100,000 h, cuts of 15 s"], costly["100,000 h, cuts of 15 s"]
    assert float(twice["extraction, GPU h"]) == pytest.approx(2 * float(row["extraction, GPU h"]), rel=0.01)
    with ArrayShardWriter(tmp_path, 1000) as writer:
        for number in range(1000):
            writer.write(f"cut-{number}", np.zeros((750, 1), np.int16), 0.02)
    bytes_per_cut = (tmp_path / "frames.000000.tar").stat().st_size / 1000
    assert float(row["Shar, GB"]) * 1e9 / 24e6 == pytest.approx(bytes_per_cut, rel=0.02)
