"""Finding, unpacking and reading the files of a corpus."""

import io
import tarfile

import numpy as np
import pytest
import soundfile

from icefall_discrete.data.corpus_files import find_corpus, read_headers, whole_supervision
from icefall_discrete.data.manifests import CorpusError

ADVICE = "download x.tar.gz and put it here"


@pytest.fixture
def archive(tmp_path):
    """x.tar.gz, which holds release/language/list.txt."""
    source = tmp_path / "made" / "release" / "language"
    source.mkdir(parents=True)
    (source / "list.txt").write_text("a\n")
    path = tmp_path / "download" / "x.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "made" / "release", arcname="release")
    return path


def test_an_archive_is_unpacked_once(archive):
    folder = archive.parent / "release" / "language"
    assert find_corpus(folder, archive, ADVICE)
    assert (folder / "list.txt").read_text() == "a\n"
    assert sorted(path.name for path in archive.parent.iterdir()) == ["release", "x.tar.gz"]
    archive.unlink()
    assert not find_corpus(folder, archive, ADVICE)


def test_what_a_killed_unpacking_left_is_done_anew(archive):
    partial = archive.parent / f".{archive.name}.unpacked.partial" / "release" / "language"
    partial.mkdir(parents=True)
    (partial / "list.txt").write_text("half")
    assert find_corpus(archive.parent / "release" / "language", archive, ADVICE)
    assert (archive.parent / "release" / "language" / "list.txt").read_text() == "a\n"


def test_neither_folder_nor_archive_is_one_sentence(tmp_path):
    for archive in (None, tmp_path / "x.tar.gz"):
        with pytest.raises(
            CorpusError, match=r"the corpus is not in .*language: download x\.tar\.gz and put it here\."
        ):
            find_corpus(tmp_path / "language", archive, ADVICE)


def test_another_archive_is_told(archive):
    with pytest.raises(CorpusError, match=r"x\.tar\.gz holds release, but no other/language; is it another archive"):
        find_corpus(archive.parent / "other" / "language", archive, ADVICE)


def test_a_damaged_archive_is_told(archive):
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(CorpusError, match=r"x\.tar\.gz cannot be unpacked \(.*\); fetch it again"):
        find_corpus(archive.parent / "release" / "language", archive, ADVICE)
    assert not (archive.parent / "release").exists()


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_headers_keep_their_order_and_bad_files_are_told_apart(tmp_path, num_jobs, caplog):
    files = {}
    for index, samples in enumerate((16000, 0, 8000)):
        files[f"u{index}"] = tmp_path / f"{index}.wav"
        soundfile.write(files[f"u{index}"], np.zeros(samples, dtype=np.int16), 16000)
    files = {"broken": tmp_path / "broken.wav", **files}
    files["broken"].write_bytes(b"nothing")
    headers = read_headers(files, num_jobs)
    assert {name: recording.duration for name, recording in headers.recordings.items()} == {"u0": 1.0, "u2": 0.5}
    assert list(headers.recordings) == ["u0", "u2"]
    assert set(headers.unusable) == {"broken", "u1"} and headers.unusable["u1"] == "the file holds no audio (0 samples)"
    assert f"{files['broken']} is left out" in caplog.text


def test_whole_supervision_is_of_the_first_channel(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.zeros((8000, 2), dtype=np.int16), 16000)
    recording = read_headers({"two": tmp_path / "two.wav"}, 1).recordings["two"]
    supervision = whole_supervision(recording, "a b", "xx", speaker="s")
    assert (supervision.id, supervision.recording_id, supervision.channel) == ("two", "two", 0)
    assert (supervision.start, supervision.duration, supervision.text) == (0.0, 0.5, "a b")


def tar_of(path, members):
    """An archive of members: bytes of a file, or (type, target) of a link or device."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("release/../../outside", b"x")], r"'release/\.\./\.\./outside': it leaves its folder"),
        ([("../outside", b"x")], "it leaves its folder"),
        ([("{outside}", b"x")], "it leaves its folder"),
        ([("release/link", (tarfile.SYMTYPE, "{folder}")), ("release/link/outside", b"x")], "is a link or a device"),
        ([("release/link", (tarfile.LNKTYPE, "../outside"))], "is a link or a device"),
        ([("release/fifo", (tarfile.FIFOTYPE, ""))], "is a link or a device"),
        ([("release/disk", (tarfile.BLKTYPE, ""))], "is a link or a device"),
        ([("release/a\nb", b"x")], "characters that cannot be seen"),
        ([("release/" + "a" * 300, b"x")], "longer than the 255 bytes"),
        ([("release/zeros", bytes(2**27))], "unpacks to more than"),
    ],
)
def test_an_archive_writes_nothing_outside_of_its_folder(tmp_path, members, message):
    path, outside = tmp_path / "dl" / "x.tar.gz", tmp_path / "outside"
    path.parent.mkdir()
    filled = [
        (
            name.replace("{outside}", str(outside)),
            (it[0], it[1].replace("{folder}", str(tmp_path))) if it[1:] and isinstance(it, tuple) else it,
        )
        for name, it in [("release/language/list.txt", b"a\n"), *members]
    ]
    tar_of(path, filled)
    with pytest.raises(CorpusError, match=rf"x\.tar\.gz cannot be unpacked \(.*{message}.*\); fetch it again\."):
        find_corpus(tmp_path / "dl" / "release" / "language", path, ADVICE)
    assert not outside.exists() and not (tmp_path / "dl" / "release").exists()
    assert {one.name for one in tmp_path.iterdir()} == {"dl"}


def test_modes_and_owners_of_an_archive_are_not_taken(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("./release/a")
        info.mode, info.size = 0o4777, 1
        tar.addfile(info, io.BytesIO(b"a"))
    assert find_corpus(tmp_path / "release", path, ADVICE)
    made, usual = tmp_path / "release" / "a", tmp_path / "usual"
    usual.write_text("")
    assert made.stat().st_mode == usual.stat().st_mode
