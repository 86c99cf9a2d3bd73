"""Audio that was read, and is another now."""

import os
import shutil

import pytest
from toy_corpus import make_cuts

from icefall_discrete.data.audio_files import join_records, note_audio, require_same_audio


def changed_byte(path):
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def test_another_file_is_named_and_the_same_one_elsewhere_is_none(tmp_path):
    cuts, record = make_cuts(tmp_path / "audio", 3), tmp_path / "train.audio.gz"
    require_same_audio(record, cuts, "it was made", "rerun")  # nothing is known
    note_audio(record, [*cuts, *(cut.perturb_speed(0.9) for cut in cuts)])
    before = record.read_bytes()
    require_same_audio(record, cuts, "it was made", "rerun")
    assert record.read_bytes() == before
    shutil.copytree(tmp_path / "audio", tmp_path / "moved")
    moved = [cut.with_recording_path_prefix("/") for cut in cuts]
    for cut in moved:
        cut.recording.sources[0].source = str(tmp_path / "moved" / f"{cut.id}.wav")
    require_same_audio(record, moved, "it was made", "rerun")
    (tmp_path / "moved" / "utt002.wav").unlink()  # says nothing
    status = (tmp_path / "moved" / "utt001.wav").stat()
    changed_byte(tmp_path / "moved" / "utt001.wav")
    os.utime(tmp_path / "moved" / "utt001.wav", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(
        ValueError, match=r"it was made from another .*moved/utt001\.wav than there is now; .* or rerun\."
    ):
        require_same_audio(record, moved, "it was made", "rerun")


def test_records_of_parts_are_joined_and_a_damaged_one_is_named(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 2)
    for number, cut in enumerate(cuts):
        note_audio(tmp_path / f"{number}.gz", [cut])
    join_records(tmp_path / "all.gz", [tmp_path / f"{number}.gz" for number in range(3)])
    changed_byte(tmp_path / "audio" / "utt001.wav")
    with pytest.raises(ValueError, match=r"utt001\.wav"):
        require_same_audio(tmp_path / "all.gz", cuts, "it was made", "rerun")
    (tmp_path / "all.gz").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"all\.gz is damaged"):
        require_same_audio(tmp_path / "all.gz", cuts, "it was made", "rerun")
