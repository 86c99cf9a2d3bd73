"""tools/parse_options.sh: what it accepts, what it sets, and that nothing is ignored in silence."""

import subprocess
from pathlib import Path

import pytest

PARSE_OPTIONS = Path(__file__).resolve().parents[2] / "tools" / "parse_options.sh"
SCRIPT = """#!/usr/bin/env bash
set -eou pipefail
HELPER=internal
help_message="Usage: try.sh. First line.
Second line."
stage=0                 # first stage to run
stop_stage=8            # last stage
exp_dir=                # where to put it
factors="0.9 1.0 1.1"   # speeds
quick=false             # whether to hurry
. {parse_options}
later=1  # not an option: set below
echo "$stage|$stop_stage|$exp_dir|$factors|$quick|$HELPER|$later"
"""


@pytest.fixture
def run(tmp_path):
    script = tmp_path / "try.sh"
    script.write_text(SCRIPT.format(parse_options=PARSE_OPTIONS))

    def run(*arguments):
        return subprocess.run(["bash", str(script), *arguments], capture_output=True, text=True, cwd=tmp_path)

    return run


@pytest.mark.parametrize(
    "arguments, values",
    [
        ([], "0|8||0.9 1.0 1.1|false|internal|1"),
        (["--stage", "3", "--stop-stage", "5"], "3|5||0.9 1.0 1.1|false|internal|1"),
        (["--stop_stage", "5"], "0|5||0.9 1.0 1.1|false|internal|1"),
        (["--stage=2"], "2|8||0.9 1.0 1.1|false|internal|1"),
        (["--stage", "-1"], "-1|8||0.9 1.0 1.1|false|internal|1"),
        (["--exp-dir", "a b/$HOME`id`"], "0|8|a b/$HOME`id`|0.9 1.0 1.1|false|internal|1"),
        (["--exp-dir=x=y"], "0|8|x=y|0.9 1.0 1.1|false|internal|1"),
        (["--factors", ""], "0|8|||false|internal|1"),
        (["--quick", "true", "--stage", "1", "--stage", "2"], "2|8||0.9 1.0 1.1|true|internal|1"),
    ],
)
def test_values(run, arguments, values):
    done = run(*arguments)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, values, "")


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["2"], "stray argument '2'"),
        (["--stage", "1", "extra"], "stray argument 'extra'"),
        (["--"], "stray argument '--'"),
        (["--stge", "1"], "unknown option --stge, did you mean --stage?"),
        (["--exp-dri", "x"], "unknown option --exp-dri, did you mean --exp-dir?"),
        (["--something-else", "x"], "unknown option --something-else;"),
        (["--later", "2"], "unknown option --later"),
        (["--help-message", "x"], "unknown option --help-message"),
        (["--HELPER", "x"], "unknown option --HELPER"),
        (["--stage"], "option --stage needs a value"),
        (["--stage", "--stop-stage", "2"], "option --stage needs a value"),
        (["--stage", "two"], "--stage must be a whole number, not 'two'"),
        (["--stage="], "--stage must be a whole number, not ''"),
        (["--quick", "1"], "--quick must be true or false, not '1'"),
    ],
)
def test_mistakes_end_the_script_before_it_does_anything(run, arguments, complaint):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("try.sh: " + complaint)
    assert len(done.stderr.splitlines()) == 1


def test_help_lists_message_options_and_defaults(run):
    done = run("--stage", "1", "--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Usage: try.sh. First line.", "Second line."]
    assert [line.split() for line in lines if line.startswith("  --")] == [
        ["--stage", "first", "stage", "to", "run", "(default:", "0)"],
        ["--stop-stage", "last", "stage", "(default:", "8)"],
        ["--exp-dir", "where", "to", "put", "it"],
        ["--factors", "speeds", "(default:", "0.9", "1.0", "1.1)"],
        ["--quick", "whether", "to", "hurry", "(default:", "false)"],
    ]


def test_options_of_a_shared_file_come_first_and_may_be_set_again(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "parse_options.sh").write_text(PARSE_OPTIONS.read_text())
    (tools / "shared_options.sh").write_text("stage=0   # first stage\nsize=   # of the model\n")
    script = tmp_path / "try.sh"
    lines = ['. "$TOOLS/shared_options.sh"', "size=tiny  # here", "own=1  # only here", '. "$TOOLS/parse_options.sh"']
    script.write_text("\n".join([f'TOOLS="{tools}"', *lines, 'echo "$stage|$size|$own"', ""]))
    done = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True)
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("  --")] == [
        ["--stage", "first", "stage", "(default:", "0)"],
        ["--size", "here", "(default:", "tiny)"],
        ["--own", "only", "here", "(default:", "1)"],
    ]
    done = subprocess.run(["bash", str(script), "--stage", "3", "--own=5"], capture_output=True, text=True)
    assert done.stdout.strip() == "3|tiny|5"
