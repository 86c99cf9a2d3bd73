"""egs/ljspeech/TTS and egs/libritts/TTS on stand-ins with the layout of each corpus: manifests, and what is refused."""

import pytest
from recipe_checks import (
    check_audio,
    feature_type_of_environment,
    folder_flags,
    load_local,
    pipeline_in,
    recipe_file,
    run_recipe,
    run_sh,
    short_recipe,
)
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.cuts import load_cuts, text_of
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.text.alignments import Segment, write_ctm

PARTS = ("train-clean-100", "dev-clean", "test-clean")


def cuts_of(folder, corpus, split):
    return list(load_cuts(folder / "manifests" / f"{corpus}_cuts_{split}.jsonl.gz"))


def make_ljspeech(folder, spoken):
    lines = []
    for number, clip in enumerate(spoken):
        name = f"LJ001-{number + 1:04d}"
        write_audio(folder / "wavs" / f"{name}.wav", clip.samples)
        lines.append(f"{name}|{clip.text} in 1869|{clip.text} in eighteen sixty-nine")
    write_lines(folder / "metadata.csv", lines)


def letters_apart(text, duration_sec):
    """The letters of a text, one after the other for as long as each other."""
    letters = text.replace(" ", "")
    length = duration_sec / len(letters)
    return [Segment(place * length, (place + 1) * length, letter) for place, letter in enumerate(letters)]


@pytest.fixture
def ljspeech(tmp_path):
    spoken = clips(6)
    make_ljspeech(tmp_path / "LJSpeech-1.1", spoken)
    return tmp_path / "LJSpeech-1.1", [clip.text for clip in spoken]


def test_ljspeech_is_divided_from_its_end_with_normalised_texts(ljspeech, tmp_path):
    prepare = load_local("ljspeech/TTS", "prepare")
    folder, texts = ljspeech
    small = {"corpus_dir": str(folder), "data_dir": str(tmp_path / "data"), "test_utterances": 2, "dev_utterances": 1}
    prepare.prepare(prepare.PrepareConfig(**small, check_counts=False))
    cuts = {split: cuts_of(tmp_path / "data", "ljspeech", split) for split in ("train", "dev", "test")}
    assert {split: len(found) for split, found in cuts.items()} == {"train": 3, "dev": 1, "test": 2}
    facts = facts_of(cuts["test"][1])
    assert facts["text"] == f"{texts[5]} in eighteen sixty-nine" and facts["written"] == f"{texts[5]} in 1869"
    assert (facts["speaker"], facts["language"]) == ("ljspeech", "en")
    with pytest.raises(CorpusError, match="has 6 utterances, the published corpus has 13100"):
        prepare.prepare(prepare.PrepareConfig(**small))
    with pytest.raises(CorpusError, match="6 utterances, of which 5 are to be dev and 2 test, leave none to train on"):
        prepare.prepare(prepare.PrepareConfig(**{**small, "dev_utterances": 5}, check_counts=False))
    (folder / "metadata.csv").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 2 parts \(metadata\.csv\); unpack LJSpeech-1\.1\.tar\.bz2"):
        prepare.prepare(prepare.PrepareConfig(**small, check_counts=False))


def write_part(folder, speaker, spoken):
    """<speaker>/<chapter>/<speaker>_<chapter>_<paragraph>_<sentence>.wav, its .trans.tsv and .book.tsv."""
    place, name = folder / speaker / "121123", f"{speaker}_121123"
    ids = [f"{name}_{number:06d}_000000" for number in range(len(spoken))]
    for utterance, clip in zip(ids, spoken):
        write_audio(place / f"{utterance}.wav", clip.samples)
    write_lines(place / f"{name}.trans.tsv", [f"{u}\tMr. {c.text}\tMister {c.text}" for u, c in zip(ids, spoken)])
    write_lines(place / f"{name}.book.tsv", [f"{u}\tMr. {c.text}\t20.5" for u, c in zip(ids, spoken)])


def make_libritts(folder, spoken):
    """Two utterances of a speaker in each part."""
    for place, part in enumerate(PARTS):
        write_part(folder / part, str(84 + place), spoken[2 * place : 2 * place + 2])
    write_lines(folder / "SPEAKERS.txt", [";ID  |SEX| SUBSET", "86 | M | test-clean | 8.02 | Name"])


def test_libritts_parts_are_splits_with_their_speakers(tmp_path):
    prepare = load_local("libritts/TTS", "prepare")
    spoken = clips(6)
    make_libritts(tmp_path / "LibriTTS", spoken)
    config = prepare.PrepareConfig(str(tmp_path / "LibriTTS"), str(tmp_path / "data"), nj=1)
    prepare.prepare(config)
    assert [len(cuts_of(tmp_path / "data", "libritts", split)) for split in ("train", *PARTS[1:])] == [2, 2, 2]
    facts = facts_of(cuts_of(tmp_path / "data", "libritts", "test-clean")[0])
    assert (facts["speaker"], facts["gender"], facts["language"]) == ("86", "M", "en")
    assert facts["text"] == f"Mister {spoken[4].text}" and facts["orig_text"] == f"Mr. {spoken[4].text}"
    (tmp_path / "LibriTTS" / "dev-clean").rename(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match=r"lacks 1 of 3 parts \(dev-clean\); unpack the archives"):
        prepare.prepare(config)


@pytest.mark.parametrize("corpus", ["ljspeech", "libritts"])
def test_run_sh_plans_vocoders_and_texts(corpus, tmp_path):
    assert read_recipe(recipe_file(f"{corpus}/TTS", "default"))["system"] == "vocoder"
    (tmp_path / "words.ctm").write_text("a 1 0 1 b\n")
    flags = ("--dry-run", "true", "--recipe", "texts", "--alignments", tmp_path / "words.ctm")
    done = run_sh(f"{corpus}/TTS", *flags, "--dl-dir", tmp_path / "download", "--data-dir", tmp_path / "data")
    assert done.returncode == 0 and "Stage 5: alignments by words.ctm" in done.stdout, done.stdout
    assert f"{tmp_path}/data/alignments/words.ctm" in done.stdout and "--decoding-method synthesis" in done.stdout


@pipeline_in("portable")
def test_run_sh_of_ljspeech(tmp_path):
    spoken = clips(5)  # dev and test say what was learnt, as few texts have few letters
    make_ljspeech(tmp_path / "download" / "LJSpeech-1.1", [*spoken, *spoken[:4]])
    flags = ["--check-counts", "false", "--dev-utterances", 2, "--test-utterances", 2]
    kmeans = feature_type_of_environment(tmp_path)
    result = run_recipe("ljspeech/TTS", kmeans, tmp_path, flags)
    assert result["sets"]["test"]["num_utterances"] == 2
    # Then texts, by that vocoder; letters are as long as each other here.
    write_ctm(tmp_path / "letters.ctm", {
        cut.id: letters_apart(text_of(cut), cut.duration)
        for split in ("train", "dev") for cut in cuts_of(tmp_path / "data", "ljspeech", split)
    })  # fmt: skip
    every = [*folder_flags(tmp_path), "--feature-type", kmeans, "--nj", 1, *flags]
    recipe = short_recipe("ljspeech/TTS", tmp_path / "texts", "texts").rename(tmp_path / "texts.json")
    every += ["--recipe", recipe, "--exp-dir", tmp_path / "spoken"]
    every += ["--alignments", tmp_path / "letters.ctm", "--vocoder-exp-dir", tmp_path / "exp"]
    done = run_sh("ljspeech/TTS", *every)
    assert done.returncode == 0 and "Stage 5: done in" in done.stdout, done.stdout[-6000:]
    check_audio(tmp_path / "spoken" / "synthesis", "test", 2)


@pipeline_in("k2")
def test_run_sh_of_libritts(tmp_path):
    make_libritts(tmp_path / "download" / "LibriTTS", clips(6))
    # Of filter banks a vocoder makes waveforms as well.
    result = run_recipe("libritts/TTS", feature_type_of_environment(tmp_path), tmp_path)
    assert list(result["sets"]) == ["dev-clean", "test-clean"]
