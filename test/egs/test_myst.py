"""MyST: students' and sessions' folders on disk, the text rules, the filters, and a corpus that is not whole."""

import functools
import shutil

import numpy as np
import pytest
from recipe_checks import feature_type_of_environment, load_local, pipeline_in, prepared_cuts, run_recipe
from stand_in import RATE, clips, write_audio

from icefall_discrete.data.manifests import CorpusError

RECIPE = "myst"
FOLDERS = {"train": "train", "dev": "development", "test": "test"}


def make_corpus(corpus_dir, sizes):
    """data/<split>/<student>/<session>/<session>_<number>.flac with .trn; one utterance a split has no transcript."""
    every = iter(clips(sum(sizes.values()) + len(sizes), seed=3))
    for number, (split, size) in enumerate(sizes.items(), start=1):
        student = f"00200{number}"
        session = f"myst_{student}_2014-02-26_09-55-53_MS_1.{number}"
        folder = corpus_dir / "data" / FOLDERS[split] / student / session
        for index in range(size + 1):
            clip, name = next(every), f"{session}_{index:03d}"
            write_audio(folder / f"{name}.flac", clip.samples)
            if index < size:
                (folder / f"{name}.trn").write_text(f"<NOISE> {clip.text.upper()} (*) +UM+ REALLY YES\n")
    return corpus_dir


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("myst") / "corpus", {"train": 6, "dev": 2, "test": 2})


run = functools.partial(prepared_cuts, "myst", splits=FOLDERS)


def test_transcribed_utterances_become_cuts(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 6, "dev": 2, "test": 2}
    for cut in cuts["train"]:
        supervision = cut.supervisions[0]
        assert (supervision.speaker, supervision.language) == ("002001", "en")
        assert supervision.text.endswith("really yes") and "um" not in supervision.text.split()
        assert supervision.custom["session"] == "myst_002001_2014-02-26_09-55-53_MS_1.1"
        assert supervision.custom["written"].startswith("<NOISE> ")


def first_of(corpus_dir, split):
    return sorted((corpus_dir / "data" / FOLDERS[split]).rglob("*.trn"))[0]


def lengthen(transcript):
    """Write more than the 30 s of the filter into its audio file."""
    samples = clips(1)[0].samples
    write_audio(transcript.with_suffix(".flac"), np.tile(samples, 31 * RATE // len(samples) + 1))


def test_filters_by_words_length_and_quality(prepare, copied, tmp_path):
    few, long, noisy = sorted((copied / "data" / "train").rglob("*.trn"))[:3]
    few.write_text("(*) YES <LAUGH> NO\n")
    lengthen(long)
    every = run(prepare, copied, tmp_path / "all", min_words=0, max_duration=1000.0)
    assert len(every["train"]) == 6

    by_length = run(prepare, copied, tmp_path / "length")
    assert {few.stem, long.stem}.isdisjoint(by_length["train"].ids) and len(by_length["train"]) == 4

    texts = {cut.id: cut.supervisions[0].text for cuts in every.values() for cut in cuts}
    texts[noisy.stem] = "something else was said altogether by someone else"
    dropped = first_of(copied, "dev").stem
    lines = [f"{name}\t{text.upper()}!" for name, text in texts.items() if name != dropped]
    (tmp_path / "hypotheses.tsv").write_text("".join(f"{line}\n" for line in lines))
    good = run(prepare, copied, tmp_path / "quality", hypotheses=str(tmp_path / "hypotheses.tsv"))
    assert len(good["train"]) == 3 and noisy.stem not in set(good["train"].ids)
    assert len(good["dev"]) == 1 and dropped not in set(good["dev"].ids)
    assert len(good["test"]) == 2


def test_numbers_that_may_be_said_in_several_ways_are_left_out_and_counted(prepare, copied, tmp_path, caplog):
    caplog.set_level("INFO")
    dated = first_of(copied, "train")
    dated.write_text("IT WAS ON 9/11 <NOISE 1/2/3>\n")
    first_of(copied, "test").write_text("A PART <1/2/3> OF 1/2\n")
    cuts = run(prepare, copied, tmp_path)
    assert len(cuts["train"]) == 5 and dated.stem not in set(cuts["train"].ids) and len(cuts["test"]) == 2
    assert "a number that may be said in several ways" in caplog.text


def test_long_utterances_of_test_alone_are_kept(prepare, copied, tmp_path):
    long = {split: first_of(copied, split) for split in FOLDERS}
    for path in long.values():
        lengthen(path)
    cuts = run(prepare, copied, tmp_path)
    assert {split for split, path in long.items() if path.stem in set(cuts[split].ids)} == {"test"}


def test_hypotheses_without_a_tab_are_named(prepare, whole, tmp_path):
    (tmp_path / "hypotheses.tsv").write_text("a\tone\nb two\n")
    with pytest.raises(CorpusError, match=r"hypotheses\.tsv, line 2: expected an utterance id, a tab and a text"):
        run(prepare, whole, tmp_path, hypotheses=str(tmp_path / "hypotheses.tsv"))


def test_a_transcript_without_audio_is_named(prepare, copied, tmp_path):
    path = first_of(copied, "test")
    path.with_suffix(".flac").unlink()
    with pytest.raises(CorpusError, match=rf"data.test: 1 transcript has no audio \({path.stem}\); copy or unpack"):
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_missing_split_is_named(prepare, copied, tmp_path):
    shutil.rmtree(copied / "data" / "development")
    with pytest.raises(CorpusError, match=r"lacks 1 of 3 parts \(development\)"):
        run(prepare, copied, tmp_path / "data")


def test_unreadable_audio_is_left_out(prepare, copied, tmp_path, caplog):
    path = first_of(copied, "train").with_suffix(".flac")
    path.write_bytes(b"no audio")
    cuts = run(prepare, copied, tmp_path / "data")
    assert len(cuts["train"]) == 5 and path.stem not in set(cuts["train"].ids)
    assert f"{path} is left out" in caplog.text


@pytest.mark.parametrize(
    "written, spoken",
    [
        ("<NO_SIGNAL>", ""),
        ("IT'S (*) THE SUN &amp THE MOON", "it's the sun and amp the moon"),
        ("+UM+ TH- THE D BATTERY, HAS 3 (uh (loud)) {x} ENDS.", "th the d battery has three ends"),
        ("'CAUSE IT’S [noise] WELL-KNOWN", "cause it's well known"),
        ("ABOUT 1,000 VOLTS OR 3.5 AMPS", "about one thousand volts or three point five amps"),
        ("IT COSTS $.50 OR £3M", "it costs fifty cents or three million pounds"),
        ("1 000 VOLTS AND 1 ½ CUPS", "one thousand volts and one and one half cups"),
        ("AGENT 007 AT 12’000 FEET", "agent zero zero seven at twelve thousand feet"),
        ("THE 2ND ONE IN THE CAFÉ", "the second one in the café"),
        ("NAI\u0308VE IN THE 1980S", "naïve in the nineteen eighties"),
    ],
)
def test_text_rules(written, spoken):
    rules = load_local(RECIPE, "myst_text")
    assert rules.normalize(written) == spoken
    assert rules.normalize(spoken) == spoken


def test_word_error_rate_of_a_hypothesis():
    rules = load_local(RECIPE, "myst_text")
    assert rules.word_error_rate("the sun is hot", "The sun, is hot.") == 0.0
    assert rules.word_error_rate("the sun is hot", "a moon is") == 75.0


def test_a_transcript_in_another_encoding_is_left_out_by_name(prepare, copied, tmp_path, caplog):
    path = first_of(copied, "train")
    path.write_bytes("in the café we were".encode("latin-1"))
    cuts = run(prepare, copied, tmp_path / "data")
    assert len(cuts["train"]) == 5 and path.stem not in set(cuts["train"].ids)
    assert f"{path} is not in UTF-8 (line 1): it seems to be Latin-1" in caplog.text
    path.write_text("\ufeffin the café\n\n", encoding="utf-8")
    cuts = run(prepare, copied, tmp_path / "again")
    assert cuts["train"][path.stem].supervisions[0].text == "in the café"


def test_two_transcripts_of_one_utterance_are_named(prepare, copied, tmp_path):
    path = first_of(copied, "train")
    (path.parents[1] / path.name).write_text("something else was said")
    with pytest.raises(CorpusError, match=rf"data.train holds utterance {path.stem} twice, as "):
        run(prepare, copied, tmp_path / "data")


@pipeline_in("portable")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "myst_child_conv_speech", {"train": 24, "dev": 6, "test": 6})
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path)
    assert result["sets"]["test"]["num_utterances"] == 6
