"""egs/asterisk/KWS: which prompts are digits and letters, which forms of them are held out, and the manifests."""

import collections
import string

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, recipe_folder, run_recipe, run_sh
from stand_in import ASTERISK, clips, write_audio

from icefall_discrete.data.class_corpora import Listed, cuts_of
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError, write_split

RECIPE = "asterisk/KWS"
LANGUAGES = ("en", "es", "fr", "it", "ru")


@pytest.mark.parametrize(
    "prompt_id, language, keyword",
    [
        ("digits/7", "fr", ("7", "train")),
        ("digits/17", "fr", ("7", "train")),
        ("digits/h-7", "fr", ("7", "train")),
        ("digits/h-17", "fr", ("7", "test")),
        ("digits/h-60", "fr", ("6", "dev")),
        ("digits/h-70", "fr", None),
        ("digits/70", "fr", None),
        ("digits/70", "it", ("7", "train")),
        ("digits/10", "en", ("1", "train")),
        ("digits/0", "en", None),
        ("digits/21", "es", None),
        ("digits/300", "es", None),
        ("digits/mon-1", "en", None),
        ("digits/h-hundred", "en", None),
        ("letters/a", "ru", ("a", "train")),
        ("letters/at", "en", None),
        ("letters/ascii42", "en", None),
        ("phonetic/a_p", "en", ("a", "test")),
        ("phonetic/b_p", "en", ("b", "dev")),
        ("phonetic/b_p", "es", ("b", "test")),
        ("phonetic/c_p", "en", ("c", "train")),
        ("phonetic/9_p", "en", None),
        ("vm-goodbye", "en", None),
    ],
)
def test_prompts_of_one_digit_or_letter_are_keywords(prepare, prompt_id, language, keyword):
    assert prepare.keyword_of(prompt_id, language) == keyword


def test_every_letter_is_held_out_once_and_spelled_in_three_languages(prepare):
    for letter in string.ascii_lowercase:
        found = [prepare.keyword_of(f"phonetic/{letter}_p", language).split for language in LANGUAGES]
        assert collections.Counter(found) == {"train": 3, "dev": 1, "test": 1}


def prompts(tmp_path, ids):
    """Manifests of all prompts, in a split each as it comes."""
    path = tmp_path / "x.wav"
    write_audio(path, clips(1)[0].samples)
    splits = collections.defaultdict(dict)
    for number, (language, prompt_id) in enumerate(ids):
        one = Listed(path, {"prompt_id": prompt_id}, "word", language)
        splits[("train", "dev", "test")[number % 3]][f"{language}-{prompt_id.replace('/', '_')}"] = one
    for split, utterances in splits.items():
        write_split(tmp_path / "manifests", "asterisk", split, cuts_of(utterances, 1))
    return tmp_path


def test_manifests_of_keywords_have_splits_of_their_own(prepare, tmp_path, caplog):
    caplog.set_level("INFO")
    ids = [("en", f"digits/{form}") for form in ("6", "16", "h-16", "7", "17", "h-17", "h-60", "70")]
    prompts(tmp_path, [*ids, ("it", "vm-goodbye")])
    prepare.prepare(prepare.PrepareConfig(str(tmp_path)))
    folder = tmp_path / "manifests"
    cuts = {split: load_cuts(folder / f"asterisk_keywords_cuts_{split}.jsonl.gz") for split in ("train", "dev", "test")}
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 5, "dev": 1, "test": 2}
    custom = {cut.id: cut.supervisions[0].custom for cut in cuts["test"]}
    assert custom["en-digits_h-16"] == {"prompt_id": "digits/h-16", "keyword": "6"}
    assert "1 prompts have no keyword" in caplog.text and "en: train 5, dev 1, test 2" in caplog.text


def test_without_prompts_or_keywords_one_sentence_says_so(prepare, tmp_path):
    with pytest.raises(CorpusError, match=r"asterisk_cuts_train\.jsonl\.gz does not exist; prepare the corpus first"):
        prepare.prepare(prepare.PrepareConfig(str(tmp_path)))
    prompts(tmp_path, [("en", f"vm-{number}") for number in range(3)])
    with pytest.raises(CorpusError, match="train: it holds no utterance"):
        prepare.prepare(prepare.PrepareConfig(str(tmp_path)))


def test_it_takes_the_corpus_of_the_other_recipe():
    assert [path.name for path in recipe_folder(RECIPE).rglob("*.py")] == ["prepare.py"]
    done = run_sh(RECIPE, "--dry-run", "true")
    assert done.returncode == 0 and f"--corpus-dir {ASTERISK}/download/asterisk" in done.stdout, done.stdout
    assert "--facts keyword" in done.stdout and "--lm is about text" in run_sh(RECIPE, "--lm", "ngram").stdout


@pipeline_in("k2")
def test_run_sh(tmp_path):
    clips(1)  # makes sure that the corpus is there
    own = tmp_path / "download" / "asterisk"  # unpacked anew, as stage 0 is one of those that have to run
    own.mkdir(parents=True)
    (own / "packages").symlink_to(ASTERISK / "download" / "asterisk" / "packages")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path)
    assert list(result["sets"]["test"]["languages"]) == list(LANGUAGES)
    assert len(result["sets"]["test"]["confusions"]) == 35
