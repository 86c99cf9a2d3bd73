"""ML-SUPERB: its folders on disk, few-shot languages, LibriSpeech beside it, and the scores of the challenge."""

import functools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from lhotse import Recording
from recipe_checks import feature_type_of_environment, load_local, pipeline_in, prepared_cuts, recipe_folder, run_recipe
from stand_in import RATE, clips, write_audio, write_lines

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.corpus_files import whole_supervision
from icefall_discrete.data.cuts import attach, write_cuts
from icefall_discrete.data.manifests import CorpusError, utterance_cuts
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.decoding_files import decoding_files
from icefall_discrete.systems.asr.recogs import SaidText, write_recogs, write_texts

RECIPE = "ml_superb"
LISTS = {"train": "transcript_1h_train.txt", "dev": "transcript_10min_dev.txt", "test": "transcript_10min_test.txt"}
FEW_SHOT = recipe_folder(RECIPE) / "conf" / "few_shot_utterances.txt"
SOURCES = ("mls", "voxforge")
ENGLISH_PARTS = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")


def make_part(corpus_dir, source, language, code, sizes):
    """<source>/<language>: wav/, the three lists and that of the 10-minute training, which is not read."""
    folder = corpus_dir / source / language
    every = iter(clips(sum(sizes.values()), language=code, seed=hash_free(source)))
    number = 0
    for split, size in sizes.items():
        lines = []
        for _ in range(size):
            clip, name = next(every), f"{source}_{language}_{number:06d}"
            write_audio(folder / "wav" / f"{name}.wav", clip.samples)
            lines.append(f"{name}\tclip{number}.wav\t{clip.text.capitalize()}, [noise] it's.")
            number += 1
        write_lines(folder / LISTS[split], lines)
    write_lines(folder / "transcript_10min_train.txt", [])
    return folder


def hash_free(name):
    """A seed from a name, the same in every process."""
    return sum(map(ord, name))


def make_corpus(corpus_dir, sizes):
    make_part(corpus_dir, "mls", "ita", "it", sizes)
    make_part(corpus_dir, "voxforge", "ita", "it", sizes)
    make_part(corpus_dir, "voxforge", "rus", "ru", sizes)
    return corpus_dir


def make_english(folder):
    """Manifests as egs/librispeech makes them, of one utterance each."""
    for seed, part in enumerate(ENGLISH_PARTS):
        # Dense speech: a model that has learnt nothing says the more, the longer the audio of a text is.
        clip = max(clips(12, seed=50 + seed), key=lambda clip: len(clip.text) / clip.duration)
        path = folder / f"{seed}.flac"
        write_audio(path, clip.samples)
        recording = Recording.from_file(path, recording_id=f"{seed}-1-0000")
        supervision = whole_supervision(recording, clip.text.upper(), "English", speaker=str(seed))
        write_cuts(folder / f"librispeech_cuts_{part}.jsonl.gz", utterance_cuts([recording], [supervision]))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("ml_superb") / "corpus", {"train": 3, "dev": 1, "test": 2})


run = functools.partial(prepared_cuts, "ml_superb", splits=tuple(LISTS), sources=SOURCES, few_shot_list=str(FEW_SHOT))


def test_languages_of_all_sources_become_one_set(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 9, "dev": 3, "test": 6}
    found = {(cut.supervisions[0].custom["source"], cut.supervisions[0].language) for cut in cuts["test"]}
    assert found == {("mls", "ita"), ("voxforge", "ita"), ("voxforge", "rus")}
    for cut in cuts["train"]:
        assert cut.supervisions[0].text.endswith(" ITS") and "NOISE" not in cut.supervisions[0].text
        assert "[noise] it's." in cut.supervisions[0].custom["written"]


def test_few_shot_languages_train_on_their_listed_utterances_alone(prepare, copied, tmp_path):
    few_shot = tmp_path / "few.txt"
    write_lines(few_shot, ["voxforge_rus_000001"])
    cuts = run(prepare, copied, tmp_path / "data", few_shot_list=str(few_shot))
    trained = [cut.id for cut in cuts["train"] if cut.supervisions[0].language == "rus"]
    assert trained == ["voxforge_rus_000001"] and len(cuts["train"]) == 7
    assert sum(cut.supervisions[0].language == "rus" for cut in cuts["test"]) == 2


def test_the_published_few_shot_list_has_five_utterances_of_twenty_languages():
    languages = [name.split("_")[1] for name in FEW_SHOT.read_text().split()]
    assert len(set(languages)) == 20 and all(languages.count(language) == 5 for language in set(languages))


def test_long_training_utterances_and_empty_audio_are_left_out(prepare, copied, tmp_path):
    write_audio(copied / "mls" / "ita" / "wav" / "mls_ita_000000.wav", np.zeros(16000 * 21, dtype=np.int16))
    write_audio(copied / "mls" / "ita" / "wav" / "mls_ita_000004.wav", np.zeros(0, dtype=np.int16))
    cuts = run(prepare, copied, tmp_path / "data")
    assert "mls_ita_000000" not in set(cuts["train"].ids) and len(cuts["train"]) == 8
    assert "mls_ita_000004" not in set(cuts["test"].ids) and len(cuts["test"]) == 5


def test_with_the_english_of_the_challenge(prepare, whole, tmp_path):
    english = make_english(tmp_path / "english")
    splits = (*LISTS, "librispeech")
    cuts = run(prepare, whole, tmp_path / "data", splits=splits, librispeech_manifests=str(english))
    added = {split: sum(cut.id.startswith("librispeech-") for cut in of_split) for split, of_split in cuts.items()}
    assert added == {"train": 1, "dev": 2, "test": 0, "librispeech": 4}
    assert {cut.supervisions[0].language for cut in cuts["librispeech"]} == {"eng"}
    (english / "librispeech_cuts_dev-other.jsonl.gz").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 5 parts \(librispeech_cuts_dev-other\.jsonl\.gz\)"):
        run(prepare, whole, tmp_path / "data", librispeech_manifests=str(english))


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (
            lambda root: (root / "voxforge" / "rus" / "wav" / "voxforge_rus_000003.wav").unlink(),
            r"transcript_10min_dev\.txt: 1 transcript has no audio \(voxforge_rus_000003\)",
        ),
        (lambda root: (root / "mls" / "ita" / LISTS["train"]).unlink(), r"lacks 1 of 4 parts \(transcript_1h_train"),
        (lambda root: shutil.rmtree(root / "mls"), r"lacks 1 of 2 parts \(mls\)"),
        (lambda root: write_lines(root / "mls" / "ita" / LISTS["dev"], ["only two"]), r"and a text, not so line 1"),
        (
            lambda root: shutil.copy(root / "mls" / "ita" / LISTS["test"], root / "mls" / "ita" / LISTS["dev"]),
            r"10min_test\.txt lists mls_ita_000004, mls_ita_000005, which other splits list",
        ),
    ],
)
def test_a_corpus_that_is_not_whole_is_named(prepare, copied, tmp_path, damage, complaint):
    damage(copied)
    with pytest.raises(CorpusError, match=complaint):
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_text_rules_are_those_of_the_challenge():
    normalize = load_local(RECIPE, "ml_superb_text").normalize
    assert normalize("L'été, [rire] est-ce  «bon»?") == "LÉTÉ ESTCE «BON»"
    assert normalize("[unk]") == ""


def decoded(folder, transcripts_of, codes, spec):
    """An experiment, and a folder of `codes` (T, K) for every cut: what the challenge's scores are made from."""
    exp_dir, feature_dir = folder / "exp", folder / "features"
    files = decoding_files(exp_dir, "greedy_search", "epoch-1")
    spec.write(feature_dir / "spec.json")
    samples = np.zeros(round(len(codes) / spec.frame_rate_hz * RATE), dtype=np.int16)
    for split, transcripts in transcripts_of.items():
        write_recogs(files.recogs(split), transcripts)
        cuts = []
        with FlatArchiveWriter(feature_dir / f"{split}.codes") as writer:
            for name in (transcript.cut_id for transcript in transcripts):
                write_audio(folder / f"{name}.wav", samples)
                recording = Recording.from_file(folder / f"{name}.wav", recording_id=name)
                cut = next(utterance_cuts([recording], [whole_supervision(recording, "a", "eng", None)]))
                array = writer.store_array(name, codes, frame_shift=1 / spec.frame_rate_hz, temporal_dim=0, start=0.0)
                array.array.storage_path = f"{split}.codes"
                cuts.append(attach(cut, array, spec))
        write_cuts(feature_dir / f"{split}.jsonl.gz", cuts)
    write_json(files.pointer, {"suffix": "epoch-1", "splits": list(transcripts_of)})
    return exp_dir, feature_dir


def test_scores_count_spaces_and_bits(tmp_path):
    score = load_local(RECIPE, "challenge_score")
    spec = FeatureSpec("toy", "codes", 16000, 50.0, 2, (2000, 8), 0)
    codes = np.array([[5, 1], [5, 1], [7, 1], [5, 2], [5, 2]], dtype=np.int16).repeat(10, axis=0)  # 1 s
    transcripts = {
        "test": [Transcript("a", ("AB", "CD"), ("ABCD",)), Transcript("b", ("X",), ("X",))],
        "librispeech": [Transcript("c", ("E", "F"), ("E", "G"))],
    }
    exp_dir, feature_dir = decoded(tmp_path, transcripts, codes, spec)
    scores = score.score(exp_dir, "greedy_search", feature_dir, ["test", "librispeech"])
    assert scores["sets"]["test"] == {"cer": pytest.approx(100 / 6, abs=1e-3), "num_ref": 6}  # the lost space
    assert scores["sets"]["librispeech"]["cer"] == pytest.approx(100 / 3, abs=1e-3)
    # Chinese characters are words of recogs; nobody wrote spaces between them.
    chinese = [Transcript("d", ("今", "天", "天", "气"), ("今", "天", "汽")), Transcript("e", ("ab", "c"), ("ab", "c"))]
    exp_dir, feature_dir = decoded(tmp_path / "chinese", {"test": chinese}, codes, spec)
    assert score.score(exp_dir, "greedy_search", feature_dir, ["test"])["sets"]["test"] == {"cer": 25.0, "num_ref": 8}
    files = decoding_files(exp_dir, "greedy_search", "epoch-1")
    write_texts(files.texts("test"), [SaidText("d", "買 iphone", "買 iphone"), SaidText("e", "ภาษา ไทย", "ภาษาไทย")])
    found = score.score(exp_dir, "greedy_search", feature_dir, ["test"])["sets"]["test"]
    assert found == {"cer": pytest.approx(100 / 16, abs=1e-3), "num_ref": 16}
    write_texts(files.texts("test"), [SaidText("d", "", "買")])
    assert score.score(exp_dir, "greedy_search", feature_dir, ["test"])["sets"]["test"]["cer"] is None


def test_bit_rates_are_those_of_all_codes(tmp_path):
    score = load_local(RECIPE, "challenge_score")
    spec = FeatureSpec("toy", "codes", 16000, 50.0, 2, (2000, 8), 0)
    codes = np.array([[5, 1], [5, 1], [7, 1], [5, 2], [5, 2]], dtype=np.int16).repeat(10, axis=0)  # 1 s
    exp_dir, feature_dir = decoded(tmp_path, {"test": [Transcript("a", ("A",), ("A",))]}, codes, spec)
    scores = score.score(exp_dir, "greedy_search", feature_dir, ["test"])
    bits = (math.log2(2000), math.log2(8))
    assert scores["bits_per_second"] == pytest.approx(50 * sum(bits))
    assert scores["bits_per_second_without_repeats"] == pytest.approx(3 * bits[0] + 2 * bits[1])


@pipeline_in("portable")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "ml_superb", {"train": 9, "dev": 3, "test": 3})
    english = make_english(tmp_path / "english")
    flags = ("--sources", ",".join(SOURCES), "--librispeech-manifests", english, "--vocab-size", 70)
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert list(result["sets"]["test"]["languages"]) == ["ita", "rus"]
    assert result["sets"]["librispeech"]["num_utterances"] == 4
    scores = json.loads(Path(tmp_path / "exp" / "challenge.json").read_text(encoding="utf-8"))
    assert scores["bits_per_second"] > 0 and set(scores["sets"]) == {"test", "librispeech"}
