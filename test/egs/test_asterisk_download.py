"""Fetching the corpus without the network: from a stand-in for apt, from a local mirror, and from nowhere."""

import gzip
import hashlib
import sys
from pathlib import Path

import pytest
from fake_packages import put_program, tar_of, write_deb
from local_mirror import served

pytest.importorskip("num2words")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "egs" / "asterisk" / "ASR" / "local"))

import download

from icefall_discrete.data import debian_packages
from icefall_discrete.data.checked_folders import damaged_files
from icefall_discrete.data.manifests import CorpusError

SOUNDS = {"hello.g722": b"\x01\x02" * 500, "digits/0.g722": b"\x03" * 700}
TRANSCRIPT = b"hello: Hello.\ndigits/0: zero\n"


def write_release(folder, language="en"):
    name = f"asterisk-core-sounds-{language}-g722-{download.RELEASE}.tar.gz"
    content = tar_of({**{f"./{k}": v for k, v in SOUNDS.items()}, f"core-sounds-{language}.txt": TRANSCRIPT})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / f"{name}.sha1").write_text(f"{hashlib.sha1(content).hexdigest()}  {name}\n")
    return folder / name


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    with served(folder) as url:
        yield folder, url


@pytest.fixture
def no_apt(monkeypatch):
    monkeypatch.setattr(debian_packages.shutil, "which", lambda name: None)


def config_for(tmp_path, url="http://127.0.0.1:9"):
    return download.DownloadConfig(dl_dir=str(tmp_path / "dl"), languages=("en",), mirror_url=url)


def test_no_network_is_one_sentence_that_says_what_to_do(tmp_path, no_apt):
    with pytest.raises(CorpusError) as caught:
        download.fetch_language("en", config_for(tmp_path))
    message = str(caught.value)
    assert message.startswith(
        "cannot fetch the corpus for 'en': there is no apt-get on this machine; http://127.0.0.1:9/"
    )
    assert "Check the network and run again" in message and "\n" not in message
    assert not (tmp_path / "dl" / "asterisk" / "en").exists()


def test_apt_without_network_is_tried_with_own_lists_and_then_upstream(tmp_path, monkeypatch):
    fails = f'echo "$@" >>{tmp_path}/calls\necho "E: Unable to connect" >&2\nexit 100'
    put_program(tmp_path / "bin", "apt-get", fails, monkeypatch)
    with pytest.raises(CorpusError, match=r"apt-get update: Unable to connect; http://127\.0\.0\.1:9/"):
        download.fetch_language("en", config_for(tmp_path))
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].endswith("download asterisk-core-sounds-en-g722 asterisk-core-sounds-en")
    assert "Dir::State::Lists=" in calls[1] and calls[1].endswith("update")


def test_upstream_release_gives_the_corpus_folder(tmp_path, no_apt, mirror):
    folder, url = mirror
    write_release(folder)
    assert download.fetch_language("en", config_for(tmp_path, url))
    language = tmp_path / "dl" / "asterisk" / "en"
    assert {p: (language / "sounds" / p).read_bytes() for p in SOUNDS} == SOUNDS
    assert (language / "core-sounds-en.txt").read_bytes() == TRANSCRIPT
    assert damaged_files(language) == []


def test_second_call_fetches_nothing_and_a_damaged_file_is_fetched_again(tmp_path, no_apt, mirror):
    folder, url = mirror
    release = write_release(folder)
    config = config_for(tmp_path, url)
    download.fetch_language("en", config)
    assert not download.fetch_language("en", config)
    damaged = tmp_path / "dl" / "asterisk" / "en" / "sounds" / "hello.g722"
    damaged.write_bytes(b"short")
    release.unlink()  # the archive that was fetched before is used
    assert download.fetch_language("en", config)
    assert damaged.read_bytes() == SOUNDS["hello.g722"]


def test_a_release_that_differs_from_its_checksum_is_refused(tmp_path, no_apt, mirror):
    folder, url = mirror
    write_release(folder).write_bytes(b"garbage")
    with pytest.raises(CorpusError, match=r"has SHA-1 .* run stage 0 again"):
        download.fetch_language("en", config_for(tmp_path, url))
    assert not list((tmp_path / "dl").rglob("*.tar.gz"))


def test_a_partial_download_is_continued_or_begun_anew(tmp_path, no_apt, mirror):
    folder, url = mirror
    release = write_release(folder)
    partial = tmp_path / "dl" / "asterisk" / "packages" / (release.name + ".partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(release.read_bytes()[:100])
    assert download.fetch_language("en", config_for(tmp_path, url))


@pytest.fixture
def debs(tmp_path, monkeypatch):
    """Packages that lie there already; apt-get fails. Path and content of the one with the audio."""
    put_program(tmp_path / "bin", "apt-get", "exit 100", monkeypatch)
    packages = tmp_path / "dl" / "asterisk" / "packages"
    texts = {"usr/share/doc/x/core-sounds-en.txt.gz": gzip.compress(TRANSCRIPT)}
    write_deb(packages / "asterisk-core-sounds-en_1_all.deb", texts)
    root = "usr/share/asterisk/sounds/en_US_f_Voice"
    return packages / "asterisk-core-sounds-en-g722_1_all.deb", {f"{root}/{k}": v for k, v in SOUNDS.items()}


def test_packages_give_the_corpus_folder(tmp_path, debs):
    write_deb(*debs)
    assert download.fetch_language("en", config_for(tmp_path))
    language = tmp_path / "dl" / "asterisk" / "en"
    assert {p: (language / "sounds" / p).read_bytes() for p in SOUNDS} == SOUNDS
    assert (language / "core-sounds-en.txt").read_bytes() == TRANSCRIPT


def test_a_package_whose_audio_differs_from_its_own_checksums_is_refused(tmp_path, debs):
    path, sounds = debs
    name = next(iter(sounds))
    write_deb(path, {**sounds, name: b"truncated"}, f"{hashlib.md5(sounds[name]).hexdigest()}  {name}\n")
    with pytest.raises(CorpusError, match=rf"{name} has MD5 .*, not "):
        download.fetch_language("en", config_for(tmp_path))
    assert not (tmp_path / "dl" / "asterisk" / "en").exists()


@pytest.mark.parametrize("name", ["../../../outside.g722", "a/../../../outside.g722", "a\n.g722", "a" * 300 + ".g722"])
def test_a_file_that_would_leave_its_folder_is_refused_by_name(tmp_path, no_apt, mirror, monkeypatch, name):
    monkeypatch.setitem(SOUNDS, name, b"\x01\x02")
    folder, url = mirror
    write_release(folder)
    with pytest.raises(
        CorpusError, match=r"another one: the name of a file is 'sounds/.*cannot be a path below"
    ) as caught:
        download.fetch_language("en", config_for(tmp_path, url))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("outside*")) and not (tmp_path / "dl" / "asterisk" / "en").exists()


def test_archives_that_unpack_to_too_much_or_are_none_are_refused(tmp_path, no_apt, mirror, monkeypatch):
    folder, url = mirror
    monkeypatch.setitem(SOUNDS, "zeros.g722", bytes(2**24 + 1))  # which is taken out again below
    release = write_release(folder)
    config = config_for(tmp_path, url)
    with pytest.raises(CorpusError, match=r"zeros\.g722' in the archive has 16777217 bytes"):
        download.fetch_language("en", config)
    del SOUNDS["zeros.g722"]
    release = write_release(folder)
    fetched = tmp_path / "dl" / "asterisk" / "packages" / release.name
    for content in (b"<html>404</html>", gzip.compress(bytes(2**20)), release.read_bytes()[:-40]):
        fetched.write_bytes(content)
        (folder / f"{release.name}.sha1").write_text(hashlib.sha1(content).hexdigest())
        with pytest.raises(
            CorpusError, match=r"the archive that was fetched is damaged, or another one|holds no core-sounds-en"
        ):
            download.fetch_language("en", config)
    (folder / f"{release.name}.sha1").write_bytes(b"\xff")
    with pytest.raises(CorpusError, match=r"sha1 says "):
        download.fetch_language("en", config)
