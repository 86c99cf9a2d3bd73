"""Text and codes as lines of JSON: what a line says, going on after a kill, refusals."""

import json

import pytest
from synthetic_codes import SPEC, write_corpus
from toy_corpus import run_stage_script

from icefall_discrete.base.provenance import Provenance
from icefall_discrete.data.cuts import load_cuts, load_frames, text_of
from icefall_discrete.systems.speech_lm import data_file
from icefall_discrete.systems.speech_lm.layouts import read_layouts
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary

WORDS = Vocabulary(SPEC.codebook_sizes)
LAYOUTS = read_layouts(["asr=[Human]: {speech}<eoh>{answer}{text}<eoa>", "continue={answer}{speech}<eos>"], WORDS)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("corpus") / "corpus", num_train=4, num_dev=3, languages=("de",))
    return folder / "features" / "dev.jsonl.gz"


def written(path, manifest, prefix="", made_from="these"):
    origin = Provenance({"manifest": made_from}, {"prefix": prefix})
    return data_file.write_file(path, load_cuts(manifest), SPEC, LAYOUTS, prefix, origin)


def test_a_line_holds_text_and_codes_exactly(manifest, tmp_path):
    path = tmp_path / "made" / "dev.jsonl"
    assert written(path, manifest, prefix="Help.") == 6
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["task"] for line in lines] == ["asr", "continue"] * 3
    for cut, line in zip(load_cuts(manifest), lines[::2]):
        assert line["id"] == cut.id and line["prefix"] == "Help."
        assert line["plain_text"] == line["prompt"] + line["answer"] and line["prompt"].startswith("[Human]: <sosp><")
        codes = WORDS.units_of(WORDS.read(line["prompt"]))
        assert codes.tolist() == load_frames(cut, SPEC).tolist()
        assert WORDS.text_of(WORDS.read(line["answer"])) == text_of(cut)
    assert written(path, manifest, prefix="Help.") == 0  # nothing to do


@pytest.mark.parametrize("kept_bytes", [0, 10, -7, None])
def test_what_a_kill_left_is_gone_on_with(manifest, tmp_path, monkeypatch, kept_bytes):
    whole, path = tmp_path / "whole.jsonl", tmp_path / "dev.jsonl"
    written(whole, manifest)
    first = b"".join(whole.read_bytes().splitlines(keepends=True)[:3])
    (tmp_path / ".dev.jsonl.partial").write_bytes(first[:kept_bytes])
    (tmp_path / "whole.jsonl.origin.json").rename(tmp_path / "dev.jsonl.origin.json")
    made, line_of = [], data_file.line_of
    monkeypatch.setattr(data_file, "line_of", lambda *parts: made.append(parts[0].id) or line_of(*parts))
    assert written(path, manifest) == 6 and path.read_bytes() == whole.read_bytes()
    assert len(made) == 6 - first[:kept_bytes].count(b"\n")
    assert not (tmp_path / ".dev.jsonl.partial").exists()


def test_refusals(manifest, tmp_path, caplog):
    path = tmp_path / "dev.jsonl"
    path.write_text("mine\n")
    with pytest.raises(ValueError, match="is there and was not written by this; give another name as --out"):
        written(path, manifest)
    assert path.read_text() == "mine\n"
    written(tmp_path / "other.jsonl", manifest)
    with pytest.raises(ValueError, match=r"with other manifest .was .these., is .those..; give another name as --out"):
        written(tmp_path / "other.jsonl", manifest, made_from="those")
    silent = list(load_cuts(manifest))[:1]
    silent[0].supervisions[0].text = ""
    named = read_layouts(["asr={shoe}{answer}{text}<eos>"], WORDS)
    with pytest.raises(ValueError, match=r"cut \S+: its shoe is not known"):
        data_file.line_of(silent[0], named[0], SPEC, "")
    assert [layout.name for _, layout in data_file.sequences(silent, LAYOUTS)] == ["continue"]
    assert "1 sequences are left out" in caplog.text
    # What could not be begun holds nobody to how it was asked for.
    fresh, origins = tmp_path / "fresh.jsonl", [Provenance({}, {"layouts": name}) for name in ("shoe", "asr", "both")]
    with pytest.raises(ValueError, match="its shoe is not known"):
        data_file.write_file(fresh, load_cuts(manifest), SPEC, named, "", origins[0])
    with pytest.raises(ValueError, match=r"no utterance can be laid out as asr; give another split or layout"):
        data_file.write_file(fresh, silent, SPEC, LAYOUTS[:1], "", origins[1])
    codes = list(load_cuts(manifest))
    codes[0].supervisions[0].custom = {"shoe": "brown"}
    with pytest.raises(ValueError, match=rf"cut {codes[1].id}: its shoe is not known"):
        data_file.write_file(fresh, codes, SPEC, named, "", origins[0])
    assert len((tmp_path / ".fresh.jsonl.partial").read_text().splitlines()) == 1, "a line was written"
    assert not fresh.exists()
    assert data_file.write_file(fresh, silent, SPEC, LAYOUTS, "", origins[2]) == 1


def test_the_command_writes_speechgpts_turns(manifest, tmp_path):
    flags = ["--feature-dir", manifest.parent, "--split", "dev", "--out", tmp_path / "dev.jsonl"]
    run_stage_script("export_text_and_codes.py", *flags)
    lines = [json.loads(line) for line in (tmp_path / "dev.jsonl").read_text().splitlines()]
    assert [line["task"] for line in lines[:3]] == ["asr", "tts", "continue"] and len(lines) == 9
    assert lines[1]["answer"].startswith("<sosp><")
    (tmp_path / "asr.json").write_text('{"model_size": "tiny"}')
    other = [*flags[:-1], tmp_path / "other.jsonl", "--recipe-config", tmp_path / "asr.json"]
    refused = run_stage_script("export_text_and_codes.py", *other, check=False)
    assert "asr.json has no section 'task' with layouts; give a recipe of" in refused.stderr and refused.returncode == 1
