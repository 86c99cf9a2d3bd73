"""Words and scoring rules against hand-made truths."""

import unicodedata

import pytest

from icefall_discrete.base.settings import from_dict
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.text.words import joined_texts, words_in


@pytest.mark.parametrize(
    "text, words",
    [
        ("please  call l'eau\n", ["please", "call", "l'eau"]),
        ("广州市T恤ABC", ["广", "州", "市", "T", "恤", "ABC"]),
        ("买 iphone十五", ["买", "iphone", "十", "五"]),
        ("𠀀", ["𠀀"]),
        ("сообщение ねこ", ["сообщение", "ねこ"]),
        ("ខ្មែរ\u200bភាសា A\u200b B\u200b", ["ខ្មែរ", "ភាសា", "A", "B"]),
        (" ", []),
    ],
)
def test_words_are_divided_by_spaces_and_chinese_characters_are_words(text, words):
    assert words_in(text) == words


def test_default_rules_change_nothing():
    transcript = Transcript("a", ("Well-known", "UH"), ("well", "known"))
    assert ScoringRules().scored(transcript) == transcript


def test_rules_are_applied_in_order_to_both_sides():
    values = {"upper_case": True, "separators": "-_", "unscored_words": ["UH", "<COMMA>"]}
    rules = from_dict(ScoringRules, values, "scoring.json")
    found = rules.scored(Transcript("a", ("Uh", "e-commerce", "<comma>", "uh-huh"), ("uh", "x_y")))
    assert found == Transcript("a", ("E", "COMMERCE", "HUH"), ("X", "Y"))


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match=r"scoring\.json: unknown setting fillers"):
        from_dict(ScoringRules, {"fillers": []}, "scoring.json")


def test_words_are_compared_in_one_normal_form_whatever_the_rules():
    apart, together = (unicodedata.normalize(form, "tiếng việt") for form in ("NFD", "NFC"))
    found = ScoringRules().scored(Transcript("a", tuple(apart.split()), tuple(together.split())))
    assert found.ref == found.hyp == tuple(together.split())


def test_case_does_not_matter_to_fillers_where_it_does_not_matter():
    assert ScoringRules(upper_case=True, unscored_words=("uh",)).words(["Uh", "yes"]) == ("YES",)
    assert ScoringRules(unscored_words=("uh",)).words(["Uh", "uh"]) == ("Uh",)


@pytest.mark.parametrize("word", ["uh-huh", "you know", ""])
def test_fillers_that_are_never_words_are_refused(word):
    with pytest.raises(ValueError, match=f"unscored_words has '{word}', which is never a word"):
        ScoringRules(separators="-", unscored_words=("uh", word))


@pytest.mark.parametrize(
    "parts, whole",
    [
        (["今天", "天气很好。", "真的"], "今天天气很好。真的"),
        (["コーヒー", "を飲む"], "コーヒーを飲む"),
        (["the cat", "", "sat"], "the cat sat"),
        (["我用 iphone", "打电话"], "我用 iphone 打电话"),
        (["สวัสดี", "ครับ"], "สวัสดี ครับ"),
        ([], ""),
    ],
)
def test_segments_are_joined_without_spaces_where_nobody_writes_them(parts, whole):
    assert joined_texts(parts) == whole
