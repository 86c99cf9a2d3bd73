"""Multilingual LibriSpeech: its folders on disk in FLAC and Opus, several languages, and a corpus that is not whole."""

import shutil

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError

RECIPE = "mls"
CODES = {"italian": "it", "spanish": "es"}


def make_language(corpus_dir, language, suffix, sizes):
    """mls_<language>: <split>/audio/<speaker>/<book>/<id><suffix>, transcripts, segments, handles, metainfo.txt."""
    folder = corpus_dir / (f"mls_{language}_opus" if suffix == ".opus" else f"mls_{language}")
    every = iter(clips(sum(sizes.values()), language=CODES[language]))
    speakers = []
    for number, (split, size) in enumerate(sizes.items(), start=1):
        transcripts, segments = [], []
        speaker, book = str(100 + number), str(2000 + number)
        speakers.append(f"{speaker} | {'F' if number % 2 else 'M'} | {split} | 0.1 | Somebody")
        for index in range(size):
            clip, name = next(every), f"{speaker}_{book}_{index:06d}"
            write_audio(folder / split / "audio" / speaker / book / f"{name}{suffix}", clip.samples)
            transcripts.append(f"{name}\t{clip.text}")
            segments.append(
                f"{name}\thttp://books.invalid/{book}.mp3\t{index * 5:.2f}\t{index * 5 + clip.duration:.2f}"
            )
        write_lines(folder / split / "transcripts.txt", transcripts)
        write_lines(folder / split / "segments.txt", segments)
        write_lines(folder / split / "handles.txt", [line.split("\t")[0] for line in transcripts])
    write_lines(folder / "metainfo.txt", [" SPEAKER | GENDER | PARTITION | MINUTES | BOOK ID | TITLE", *speakers])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    corpus_dir = tmp_path_factory.mktemp("mls")
    make_language(corpus_dir, "italian", ".flac", {"train": 5, "dev": 2, "test": 2})
    make_language(corpus_dir, "spanish", ".opus", {"train": 3, "dev": 1, "test": 1})
    return corpus_dir


@pytest.fixture
def broken(whole, tmp_path):
    """A copy of the corpus for a test to damage."""
    return shutil.copytree(whole, tmp_path / "mls")


def config(prepare, corpus_dir, data_dir, **changes):
    values = {"languages": ("italian", "spanish"), "check_counts": False, "nj": 1, **changes}
    return prepare.PrepareConfig(corpus_dir=str(corpus_dir), data_dir=str(data_dir), **values)


def test_two_languages_in_flac_and_opus_become_one_set(prepare, whole, tmp_path):
    prepare.prepare(config(prepare, whole, tmp_path))
    sizes = {}
    for split in ("train", "dev", "test"):
        cuts = load_cuts(tmp_path / "manifests" / f"mls_cuts_{split}.jsonl.gz")
        for cut in cuts:
            language = cut.supervisions[0].language
            sizes[split, language] = sizes.get((split, language), 0) + 1
            assert cut.id.startswith(f"{language}-") and cut.sampling_rate == 16000
            assert cut.recording.sources[0].source.endswith(".flac" if language == "italian" else ".opus")
            assert abs(cut.load_audio().shape[1] - cut.num_samples) <= 1
    assert sizes == {
        ("train", "italian"): 5,
        ("train", "spanish"): 3,
        ("dev", "italian"): 2,
        ("dev", "spanish"): 1,
        ("test", "italian"): 2,
        ("test", "spanish"): 1,
    }


def test_audio_that_cannot_be_read_is_left_out_by_name(prepare, broken, tmp_path, caplog):
    clips_of = broken / "mls_spanish_opus" / "train" / "audio"
    path = sorted(clips_of.rglob("*.opus"))[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    prepare.prepare(config(prepare, broken, tmp_path / "data"))
    found = load_cuts(tmp_path / "data" / "manifests" / "mls_cuts_train.jsonl.gz")
    assert len(found) == 7 and f"spanish-{path.stem}" not in set(found.ids)
    assert f"{path} is left out: cannot be read as audio: it is cut short" in caplog.text


def test_an_id_with_two_texts_is_named_and_a_blank_line_is_nothing(prepare, broken):
    path = broken / "mls_italian" / "dev" / "transcripts.txt"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n\n", encoding="utf-8")
    prepare.check_whole(prepare.find_source(broken, "italian"), False)
    name = text.split("\t")[0]
    path.write_text(f"{text}{name}\taltro testo\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=f"line 3: the text of utterance {name} is 'altro testo', but before"):
        prepare.check_whole(prepare.find_source(broken, "italian"), False)


def test_one_language_is_read_alone_and_once(prepare, whole, tmp_path, monkeypatch):
    prepare.prepare(config(prepare, whole, tmp_path, languages=("spanish",)))
    path = tmp_path / "manifests" / "mls_cuts_train.jsonl.gz"
    before = path.read_bytes()
    assert {cut.supervisions[0].language for cut in load_cuts(path)} == {"spanish"}
    monkeypatch.delattr(prepare, "read_headers")
    prepare.prepare(config(prepare, whole, tmp_path, languages=("spanish",)))
    assert path.read_bytes() == before


def test_a_killed_reading_is_not_taken_for_a_whole_one(prepare, whole, tmp_path):
    partial = tmp_path / "manifests" / "lhotse" / "spanish.partial"
    partial.mkdir(parents=True)
    (partial / "mls-spanish_recordings_train.jsonl.gz").write_bytes(b"cut short")
    prepare.prepare(config(prepare, whole, tmp_path, languages=("spanish",)))
    assert len(load_cuts(tmp_path / "manifests" / "mls_cuts_train.jsonl.gz")) == 3


def damage_audio(folder):
    (folder / "train" / "audio" / "101" / "2001" / "101_2001_000002.flac").unlink()
    (folder / "train" / "audio" / "101" / "2001" / "101_2001_000099.flac").write_bytes(b"")


def damage_metainfo(folder):
    lines = (folder / "metainfo.txt").read_text().splitlines()
    write_lines(folder / "metainfo.txt", [line for line in lines if not line.startswith("103")])


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (
            damage_audio,
            r"1 transcript has no audio \(101_2001_000002\) and 1 audio file has no transcript \(101_2001_000099\)",
        ),
        (lambda folder: shutil.rmtree(folder / "dev"), r"lacks 2 of 7 parts \(dev/audio, dev/transcripts\.txt\)"),
        (damage_metainfo, r"test: 1 speakers are not in metainfo\.txt \(103\)"),
        (lambda folder: write_lines(folder / "dev" / "transcripts.txt", ["no tab"]), r"not so line 1; unpack"),
    ],
)
def test_a_language_that_is_not_whole_is_named(prepare, broken, tmp_path, damage, complaint):
    damage(broken / "mls_italian")
    with pytest.raises(CorpusError, match=complaint):
        prepare.prepare(config(prepare, broken, tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_counts_and_names_of_languages(prepare, whole, tmp_path):
    with pytest.raises(CorpusError, match=r"train has 5 utterances, the published corpus has 59623; .*--check-counts"):
        prepare.prepare(config(prepare, whole, tmp_path, check_counts=True))
    with pytest.raises(CorpusError, match=r"has neither mls_polish nor mls_polish_opus; run stage 0"):
        prepare.prepare(config(prepare, whole, tmp_path, languages=("polish",)))
    with pytest.raises(CorpusError, match=r"unknown language 'polnisch'; known: dutch, .*, polish"):
        prepare.prepare(config(prepare, whole, tmp_path, languages=("polnisch",)))


@pipeline_in("k2")
def test_run_sh(tmp_path):
    for language, suffix in (("italian", ".flac"), ("spanish", ".opus")):
        make_language(tmp_path / "download" / "mls", language, suffix, {"train": 14, "dev": 4, "test": 4})
    flags = ("--lang", "italian,spanish", "--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert list(result["sets"]["test"]["languages"]) == ["italian", "spanish"]
