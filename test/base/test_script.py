import errno
import os
import subprocess
import sys

import pytest

from icefall_discrete.base.script import one_sentence


def run(body, **environment):
    imports = "from icefall_discrete.base.script import run_script\nimport logging"
    code = f"{imports}\ndef main():\n    {body}\nrun_script(main)"
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    "raised,shown",
    [
        ('ValueError("cut a: wrong,\\n  do this")', "error: cut a: wrong, do this\n"),
        ('FileNotFoundError("x does not exist")', "error: x does not exist\n"),
        ('OSError(28, "could not write y")', "error: could not write y\n"),
        ('RuntimeError("no k2")', "error: no k2\n"),
        ('ImportError("pip install z")', "error: pip install z\n"),
        ('MemoryError("3 TiB")', "error: memory is used up (3 TiB); choose smaller batches, or shorter audio.\n"),
    ],
)
def test_an_expected_error_is_one_line_and_status_1(raised, shown):
    done = run(f"raise {raised}")
    assert done.returncode == 1 and done.stderr == shown and done.stdout == ""


@pytest.mark.parametrize("body", ["print('x\\n' * 100000)", "print('a')", "print('x' * 9); raise SystemExit(0)"])
def test_a_reader_that_has_enough_is_no_error(body):
    code = (
        f"from icefall_discrete.base.script import run_script\nimport time\ndef main():\n    time.sleep(0.3); {body}\n"
    )
    command = f"{sys.executable} -c '{code}run_script(main)'; echo $? >&2".replace("'x", '"x').replace("n' *", 'n" *')
    command = command.replace("x' *", 'x" *').replace("'a'", '"a"')
    done = subprocess.run(["bash", "-c", f"{{ {command}; }} | true"], capture_output=True, text=True)
    assert done.stderr == "141\n"


def test_another_pipe_that_breaks_is_an_error():
    done = run("raise BrokenPipeError(32, 'Broken pipe')")
    assert done.returncode == 1 and done.stderr == "error: Broken pipe\n"


def test_the_traceback_can_be_had_and_ours_is_always_shown():
    shown = run('raise ValueError("x")', ICEFALL_DISCRETE_TRACEBACK="1")
    assert shown.returncode == 1 and "Traceback" in shown.stderr
    assert "Traceback" in run('raise KeyError("x")').stderr


def test_logging_goes_to_stderr_with_the_time_and_ctrl_c_is_130():
    done = run('logging.info("hello")')
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.endswith(" INFO hello\n") and done.stderr[:2] == "20"
    stopped = run("raise KeyboardInterrupt")
    assert stopped.returncode == 130 and "interrupted" in stopped.stderr


def test_an_error_of_the_system_names_its_file(tmp_path):
    with pytest.raises(OSError) as caught:
        (tmp_path / "none").read_text()
    assert one_sentence(caught.value) == f"{tmp_path / 'none'}: {os.strerror(errno.ENOENT)}"
    assert one_sentence(ValueError()) == "ValueError"
    with pytest.raises(OSError) as caught:
        tmp_path.read_text()
    assert one_sentence(caught.value) == f"{tmp_path}: this is a folder, expected a file; give another name."
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        (tmp_path / "file").replace(tmp_path / "folder")
    assert one_sentence(caught.value).startswith(f"{tmp_path / 'folder'}: this is a folder")
    with pytest.raises(OSError) as caught:
        (tmp_path / "file" / "folder").mkdir(parents=True)
    assert one_sentence(caught.value).endswith(f"file/folder: {os.strerror(errno.ENOTDIR)}; choose another place.")
