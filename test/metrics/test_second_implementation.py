"""Error rates of many languages against a second implementation: jiwer, with the totals of Hugging Face's evaluate."""

import random
import unicodedata

import jiwer
import kaldialign
import pytest

from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import (
    ErrorCounts,
    Transcript,
    characters_of,
    count_errors,
    group_errors,
    total_errors,
    utterance_errors,
    words_themselves,
)
from icefall_discrete.systems.asr.scoring import score_transcripts
from icefall_discrete.text.words import text_of_words, words_in

# Language, what was said, what was recognised; word errors of so many, character errors of so many.
CASES = [
    ("chinese", "今天天气很好", "今天天汽好", (2, 6), (2, 6)),
    ("chinese", "广州市 房价", "广州 市房价", (0, 5), (0, 5)),
    ("mixed", "买 iphone十五 pro", "买iphone 十 pro", (1, 5), (1, 12)),
    ("mixed", "他的T恤是XXL号", "他的 t 恤是xl号", (2, 7), (4, 9)),
    ("japanese", "東京へ行きました", "東京に行きました", (1, 5), (1, 8)),
    ("japanese", "コーヒーを飲む", "コヒーお飲む", (1, 3), (2, 7)),
    ("thai", "สวัสดี ครับ", "สวัสดีครับ", (2, 2), (0, 10)),
    ("thai", "ภาษาไทย", "ภาษไทย", (1, 1), (1, 7)),
    ("lao", "ສະບາຍດີ", "ສະບາຍດິ", (1, 1), (1, 7)),
    ("khmer", "ខ្ញុំស្រឡាញ់អ្នក", "ខ្ញុំស្រលាញ់អ្នក", (1, 1), (1, 16)),
    ("burmese", "မင်္ဂလာပါ", "မင်္ဂလာ", (1, 1), (2, 9)),
    ("hindi", "नमस्ते दुनिया", "नमस्ते दुनीया", (1, 2), (1, 12)),
    ("korean", "안녕하세요 여러분", "안녕하세요 여러 분", (2, 2), (0, 8)),
    ("arabic", "السلام عليكم", "سلام عليكم", (1, 2), (2, 11)),
    ("hebrew", "שלום עולם", "שלום עולם טוב", (1, 2), (3, 8)),
    ("vietnamese", "tôi nói tiếng việt", "tôi nối tiếng viet", (2, 4), (2, 15)),
    ("vietnamese", unicodedata.normalize("NFD", "tiếng việt"), "tiếng việt", (0, 2), (0, 9)),
    ("russian", "как дела", "как дело", (1, 2), (1, 7)),
    ("greek", "καλημέρα κόσμε", "καλημερα κόσμε", (1, 2), (1, 13)),
    ("turkish", "ısparta'dan istanbul'a", "isparta'dan istanbula", (2, 2), (2, 21)),
    ("welsh", "mae hi'n braf", "mae hin yn braf", (2, 3), (2, 11)),
    ("english", "the cat sat", "", (3, 3), (9, 9)),
    ("english", "the cat sat", "the bat sat on", (2, 3), (3, 9)),
]
LANGUAGES = sorted({language for language, *_ in CASES})


def transcripts(cases=CASES):
    rules = ScoringRules()
    return [
        rules.scored(Transcript(f"{language}-{n}", tuple(words_in(ref)), tuple(words_in(hyp))))
        for n, (language, ref, hyp, *_) in enumerate(cases)
    ]


def judged(text):
    """The text for the judge: normal form C, and spaces around each character that Unicode calls an ideograph."""
    text = unicodedata.normalize("NFC", text)
    return "".join(f" {c} " if unicodedata.name(c, "").startswith("CJK UNIFIED IDEOGRAPH") else c for c in text)


def evaluate_rate(outputs):
    """Percent, as Hugging Face's evaluate adds up: wrong / (substitutions + deletions + hits)."""
    wrong = sum(out.substitutions + out.deletions + out.insertions for out in outputs)
    return 100.0 * wrong / sum(out.substitutions + out.deletions + out.hits for out in outputs)


def test_there_are_many_languages():
    assert len(LANGUAGES) >= 12


@pytest.mark.parametrize("language, ref, hyp, word_errors, character_errors", CASES)
def test_recorded_errors(language, ref, hyp, word_errors, character_errors):
    (said,) = transcripts([(language, ref, hyp)])
    for symbols_of, expected in ((words_themselves, word_errors), (characters_of, character_errors)):
        counts = count_errors(symbols_of(said.ref), symbols_of(said.hyp))
        assert (counts.errors, counts.num_ref) == expected


@pytest.mark.parametrize("language, ref, hyp, word_errors, character_errors", CASES)
def test_jiwer_counts_as_many(language, ref, hyp, word_errors, character_errors):
    words = jiwer.process_words(judged(ref), judged(hyp))
    one = ["".join(unicodedata.normalize("NFC", text).split()) for text in (ref, hyp)]
    characters = jiwer.process_characters(*one)
    for out, expected in ((words, word_errors), (characters, character_errors)):
        assert (out.substitutions + out.deletions + out.insertions, out.hits + out.substitutions + out.deletions) == (
            expected
        )


def test_totals_and_languages_are_those_of_evaluate():
    said = transcripts()
    language_of = {one.cut_id: one.cut_id.split("-")[0] for one in said}
    scored = score_transcripts(said, language_of)

    def rates(cases):
        words = [jiwer.process_words(judged(ref), judged(hyp)) for _, ref, hyp, *_ in cases]
        texts = [["".join(unicodedata.normalize("NFC", text).split()) for text in case[1:3]] for case in cases]
        return evaluate_rate(words), evaluate_rate([jiwer.process_characters(*pair) for pair in texts])

    assert (scored["wer"]["rate"], scored["cer"]["rate"]) == pytest.approx(rates(CASES), abs=1e-4)
    for language, row in scored["languages"].items():
        mine = [case for case in CASES if case[0] == language]
        assert (row["wer"]["rate"], row["cer"]["rate"]) == pytest.approx(rates(mine), abs=1e-4)
    for name in ("wer", "cer"):
        for count in ("errors", "num_ref", "insertions", "deletions", "substitutions"):
            assert scored[name][count] == sum(row[name][count] for row in scored["languages"].values())
        assert scored[name]["errors"] == sum(
            scored[name][kind] for kind in ("insertions", "deletions", "substitutions")
        )


@pytest.mark.parametrize("seed", range(3))
def test_random_alignments_have_as_few_errors_as_jiwers_and_no_more_than_sclites(seed):
    generator = random.Random(seed)
    pairs = [[generator.choices("abcd", k=generator.randint(1, 12)) for _ in range(2)] for _ in range(80)]
    totals = ErrorCounts()
    for ref, hyp in pairs:
        counts, out = count_errors(ref, hyp), jiwer.process_words(" ".join(ref), " ".join(hyp))
        assert counts.errors == out.substitutions + out.deletions + out.insertions
        assert counts.insertions - counts.deletions == out.insertions - out.deletions == len(hyp) - len(ref)
        assert counts.correct + counts.substitutions + counts.deletions == len(ref)
        # sclite weighs a substitution 4 and the others 3, so that it may count more errors, never fewer.
        sclite = kaldialign.align(ref, hyp, "*", sclite_mode=True)
        assert counts.errors <= sum(one != other for one, other in sclite)
        totals += counts
    words = jiwer.process_words([" ".join(ref) for ref, _ in pairs], [" ".join(hyp) for _, hyp in pairs])
    assert totals.rate == pytest.approx(100 * words.wer)


def test_speakers_add_up_as_languages_do():
    counts = utterance_errors(transcripts(), characters_of)
    speakers = {cut_id: f"speaker {number % 3}" for number, cut_id in enumerate(counts)}
    groups = group_errors(counts, speakers)
    assert len(groups) == 3 and total_errors(groups.values()) == total_errors(counts.values())


def test_text_comes_back_from_words_but_for_spaces_beside_chinese():
    for text in (
        "今天天气很好",
        "他的T恤是XXL号",
        "東京へ行きました",
        "ภาษาไทย คำ",
        "the cat sat",
        "안녕하세요 여러분",
        "",
    ):
        assert text_of_words(words_in(text)) == text
    assert text_of_words(words_in("买 iphone十五")) == "买iphone十五"
