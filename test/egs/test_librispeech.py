"""egs/librispeech on a stand-in with the corpus's layout: manifests, incomplete corpora, downloads, all stages."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from lhotse import load_manifest
from local_mirror import UNREACHABLE, served
from recipe_checks import feature_type_of_environment, load_local, pipeline_in, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.manifests import CorpusError

RECIPE = "librispeech"
PARTS = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")
CHAPTERS = 2


def write_part(folder, seed, count):
    """A part: <speaker>/<chapter>/<speaker>-<chapter>-<number>.flac and the chapter's .trans.txt."""
    spoken = clips(count, seed)
    for chapter in range(CHAPTERS):
        speaker = f"{1000 + seed}"
        name = f"{speaker}-{2000 + chapter}"
        lines = []
        for number, clip in enumerate(spoken[chapter::CHAPTERS]):
            utterance = f"{name}-{number:04d}"
            write_audio(folder / speaker / f"{2000 + chapter}" / f"{utterance}.flac", clip.samples)
            lines.append(f"{utterance} {clip.text.upper()}")
        write_lines(folder / speaker / f"{2000 + chapter}" / f"{name}.trans.txt", lines)
    return spoken


def write_corpus(folder, sizes):
    return {part: write_part(folder / part, seed, sizes[part]) for seed, part in enumerate(PARTS)}


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path / "LibriSpeech", dict.fromkeys(PARTS, 4))
    return tmp_path


def config_for(prepare, folder, **changes):
    settings = {"corpus_dir": str(folder / "LibriSpeech"), "data_dir": str(folder / "data"), "check_counts": False}
    return prepare.PrepareConfig(**{**settings, **changes})


def cuts_of(folder, split):
    return list(load_manifest(folder / "data" / "manifests" / f"librispeech_cuts_{split}.jsonl.gz"))


def test_each_part_becomes_a_split_with_its_texts_and_audio(prepare, tmp_path):
    spoken = write_corpus(tmp_path / "LibriSpeech", dict.fromkeys(PARTS, 4))
    prepare.prepare(config_for(prepare, tmp_path))
    for part in PARTS:
        cuts = cuts_of(tmp_path, part)
        assert [cut.id for cut in cuts] == sorted(cut.id for cut in cuts) and len(cuts) == 4
        first = cuts[0]
        assert first.supervisions[0].text == spoken[part][0].text.upper()
        assert np.array_equal(np.round(first.load_audio()[0] * 32768).astype(np.int16), spoken[part][0].samples)


def test_several_parts_make_one_training_split(prepare, corpus):
    prepare.prepare(
        config_for(
            prepare, corpus, train_split="train-960", train_parts=("train-clean-100", "dev-other"), eval_parts=()
        )
    )
    assert len(cuts_of(corpus, "train-960")) == 8


def test_a_missing_part_is_named(prepare, corpus):
    (corpus / "LibriSpeech" / "test-other").rename(corpus / "elsewhere")
    with pytest.raises(CorpusError, match=r"LibriSpeech lacks 1 of 5 parts \(test-other\); run stage 0, or give"):
        prepare.prepare(config_for(prepare, corpus))


def test_missing_and_extra_files_are_counted_and_named_before_anything_is_written(prepare, corpus):
    chapter = corpus / "LibriSpeech" / "dev-other" / "1002" / "2001"
    (chapter / "1002-2001-0001.flac").rename(chapter / "1002-2001-0009.flac")
    message = (
        r"dev-other: 1 transcript has no audio \(1002-2001-0001\) and 1 audio file has no transcript "
        r"\(1002-2001-0009\); move that part"
    )
    with pytest.raises(CorpusError, match=message):
        prepare.prepare(config_for(prepare, corpus))
    assert not (corpus / "data").exists()


def test_another_number_of_utterances_than_published_is_refused(prepare, corpus):
    with pytest.raises(CorpusError, match="train-clean-100 has 4 utterances, the published corpus has 28539"):
        prepare.prepare(config_for(prepare, corpus, check_counts=True))


@pytest.fixture
def mirror(corpus, tmp_path, monkeypatch):
    """A mirror of OpenSLR that has dev-clean, and the download module that knows its checksum."""
    download = load_local(RECIPE, "download")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(corpus / "LibriSpeech" / "dev-clean", arcname="LibriSpeech/dev-clean")
    place = tmp_path / "mirror" / "12" / "dev-clean.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(archive.getvalue())
    known = type(download.PARTS["dev-clean"])(hashlib.md5(archive.getvalue()).hexdigest(), 4)
    monkeypatch.setitem(download.PARTS, "dev-clean", known)
    with served(tmp_path / "mirror") as url:
        yield download, download.DownloadConfig(dl_dir=str(tmp_path / "dl"), base_url=url), place


def test_a_part_is_fetched_verified_and_unpacked_once(mirror, tmp_path):
    download, config, place = mirror
    assert download.fetch_part("dev-clean", config)
    assert len(list((tmp_path / "dl" / "LibriSpeech" / "dev-clean").rglob("*.flac"))) == 4
    place.unlink()
    assert not download.fetch_part("dev-clean", config)


def test_a_damaged_archive_is_refused(mirror, tmp_path):
    download, config, place = mirror
    place.write_bytes(place.read_bytes()[:-10] + b"0123456789")
    with pytest.raises(CorpusError, match=r"dev-clean\.tar\.gz has MD5 .* run stage 0 again"):
        download.fetch_part("dev-clean", config)
    assert not (tmp_path / "dl" / "LibriSpeech").exists()


def test_no_network_says_what_to_put_where(mirror, tmp_path):
    download, _, _ = mirror
    config = download.DownloadConfig(dl_dir=str(tmp_path / "dl"), base_url=UNREACHABLE)
    with pytest.raises(CorpusError, match=r"cannot fetch test-clean of LibriSpeech: .*unpack test-clean\.tar\.gz so"):
        download.fetch_part("test-clean", config)


def test_a_corpus_that_the_user_put_there_is_left_alone(mirror, corpus):
    download, _, _ = mirror
    config = download.DownloadConfig(dl_dir=str(corpus), base_url=UNREACHABLE)
    assert not any(download.fetch_part(part, config) for part in PARTS)


def test_audio_that_cannot_be_read_is_left_out_by_name(prepare, corpus, caplog):
    path = corpus / "LibriSpeech" / "dev-clean" / "1001" / "2000" / "1001-2000-0001.flac"
    path.write_text("<html><title>404 Not Found</title></html>")
    prepare.prepare(config_for(prepare, corpus))
    assert "1001-2000-0001" not in {cut.id for cut in cuts_of(corpus, "dev-clean")}
    assert len(cuts_of(corpus, "dev-clean")) == 3
    assert f"{path} is left out: it is a page of the web" in caplog.text


def test_an_id_with_two_texts_is_named(prepare, corpus):
    path = corpus / "LibriSpeech" / "dev-clean" / "1001" / "2000" / "1001-2000.trans.txt"
    path.write_text(f"{path.read_text()}1001-2000-0001 SOMETHING ELSE\n")
    with pytest.raises(CorpusError, match="the text of utterance 1001-2000-0001 is 'SOMETHING ELSE', but before"):
        prepare.prepare(config_for(prepare, corpus))


@pipeline_in("k2")
def test_all_stages(tmp_path):
    write_corpus(tmp_path / "download" / "LibriSpeech", {"train-clean-100": 24, **dict.fromkeys(PARTS[1:], 4)})
    flags = ("--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert set(result["sets"]) == set(PARTS[1:])
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| test-clean WER % | test-clean CER % | test-other WER % | test-other CER % | dev-clean WER % |" in page
    assert (
        "| 100 h: HuBERT-Large, 2000 clusters | hubert_large_l24_km2000 | paper_icassp2024 | 5.19 |  | 11.94 |" in page
    )
