"""The command line: what is printed where, exit statuses, mistakes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.inference.transcriber import Transcriber


@pytest.fixture
def run(work, console):
    def transcribe(*arguments, exp_dir=work / "exp", **of_the_process):
        return console("transcribe", "--exp-dir", exp_dir, "--device", "cpu", *arguments, **of_the_process)

    return transcribe


@pytest.fixture(scope="module")
def expected(work, files):
    """Texts with the recipe that training left in the experiment folder, but for greedy search."""
    transcriber = Transcriber(work / "exp", CheckpointChoice(avg=1, use_averaged_model=False), DecodeConfig())
    return [outcome.text for outcome in transcriber.transcribe(files)]


GREEDY = ("--decoding-method", "greedy_search")


def test_one_file_gives_its_text_several_their_names(run, files, expected):
    assert run(*GREEDY, files[0]) == (0, f"{expected[0]}\n", "")
    status, out, _ = run(*GREEDY, *files)
    assert status == 0
    assert out.splitlines() == [f"{file}\t{text}" for file, text in zip(files, expected)]


def test_recipe_of_the_experiment_is_used(run, work, files):
    beam = run(*files)
    assert beam == run("--recipe-config", work / "recipe.json", *files)
    assert beam == run("--decoding-method", "modified_beam_search", "--beam-size", "2", *files)
    assert beam != run(*GREEDY, *files)


def test_json_has_the_best_hypotheses_where_they_are_asked_for(run, files):
    status, out, _ = run(
        "--decoding-method", "modified_beam_search", "--beam-size", "4", "--nbest", "3", "--json", *files
    )
    assert status == 0
    for line in out.splitlines():
        found = json.loads(line)
        (segment,) = found["segments"]
        assert 1 < len(segment["nbest"]) <= 3
        assert segment["nbest"][0] == {"text": found["text"], "score": found["score"]}
        assert len({(one["text"], one["score"]) for one in segment["nbest"]}) == len(segment["nbest"])


def test_json_lines(run, files, expected, tmp_path):
    status, out, err = run(*GREEDY, "--json", files[0], tmp_path / "gone.wav", files[1])
    first, failed, second = (json.loads(line) for line in out.splitlines())
    assert status == 1
    assert failed == {"file": str(tmp_path / "gone.wav"), "error": f"{tmp_path}/gone.wav: the file does not exist."}
    assert (first["text"], second["text"]) == tuple(expected[:2])
    assert first["duration"] == 2.0 and first["score"] < 0
    assert [word["word"] for word in first["words"]] == expected[0].split()
    assert first["segments"] == [{"start": 0.0, "end": 2.0, "text": first["text"], "score": first["score"]}]
    assert "gone.wav: the file does not exist." in err and "1 of 3 files could not be transcribed." in err


def test_names_from_a_list_and_from_standard_input(run, files, expected, tmp_path):
    (tmp_path / "list.txt").write_text(f"{files[2]}\n\n{files[3]}\n")
    _, out, _ = run(*GREEDY, files[1], "-", "--file-list", tmp_path / "list.txt", stdin=f"{files[0]}\n".encode())
    assert [line.split("\t")[1] for line in out.splitlines()] == [expected[i] for i in (1, 0, 2, 3)]


def test_names_that_break_a_line_are_quoted_and_bad_paths_do_not_end_the_run(run, files, expected, tmp_path):
    names = [
        "a\nb.wav",
        "tab\there.wav",
        "line\u2028sep.wav",
        '"quoted".wav',
        "ñ \u3000.wav",
    ]
    for number, name in enumerate(names):
        shutil.copy(files[number % 4], tmp_path / name)
    bad = [f"{files[0]}/below-a-file.wav", "x" * 5000, "nul\0.wav", tmp_path, os.fsdecode(b"latin-\xe9.wav")]
    asked = [*bad, *(tmp_path / name for name in names)]
    status, out, err = run(*GREEDY, *asked)
    assert status == 1 and "5 of 10 files could not be transcribed." in err and "Traceback" not in err
    lines = [line.split("\t") for line in out.rstrip("\n").split("\n")]
    assert [text for _, text in lines] == [expected[number % 4] for number in range(5)]
    found = [json.loads(name) if name.startswith('"') else name for name, _ in lines]
    assert found == [str(tmp_path / name) for name in names]
    assert lines[4][0] == str(tmp_path / names[4])
    _, out, _ = run(*GREEDY, "--json", *asked)
    assert [json.loads(line)["file"] for line in out.rstrip("\n").split("\n")] == list(map(str, asked))


def test_a_list_may_name_any_file(run, files, expected, tmp_path):
    shutil.copy(files[0], tmp_path / "line\u2028sep.wav")
    (tmp_path / "list.txt").write_bytes(f"\ufeff{tmp_path}/line\u2028sep.wav\r\n{files[1]}\r\n".encode())
    _, out, _ = run(*GREEDY, "--file-list", tmp_path / "list.txt")
    assert [line.split("\t")[1] for line in out.rstrip("\n").split("\n")] == expected[:2]
    (tmp_path / "list.txt").write_bytes(f"{files[1]}\n".encode("utf-16"))
    status, _, err = run(*GREEDY, "--file-list", tmp_path / "list.txt")
    assert status == 1 and "list.txt is not in UTF-8 (line 1): it seems to be UTF-16" in err


def test_an_output_without_letters_gets_escapes(work, files, tmp_path):
    name = tmp_path / "mañana.wav"
    shutil.copy(files[0], name)
    code = "import sys; from icefall_discrete.inference.command import main; main('t', sys.argv[1:])"
    flags = ["--exp-dir", work / "exp", "--device", "cpu", *GREEDY, name, files[1]]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert json.loads(first.split("\t")[0]) == str(name) and second.startswith(f"{files[1]}\t")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "error: there is nothing to transcribe; give audio files, --file-list, or - for standard input."),
        (["--file-list", "nowhere.txt"], "error: nowhere.txt: No such file or directory"),
        (["x.wav", "--decoding-method", "magic"], "error: unknown decoding method 'magic'; known: greedy_search"),
        (["x.wav", "--epoch", "7"], "holds epochs 1 to 1"),
        (["x.wav", "--max-segment-sec", "0.5"], "error: max_segment_sec is 0.5, expected at least 2.0"),
        (["x.wav", "--tokenizer-dir", "nowhere"], "error: nowhere holds no small_km.json"),
    ],
)
def test_mistakes_are_one_sentence(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (1, "") and message in err.splitlines()[-1] and "Traceback" not in err


def test_missing_experiment_is_named(run, files, tmp_path):
    status, _, err = run(files[0], exp_dir=tmp_path / "nowhere")
    assert status == 1 and f"error: {tmp_path}/nowhere is no experiment: there is no such folder; correct" in err
    status, _, err = run(files[0], exp_dir=tmp_path)
    assert status == 1 and f"error: {tmp_path} is no experiment: it has no config.json; correct the name" in err


def test_console_script(work, files, expected):
    script = Path(sys.executable).with_name("icefall-discrete")
    assert script.exists(), "the package was installed before it had this script; run tools/setup_env.sh"
    flags = ["transcribe", "--exp-dir", work / "exp", "--device", "cpu", *GREEDY, files[0]]
    done = subprocess.run([script, *flags], capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout) == (0, f"{expected[0]}\n"), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments, status, out, err",
    [
        (["--help"], 0, "transcribe   print the text of audio files", ""),
        ([], 2, "", "usage: icefall-discrete COMMAND"),
        (["sing"], 2, "", "unknown command 'sing'; known: transcribe, "),
        (["transcribe", "--help"], 0, "usage: icefall-discrete transcribe [-h] [--exp-dir", ""),
    ],
)
def test_usage(console, arguments, status, out, err):
    code, printed, error = console(*arguments)
    assert code == status and out in printed and err in error
