"""egs/aishell on a stand-in with the corpus's layout: manifests, incomplete corpora, characters, the whole recipe."""

import pytest
from lhotse import load_manifest
from local_mirror import UNREACHABLE
from recipe_checks import feature_type_of_environment, load_local, pipeline_in, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.manifests import CorpusError

RECIPE = "aishell"
CHARACTERS = "广州市房地产中介协会分析师在我国北京上海的"
SPLITS = ("train", "dev", "test")


def chinese(text):
    """A made-up text of as many characters as `text` has words and a few more; Latin words become one letter."""
    return " ".join(
        CHARACTERS[len(word) * 7 % len(CHARACTERS)] + CHARACTERS[ord(word[0]) % 20] for word in text.split()
    )


def write_corpus(folder, sizes):
    """wav/<split>/<speaker>/BAC009<speaker>W<number>.wav and the one transcript of all splits; returns text by id."""
    texts = {}
    for seed, split in enumerate(SPLITS):
        for number, clip in enumerate(clips(sizes[split], seed)):
            speaker = f"S000{seed}"
            name = f"BAC009{speaker}W{number:04d}"
            write_audio(folder / "data_aishell" / "wav" / split / speaker / f"{name}.wav", clip.samples)
            texts[name] = chinese(clip.text)
    lines = [f"{name} {text}" for name, text in texts.items()]
    write_lines(folder / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt", lines)
    return texts


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path / "aishell", dict.fromkeys(SPLITS, 3))
    return tmp_path


def config_for(prepare, folder, **changes):
    settings = {"corpus_dir": str(folder / "aishell"), "data_dir": str(folder / "data"), "check_counts": False}
    return prepare.PrepareConfig(**{**settings, **changes})


def test_splits_hold_characters_without_spaces(prepare, tmp_path):
    texts = write_corpus(tmp_path / "aishell", dict.fromkeys(SPLITS, 3))
    prepare.prepare(config_for(prepare, tmp_path))
    found = {}
    for split in SPLITS:
        cuts = load_manifest(tmp_path / "data" / "manifests" / f"aishell_cuts_{split}.jsonl.gz")
        found.update({cut.id: cut.supervisions[0].text for cut in cuts})
        assert len(cuts) == 3
    assert found == {name: text.replace(" ", "").upper() for name, text in texts.items()}


def test_missing_parts_are_counted_and_named(prepare, corpus):
    (corpus / "aishell" / "data_aishell" / "wav" / "test").rename(corpus / "elsewhere")
    with pytest.raises(CorpusError, match=r"lacks 1 of 4 parts \(data_aishell/wav/test\); run stage 0"):
        prepare.prepare(config_for(prepare, corpus))


def test_a_transcript_without_audio_is_named_and_audio_without_transcript_left_out(prepare, corpus, caplog):
    speaker = corpus / "aishell" / "data_aishell" / "wav" / "dev" / "S0001"
    (speaker / "BAC009S0001W0001.wav").rename(speaker / "BAC009S0001W0009.wav")
    with pytest.raises(CorpusError, match=r"AISHELL-1: 1 transcript has no audio \(BAC009S0001W0001\); move"):
        prepare.prepare(config_for(prepare, corpus))
    assert not (corpus / "data").exists()
    transcript = corpus / "aishell" / prepare.TRANSCRIPT
    lines = transcript.read_text(encoding="utf-8").splitlines()
    write_lines(transcript, [line for line in lines if "S0001W0001" not in line])
    with caplog.at_level("INFO"):
        prepare.prepare(config_for(prepare, corpus))
    assert "1 recordings have no transcript and are left out: BAC009S0001W0009" in caplog.text


def test_another_number_of_utterances_than_published_is_refused(prepare, corpus):
    with pytest.raises(CorpusError, match="train has 3 utterances, the published corpus has 120098"):
        prepare.prepare(config_for(prepare, corpus, check_counts=True))


def test_no_network_says_what_to_put_where(corpus, tmp_path):
    download = load_local(RECIPE, "download")
    nowhere = download.DownloadConfig(dl_dir=str(tmp_path / "dl"), base_url=UNREACHABLE)
    with pytest.raises(CorpusError, match=r"cannot fetch AISHELL-1: .* unpack data_aishell\.tgz, and"):
        download.fetch(nowhere)
    there = download.DownloadConfig(dl_dir=str(corpus), base_url=UNREACHABLE)
    assert not download.fetch(there)


def test_audio_that_cannot_be_read_is_left_out_by_name(prepare, corpus, caplog):
    folder = corpus / "aishell" / "data_aishell" / "wav" / "train" / "S0000"
    (folder / "BAC009S0000W0001.wav").write_bytes(b"")
    prepare.prepare(config_for(prepare, corpus))
    cuts = load_manifest(corpus / "data" / "manifests" / "aishell_cuts_train.jsonl.gz")
    assert sorted(cuts.ids) == ["BAC009S0000W0000", "BAC009S0000W0002"]
    assert "BAC009S0000W0001.wav is left out: the file is empty (0 bytes)" in caplog.text
    assert "1 of 3 audio files are left out: BAC009S0000W0001" in caplog.text


def test_an_id_with_two_texts_is_named_and_a_blank_line_is_nothing(prepare, corpus):
    transcript = corpus / "aishell" / prepare.TRANSCRIPT
    text = transcript.read_text(encoding="utf-8")
    repeated = text.splitlines()[0]
    transcript.write_text("\ufeff" + text + f"\n{repeated}\n   \n\n", encoding="utf-8")
    prepare.prepare(config_for(prepare, corpus))
    transcript.write_text(f"{text}{repeated} 北\n", encoding="utf-8")
    name = repeated.split()[0]
    with pytest.raises(CorpusError, match=rf"v0\.8\.txt, line 10: the text of utterance {name} is '.*北', but before"):
        prepare.prepare(config_for(prepare, corpus))


def test_an_utterance_in_two_splits_is_named(prepare, corpus):
    wav = corpus / "aishell" / "data_aishell" / "wav"
    (wav / "test" / "S0002" / "BAC009S0000W0001.wav").write_bytes(
        (wav / "train" / "S0000" / "BAC009S0000W0001.wav").read_bytes()
    )
    with pytest.raises(CorpusError, match=r"holds utterance BAC009S0000W0001 twice, as .*test.* and .*train.*; move"):
        prepare.prepare(config_for(prepare, corpus))


@pytest.mark.parametrize("codec, name", [("gbk", "GBK"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16")])
def test_a_transcript_in_another_encoding_is_named(prepare, corpus, codec, name):
    transcript = corpus / "aishell" / prepare.TRANSCRIPT
    transcript.write_bytes(transcript.read_text(encoding="utf-8").encode(codec))
    with pytest.raises(ValueError, match=rf"v0\.8\.txt is not in UTF-8 \(line 1\): it seems to be {name}; convert it"):
        prepare.prepare(config_for(prepare, corpus))


@pipeline_in("k2")
def test_all_stages(tmp_path):
    write_corpus(tmp_path / "download" / "aishell", {"train": 24, "dev": 4, "test": 4})
    flags = ("--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    scored = result["sets"]["test"]
    assert scored["wer"]["num_ref"] == scored["cer"]["num_ref"] and scored["wer"]["rate"] == scored["cer"]["rate"]
    pieces = [line.split()[0] for line in (tmp_path / "data" / "lang_char" / "tokens.txt").read_text().splitlines()]
    assert pieces[:3] == ["<blk>", "<sos/eos>", "<unk>"] and set(pieces[3:]) <= set(CHARACTERS)
    assert "| FBank | fbank | paper_icassp2024_fbank | 4.27 |  | 4.49 |  |" in (tmp_path / "RESULTS.md").read_text()
