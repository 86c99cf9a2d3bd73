import dataclasses
import errno
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from toy_corpus import RATE, ToyConfig, ToyTokenizer, make_cuts, make_tokenizer

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction.extract import ExtractionConfig, extract

pytestmark = pytest.mark.usefixtures("small_batches")
SPEEDS = ExtractionConfig(speed_factors=(0.9, 1.0, 1.1))


def same_result(folder, reference):
    names = ["train.codes", "train.jsonl.gz", "spec.json", "codebooks.safetensors"]
    hidden = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    return hidden == [] and all((folder / name).read_bytes() == (reference / name).read_bytes() for name in names)


def test_codes_are_those_of_the_perturbed_audio_encoded_alone(cuts, reference):
    extracted = {cut.id: cut for cut in load_cuts(reference / "train.jsonl.gz")}
    tokenizer, spec = make_tokenizer(), FeatureSpec.read(reference / "spec.json")
    assert len(extracted) == 3 * len(cuts)
    for cut in cuts:
        for factor, cut_id in ((0.9, f"{cut.id}_sp0.9"), (1.0, cut.id), (1.1, f"{cut.id}_sp1.1")):
            samples = load_samples(cut if factor == 1.0 else cut.perturb_speed(factor), RATE)
            codes, _ = tokenizer.encode(samples[None], torch.tensor([len(samples)]))
            np.testing.assert_array_equal(load_frames(extracted[cut_id], spec), codes[0].numpy())
            assert extracted[cut_id].supervisions[0].text == cut.supervisions[0].text
            assert abs(extracted[cut_id].duration * factor - cut.duration) < 1e-3


def test_figures_and_codebooks(cuts, reference):
    figures = json.loads((reference / "extract-train.json").read_text())
    assert figures["num_cuts"] == 3 * len(cuts) and figures["dropped"] == {}
    assert figures["bytes"] == (reference / "train.codes").stat().st_size
    expected = sum(cut.duration for cut in load_cuts(reference / "train.jsonl.gz"))
    assert figures["audio_sec"] == pytest.approx(expected, abs=1e-2)
    assert figures["rtf"] == pytest.approx(figures["encode_sec"] / figures["audio_sec"], abs=1e-5)
    assert figures["wall_sec"] >= figures["encode_sec"] - 0.05
    stored = load_file(reference / "codebooks.safetensors")
    for k, codebook in enumerate(make_tokenizer().codebooks()):
        torch.testing.assert_close(stored[str(k)], codebook)


def test_the_number_of_processes_does_not_change_a_byte(cuts, reference, tmp_path):
    extract(cuts, make_tokenizer, tmp_path, "train", dataclasses.replace(SPEEDS, nj=2))
    assert same_result(tmp_path, reference)


def test_a_second_run_does_nothing(cuts, reference, caplog):
    before = {path: path.stat().st_mtime_ns for path in reference.iterdir()}
    with caplog.at_level("INFO"):
        figures = extract(cuts, make_tokenizer, reference, "train", SPEEDS)
    assert "is complete already: nothing to do" in caplog.text
    assert figures["num_cuts"] == 3 * len(cuts)
    assert before == {path: path.stat().st_mtime_ns for path in reference.iterdir()}


CHILD = """
import functools, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toy_corpus import ToyConfig, make_tokenizer
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.data.cuts import load_cuts
extraction.BATCH_SEC, extraction.SYNC_EVERY_SEC = 3.0, 0.0
config = extraction.ExtractionConfig(speed_factors=(0.9, 1.0, 1.1), nj=int(sys.argv[4]))
make = functools.partial(make_tokenizer, ToyConfig(delay_sec=0.05))
if __name__ == "__main__":
    extraction.extract(load_cuts(sys.argv[2]), make, Path(sys.argv[3]), "train", config)
"""


@pytest.mark.parametrize("nj", [1, 2])
def test_killed_midway_and_rerun_gives_the_same_bytes(cuts, reference, tmp_path, nj):
    extraction.write_cuts(tmp_path / "cuts.jsonl.gz", cuts)
    (tmp_path / "child.py").write_text(CHILD)
    here = Path(__file__).resolve().parents[1] / "toys"
    out = tmp_path / "out"
    arguments = [sys.executable, tmp_path / "child.py", here, tmp_path / "cuts.jsonl.gz", out, str(nj)]
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1]), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    journal = out / ".train.journal.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 4):
        assert child.poll() is None and time.monotonic() < deadline, "the child ended, or did not start"
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert not (out / "train.jsonl.gz").exists() and not (out / "extract-train.json").exists()
    with open(out / "train.codes", "ab") as archive:
        archive.write(b"what was written but not entered in the journal")
    assert _ends(child.pid), "a worker outlived its parent"
    kept = journal.read_bytes().count(b"\n") - 1
    made = functools.partial(make_tokenizer, ToyConfig(delay_sec=0.0))
    counted = _count_encoded(cuts, made, out)
    assert same_result(out, reference)
    assert kept > 0 and counted < 3 * len(cuts), "the rerun started anew"


def _ends(group, seconds=20.0):
    """Whether all processes of the group are gone within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


def _count_encoded(cuts, made, out):
    encoded = []

    class Counting(ToyTokenizer):
        def _encode_one(self, samples):
            encoded.append(len(samples))
            return super()._encode_one(samples)

    extract(cuts, lambda: Counting("toy", made().config), out, "train", SPEEDS)
    return len(encoded)


@pytest.mark.parametrize("where", ["archive", "journal", "manifest"])
def test_a_full_disk_keeps_what_is_done_and_a_rerun_continues(cuts, reference, tmp_path, monkeypatch, where):
    real = os.pwrite
    room = [{"archive": 1500, "journal": 900, "manifest": 10**9}[where]]

    def pwrite(descriptor, data, offset):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if where in ("archive", "journal") and name.endswith({"archive": ".codes", "journal": ".journal.jsonl"}[where]):
            room[0] -= len(data)
            if room[0] < 0:
                real(descriptor, data[: len(data) // 2], offset)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    def no_room(path, cuts):
        raise OSError(errno.ENOSPC, "could not write the manifest: No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    if where == "manifest":
        monkeypatch.setattr(extraction, "write_cuts", no_room)
    with pytest.raises(OSError, match=r"no space left while extracting train .*: \d+ of 36 cuts are safe") as caught:
        extract(cuts, make_tokenizer, tmp_path, "train", SPEEDS)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    monkeypatch.setattr(extraction, "BATCH_SEC", 3.0)
    assert (tmp_path / ".train.journal.jsonl").read_bytes().count(b"\n") > 1
    assert _count_encoded(cuts, make_tokenizer, tmp_path) < 3 * len(cuts)
    assert same_result(tmp_path, reference)


def damaged(folder, **damage):
    """Twelve cuts, some of whose files are damaged: {cut number: what}."""
    cuts = make_cuts(folder, 12)
    for name, what in damage.items():
        path = folder / f"{name}.wav"
        if what == "truncated":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif what == "missing":
            path.unlink()
        elif what == "noise":
            path.write_bytes(b"this is not audio")
    return cuts


@pytest.mark.parametrize("what", ["truncated", "missing", "noise"])
def test_unreadable_audio_is_dropped_counted_and_named(tmp_path, what, caplog):
    cuts = damaged(tmp_path / "audio", utt003=what)
    config = ExtractionConfig(max_drop_fraction=0.1)
    figures = extract(cuts, make_tokenizer, tmp_path / "out", "train", config)
    assert figures["dropped"] == {"unreadable_audio": 1} and figures["num_cuts"] == 11
    line = json.loads((tmp_path / "out" / "dropped-train.jsonl").read_text())
    assert line["id"] == "utt003" and line["message"].startswith("cut utt003: ") and "utt003.wav" in line["message"]
    assert "dropped: cut utt003" in caplog.text
    assert "utt003" not in {cut.id for cut in load_cuts(tmp_path / "out" / "train.jsonl.gz")}


def test_too_many_drops_are_an_error_and_mending_the_files_is_enough(tmp_path):
    cuts = damaged(tmp_path / "audio", utt005="missing", utt007="truncated")
    with pytest.raises(ValueError, match=r"2 of 12 cuts cannot be used \(2 unreadable_audio\).*cut utt005: .*005\.wav"):
        extract(cuts, make_tokenizer, tmp_path / "out", "train")
    make_cuts(tmp_path / "audio", 12)
    extract(cuts, make_tokenizer, tmp_path / "out", "train")
    extract(cuts, make_tokenizer, tmp_path / "whole", "train")
    for name in ("train.codes", "train.jsonl.gz"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("num_shards", [1, 2])
def test_a_rerun_takes_what_has_become_readable(tmp_path, num_shards, caplog):
    cuts = damaged(tmp_path / "audio", utt008="missing", utt010="noise")
    jobs = [
        ExtractionConfig(max_drop_fraction=0.2, num_shards=num_shards, shard_id=shard_id)
        for shard_id in range(num_shards)
    ]

    def run(name):
        for config in jobs:
            extract(cuts, make_tokenizer, tmp_path / name, "train", config)
        return {path.name: path.read_bytes() for path in (tmp_path / name).glob("train*") if path.suffix != ".json"}

    run("out")
    with caplog.at_level("INFO"):
        run("out")
    assert caplog.text.count("nothing to do") == num_shards
    make_cuts(tmp_path / "audio", 12)
    caplog.clear()
    with caplog.at_level("INFO"):
        mended = run("out")
    assert "can be read now" in caplog.text
    assert mended == run("whole")
    assert not list((tmp_path / "out").glob("*dropped*")) and not list((tmp_path / "out").glob(".*"))


def test_too_short_and_non_finite_audio_is_counted_by_reason(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 12)
    soundfile.write(tmp_path / "audio" / "bad.wav", np.full(8000, np.nan, np.float32), RATE, subtype="FLOAT")
    bad = dataclasses.replace(
        cuts[0], id="bad", recording=type(cuts[0].recording).from_file(tmp_path / "audio" / "bad.wav"), duration=0.5
    )
    short = dataclasses.replace(cuts[1], id="short", duration=0.01)
    config = ExtractionConfig(max_drop_fraction=0.2)
    figures = extract([*cuts, bad, short], make_tokenizer, tmp_path / "out", "train", config)
    assert figures["dropped"] == {"non_finite": 1, "too_short": 1}


def test_other_settings_are_refused_with_what_to_do(cuts, reference):
    made = functools.partial(make_tokenizer, ToyConfig(levels=40))
    with pytest.raises(ValueError, match=r"codes of another 'toy' .*codebook_sizes.*move the folder .* aside"):
        extract(cuts, made, reference, "train", SPEEDS)
    with pytest.raises(ValueError, match=r"extracted with other .*speed_factors .* move .*extract-train\.json aside"):
        extract(cuts, make_tokenizer, reference, "train")
    with pytest.raises(ValueError, match=r"extracted with other cuts, num_cuts \(num_cuts: was 36, is 33\); rerun"):
        extract(cuts[1:], make_tokenizer, reference, "train", SPEEDS)


def test_moved_audio_is_not_another_input(cuts, reference, caplog):
    moved = []
    for cut in cuts:
        source = dataclasses.replace(cut.recording.sources[0], source="elsewhere/" + cut.recording.sources[0].source)
        moved.append(dataclasses.replace(cut, recording=dataclasses.replace(cut.recording, sources=[source])))
    with caplog.at_level("INFO"):
        extract(moved, make_tokenizer, reference, "train", SPEEDS)
    assert "nothing to do" in caplog.text


def test_a_lost_archive_or_manifest_is_made_anew(cuts, reference, tmp_path):
    for name in ("train.codes", "train.jsonl.gz"):
        extract(cuts, make_tokenizer, tmp_path, "train", SPEEDS)
        (tmp_path / name).unlink()
        extract(cuts, make_tokenizer, tmp_path, "train", SPEEDS)
        assert same_result(tmp_path, reference)


def test_stale_codes_on_the_input_are_not_kept(cuts, reference, tmp_path):
    extracted = [cut for cut in load_cuts(reference / "train.jsonl.gz") if "_sp" not in cut.id]
    extract(extracted, make_tokenizer, tmp_path, "train", SPEEDS)
    assert same_result(tmp_path, reference)


def test_another_sample_rate_is_refused_or_resampled(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 4)
    low = [dataclasses.replace(cut, recording=cut.recording.resample(8000)) for cut in cuts]
    with pytest.raises(ValueError, match=r"cut utt000: its audio is at 8000 Hz, but toy reads 16000 Hz \(4 such"):
        extract(low, make_tokenizer, tmp_path / "out", "train")
    figures = extract(low, make_tokenizer, tmp_path / "out", "train", ExtractionConfig(resample=True))
    assert figures["num_cuts"] == 4


def test_continuous_features_are_stored_exactly(cuts, tmp_path):
    made = functools.partial(make_tokenizer, ToyConfig(kind="continuous"))
    extract(cuts, made, tmp_path, "dev")
    assert not (tmp_path / "codebooks.safetensors").exists()
    spec = made().spec
    for cut in load_cuts(tmp_path / "dev.jsonl.gz"):
        samples = load_samples(cut, RATE)
        features, _ = made().encode(samples[None], torch.tensor([len(samples)]))
        np.testing.assert_array_equal(load_frames(cut, spec), features[0].numpy())


def test_bad_plans_are_refused(cuts, tmp_path):
    with pytest.raises(ValueError, match=r"cut utt000 occurs 2 times"):
        extract([*cuts, cuts[0]], make_tokenizer, tmp_path, "train")
    with pytest.raises(ValueError, match=r"speed_factors is \[-1.0\], expected a list of numbers, each at"):
        extract(cuts, make_tokenizer, tmp_path, "train", ExtractionConfig(speed_factors=(-1.0,)))
    with pytest.raises(ValueError, match=r"there are no cuts to extract for 'train'"):
        extract([], make_tokenizer, tmp_path, "train")
    with pytest.raises(ValueError, match=r"nj is 0"):
        ExtractionConfig(nj=0)
