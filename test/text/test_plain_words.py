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
    ],
)
def test_what_is_said(language, written, words):
    assert plain_words(written, language) == words
