"""Feature types that are made of others, `a+b` and units without repetitions, through the stages to transcription."""

import dataclasses
import json

import numpy as np
import pytest
import synthetic_codes
import torch
from toy_corpus import WORDS, run_stage_script, write_conf, write_manifest

from icefall_discrete.data.cuts import (
    check_num_frames,
    load_cuts,
    load_durations,
    load_feature_cuts,
    load_frames,
    num_frames,
    without_frames,
    write_cuts,
)
from icefall_discrete.data.dataset import collate
from icefall_discrete.extraction.check import check_folder
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.text.pieces import train_bpe
from icefall_discrete.tokenizers import load_tokenizer

VIEWS, PIECES = "small_km+other_km", "small_rm_bpe20"
SPLITS = ("train", "dev")
CONFS = {
    "other_km": {"tokenizer": "mfcc_kmeans", "num_clusters": 6, "frame_shift_sec": 0.01, "fit_memory_mib": 8},
    PIECES: {"tokenizer": "unit_bpe", "base": "small_km", "bpe_vocab_size": 20, "bpe_model_type": "bpe"},
}


def with_one_word(cut):
    """The cut with the first word of its text: pieces of noise are few, and labels must be fewer."""
    supervision = cut.supervisions[0]
    return dataclasses.replace(cut, supervisions=[dataclasses.replace(supervision, text=supervision.text.split()[0])])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with manifests, recipe, pieces of text, and the features of both kinds, as stages 2 to 4 make them."""
    work = tmp_path_factory.mktemp("work")
    for name, values in CONFS.items():
        (write_conf(work / "conf") / f"{name}.json").write_text(json.dumps(values))
    manifests = {split: write_manifest(work / "manifests", split, 8 - 4 * i, i) for i, split in enumerate(SPLITS)}
    for path in manifests.values():
        write_cuts(path, map(with_one_word, load_cuts(path)))
    for feature_type in (VIEWS, PIECES):
        kind = ("--feature-type", feature_type, "--conf-dir", work / "conf", "--out-dir", work / feature_type)
        run_stage_script("fit_tokenizer.py", *kind, "--cuts", manifests["train"])
        for split, speeds in zip(SPLITS, ("0.9,1.0", "1.0")):
            flags = ("--cuts", manifests[split], "--split", split, "--speed-factors", speeds)
            run_stage_script("extract_codes.py", *kind, *flags)
        run_stage_script("check_cuts.py", "--feature-dir", work / feature_type, "--splits", ",".join(SPLITS))
    (work / "recipe.json").write_text(json.dumps(synthetic_codes.TINY_RECIPE))
    (work / "lang").mkdir()
    train_bpe([" ".join(WORDS)], 24, work / "lang" / "bpe.model")
    return work


def cuts_of(work, feature_type, split="train"):
    return load_feature_cuts(work / feature_type / f"{split}.jsonl.gz")


def test_durations_on_the_cuts_give_the_frames_of_the_base_back(work):
    cuts, spec = cuts_of(work, PIECES)
    tokenizer = load_tokenizer(PIECES, [work / "conf"], work / PIECES)
    assert len(cuts) == 16 and spec == tokenizer.spec
    for cut in cuts:
        samples = torch.from_numpy(cut.load_audio()[0])
        base, _ = tokenizer.base.encode(samples[None], torch.tensor([len(samples)]))
        codes, durations = load_frames(cut, spec), load_durations(cut, spec)
        restored = tokenizer.frames_of(torch.from_numpy(codes).long(), torch.from_numpy(durations).long())
        assert torch.equal(restored, base[0])
        assert num_frames(cut, spec) == cut.codes.shape[0] == len(codes) < len(base[0])
        np.testing.assert_array_equal(cut.load_codes(), codes)  # lhotse's own reading: the frame shift fits
        assert cut.codes.frame_shift == pytest.approx(cut.duration / len(codes))


def test_codes_of_a_variable_rate_are_never_stale(work):
    cuts, spec = cuts_of(work, PIECES)
    cut = next(cut for cut in cuts if "_sp" not in cut.id)
    assert without_frames(cut).custom is None
    changed = (cut.truncate(duration=cut.duration / 2), cut.perturb_speed(1.1))
    for other in changed:
        with pytest.raises(ValueError, match="truncated or its speed changed after extraction"):
            load_frames(other, spec)
        with pytest.raises(ValueError, match="truncated or its speed changed after extraction"):
            num_frames(other, spec)
    with pytest.raises(ValueError, match=r"is padded or mixed, but 'small_rm_bpe20' has a variable rate"):
        load_frames(cut.pad(duration=5.0, pad_value_dict={"codes": 20}), spec)
    # The durations are held against the cut's own.
    longer = next(other for other in cuts if abs(other.duration - cut.duration) > 0.3)
    cut.custom["code_durations"].array.storage_key = longer.custom["code_durations"].array.storage_key
    with pytest.raises(ValueError, match=rf"cut {cut.id}: \d+ frames for .* promises 50\.0 Hz .* stale"):
        check_num_frames(cut, spec)


def test_reports_give_measured_rates(work):
    spec = cuts_of(work, PIECES)[1]
    figures = json.loads((work / PIECES / "report.json").read_text())
    rates = figures["rates_hz"]
    assert rates["frames"] == pytest.approx(50, rel=0.03) and rates["codes"] < rates["units"] < rates["frames"]
    assert figures["measured_bits_per_second"] == pytest.approx(rates["codes"] * np.log2(20))
    assert figures["bits_per_second"] == pytest.approx(spec.frame_rate_hz * np.log2(20))
    assert figures["splits"]["dev"]["bits_per_second"] != figures["splits"]["train"]["bits_per_second"]
    page = (work / PIECES / "report.txt").read_text()
    assert f"{spec.frame_rate_hz:.2f} Hz on average (at most 50)" in page and "units (" in page
    views = json.loads((work / VIEWS / "report.json").read_text())
    assert views["rates_hz"] is None and views["bits_per_second"] == pytest.approx(100 * (3 + np.log2(6)))
    assert views["measured_bits_per_second"] == pytest.approx(views["bits_per_second"], rel=0.03)


def test_lost_durations_are_found(work, tmp_path):
    folder = work / PIECES
    cuts = list(cuts_of(work, PIECES, "dev")[0])
    for name in ("spec.json", "extract-dev.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    del cuts[1].custom["code_durations"]
    for cut in cuts:
        cut.custom = dict(cut.custom)
    write_cuts(tmp_path / "dev.jsonl.gz", cuts)
    with pytest.raises(ValueError, match=rf"cut {cuts[1].id}: has no code_durations; extract feature type"):
        check_folder(tmp_path, ["dev"], "train")


@pytest.mark.parametrize("feature_type", [VIEWS, PIECES])
def test_training_and_transcription(work, tmp_path, feature_type):
    run_stage_script(
        "train.py",
        *("--recipe-config", work / "recipe.json", "--feature-dir", work / feature_type),
        *("--lang-dir", work / "lang", "--exp-dir", tmp_path / "exp", "--num-epochs", 1),
        *("--codebook-combination", "weighted_sum", "--front-end-stride", 1, "--output-downsampling-factor", 1),
    )
    cuts, spec = cuts_of(work, feature_type, "dev")
    batch = collate(cuts, spec)
    assert batch["frame_lens"].tolist() == [num_frames(cut, spec) for cut in cuts]
    transcriber = Transcriber(tmp_path / "exp")
    assert transcriber.tokenizer.spec == spec
    for cut in cuts:
        found = transcriber.transcribe_samples(torch.from_numpy(cut.load_audio()[0]), cut.id)
        assert all(0.0 <= word.start_sec <= word.end_sec <= cut.duration for word in found.words)
