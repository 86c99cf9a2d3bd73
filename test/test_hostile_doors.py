"""A zoo of hostile files through every door that reads a file: nothing runs, memory is bounded, one sentence each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_zoo
import pytest

HERE = Path(__file__).resolve().parent
MAX_KIB = 600_000
MAX_SEC = 20
# What may be read, and is: any JSON, phrases that are text, tables without rows.
TAKEN = {
    *("JSON of null at any JSON", "JSON of a list at any JSON", "JSON of a list at published figures"),
    "JSON of a list at figures of tokens",
    *(f"{text} at phrases" for text in ("deep JSON", "JSON of null", "JSON of a list", "JSON of a number")),
    *("JSON not finite at phrases", "a page at phrases", "nothing at transcripts"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came of each animal at each door, from a process of their own."""
    folder = tmp_path_factory.mktemp("zoo")
    paths = os.pathsep.join([str(HERE.parent), str(HERE / "toys"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, HERE / "toys" / "hostile_zoo.py", folder],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), folder


def test_nothing_is_run(outcomes):
    found, folder = outcomes
    assert len(found) >= 30 * len(hostile_zoo.DOORS)
    assert not [name for name, outcome in found.items() if outcome[-1]]
    assert not list(folder.rglob("marker*")) and not list(folder.rglob("outside*"))


def test_memory_and_time_are_bounded(outcomes):
    found, _ = outcomes
    assert not {name: (sec, kib) for name, (*_, sec, kib, _) in found.items() if sec > MAX_SEC or kib > MAX_KIB}


def test_each_is_refused_in_one_sentence_that_names_the_file(outcomes):
    wrong = {}
    for name, (path, kind, message, *_) in outcomes[0].items():
        if kind == "taken":
            wrong.update({} if name in TAKEN else {name: "taken"})
            continue
        kinds = {*kind.split(", ")}
        is_ours = kinds & {"ValueError", "OSError", "CorpusError"} and not kinds & {"UnicodeError", "JSONDecodeError"}
        is_named = Path(path).name in message or Path(path).parent.name in message
        advises = any(word in message for word in ("weights_only", "allow_pickle", "trust_remote_code", "delete"))
        if not is_ours or not is_named or advises or "\n" in message or len(message) > 1200:
            wrong[name] = (kind, message[:300])
    assert not wrong
