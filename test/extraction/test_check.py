import dataclasses
import json
import shutil

import numpy as np
import pytest
from toy_corpus import ToyConfig, make_cuts, make_tokenizer
from watched_cuts import WatchedCuts

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.extraction.check import check_folder, check_no_overlap, check_split, figures_of, report_text
from icefall_discrete.extraction.extract import ExtractionConfig, extract

SPLITS = ("train", "dev", "test")


def extract_splits(folder, audio, kind="codes"):
    for seed, split in enumerate(SPLITS):
        speeds = (0.9, 1.0) if split == "train" else (1.0,)
        cuts = make_cuts(audio / split, 5, seed, prefix=f"{split}-")
        config = ExtractionConfig(speed_factors=speeds)
        extract(cuts, lambda: make_tokenizer(ToyConfig(kind=kind)), folder, split, config)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    extract_splits(folder, tmp_path_factory.mktemp("audio"))
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "toy")


def change_cuts(folder, split, change):
    """Rewrite a manifest with `change(list of cuts)`; archive paths go back to their form on disk."""
    cuts = [dataclasses.replace(cut, custom=dict(cut.custom)) for cut in load_cuts(folder / f"{split}.jsonl.gz")]
    for cut in cuts:
        array = dataclasses.replace(cut.custom["codes"].array, storage_path=f"{split}.codes")
        cut.custom["codes"] = dataclasses.replace(cut.custom["codes"], array=array)
    write_cuts(folder / f"{split}.jsonl.gz", change(cuts))


def overwrite(folder, split, index, value):
    """Set one id in an archive."""
    codes = np.memmap(folder / f"{split}.codes", dtype="<i2", mode="r+")
    codes[index] = value
    codes.flush()


def test_a_sound_folder_passes_and_its_report_counts(good):
    reports = check_folder(good, SPLITS, "train")
    spec = FeatureSpec.read(good / "spec.json")
    figures = figures_of(reports, spec, "train")
    assert [report.num_cuts for report in reports] == [10, 5, 5] and reports[0].num_perturbed == 5
    assert figures["splits"]["train"]["num_frames"] * 4 == (good / "train.codes").stat().st_size
    hours = sum(split["hours"] for split in figures["splits"].values())
    size = sum((good / f"{split}.codes").stat().st_size for split in SPLITS)
    assert figures["bytes_per_hour"] == pytest.approx(size / hours)
    assert figures["bits_per_second"] == pytest.approx(50 * (np.log2(50) + np.log2(30)))
    assert 0 < figures["entropy_bits_per_second"] < figures["bits_per_second"]
    page = report_text(figures, spec)
    assert len(page.splitlines()) < 40 and "toy: codes, 50 Hz, 2 x 30, 50 entries" in page and "train" in page
    json.dumps(figures)


def test_cuts_are_read_twice_and_none_is_held(good):
    spec, held = FeatureSpec.read(good / "spec.json"), load_cuts(good / "train.jsonl.gz")
    watched = WatchedCuts(lambda: load_cuts(good / "train.jsonl.gz", lazy=True))
    reports = [check_split(cuts, spec, "train") for cuts in (watched, iter(held))]
    assert watched.readings == 2 and watched.most <= 4
    assert figures_of(reports[:1], spec, "train") == figures_of(reports[1:], spec, "train")
    assert reports[0].recordings == reports[1].recordings == {cut.recording_id.split("_sp")[0] for cut in held}
    assert reports[0].places == json.loads((good / "extract-train.json").read_text())["places"]


def test_a_manifest_that_is_empty_or_names_a_cut_twice_is_refused_as_it_is_everywhere(folder):
    change_cuts(folder, "dev", lambda cuts: [*cuts, cuts[1]])
    with pytest.raises(ValueError, match=r"dev\.jsonl\.gz: 2 cuts have the id 'dev-001' \(1 ids too few in all\)"):
        check_folder(folder, SPLITS, "train")
    write_cuts(folder / "dev.jsonl.gz", [])
    with pytest.raises(ValueError, match=r"dev\.jsonl\.gz holds no cuts; run the stage that makes it again"):
        check_folder(folder, SPLITS, "train")


@pytest.mark.parametrize("value", [-1, 50, 32767])
def test_an_id_out_of_range_names_the_cut_the_frame_and_the_range(folder, value):
    overwrite(folder, "dev", 2 * 3, value)
    expected = rf"cut dev-000: id {value} in frame 3 of codebook 0, expected 0 to 49"
    with pytest.raises(ValueError, match=expected):
        check_folder(folder, SPLITS, "train")


def test_features_that_are_not_finite_name_the_cut(tmp_path):
    extract_splits(tmp_path / "toy", tmp_path / "audio", "continuous")
    reports = check_folder(tmp_path / "toy", SPLITS, "train")
    figures = figures_of(reports, FeatureSpec.read(tmp_path / "toy" / "spec.json"), "train")
    assert figures["code_usage"] is None and figures["bits_per_second"] == 50 * 2 * 32
    assert "2 dimensions" in report_text(figures, FeatureSpec.read(tmp_path / "toy" / "spec.json"))
    values = np.memmap(tmp_path / "toy" / "test.codes", dtype="<f4", mode="r+")
    values[5] = np.inf
    values.flush()
    with pytest.raises(ValueError, match=r"cut test-000: 1 features are NaN or infinite"):
        check_folder(tmp_path / "toy", SPLITS, "train")


def test_stale_codes_of_a_perturbed_copy_are_found(folder):
    def keep_stale(cuts):
        codes = {cut.id: cut.custom for cut in cuts}
        return [dataclasses.replace(cut, custom=codes[cut.id.replace("_sp0.9", "")]) for cut in cuts]

    change_cuts(folder, "train", keep_stale)
    with pytest.raises(
        ValueError, match=r"cut train-\d+_sp0\.9: it lasts from 0 to .*, its codes from 0 to .* s; extract it"
    ):
        check_folder(folder, SPLITS, "train")


def test_a_perturbed_copy_of_the_wrong_length_is_found(folder):
    spec = FeatureSpec.read(folder / "spec.json")
    cuts = list(load_cuts(folder / "train.jsonl.gz"))
    wrong = [dataclasses.replace(cut, id=cut.id.replace("_sp0.9", "_sp0.8")) for cut in cuts]
    with pytest.raises(ValueError, match=r"cut train-000_sp0\.8: lasts .* at speed 0\.8 are"):
        check_split(wrong, spec, "train")


def test_an_empty_text_and_a_repeated_id_name_the_cut(folder):
    spec = FeatureSpec.read(folder / "spec.json")
    cuts = list(load_cuts(folder / "dev.jsonl.gz"))
    silent = dataclasses.replace(cuts[2], supervisions=[dataclasses.replace(cuts[2].supervisions[0], text="")])
    with pytest.raises(ValueError, match=r"cut dev-002: its text is empty"):
        check_split([*cuts[:2], silent], spec, "dev")
    with pytest.raises(ValueError, match=r"cut dev-001: occurs twice in dev"):
        check_split([*cuts, cuts[1]], spec, "dev")


def test_a_recording_in_training_and_test_is_refused_perturbed_or_not(folder):
    spec = FeatureSpec.read(folder / "spec.json")
    copies = [cut for cut in load_cuts(folder / "train.jsonl.gz") if "_sp" in cut.id]
    reports = [check_split(copies, spec, "train")]
    reports.append(check_split(load_cuts(folder / "test.jsonl.gz"), spec, "test"))
    check_no_overlap(reports, "train")
    originals = [cut for cut in load_cuts(folder / "train.jsonl.gz") if "_sp" not in cut.id]
    reports[1] = check_split(originals[:1], spec, "test")
    with pytest.raises(ValueError, match=r"recording train-000 is in train and in test \(1 such recordings\)"):
        check_no_overlap(reports, "train")


def test_an_archive_of_another_dtype_or_length_is_refused(folder):
    def as_int32(cuts):
        for cut in cuts:
            array = cut.custom["codes"].array
            cut.custom["codes"].array.storage_key = array.storage_key.replace("int16", "int32")
        return cuts

    change_cuts(folder, "test", as_int32)
    with pytest.raises(ValueError, match=r"cut test-000: stored as int32, expected int16"):
        check_folder(folder, ("test",), "train")


def test_cuts_that_are_missing_from_the_manifest_are_noticed(folder):
    change_cuts(folder, "dev", lambda cuts: cuts[:-1])
    with pytest.raises(ValueError, match=r"dev: the cuts point to \d+ bytes of an archive of \d+"):
        check_folder(folder, SPLITS, "train")


def test_a_split_that_was_not_extracted_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"extract-other\.json does not exist; .* run the stage"):
        check_folder(folder, ("other",), "train")


def test_ids_that_look_like_those_of_copies_are_ids_like_any(tmp_path):
    made = make_cuts(tmp_path / "audio", 4)
    names = ("meeting0_sp1", "meeting0_sp2", "timestamp_0", "a b:c_sp0.9")
    cuts = []
    for cut, name in zip(made, names):
        recording = dataclasses.replace(cut.recording, id=name)
        said = dataclasses.replace(cut.supervisions[0], id=name, recording_id=name)
        cuts.append(dataclasses.replace(cut, id=name, recording=recording, supervisions=[said]))
    for split, some in (("train", cuts[:1]), ("dev", cuts[1:2]), ("test", cuts[2:])):
        speeds = (0.9, 1.0) if split == "train" else (1.0,)
        extract(some, make_tokenizer, tmp_path / "toy", split, ExtractionConfig(speed_factors=speeds))
    reports = check_folder(tmp_path / "toy", SPLITS, "train")
    assert reports[0].recordings == {"meeting0_sp1"} and reports[0].num_perturbed == 1
    assert reports[2].recordings == {"timestamp_0", "a b:c_sp0.9"}
