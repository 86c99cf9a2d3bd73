"""tools/stages.sh: a stage is done once, again when its settings change, and again after it failed."""

import re
import subprocess
from pathlib import Path

import pytest

STAGES = Path(__file__).resolve().parents[2] / "tools" / "stages.sh"
SCRIPT = """#!/usr/bin/env bash
set -eou pipefail
stage=${{STAGE:-0}} stop_stage=${{STOP:-9}} factors="${{FACTORS:-0.9 1.0}}" seed=1
. {stages}
if begin_stage 1 "first" "done/.done-1" "$(settings_of seed)" first.txt; then
  echo one >>first.txt
  end_stage
fi
if begin_stage 2 "second" "out/.done-2" "$(settings_of factors; digest_of config.json)" "out/second.txt"; then
  forget_if_changed out/*.txt
  echo part >>out/second.txt
  if [ -n "${{FAIL:-}}" ]; then false; fi
  end_stage
fi
echo "ran $(stages_run)"
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "try.sh").write_text(SCRIPT.format(stages=STAGES))
    (tmp_path / "config.json").write_text("{}")

    def run(**variables):
        environment = {"PATH": "/usr/bin:/bin", **variables}
        return subprocess.run(["bash", "try.sh"], capture_output=True, text=True, cwd=tmp_path, env=environment)

    return run


def ran(done):
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def test_second_run_does_nothing_and_says_so(run, tmp_path):
    assert ran(run()) == 2
    again = run()
    assert ran(again) == 0
    assert again.stdout.count("already done (remove") == again.stdout.count("(try.sh:") == 2
    assert (tmp_path / "first.txt").read_text() == "one\n"


def test_stage_and_stop_stage_bound_the_run(run, tmp_path):
    assert ran(run(STAGE="2")) == 1
    assert not (tmp_path / "first.txt").exists()
    assert ran(run(STOP="1")) == 1


def test_changed_settings_are_shown_and_the_stage_starts_afresh(run, tmp_path):
    run()
    changed = run(FACTORS="1.0")
    assert ran(changed) == 1
    assert "was factors=0.9 1.0" in changed.stdout and "is  factors=1.0" in changed.stdout
    assert (tmp_path / "out" / "second.txt").read_text() == "part\n"
    assert ran(run(FACTORS="1.0")) == 0


def test_a_changed_configuration_file_counts_as_a_setting(run, tmp_path):
    run()
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert ran(run()) == 1


def test_a_lost_output_is_made_again(run, tmp_path):
    run()
    (tmp_path / "first.txt").unlink()
    assert ran(run()) == 1


def test_a_failed_stage_ends_the_run_and_continues_where_it_was(run, tmp_path):
    failed = run(FAIL="1")
    assert failed.returncode == 1 and "ran" not in failed.stdout
    assert not (tmp_path / "out" / ".done-2").exists()
    assert ran(run()) == 1
    assert (tmp_path / "out" / "second.txt").read_text() == "part\npart\n"


def test_a_failed_stage_does_not_continue_under_other_settings(run, tmp_path):
    run(FAIL="1")
    assert ran(run(FACTORS="1.0")) == 1
    assert (tmp_path / "out" / "second.txt").read_text() == "part\n"


def test_every_stage_says_how_long_it_took(run):
    assert re.findall(r"Stage (\d): done in \d+ s", run().stdout) == ["1", "2"]
