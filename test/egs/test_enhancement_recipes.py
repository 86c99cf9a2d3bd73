"""Recipes of noisy and mixed speech: pairs that belong together, corpora that are not whole, what is planned."""

import csv
import json
import shutil

import numpy as np
import pytest
from recipe_checks import load_local, pipeline_in, run_recipe, run_sh
from stand_in import ASTERISK, clips, write_audio, write_lines
from toy_fits import SMALL_CODEC

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base.settings import to_dict
from icefall_discrete.data.cuts import load_cuts, text_of, write_cuts
from icefall_discrete.data.manifests import CorpusError

SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def speech():
    return [clip.samples[:9000] for clip in clips(4)]


def manifest(data_dir, corpus, split):
    return {cut.id: cut for cut in load_cuts(data_dir / "manifests" / f"{corpus}_cuts_{split}.jsonl.gz")}


def noisy(samples):
    noise = np.random.default_rng(0).normal(0, 300, len(samples))
    return np.clip(samples + noise, -32768, 32767).astype(np.int16)


def make_voicebank(folder, speech):
    """Three utterances of training, of which one speaker is dev, and one of test."""
    for name, utterances in {"trainset_28spk": ("p226_001", "p227_001", "p227_002"), "testset": ("p232_001",)}.items():
        for samples, utterance in zip(speech, utterances):
            write_audio(folder / f"clean_{name}_wav" / f"{utterance}.wav", samples)
            write_audio(folder / f"noisy_{name}_wav" / f"{utterance}.wav", noisy(samples))
            write_lines(folder / f"{name}_txt" / f"{utterance}.txt", [f"Please call {utterance[-1]}."])
    return folder


@pytest.fixture
def voicebank(tmp_path, speech):
    return make_voicebank(tmp_path / "voicebank", speech)


def prepare_voicebank(corpus_dir, data_dir):
    module = load_local("voicebank_demand/SE", "prepare")
    module.prepare(module.PrepareConfig(str(corpus_dir), str(data_dir), dev_speakers=("p226",), nj=1))


def test_noisy_speech_and_clean_have_the_same_ids(voicebank, tmp_path):
    prepare_voicebank(voicebank, tmp_path / "data")
    found = {split: manifest(tmp_path / "data", "voicebank_demand", split) for split in SPLITS}
    assert {split: list(cuts) for split, cuts in found.items()} == {
        "train": ["p227_001", "p227_002"],
        "dev": ["p226_001"],
        "test": ["p232_001"],
    }
    for split, cuts in found.items():
        clean = manifest(tmp_path / "data", "voicebank_demand", f"{split}-clean")
        assert cuts.keys() == clean.keys()
        for name, cut in cuts.items():
            assert (text_of(cut), text_of(clean[name])) == (
                "please call one" if name[-1] == "1" else "please call two",
            ) * 2
            assert cut.supervisions[0].speaker == name[:4] and cut.recording_id != clean[name].recording_id
            assert not np.array_equal(load_samples(cut, 16000), load_samples(clean[name], 16000))


def test_voicebank_that_is_not_whole(voicebank, tmp_path, speech):
    path = voicebank / "noisy_testset_wav" / "p232_001.wav"
    write_audio(path, speech[0][:8000])
    with pytest.raises(CorpusError, match=r"p232_001\.wav has 8000 samples at 16000 Hz, but clean of it, .* 9000 at"):
        prepare_voicebank(voicebank, tmp_path / "data")
    path.unlink()
    with pytest.raises(CorpusError, match=r"noisy_testset_wav: 1 transcript has no audio|clean_testset_wav and noisy_"):
        prepare_voicebank(voicebank, tmp_path / "data")
    shutil.rmtree(path.parent)
    with pytest.raises(CorpusError, match=r"lacks 1 of 4 parts \(noisy_testset_wav\)"):
        prepare_voicebank(voicebank, tmp_path / "data")
    assert not (tmp_path / "data").exists()


PAIRS = {
    "train-100": ("19-198-1_26-495-2", "26-495-3_19-198-4"),
    "dev": ("84-1-1_174-5-2",),
    "test": ("61-7-1_121-1-2",),
}


def make_libri2mix(folder, speech):
    """Mixtures of two speakers, whose lists name files of another machine."""
    for name, mixtures in PAIRS.items():
        lines = [["mixture_ID", "mixture_path", "source_1_path", "source_2_path", "length"]]
        for number, mixture in enumerate(mixtures):
            sources = [speech[number] // 2, speech[number + 1] // 2]
            for part, samples in zip(("s1", "s2", "mix_clean"), (*sources, sources[0] + sources[1])):
                write_audio(folder / name / part / f"{mixture}.wav", samples)
            there = [f"/elsewhere/{name}/{part}/{mixture}.wav" for part in ("mix_clean", "s1", "s2")]
            lines.append([mixture, *there, len(sources[0])])
        (folder / "metadata").mkdir(exist_ok=True)
        with open(folder / "metadata" / f"mixture_{name}_mix_clean.csv", "w", newline="") as stream:
            csv.writer(stream).writerows(lines)
    return folder


@pytest.fixture
def libri2mix(tmp_path, speech):
    return make_libri2mix(tmp_path / "libri2mix", speech)


def prepare_libri2mix(corpus_dir, data_dir, **changes):
    module = load_local("libri2mix/SS", "prepare")
    module.prepare(module.PrepareConfig(str(corpus_dir), str(data_dir), nj=1, **changes))


def test_two_speakers_and_each_of_them(libri2mix, tmp_path):
    write_lines(tmp_path / "LibriSpeech" / "19-198.trans.txt", ["19-198-1 SO IT IS", "26-495-2 YES"])
    prepare_libri2mix(libri2mix, tmp_path / "data", librispeech_dir=str(tmp_path / "LibriSpeech"))
    for split, name in zip(SPLITS, PAIRS):
        mixed, *alone = (
            manifest(tmp_path / "data", "libri2mix", f"{split}{end}") for end in ("", "-source1", "-source2")
        )
        assert sorted(mixed) == sorted(PAIRS[name]) == sorted(alone[0]) == sorted(alone[1])
        for utterance, cut in mixed.items():
            parts = [load_samples(of[utterance], 16000) for of in alone]
            np.testing.assert_allclose(load_samples(cut, 16000), parts[0] + parts[1], atol=1e-4)
            speakers = [of[utterance].supervisions[0].speaker for of in alone]
            assert speakers == [part.partition("-")[0] for part in utterance.split("_")]
            assert cut.supervisions[0].speaker is None and cut.supervisions[0].text is None
    assert text_of(manifest(tmp_path / "data", "libri2mix", "train-source1")["19-198-1_26-495-2"]) == "so it is"


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda text: text.replace("84-1-1_174-5-2", "84-1-1_84-5-2", 1), "2 of its sources are of speaker 84 alone"),
        (
            lambda text: text.replace("/elsewhere/dev/s2/84-1-1_174-5-2.wav", ""),
            "has the sources source1, expected source1, source2",
        ),
        (lambda text: text.replace("source_2_path", "noise_path"), "has no column source_2_path: two sources of each"),
        (lambda text: text.replace("/s1/", "/../../"), "it leaves its folder"),
        (lambda text: text.replace("/s1/", "/s3/"), r"dev: 1 of 3 audio file is missing"),
        (lambda text: text.splitlines()[0] + "\n", "dev: it holds no utterance"),
    ],
)
def test_libri2mix_that_is_not_whole(libri2mix, tmp_path, change, complaint):
    path = libri2mix / "metadata" / "mixture_dev_mix_clean.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises((CorpusError, ValueError), match=complaint) as caught:
        prepare_libri2mix(libri2mix, tmp_path / "data")
    assert not list(tmp_path.glob("data/manifests/*dev*")) and "\n" not in str(caught.value)


def test_prompts_get_noise_of_their_own(tmp_path, speech):
    folder = tmp_path / "clean"
    for split, numbers in {"train": range(3), "dev": [3], "test": [2]}.items():
        for number in numbers:
            write_audio(folder / f"{split}{number}.wav", speech[number])
        make_voicebank(tmp_path / split, speech)
        prepare_voicebank(tmp_path / split, tmp_path / f"of-{split}")
        cuts = manifest(tmp_path / f"of-{split}", "voicebank_demand", "train-clean").values()
        (folder / "manifests").mkdir(parents=True, exist_ok=True)
        write_cuts(folder / "manifests" / f"asterisk_cuts_{split}.jsonl.gz", list(cuts))
    module = load_local("asterisk/SE", "prepare")
    config = module.PrepareConfig(
        clean_dir=str(folder),
        data_dir=str(tmp_path / "data"),
        kinds=("babble", "white"),
        snrs=(10.0, 0.0),
        copies=3,
        nj=1,
    )
    module.prepare(config)
    mixed, clean = (manifest(tmp_path / "data", "asterisk", f"train{end}") for end in ("", "-clean"))
    assert (
        len(mixed) == 2 * 3
        and mixed.keys() == clean.keys()
        and len(manifest(tmp_path / "data", "asterisk", "dev")) == 2
    )
    assert len({(cut.custom["noise"], cut.custom["snr_db"]) for cut in mixed.values()}) > 2
    for name, cut in mixed.items():
        assert (
            cut.custom["clean_id"]
            == clean[name].recording_id.removesuffix("-clean")
            == name.partition("_b")[0].partition("_w")[0]
        )
        assert cut.num_samples == clean[name].num_samples


def test_it_plans_sources_and_audio(tmp_path):
    done = run_sh("asterisk/SE", "--dry-run", "true", "--subset", 9, "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stdout
    assert f"{ASTERISK}/local/prepare.py" in done.stdout and "asterisk_cuts_train-clean.jsonl.gz" in done.stdout
    assert "sound_codes.py" in done.stdout and "hear_speech" not in done.stdout
    mistakes = {
        ("--shar", "true"): "--shar true leaves the sources out",
        ("--speed-factors", "0.9,1.0"): "copies the mixtures, but not their sources",
        ("--vocoder-exp-dir", tmp_path): "holds no experiment; paths are relative",
        ("--recogniser-exp-dir", tmp_path): "holds no experiment; paths are relative",
        ("--lm", "ngram"): "--lm is about text, and enhancement has none",
    }
    for flags, sentence in mistakes.items():
        done = run_sh("asterisk/SE", "--dry-run", "true", *flags)
        assert done.returncode == 2 and sentence in done.stdout, done.stdout


def small_codec(folder):
    """A codec to be trained in seconds; the path of its file."""
    path = folder / "toy_codec.json"
    path.write_text(json.dumps({"tokenizer": "trained_codec", **to_dict(SMALL_CODEC)}))
    return str(path)


@pipeline_in("portable")
def test_run_sh(tmp_path):
    some = [clip.samples for clip in clips(4)]
    length = min(16000, *map(len, some))
    make_libri2mix(tmp_path / "download" / "Libri2Mix" / "wav16k" / "min", [samples[:length] for samples in some])
    result = run_recipe("libri2mix/SS", small_codec(tmp_path), tmp_path)
    assert result["sets"]["test"]["num_utterances"] == 2 * len(PAIRS["test"])


@pipeline_in("k2")
def test_run_sh_of_voicebank(tmp_path, speech):
    folder = make_voicebank(tmp_path / "download" / "voicebank_demand", speech)
    for path in folder.glob("*trainset*/p226_001.*"):  # dev has two speakers there
        shutil.copyfile(path, path.with_name(f"p287_001{path.suffix}"))
    result = run_recipe("voicebank_demand/SE", small_codec(tmp_path), tmp_path)
    assert {name: scored["num_utterances"] for name, scored in result["sets"].items()} == {"dev": 2, "test": 1}
