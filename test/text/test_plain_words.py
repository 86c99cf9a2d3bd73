"""Plain words against hand-written truths; more of them stand with the recipes that use them."""

import pytest

pytest.importorskip("num2words")

from icefall_discrete.text.plain_words import plain_words


@pytest.mark.parametrize(
    "language, written, words",
    [
        ("cs", "To je vrak letadla LC-10 Lemura.", "to je vrak letadla lc deset lemura"),
        ("cs", "Adresář C:\\WINDOWS – „ahoj“!", "adresář c windows ahoj"),
        ("nl", "Zo'n 12 inch schermpje, m’n beste…", "zo'n twaalf inch schermpje m'n beste"),
        ("nl", "gee\u0308rfd", "geërfd"),
        ("en", "press 21 (twice)", "press twenty one twice"),
        ("en", "press ½ or ٣", ""),
        ("en", " ...", ""),
        *(("cs", f"ahoj {'9' * digits}", "") for digits in (400, 5000)),
        ("en", f"press {'9' * 400}", ""),
    ],
)
def test_what_is_said(language, written, words):
    assert plain_words(written, language) == words


def test_a_language_whose_numbers_nobody_knows_is_named():
    assert plain_words("按键", "zh-cn") == "按键"
    with pytest.raises(ValueError, match="num2words has no cardinal numbers in the language 'zh-cn'"):
        plain_words("按 2 键", "zh-cn")
