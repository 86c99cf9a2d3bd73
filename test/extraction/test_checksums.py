"""What was extracted is known again: archives and manifests that changed since are refused, by name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from toy_corpus import make_cuts, make_tokenizer

from icefall_discrete.data.cuts import load_cuts, load_feature_cuts, write_cuts
from icefall_discrete.extraction.check import check_folder
from icefall_discrete.extraction.extract import extract

SPLITS = ("train", "dev")


@pytest.fixture(scope="module")
def cuts_of(tmp_path_factory):
    audio = tmp_path_factory.mktemp("audio")
    sizes = {"train": 12, "dev": 5}
    return {split: make_cuts(audio / split, sizes[split], 7, prefix=f"{split}-") for split in SPLITS}


@pytest.fixture(scope="module")
def good(tmp_path_factory, cuts_of):
    folder = tmp_path_factory.mktemp("toy")
    for split in SPLITS:
        extract(cuts_of[split], make_tokenizer, folder, split)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "toy")


def old_form(folder, split):
    """Figures as they were before there were checksums, what was read in one flat object."""
    path = folder / f"extract-{split}.json"
    figures = json.loads(path.read_text())
    made_from = figures.pop("made_from")
    del figures["checksums"], figures["places"]
    path.write_text(json.dumps({**figures, "inputs": {**made_from["inputs"], **made_from["settings"]}}))
    return path


def load(folder, split="dev"):
    return load_feature_cuts(folder / f"{split}.jsonl.gz")


def replace_archive(folder):
    shutil.copy(folder / "train.codes", folder / "dev.codes")


def put_in_front(folder):
    path = folder / "dev.codes"
    path.write_bytes(b"\0\0" + path.read_bytes())


def put_in_front_and_cut(folder):
    path = folder / "dev.codes"
    path.write_bytes(b"\0\0" + path.read_bytes()[:-2])


def change_key(change):
    def changed(folder):
        cuts = [dataclasses.replace(cut, custom=dict(cut.custom)) for cut in load_cuts(folder / "dev.jsonl.gz")]
        for cut in cuts:
            array = dataclasses.replace(cut.custom["codes"].array, storage_path="dev.codes")
            cut.custom["codes"] = dataclasses.replace(cut.custom["codes"], array=array)
        change([cut.custom["codes"].array for cut in cuts])
        write_cuts(folder / "dev.jsonl.gz", cuts)

    return changed


def move_by_a_frame(arrays):
    offset, rest = arrays[1].storage_key.split(",", 1)
    arrays[1].storage_key = f"{int(offset) - 4},{rest}"


def move_the_last(arrays):
    offset, rest = arrays[-1].storage_key.split(",", 1)
    arrays[-1].storage_key = f"{int(offset) + 4},{rest}"


CHANGES = {
    "another split's": (replace_archive, r"dev\.codes has \d+ bytes, but \d+ were extracted; run stage 3"),
    "shifted": (put_in_front, r"dev\.codes has \d+ bytes, but \d+ were extracted; run stage 3"),
    "shifted, same size": (put_in_front_and_cut, r"dev\.codes is not the archive that was extracted: its beginning"),
    "key moved": (
        change_key(move_by_a_frame),
        r"cut dev-001 is placed at byte \d+ of dev\.codes, within .*cut dev-000",
    ),
    "last key moved": (change_key(move_the_last), r"cut dev-004 is placed at byte \d+ of dev\.codes, and would end"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_refused_at_load_and_by_stage_4_and_made_anew_by_stage_3(folder, good, cuts_of, name):
    change, sentence = CHANGES[name]
    change(folder)
    with pytest.raises(ValueError, match=sentence):
        load(folder)
    with pytest.raises(ValueError, match=r"dev.*(run stage 3 .* again|extract the codes again)"):
        check_folder(folder, SPLITS, "train")
    extract(cuts_of["dev"], make_tokenizer, folder, "dev")
    load(folder)
    check_folder(folder, SPLITS, "train")
    assert (folder / "dev.codes").read_bytes() == (good / "dev.codes").read_bytes()


def test_one_id_within_its_range_is_found_by_stage_4_and_stage_3(folder, good, cuts_of, monkeypatch):
    monkeypatch.setattr("icefall_discrete.data.checksums.BLOCK_BYTES", 16)
    extract(cuts_of["dev"], make_tokenizer, folder / "small", "dev")
    codes = np.memmap(folder / "small" / "dev.codes", dtype="<i2", mode="r+")
    middle = len(codes) // 4 * 2
    codes[middle] = (codes[middle] + 1) % 50
    codes.flush()
    load(folder / "small")
    with pytest.raises(ValueError, match=r"dev\.codes is not the archive that was extracted: its content differs"):
        check_folder(folder / "small", ("dev",), "dev")
    extract(cuts_of["dev"], make_tokenizer, folder / "small", "dev")
    assert (folder / "small" / "dev.codes").read_bytes() == (good / "dev.codes").read_bytes()


def test_a_manifest_that_lacks_cuts_is_refused_and_kept_aside(folder, cuts_of):
    change_key(lambda arrays: None)(folder)
    load(folder)  # written again, but the same
    cuts = list(load_cuts(folder / "dev.jsonl.gz"))
    write_cuts(folder / "dev.jsonl.gz", cuts[:-1])
    with pytest.raises(ValueError, match=r"it lists 4 cuts, which are not the 5 that were extracted"):
        load(folder)
    extract(cuts_of["dev"], make_tokenizer, folder, "dev")
    assert len(load(folder)[0]) == 5 and len(list(folder.glob("dev.jsonl.gz.before-*"))) == 1


@pytest.mark.parametrize("by", ["stage 3", "stage 4"])
def test_figures_of_before_there_were_checksums_are_taken_and_completed(folder, cuts_of, caplog, by):
    path = old_form(folder, "dev")
    with caplog.at_level("INFO"):
        load(folder)
        assert "has no checksums yet" in caplog.text
        if by == "stage 3":
            extract(cuts_of["dev"], make_tokenizer, folder, "dev")
            assert "nothing to do" in caplog.text
        else:
            check_folder(folder, SPLITS, "train")
    assert set(json.loads(path.read_text())["checksums"]) == {"dev.codes"}
    put_in_front(folder)
    with pytest.raises(ValueError, match=r"dev\.codes has"):
        load(folder)


@pytest.mark.parametrize("value", ["[]", "null", '{"checksums": []}', '{"checksums": {"dev.codes": 3}}'])
def test_damaged_figures_are_a_sentence(folder, value):
    (folder / "extract-dev.json").write_text(value)
    with pytest.raises(ValueError, match=r"extract-dev\.json"):
        load(folder)
