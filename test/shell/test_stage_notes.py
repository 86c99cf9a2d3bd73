"""tools/stages.sh where notes cannot be written, or are not whole: the run ends, and nothing that was made is lost."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

STAGES = Path(__file__).resolve().parents[2] / "tools" / "stages.sh"
SCRIPT = """#!/usr/bin/env bash
set -eou pipefail
stage=0 stop_stage=9 seed=${{SEED:-1}} out=${{OUT:-out}}
. "{stages}"
fit() {{
  local settings
  settings=$(settings_of seed; echo "kind=toy"{and_then})
  begin_stage 2 "fit" "$out/.done-2" "$settings" "$out/fitted.txt" || return 0
  forget_if_changed {forgotten}
  {command}
  echo "seed $seed" >>"$out/fitted.txt"
  {and_fill}
  end_stage
}}
fit
echo "ran $(stages_run)"
"""
DONE = "# 2 lines of settings follow\nseed=1\nkind=toy\n"


@pytest.fixture(params=['"$out"', '"$out"/fitted.*'], ids=["folder", "files"])
def run(request, tmp_path):
    def run(command=":", and_fill=":", and_then="", **variables):
        text = SCRIPT.format(
            stages=STAGES, forgotten=request.param, command=command, and_fill=and_fill, and_then=and_then
        )
        (tmp_path / "try.sh").write_text(text)
        environment = {"PATH": "/usr/bin:/bin", **variables}
        return subprocess.run(["bash", "try.sh"], capture_output=True, text=True, cwd=tmp_path, env=environment)

    return run


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 16 KiB on `folder`."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a file system of one's own may not be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder):
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as stream:
        while stream.write(bytes(512)):
            pass
    return folder / "filler"


def asides(out):
    return list(out.parent.glob("*.before-*"))


@pytest.mark.parametrize("place", ["taken", "taken/below", "/proc/no/such"])
def test_a_stage_that_cannot_begin_ends_the_run(run, tmp_path, place):
    (tmp_path / "taken").write_text("")
    done = run(OUT=place)
    assert done.returncode == 1 and done.stdout == ""
    assert f"Stage 2: fit: the folder {place} cannot be made (" in done.stderr and "try.sh" in done.stderr


def test_a_note_that_cannot_be_written_ends_the_run(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".done-2.begun.partial").symlink_to("/dev/full")
    done = run()
    assert done.returncode == 1 and "out/.done-2.begun cannot be written (No space left on device)" in done.stderr
    assert os.listdir(tmp_path / "out") == []


def test_a_folder_in_place_of_a_note_ends_the_run(run, tmp_path):
    (tmp_path / "out" / ".done-2").mkdir(parents=True)
    done = run()
    assert done.returncode == 1 and "out/.done-2 cannot be replaced (Is a directory)" in done.stderr


def test_settings_that_cannot_be_told_end_the_run(run, tmp_path):
    done = run(and_then="; digest_of missing.json; echo more")
    assert done.returncode != 0 and "missing.json" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["false", "x=$(false; echo more)", "echo 1 | false | cat"])
def test_a_command_that_fails_ends_the_run(run, tmp_path, command):
    done = run(command)
    assert done.returncode == 1 and "ran" not in done.stdout and not (tmp_path / "out" / ".done-2").exists()


@pytest.mark.parametrize("name", [".done-2", ".done-2.begun"])
@pytest.mark.parametrize("length", [0, 5, DONE.index("seed"), DONE.index("kind"), len(DONE) - 1])
def test_a_note_that_was_cut_short_is_no_change(run, tmp_path, name, length):
    run()
    (tmp_path / "out" / ".done-2").unlink()
    (tmp_path / "out" / name).write_text(DONE[:length])
    done = run()
    assert done.returncode == 0 and "changed" not in done.stdout and f"out/{name} is empty or cut short" in done.stdout
    assert (tmp_path / "out" / "fitted.txt").read_text() == "seed 1\nseed 1\n" and not asides(tmp_path / "out")
    assert (tmp_path / "out" / ".done-2").read_text() == DONE


def test_a_full_disk_leaves_the_note_and_what_was_made(run, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "out"
        assert run(OUT=str(out)).returncode == 0
        (out / "fitted.txt").rename(out / "fitted.part")  # so that it runs again
        filler = fill(disk)
        done = run(OUT=str(out))
        assert done.returncode == 1 and "No space left on device" in done.stderr
        assert (out / ".done-2.begun").read_text() == DONE
        filler.unlink()
        done = run(OUT=str(out))
        assert done.returncode == 0 and "changed" not in done.stdout
        assert (out / "fitted.part").read_text() == (out / "fitted.txt").read_text() == "seed 1\n"
        assert sorted(os.listdir(out)) == [".done-2", "fitted.part", "fitted.txt"]


def test_a_disk_that_is_full_at_the_end_of_a_stage_does_not_undo_it(run, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "out"
        assert run(OUT=str(out), and_fill='cat /dev/zero >"$out/filler" 2>/dev/null || true').returncode == 0
        assert os.listdir(out) and (out / ".done-2").read_text() == DONE


def test_a_full_disk_loses_nothing_when_settings_change(run, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "out"
        run(OUT=str(out))
        filler = fill(disk)
        assert run(OUT=str(out), SEED="2").returncode == 1
        filler.unlink()
        done = run(OUT=str(out), SEED="2")
        assert done.returncode == 0 and (out / "fitted.txt").read_text() == "seed 2\n"
        (kept,) = [path for path in disk.rglob("fitted.txt") if path.parent != out]
        assert kept.read_text() == "seed 1\n"


def test_every_change_is_kept_under_a_name_of_its_own(run, tmp_path):
    for seed in "1213":
        assert run(SEED=seed).returncode == 0
    kept = [(path / "fitted.txt").read_text() for path in asides(tmp_path / "out")]
    assert sorted(kept) == ["seed 1\n", "seed 1\n", "seed 2\n"]
    assert (tmp_path / "out" / "fitted.txt").read_text() == "seed 3\n"


def test_two_runs_at_once_are_a_sentence_and_a_killed_one_is_in_nobodys_way(run, tmp_path):
    run(command="exit 3")  # leaves try.sh and the note of what was begun
    waiting = (tmp_path / "try.sh").read_text().replace("exit 3", "read -r _")
    (tmp_path / "first.sh").write_text(waiting)
    first = subprocess.Popen(
        ["bash", "first.sh"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert "Stage 2: fit" in first.stdout.readline()
    second = run()
    assert second.returncode == 1 and "Stage 2: fit: another run is at work on it since 20" in second.stderr
    assert "mv:" not in second.stderr
    first.kill()
    first.communicate()
    assert "ran 1" in run().stdout
    assert sorted(os.listdir(tmp_path / "out")) == [".done-2", "fitted.txt"]
