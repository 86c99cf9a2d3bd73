"""From codes and labels in time to figures: a corpus whose every letter has two units of its own."""

import pytest
from lhotse import CutSet
from synthetic_codes import LETTERS, SPEC, write_split
from toy_corpus import run_stage_script

from icefall_discrete.base.json_files import read_json
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.extraction.unit_figures import segments_of, unit_scores
from icefall_discrete.lm.unit_bits import lm_bits_per_second
from icefall_discrete.text.alignments import Segment, write_ctm


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Folder of codes, its cuts of `test`, and when their letters are said."""
    folder = tmp_path_factory.mktemp("units")
    write_split(folder, "train", 30, 1)
    write_split(folder, "test", 30, 2)
    SPEC.write(folder / "spec.json")
    cuts = load_cuts(folder / "test.jsonl.gz")
    return folder, cuts, {cut.id: letters_of(cut) for cut in cuts}


def letters_of(cut):
    """Runs of a letter's units, 2n and 2n + 1, as segments."""
    letters, found = load_frames(cut, SPEC)[:, 0] // 2, []
    for frame, letter in enumerate(letters):
        if found and frame and letters[frame - 1] == letter:
            found[-1] = found[-1]._replace(end_sec=(frame + 1) / 50)
        else:
            found.append(Segment(frame / 50, (frame + 1) / 50, LETTERS[letter]))
    return found


def test_units_of_letters_tell_them_all(corpus):
    _, cuts, letters = corpus
    found = unit_scores(cuts, SPEC, letters, "test")
    assert found["pnmi"]["value"] == pytest.approx(1.0) and found["label_purity"]["value"] == 1.0
    assert found["pnmi_by_chance"]["value"] < 0.1 and 0.5 < found["cluster_purity"]["value"] < 0.8
    assert found["boundary_f1"]["rate"] > 90 and found["units"]["codebooks"][0]["num_units"] == 16
    assert found["units"]["num_utterances"] == 30 and found["units"]["num_unlabelled_frames"] == 0
    assert found["abx_within"]["rate"] < 50 and "abx_across" not in found  # one speaker
    assert found["units"]["abx_within"]["num_cells"] > 0


def test_labels_of_a_recording_are_moved_to_the_cut_and_cuts_without_any_are_counted(corpus):
    _, cuts, letters = corpus
    first, second, *_ = cuts
    part = first.truncate(offset=0.2, duration=0.3)
    part.id = "part"
    moved = segments_of(part, letters)
    assert (
        moved[-1].label == letters[first.id][[one.begin_sec < 0.5 for one in letters[first.id]].count(True) - 1].label
    )
    assert moved[0].begin_sec <= 0.0 < moved[0].end_sec
    some = unit_scores(CutSet.from_cuts([first, second]), SPEC, {first.id: letters[first.id]}, "test")
    assert some["units"]["num_without_labels"] == 1
    with pytest.raises(ValueError, match="none of 1 cuts has labels: the alignment is of other utterances"):
        unit_scores(CutSet.from_cuts([second]), SPEC, {"another": []}, "test")


def test_a_model_of_their_order_makes_units_cheaper(corpus):
    folder, cuts, _ = corpus
    found = lm_bits_per_second(list(load_cuts(folder / "train.jsonl.gz")), list(cuts), SPEC)
    assert list(found) == ["1", "2", "3", "3_without_repetitions"]
    assert 1.2 * SPEC.bits_per_second > found["1"] > 1.5 * found["2"] > found["3_without_repetitions"]


def test_the_stage_writes_what_pages_read(corpus, tmp_path):
    folder, _, letters = corpus
    write_ctm(tmp_path / "test.ctm", letters)
    output = tmp_path / "units" / "synthetic.json"
    flags = ("--feature-dir", folder, "--alignment", tmp_path / "test.ctm", "--output", output)
    run_stage_script("measure_units.py", *flags, "--train-split", "train")
    result = read_json(output)
    assert result["feature_type"] == "synthetic" and result["alignment"] == "test.ctm"
    assert result["sets"]["test"]["pnmi"]["value"] > 0.9
    assert str(tmp_path) not in output.read_text() and "<path>/test.ctm" in result["environment"]["command"]
    assert set(result["sets"]["test"]["units"]["lm_bits_per_second"]) == {"1", "2", "3", "3_without_repetitions"}
    (tmp_path / "test.ctm").write_text("test-0 1 0.0 0.1\n")
    failed = run_stage_script("measure_units.py", *flags, check=False)
    assert failed.returncode == 1 and "test.ctm line 1 has 4 fields, expected utterance" in failed.stderr
