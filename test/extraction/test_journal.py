import subprocess
import sys

import pytest

from icefall_discrete.extraction.journal import Journal

HEADER = {"spec": "abc", "factors": [0.9, 1.0]}


def write(path, records):
    journal = Journal(path, HEADER)
    journal.append(records)
    journal.close()


@pytest.mark.parametrize("tail", [b'{"end": 3', b"\0\0\0\0\n", b'{"end": 3}'])
def test_a_torn_tail_is_forgotten_and_written_over(tmp_path, tail):
    path = tmp_path / "j"
    write(path, [{"end": 1}, {"end": 2}])
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    journal = Journal(path, HEADER)
    assert list(journal) == [{"end": 1}, {"end": 2}]
    assert path.read_bytes() == whole
    journal.append([{"end": 4, "é": "ж"}])
    journal.close()
    assert path.read_bytes() == whole + '{"end": 4, "é": "ж"}\n'.encode()


def test_a_torn_header_is_a_new_journal(tmp_path):
    path = tmp_path / "j"
    write(path, [])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    Journal(path, HEADER).close()
    assert path.read_bytes() == whole


def test_keep_goes_back(tmp_path):
    path = tmp_path / "j"
    write(path, [{"end": 1}])
    shorter = path.read_bytes()
    journal = Journal(path, HEADER)
    journal.append([{"end": 2}, {"end": 3}])
    journal.keep(1)
    assert list(journal) == [{"end": 1}] and path.read_bytes() == shorter
    journal.append([{"end": 5}])
    journal.keep(0)
    journal.close()
    assert list(Journal(path, HEADER)) == []


def test_another_header_is_refused_with_the_keys_that_differ(tmp_path):
    write(tmp_path / "j", [{"end": 1}])
    with pytest.raises(ValueError, match=r"j was begun with other factors \(was .*is \[1\.0\]\); rerun with the same"):
        Journal(tmp_path / "j", {**HEADER, "factors": [1.0]})
    journal = Journal(tmp_path / "j", HEADER)
    assert list(journal) == [{"end": 1}]
    journal.remove()
    assert not (tmp_path / "j").exists()


def test_two_processes_cannot_hold_it(tmp_path):
    journal = Journal(tmp_path / "j", HEADER)
    code = f"from icefall_discrete.extraction.journal import Journal; Journal({str(tmp_path / 'j')!r}, {HEADER!r})"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert second.returncode == 1 and "another process is writing" in second.stderr
    journal.close()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
