"""Presets against a mirror of random weights: what is printed, recorded, and found to be something else."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from preset_mirror import put

from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.extraction.presets import check_preset, differences, hub_name, one_second, presets, told

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_presets.py"
CHECKED = ("dasb_wavlm_l1", "wavlm_large_l21_km2000", "encodec_3kbps", "speechtokenizer_rvq1")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    assert all(put(folder, needed) for name in CHECKED for needed in presets()[name])
    return folder


@pytest.fixture
def run(mirror, tmp_path, monkeypatch, capsys):
    def main(*arguments):
        paths = ("--mirror", mirror, "--record", tmp_path / "record.json")
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, (*arguments, *paths))])
        status = 0
        try:
            runpy.run_path(str(TOOL), run_name="__main__")
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, capsys.readouterr()

    return main


def test_presets_are_run_recorded_and_held_against_the_record(run, tmp_path):
    status, said = run(*CHECKED, "--write")
    record = json.loads((tmp_path / "record.json").read_text())
    assert status == 0 and said.out.count("nobody has recorded it yet") == 4 and set(record) == set(CHECKED), said.out
    assert record["dasb_wavlm_l1"]["shape"] == [49, 1] and len(record["dasb_wavlm_l1"]["sha256"]) == 64
    assert record["wavlm_large_l21_km2000"]["shape"] == [49, 24] and len(record["wavlm_large_l21_km2000"]["sums"]) == 6
    assert record["encodec_3kbps"]["shape"] == [75, 4] and "torch" in record["encodec_3kbps"]["made_with"]
    record["encodec_3kbps"]["sha256"] = "0" * 64
    record["wavlm_large_l21_km2000"]["sums"][1] += 0.1
    (tmp_path / "record.json").write_text(json.dumps(record))
    status, said = run(*CHECKED)
    assert status == 1 and said.out.count("  as recorded\n") == 2
    assert "differs from the record in sha256" in said.out and "differs from the record in sums" in said.out
    assert said.out.endswith("Nobody has recorded yet: none.\n")


def test_what_the_mirror_does_not_have_is_told_and_the_others_go_on(run):
    status, said = run("mimi", "speechtokenizer_rvq1")
    lines = said.out.splitlines()
    assert status == 1 and "cannot be run: " in lines[0] and "kyutai/mimi" in lines[0] and "Traceback" not in said.err
    assert lines[1].startswith("speechtokenizer_rvq1") and lines[2].startswith("Nobody has recorded yet: mimi, ")
    status, said = run("wavlm_large_l21_km200")
    assert status == 1 and "is no feature type of published networks; did you mean wavlm_large_l21_km2000?" in said.err


def test_names_were_seen_in_public(run):
    needed = {hub_name(one) for names in presets().values() for one in names}
    assert needed == set(json.loads((TOOL.parent / "preset_names.json").read_text()))
    status, said = run("wavlm_large_l21", "whisper_tiny_km500", "--names")
    assert status == 0 and "https://huggingface.co/microsoft/wavlm-large/tree/main" in said.out
    assert "Systran/faster-whisper-tiny.en" in said.out and "microsoft/wavlm-large: safetensors are in" in said.out
    assert said.out.endswith("Named by public code or a list of the hub: 2 of 2; by neither: none.\n")


def test_only_pickled_weights_are_read_as_data(mirror):
    folder = mirror / "microsoft" / "wavlm-large"
    assert not list(folder.glob("*.safetensors"))
    assert "encoder.layers.20.final_layer_norm.weight" in read_checkpoint(folder / "pytorch_model.bin")
    assert check_preset("wavlm_large_l21_km2000", mirror, {}).found


def test_what_is_compared_says_what_changed():
    codes = torch.arange(12).view(6, 2)
    assert differences(told(codes, 50.0), told(codes, 50.0)) == []
    assert differences(told(codes, 50.0), told(codes[:5], 25.0)) == ["shape", "frame_rate_hz", "sha256"]
    frames = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert differences(told(frames, 50.0), told(frames * (1 + 1e-5), 50.0)) == []
    assert differences(told(frames, 50.0), told(frames.flip(0), 50.0)) == ["sums"]
    assert torch.equal(one_second(16000), one_second(16000)) and one_second(16000).abs().max() < 1
