"""egs/gigaspeech on a stand-in with the corpus's layout: long Opus files and one index of them, tags, scoring rules."""

import json
import shutil

import numpy as np
import pytest
from lhotse import load_manifest
from recipe_checks import feature_type_of_environment, pipeline_in, recipe_folder, run_recipe
from stand_in import RATE, clips, joined, write_audio

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.manifests import CorpusError, md5_of
from icefall_discrete.metrics.scoring_rules import ScoringRules

RECIPE = "gigaspeech"
pytest.importorskip("speechcolab")
SPLITS = ("M", "DEV", "TEST")
PER_RECORDING = 4


def recording_entry(folder, split, name, parts):
    """Write a long recording of some clips, with one utterance of noise, and return its entry of the index."""
    samples, times = joined(parts)
    path = folder / "audio" / "podcast" / "P0001" / f"{name}.opus"
    write_audio(path, samples)
    texts = [f"{clip.text.upper().replace(' ', ' <COMMA> ', 1)} <PERIOD>" for clip in parts]
    subsets = ["{XL}", "{L}", "{M}"] if split == "M" else ["{" + split + "}"]
    segments = [
        {"sid": f"{name}_S{number:07d}", "speaker": "N/A", "begin_time": start, "end_time": end, "text_tn": text,
         "subsets": subsets}
        for number, ((start, end), text) in enumerate(zip([*times, (0.0, 0.5)], [*texts, "<NOISE>"]))
    ]  # fmt: skip
    return {
        "aid": name, "path": str(path.relative_to(folder)), "md5": md5_of(path), "subsets": subsets, "format": "opus",
        "sample_rate": RATE, "channels": 1, "duration": len(samples) / RATE, "segments": segments,
    }  # fmt: skip


def write_corpus(folder, sizes):
    spoken, audios = {}, []
    for seed, split in enumerate(SPLITS):
        spoken[split] = clips(sizes[split], seed)
        for start in range(0, sizes[split], PER_RECORDING):
            parts = spoken[split][start : start + PER_RECORDING]
            audios.append(recording_entry(folder, split, f"POD{seed}{start:09d}", parts))
    (folder / "GigaSpeech.json").write_text(json.dumps({"dataset": "GigaSpeech", "audios": audios}))
    return spoken


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A corpus and what was spoken in it; encoding Opus takes longest."""
    folder = tmp_path_factory.mktemp("corpus") / "GigaSpeech"
    return folder, write_corpus(folder, {"M": 8, "DEV": 4, "TEST": 4})


@pytest.fixture
def corpus(original, tmp_path):
    shutil.copytree(original[0], tmp_path / "GigaSpeech")
    return tmp_path


def config_for(prepare, folder, **changes):
    settings = {"corpus_dir": str(folder / "GigaSpeech"), "data_dir": str(folder / "data"), "nj": 1}
    return prepare.PrepareConfig(**{**settings, "check_counts": False, **changes})


def test_utterances_are_cuts_of_long_recordings_without_tags(prepare, original, corpus, tmp_path, caplog):
    spoken = original[1]
    with caplog.at_level("INFO"):
        prepare.prepare(config_for(prepare, tmp_path))
        prepare.prepare(config_for(prepare, tmp_path))
    assert "gigaspeech_cuts_M.jsonl.gz: 8 utterances" in caplog.text and "2 left out: no speech" in caplog.text
    for split in SPLITS:
        cuts = load_manifest(tmp_path / "data" / "manifests" / f"gigaspeech_cuts_{split}.jsonl.gz")
        assert [cut.supervisions[0].text for cut in cuts] == [clip.text.upper() for clip in spoken[split]]
        audio = cuts[1].load_audio()[0]
        clip = spoken[split][1].samples / 32768
        assert abs(len(audio) - len(clip)) <= 1
        assert np.corrcoef(audio[: len(clip)], clip[: len(audio)])[0, 1] > 0.9  # Opus is lossy


def test_missing_files_are_counted_and_named(prepare, corpus):
    (corpus / "GigaSpeech" / "audio" / "podcast" / "P0001" / "POD0000000004.opus").unlink()
    with pytest.raises(CorpusError, match=r"M lacks 1 of 2 audio files \(\S+POD0000000004\.opus\); README"):
        prepare.prepare(config_for(prepare, corpus))
    (corpus / "GigaSpeech" / "GigaSpeech.json").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 2 parts \(GigaSpeech\.json\); README"):
        prepare.prepare(config_for(prepare, corpus))


def test_a_file_that_is_no_audio_is_left_out_with_its_utterances(prepare, corpus, caplog):
    path = corpus / "GigaSpeech" / "audio" / "podcast" / "P0001" / "POD0000000004.opus"
    path.write_text("<html>404</html>")
    prepare.prepare(config_for(prepare, corpus))
    cuts = load_manifest(corpus / "data" / "manifests" / "gigaspeech_cuts_M.jsonl.gz")
    assert len(cuts) == 4 and "utterances are left out: it is a page of the web" in caplog.text


def test_a_subset_that_was_not_fetched_is_named(prepare, corpus):
    with pytest.raises(CorpusError, match=r"GigaSpeech\.json has no recording of XS; README"):
        prepare.prepare(config_for(prepare, corpus, subset="XS"))


def test_a_damaged_file_is_named_if_checksums_are_asked_for(prepare, corpus):
    prepare.prepare(config_for(prepare, corpus, check_md5=True))
    damaged = corpus / "GigaSpeech" / "audio" / "podcast" / "P0001" / "POD1000000000.opus"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with pytest.raises(CorpusError, match=r"1 audio files differ from their MD5 .* \(audio/podcast/P0001/POD1"):
        prepare.prepare(config_for(prepare, corpus, check_md5=True))


def test_another_number_of_utterances_than_published_is_refused(prepare, corpus):
    with pytest.raises(CorpusError, match="M has 8 utterances, the published corpus has 909401"):
        prepare.prepare(config_for(prepare, corpus, check_counts=True))


def test_fillers_tags_and_hyphens_are_not_scored():
    path = recipe_folder(RECIPE) / "conf" / "scoring.json"
    rules = from_dict(ScoringRules, read_json(path), str(path))
    assert rules.words(("UM", "state-of-the-art", "<COMMA>", "<unk>", "uh", "HUMAN")) == (
        "STATE",
        "OF",
        "THE",
        "ART",
        "HUMAN",
    )


@pipeline_in("k2")
def test_all_stages(tmp_path):
    write_corpus(tmp_path / "download" / "GigaSpeech", {"M": 24, "DEV": 4, "TEST": 4})
    flags = ("--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert set(result["sets"]) == {"DEV", "TEST"}
    assert "UH" in result["scoring_rules"]["unscored_words"]
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| M: WavLM-Large, 2000 clusters | wavlm_large_l24_km2000 | paper_icassp2024 | 13.20 |  | 13.05 |" in page
