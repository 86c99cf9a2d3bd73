import dataclasses
import gzip
import re
import shutil

import numpy as np
import pytest
from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.array import TemporalArray

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import (
    attach,
    check_num_frames,
    load_audio_cuts,
    load_cuts,
    load_feature_cuts,
    load_frames,
    num_frames,
    require_manifest_name,
    storage_dtype,
    text_of,
    without_frames,
    write_cuts,
)

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 2, (500, 30), 0)


def write_split(folder, frames_and_durations, start=0.0):
    """A manifest with codes 0, 1, 2, ... in its first codebook; returns the arrays by cut id."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts, stored = [], {}
    with FlatArchiveWriter(folder / "train.codes") as writer:
        for index, (frames, duration) in enumerate(frames_and_durations):
            codes = np.stack([np.arange(frames), np.full(frames, index)], axis=1).astype(np.int16)
            array = writer.store_array(str(index), codes, frame_shift=0.02, temporal_dim=0, start=start)
            array.array.storage_path = "train.codes"
            supervision = SupervisionSegment(str(index), "r", 0.0, duration, text="some words")
            size = round((start + duration) * 16000)
            recording = Recording("r", [], 16000, size, size / 16000)
            cut = MonoCut(f"cut-{index}", start, duration, 0, supervisions=[supervision], recording=recording)
            cuts.append(attach(cut, array, SPEC))
            stored[cut.id] = codes
    write_cuts(folder / "train.jsonl.gz", cuts)
    SPEC.write(folder / "spec.json")
    return stored


def test_a_moved_folder_keeps_working(tmp_path, monkeypatch):
    stored = write_split(tmp_path / "data" / "toy", [(50, 1.0), (75, 1.5)])
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "data", tmp_path / "elsewhere" / "renamed")
    monkeypatch.chdir(tmp_path)
    for lazy in (False, True):
        cuts = load_cuts("elsewhere/renamed/toy/train.jsonl.gz", lazy=lazy)
        loaded = {cut.id: load_frames(cut, SPEC) for cut in cuts}
        assert loaded.keys() == stored.keys()
        for cut_id, codes in stored.items():
            np.testing.assert_array_equal(loaded[cut_id], codes)


def test_the_same_cuts_give_the_same_bytes(tmp_path):
    write_split(tmp_path / "a", [(50, 1.0)])
    cuts = list(load_cuts(tmp_path / "a" / "train.jsonl.gz"))
    write_cuts(tmp_path / "first.jsonl.gz", cuts)
    write_cuts(tmp_path / "other" / "second.jsonl.gz", cuts)
    first = (tmp_path / "first.jsonl.gz").read_bytes()
    assert first == (tmp_path / "other" / "second.jsonl.gz").read_bytes()


def test_truncated_missing_and_empty_manifests_are_named(tmp_path):
    write_split(tmp_path, [(50, 1.0)] * 200)
    path = tmp_path / "train.jsonl.gz"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz is damaged after line \d+"):
        load_cuts(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz holds no cuts"):
        load_cuts(path)
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl\.gz does not exist"):
        load_cuts(tmp_path / "none.jsonl.gz")
    line = gzip.decompress(data).splitlines()[0]
    (tmp_path / "x.jsonl").write_bytes(line + b"\n" + line[:40] + b"\n")
    with pytest.raises(ValueError, match=r"x\.jsonl: line 2 is not valid JSON"):
        load_cuts(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_text('{"id": 1, "text": "a"}\n')
    with pytest.raises(ValueError, match=r"x\.jsonl: line 1: it is no cut: it has no 'type', but id, text"):
        load_cuts(tmp_path / "x.jsonl")


@pytest.mark.parametrize("frames", [49, 50, 51])
@pytest.mark.parametrize("start", [0.0, 3.5])
def test_no_frame_of_a_whole_cut_is_lost_whichever_way_the_tokenizer_rounds(tmp_path, frames, start):
    write_split(tmp_path, [(frames, 1.0)], start)
    cut = load_cuts(tmp_path / "train.jsonl.gz")[0]
    assert num_frames(cut, SPEC) == frames
    assert load_frames(cut, SPEC)[:, 0].tolist() == list(range(frames))


def test_a_truncated_cut_gives_its_own_frames(tmp_path):
    write_split(tmp_path, [(499, 10.0)], start=2.0)
    part = load_cuts(tmp_path / "train.jsonl.gz")[0].truncate(offset=2.0, duration=3.0)
    assert num_frames(part, SPEC) == 150
    assert load_frames(part, SPEC)[:, 0].tolist() == list(range(100, 250))


def test_a_padded_cut_is_padded_with_the_id_that_is_asked_for(tmp_path):
    write_split(tmp_path, [(50, 1.0)])
    padded = load_cuts(tmp_path / "train.jsonl.gz")[0].pad(duration=2.0, pad_value_dict={"codes": 500})
    codes = load_frames(padded, SPEC)
    assert len(codes) == 100 and (codes[50:] == 500).all() and codes[49, 0] == 49
    assert num_frames(padded, SPEC) == 100


def test_codes_that_survived_a_change_of_speed_are_found_out(tmp_path):
    write_split(tmp_path, [(250, 5.0)])
    cut = load_cuts(tmp_path / "train.jsonl.gz")[0]
    check_num_frames(cut, SPEC)
    for factor, duration in ((1.1, "4.545"), (0.9, "5.556")):
        with pytest.raises(ValueError, match=rf"cut cut-0_sp{factor}: 250 frames for {duration} s, but toy promises"):
            check_num_frames(cut.perturb_speed(factor), SPEC)
    bare = without_frames(cut)
    assert bare.custom is None and cut.custom is not None
    with pytest.raises(ValueError, match=r"cut cut-0: has no codes"):
        num_frames(bare, SPEC)


def test_cuts_of_another_spec_are_refused_with_the_difference(tmp_path):
    write_split(tmp_path, [(50, 1.0)])
    _, spec = load_feature_cuts(tmp_path / "train.jsonl.gz", SPEC)
    assert spec == SPEC
    other = dataclasses.replace(SPEC, provenance={"layer": 24})
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz does not fit the model: provenance\.layer: 24 against"):
        load_feature_cuts(tmp_path / "train.jsonl.gz", other)


def test_storage_dtype_holds_the_largest_id_and_padding():
    assert storage_dtype(SPEC) == "int16"
    assert storage_dtype(dataclasses.replace(SPEC, codebook_sizes=(500, 32767))) == "int16"
    assert storage_dtype(dataclasses.replace(SPEC, codebook_sizes=(500, 32768))) == "int32"
    assert storage_dtype(FeatureSpec("f", "continuous", 16000, 100.0, 0, (), 80)) == "float32"


def test_an_empty_text_names_the_cut():
    cut = MonoCut("cut-9", 0.0, 1.0, 0, supervisions=[SupervisionSegment("s", "r", 0.0, 1.0, text="  ")])
    with pytest.raises(ValueError, match=r"cut cut-9: its text is empty"):
        text_of(cut)


def test_codes_are_a_temporal_array_of_lhotse(tmp_path):
    write_split(tmp_path, [(50, 1.0)])
    cut = load_cuts(tmp_path / "train.jsonl.gz")[0]
    assert isinstance(cut.codes, TemporalArray) and cut.codes.temporal_dim == 0 and cut.codes.frame_shift == 0.02
    np.testing.assert_array_equal(cut.load_codes(), load_frames(cut, SPEC))
    np.testing.assert_array_equal(load_frames(cut.move_to_memory(), SPEC), load_frames(cut, SPEC))


def test_a_damaged_id_or_key_names_the_cut_and_the_archive(tmp_path):
    write_split(tmp_path, [(50, 1.0), (75, 1.5)])
    codes = np.memmap(tmp_path / "train.codes", dtype="<i2", mode="r+")
    codes[2 * 50 + 2 * 3] = 16399
    codes.flush()
    first, second = load_cuts(tmp_path / "train.jsonl.gz")
    assert len(load_frames(first, SPEC)) == 50
    with pytest.raises(
        ValueError,
        match=r"^cut cut-1: id 16399 in frame 3 of codebook 0, expected 0 to 499; .*train\.codes was changed",
    ):
        load_frames(second, SPEC)
    for key, said in (
        ("-2,75,2,int16", r"^cut cut-1: .*train\.codes: storage key '-2,75,2,int16' is not '<offset>"),
        ("200,999999999999,2,int16", r"^cut cut-1: .*train\.codes ends before the array"),
    ):
        second.custom["codes"].array.storage_key = key
        second.custom["codes"].array.shape[0] = int(key.split(",")[1])
        whole = dataclasses.replace(second, duration=second.custom["codes"].array.shape[0] / 50)
        with pytest.raises(ValueError, match=said):
            load_frames(whole, SPEC)


def test_features_that_are_not_finite_name_the_cut_and_the_archive(tmp_path):
    spec = FeatureSpec("toy", "continuous", 16000, 50.0, 0, (), 3)
    features = np.ones((50, 3), np.float32)
    features[7, 1] = np.inf
    with FlatArchiveWriter(tmp_path / "train.codes") as writer:
        array = writer.store_array("a", features, frame_shift=0.02, temporal_dim=0, start=0.0)
    cut = attach(MonoCut("cut-a", 0.0, 1.0, 0, recording=Recording("r", [], 16000, 16000, 1.0)), array, spec)
    with pytest.raises(ValueError, match=r"^cut cut-a: 1 features are NaN or infinite; .*train\.codes was changed"):
        load_frames(cut, spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_shift": 0.04}, "have a frame every 0.04 s along axis 0, expected 0.02 s along axis 0"),
        ({"temporal_dim": 1}, "have a frame every 0.02 s along axis 1, expected 0.02 s along axis 0"),
        ({"start": -0.5}, "it lasts from 0 to 1 s, its codes from -0.5 to 0.5 s"),
        ({"start": 0.5}, "it lasts from 0 to 1 s, its codes from 0.5 to 1.5 s"),
    ],
)
def test_codes_that_lie_elsewhere_in_time_are_refused(tmp_path, change, message):
    write_split(tmp_path, [(50, 1.0)])
    (cut,) = load_cuts(tmp_path / "train.jsonl.gz")
    cut.custom["codes"] = dataclasses.replace(cut.codes, **change)
    for read in (load_frames, num_frames):
        with pytest.raises(ValueError, match=rf"^cut cut-0: .*{re.escape(message)}"):
            read(cut, SPEC)


def test_one_id_for_two_cuts_is_refused(tmp_path):
    write_split(tmp_path, [(50, 1.0), (75, 1.5)])
    cuts = list(load_cuts(tmp_path / "train.jsonl.gz"))
    cuts[1].id = cuts[0].id
    write_cuts(tmp_path / "twice.jsonl.gz", cuts)
    with pytest.raises(ValueError, match=r"twice\.jsonl\.gz: 2 cuts have the id 'cut-0' \(1 ids too few in all\)"):
        load_cuts(tmp_path / "twice.jsonl.gz")


def test_cuts_of_several_are_refused_where_audio_is_to_be_encoded(tmp_path):
    recording = Recording("r", [], 16000, 16000, 1.0)
    padded = MonoCut("short", 0.0, 1.0, 0, recording=recording).pad(duration=2.0)
    write_cuts(tmp_path / "padded.jsonl.gz", [padded])
    with pytest.raises(ValueError, match=rf"padded\.jsonl\.gz: cut {padded.id} is mixed, padded or joined of 2 others"):
        load_audio_cuts(tmp_path / "padded.jsonl.gz")


def test_a_manifest_is_written_under_a_name_that_can_be_read(tmp_path):
    require_manifest_name(tmp_path / "cuts.jsonl.gz")
    with pytest.raises(ValueError, match=r"cuts\.jsonl does not end in \.jsonl\.gz, as manifests do that are read"):
        require_manifest_name(tmp_path / "cuts.jsonl")
