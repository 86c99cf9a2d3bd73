"""run_noise.sh: its options are used, and what is missing is told before anything is made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "egs").glob("*/ASR/run_noise.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parts[-3])
def test_help_lists_stages_and_options(script):
    done = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == [str(stage) for stage in range(6)]
    assert any(line.startswith("--stop-stage") and "(default: 5)" in line for line in lines)
    assert any(line.startswith("--feature-type") and "(default: " in line for line in lines)


def test_every_option_is_used():
    texts = {name: (ROOT / "tools" / name).read_text() for name in ("noise_options.sh", "noise.sh", "recipe.sh")}
    options = re.findall(r"^([a-z][a-z0-9_]*)=", texts["noise_options.sh"], flags=re.MULTILINE)
    assert len(options) == len(set(options)) > 10
    code = texts["noise.sh"] + texts["recipe.sh"]
    assert [name for name in options if f"${name}" not in code and f"${{{name}" not in code] == []


def test_an_experiment_that_was_not_trained_is_named(tmp_path):
    """With an environment that is there already, so that none is made."""
    environment = tmp_path / "venv"
    environment.mkdir()
    (environment / "exports.sh").write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
    tools = tmp_path / "tools"
    tools.mkdir()
    for path in (ROOT / "tools").glob("*.sh"):
        (tools / path.name).write_text(path.read_text())
    (tools / "setup_env.sh").write_text(f"#!/bin/sh\necho {environment}\n")
    (tools / "setup_env.sh").chmod(0o755)
    for folder in ("icefall_discrete", "local"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    recipe = tmp_path / "egs" / "asterisk" / "ASR"
    recipe.mkdir(parents=True)
    (recipe / "run_noise.sh").write_text((ROOT / "egs" / "asterisk" / "ASR" / "run_noise.sh").read_text())
    (recipe / "conf").symlink_to(ROOT / "egs" / "asterisk" / "ASR" / "conf")
    done = subprocess.run(
        ["bash", "run_noise.sh", "--feature-type", "mfcc_km500", "--exp-dir", tmp_path / "exp"],
        cwd=recipe,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert (
        f"{tmp_path / 'exp'}/config.json does not exist; train first: ./run.sh --feature-type mfcc_km500" in done.stderr
    )
