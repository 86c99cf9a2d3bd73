"""Packages are read as dpkg-deb reads them, checked, and fetched only where they are not; nothing else is believed."""

import hashlib
import io
import shutil
import subprocess
import tarfile

import pytest
from fake_packages import put_program, tar_of, write_deb

from icefall_discrete.data import debian_packages
from icefall_discrete.data.checked_folders import damaged_files, read_checksums, write_checked
from icefall_discrete.data.debian_packages import find_packages, package_members, tar_members
from icefall_discrete.data.manifests import CorpusError

FILES = {"usr/share/game/a.ogg": b"\x01\x02" * 500, "usr/share/game/text é.lua": b"odd", "usr/share/doc/x": b""}


@pytest.mark.parametrize("kind", ["xz", "gz", "bz2", ""])
def test_every_file_of_a_package_is_read(tmp_path, kind):
    assert dict(package_members(write_deb(tmp_path / "x_1_all.deb", FILES, kind=kind))) == FILES


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb to make a package")
@pytest.mark.parametrize("kind", ["xz", "gzip", "zstd", "none"])
def test_packages_of_dpkg_deb_are_read(tmp_path, kind):
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    )
    sums = (f"{hashlib.md5(content).hexdigest()}  {name}\n" for name, content in FILES.items())
    (tree / "DEBIAN" / "md5sums").write_text("".join(sums))
    deb = tmp_path / "x_1_all.deb"
    done = subprocess.run(["dpkg-deb", "-Z", kind, "--build", str(tree), str(deb)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"dpkg-deb here knows no {kind}")
    assert dict(package_members(deb)) == FILES


def test_zstd_without_dpkg_deb_is_said(tmp_path, monkeypatch):
    deb = write_deb(tmp_path / "x_1_all.deb", FILES)
    deb.write_bytes(deb.read_bytes().replace(b"data.tar.xz ", b"data.tar.zst"))
    monkeypatch.setattr(debian_packages.shutil, "which", lambda name: None)
    with pytest.raises(
        CorpusError, match=r"x_1_all\.deb is not a whole package \(.* zstd, which needs dpkg-deb; fetch"
    ):
        list(package_members(deb))


def test_content_that_differs_from_the_packages_own_checksums_is_refused(tmp_path):
    name = next(iter(FILES))
    deb = write_deb(tmp_path / "x_1_all.deb", FILES, checksums=f"{'0' * 32}  {name}\n")
    with pytest.raises(CorpusError, match=rf"{name} has MD5 .*, not 0+; move it aside and rerun"):
        list(package_members(deb))


def test_every_file_must_be_in_the_packages_own_checksums(tmp_path, monkeypatch):
    name, *others = FILES
    listed = f"{hashlib.md5(FILES[name]).hexdigest()}  {name}\n"
    for checksums, first in (("", name), (listed, others[0])):
        deb = write_deb(tmp_path / "x_1_all.deb", FILES, checksums=checksums)
        with pytest.raises(
            CorpusError, match=rf"{first} has MD5 .*, and is not in the package's md5sums; move it aside"
        ):
            list(package_members(deb))
    deb = write_deb(tmp_path / "x_1_all.deb", FILES)
    monkeypatch.setattr(debian_packages, "CHECKSUMS", "sums")
    with pytest.raises(CorpusError, match=r"x_1_all\.deb has no sums, which its files are held against; move it aside"):
        list(package_members(deb))


@pytest.mark.parametrize("damage", [lambda d: b"<html>", lambda d: d[:-100], lambda d: d[:70], lambda d: b"!<arch>\n"])
def test_what_is_no_whole_package_is_one_sentence(tmp_path, damage):
    deb = write_deb(tmp_path / "x_1_all.deb", FILES)
    deb.write_bytes(damage(deb.read_bytes()))
    with pytest.raises(CorpusError, match=r"x_1_all\.deb is not a whole package \(it .*\); move it aside") as caught:
        list(package_members(deb))
    assert "\n" not in str(caught.value)


def test_damage_inside_is_one_sentence(tmp_path):
    deb = write_deb(tmp_path / "x_1_all.deb", {"a": bytes(range(256)) * 40})
    content = bytearray(deb.read_bytes())
    content[-200:-150] = bytes(50)
    deb.write_bytes(content)
    with pytest.raises(CorpusError, match=r"the archive that was fetched is damaged, or another one: "):
        write_checked(package_members(deb), tmp_path / "folder", [])
    assert not (tmp_path / "folder").exists()


def test_packages_that_lie_there_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_packages.shutil, "which", lambda name: None)
    debs = [write_deb(tmp_path / f"{name}_1.0_all.deb", FILES) for name in ("game-cs", "game")]
    assert find_packages(["game-cs", "game"], tmp_path) == debs
    with pytest.raises(CorpusError, match="there is no apt-get on this machine"):
        find_packages(["game-nl", "game"], tmp_path)


def test_of_several_versions_the_newest_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_packages.shutil, "which", lambda name: None)
    rising = ["1.0~rc1-1", "1.0-1", "1.0-9", "1.0-10", "1.0a-1", "1.0.1-1", "1.9-1", "1.10-1", "10.0-1"]
    for version in rising:
        newest = write_deb(tmp_path / f"game_{version}_all.deb", {"a": b""})
        assert find_packages(["game"], tmp_path) == [newest]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_record_of_a_name_that_is_far_too_long_is_refused_unread(kind):
    class Stream(io.BytesIO):
        def read(self, size=-1):
            assert -1 < size < 2**20
            return super().read(size)

    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 2**30
    with pytest.raises(CorpusError, match="the archive has a record of 1073741824 bytes for the name of a file"):
        list(tar_members(Stream(info.tobuf(tarfile.USTAR_FORMAT) + bytes(2**16))))
    long_name = "x" * 300
    assert [name for name, _ in tar_members(io.BytesIO(tar_of({long_name: b"1"})))] == [long_name]


def test_missing_packages_are_fetched_with_own_lists_where_the_systems_have_none(tmp_path, monkeypatch):
    put_program(
        tmp_path / "bin",
        "apt-get",
        f'echo "$@" >>{tmp_path}/calls\n'
        'case "$*" in *Dir::State::Lists*download*) echo x >game_1_all.deb ;; *update) ;; *) exit 100 ;; esac',
        monkeypatch,
    )
    folder = tmp_path / "packages"
    assert find_packages(["game"], folder) == [folder / "game_1_all.deb"]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 3 and calls[0].endswith("download game") and "Dir::" not in calls[0]
    assert calls[1].endswith("update") and f"Dir::State::Lists={folder}/apt/lists/" in calls[1]


def test_what_a_killed_apt_get_left_is_not_taken_for_a_package(tmp_path, monkeypatch):
    put_program(tmp_path / "bin", "apt-get", "echo half >game_1_all.deb; exit 100", monkeypatch)
    with pytest.raises(CorpusError, match=r"^apt-get update: no message$"):
        find_packages(["game"], tmp_path / "packages")
    assert not list((tmp_path / "packages").rglob("*.deb"))


def test_without_network_the_reason_is_that_of_apt_get(tmp_path, monkeypatch):
    put_program(tmp_path / "bin", "apt-get", 'echo "E: Unable to connect" >&2; exit 100', monkeypatch)
    with pytest.raises(CorpusError, match=r"^apt-get update: Unable to connect$"):
        find_packages(["game"], tmp_path / "packages")


def test_a_folder_is_written_whole_and_knows_what_was_damaged(tmp_path):
    folder = tmp_path / "cs"
    assert write_checked(iter([("b/c.ogg", b"12"), ("a", b"3")]), folder, ["b/*.ogg", "a"]) == 2
    assert list(read_checksums(folder)) == ["a", "b/c.ogg"] and damaged_files(folder) == []
    (folder / "a").write_bytes(b"4")
    (folder / "b" / "c.ogg").unlink()
    assert damaged_files(folder) == ["a", "b/c.ogg"]
    with pytest.raises(CorpusError, match=r"^cs: the download holds no \*\.lua\.$"):
        write_checked(iter([("a", b"5")]), folder, ["*.lua"])
    assert (folder / "a").read_bytes() == b"4", "the older one is left"


def test_paths_that_leave_the_folder_are_refused(tmp_path):
    deb = write_deb(tmp_path / "x_1_all.deb", {"../../outside": b"x"})
    with pytest.raises(CorpusError, match=r"another one: the name of a file is '\.\./\.\./outside'"):
        write_checked(package_members(deb), tmp_path / "folder", [])
    assert not list(tmp_path.rglob("outside"))
