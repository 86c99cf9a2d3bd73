"""Corpus preparation on a small synthetic corpus folder: what is kept, and each kind of bad input."""

import collections
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")
pytest.importorskip("num2words")
RECIPE = Path(__file__).resolve().parents[2] / "egs" / "asterisk" / "ASR"
sys.path.insert(0, str(RECIPE / "local"))

import prepare  # noqa: E402
import soundfile  # noqa: E402
from forked import run_forked  # noqa: E402
from lhotse import load_manifest  # noqa: E402

from icefall_discrete.data.manifests import CorpusError, md5_of  # noqa: E402


def tone(duration_sec, frequency_hz=440.0):
    time = np.arange(int(duration_sec * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * frequency_hz * time) * 32767).astype(np.int16)


def encode_g722(samples):
    codec = av.CodecContext.create("g722", "w")
    codec.sample_rate, codec.layout, codec.format = 16000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 16000
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def write_language(folder, prompts, texts):
    folder.mkdir(parents=True)
    lines = []
    for prompt_id, duration in prompts.items():
        path = folder / "sounds" / f"{prompt_id}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_g722(tone(duration)))
        lines.append(f"{md5_of(path)}  sounds/{prompt_id}.g722\n")
    (folder / f"core-sounds-{folder.name}.txt").write_text("".join(f"{k}: {v}\n" for k, v in texts.items()), "utf-8")
    (folder / "md5sums").write_text("".join(lines))


@pytest.fixture
def corpus(tmp_path):
    prompts = {"hello": 1.0, "digits/5": 0.5, "yes": 0.6, "silence/1": 1.0, "beep": 0.5}
    prompts |= {"long": 20.5, "short": 0.25, "spare": 1.0}
    texts = {"hello": "Hello, you!", "digits/5": "5", "silence/1": "pause", "beep": "[beep]", "long": "a", "short": "b"}
    texts["yes"] = "Yes"
    write_language(tmp_path / "corpus" / "en", prompts, {**texts, "lost": "never recorded"})
    return tmp_path


def config_for(folder, **changes):
    settings = {"corpus_dir": str(folder / "corpus"), "data_dir": str(folder / "data"), "languages": ("en",), "nj": 1}
    return prepare.PrepareConfig(**{**settings, "check_counts": False, **changes})


def load_cuts(folder):
    splits = ("train", "dev", "test")
    return {
        cut.id: cut
        for s in splits
        for cut in load_manifest(folder / "data" / "manifests" / f"asterisk_cuts_{s}.jsonl.gz")
    }


def test_keeps_prompts_with_audio_words_and_a_proper_duration(corpus):
    prepare.prepare(config_for(corpus))
    cuts = load_cuts(corpus)
    assert {i: c.supervisions[0].text for i, c in cuts.items()} == {
        "en-hello": "hello you",
        "en-digits_5": "five",
        "en-yes": "yes",
    }
    assert cuts["en-hello"].supervisions[0].language == "en"
    assert cuts["en-digits_5"].duration == 0.5


def test_counts_every_drop_by_reason(corpus):
    drops = collections.Counter()
    prepare.read_language(corpus / "corpus" / "en", config_for(corpus), drops)
    assert drops == {
        "kept": 3,
        "audio without transcript": 1,
        "transcript without audio": 1,
        "recorded silence": 1,
        "no words": 1,
        "longer than 20 s": 1,
        "shorter than 0.3 s": 1,
    }


def test_audio_is_the_decoded_tone(corpus):
    prepare.prepare(config_for(corpus))
    audio = load_cuts(corpus)["en-hello"].load_audio()[0]
    assert audio.shape == (16000,)
    assert np.argmax(np.abs(np.fft.rfft(audio))) == 440
    assert abs(np.abs(audio).max() - 0.3) < 0.03


def test_rerun_decodes_only_what_is_missing(corpus):
    prepare.prepare(config_for(corpus))
    kept = corpus / "data" / "audio" / "en" / "hello.flac"
    lost = corpus / "data" / "audio" / "en" / "digits" / "5.flac"
    before = (kept.stat().st_mtime_ns, lost.read_bytes())
    lost.unlink()
    prepare.prepare(config_for(corpus))
    assert (kept.stat().st_mtime_ns, lost.read_bytes()) == before


def test_a_half_written_flac_is_decoded_again(corpus):
    prepare.prepare(config_for(corpus))
    flac = corpus / "data" / "audio" / "en" / "hello.flac"
    whole = flac.read_bytes()
    soundfile.write(flac, tone(0.2), 16000)
    prepare.prepare(config_for(corpus))
    assert flac.read_bytes() == whole


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_truncated_g722_is_named(corpus, num_jobs):
    damaged = corpus / "corpus" / "en" / "sounds" / "hello.g722"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(CorpusError, match=r"hello\.g722 is damaged \(5000 bytes, MD5 .*run stage 0 again"):
        prepare.prepare(config_for(corpus, nj=num_jobs))
    assert not (corpus / "data" / "manifests").exists()


def test_missing_g722_is_named(corpus):
    (corpus / "corpus" / "en" / "sounds" / "hello.g722").unlink()
    with pytest.raises(CorpusError, match=r"hello\.g722 is missing"):
        prepare.prepare(config_for(corpus))


def test_another_release_is_refused_with_the_difference(corpus):
    with pytest.raises(CorpusError, match=r"'en' has .* the published corpus has \(453, 49, 44\)"):
        prepare.prepare(config_for(corpus, check_counts=True))


def test_subset_is_short_balanced_and_the_same_every_time(tmp_path):
    for language in ("en", "es"):
        prompts = {f"p{i}": 0.5 for i in range(20)} | {f"q{i}": 6.0 for i in range(4)}
        write_language(tmp_path / "corpus" / language, prompts, dict.fromkeys(prompts, "a word"))
    config = config_for(tmp_path, languages=("en", "es"))
    drops = collections.Counter()
    every = [p for i in ("en", "es") for p in prepare.read_language(tmp_path / "corpus" / i, config, drops)]
    kept = prepare.small_corpora.take_subset(every, 4, max_duration=4.0)
    assert kept == prepare.small_corpora.take_subset(reversed(every), 4, max_duration=4.0)
    assert all(p.duration <= 4.0 for p in kept)
    counts = collections.Counter((p.split, p.language) for p in kept)
    assert counts["train", "en"] == counts["train", "es"] == 2


def run_script(script, *arguments):
    return run_forked(f"egs/asterisk/ASR/local/{script}", *arguments)


def test_missing_corpus_folder_is_one_sentence(tmp_path):
    done = run_script("prepare.py", "--corpus-dir", tmp_path / "nowhere", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: the corpus folder {tmp_path / 'nowhere'} does not exist")
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_fetched_language_is_one_sentence(tmp_path):
    (tmp_path / "en").mkdir()
    done = run_script("prepare.py", "--corpus-dir", tmp_path, "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert f"error: {tmp_path / 'en'} is not a fetched language of the corpus (no md5sums in it)" in done.stderr


def test_md5_of_is_md5(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert md5_of(tmp_path / "f") == hashlib.md5(b"abc").hexdigest() == "900150983cd24fb0d6963f7d28e17f72"


def test_an_id_that_would_leave_the_folder_is_refused_by_name(tmp_path):
    prompt_id = "../../../outside"
    write_language(tmp_path / "corpus" / "en", {"hello": 1.0}, {"hello": "Hello", prompt_id: "evil"})
    sound = tmp_path / "corpus" / "en" / "sounds" / "hello.g722"
    evil = tmp_path / "outside.g722"
    evil.write_bytes(sound.read_bytes())
    with open(tmp_path / "corpus" / "en" / "md5sums", "a") as stream:
        stream.write(f"{md5_of(evil)}  sounds/{prompt_id}.g722\n")
    with pytest.raises(
        ValueError, match=r"the id of a prompt is '\.\./\.\./\.\./outside(\.flac)?', which cannot be a path"
    ):
        prepare.prepare(config_for(tmp_path))
    assert not list(tmp_path.rglob("*.flac"))


def test_a_list_of_checksums_that_is_none_is_refused(corpus):
    (corpus / "corpus" / "en" / "md5sums").write_text("<html>\n")
    with pytest.raises(CorpusError, match=r"a line of md5sums is not '<md5>  <path>'"):
        prepare.prepare(config_for(corpus))
