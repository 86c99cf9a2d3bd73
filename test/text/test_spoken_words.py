"""One word stays one, letters stay what they are, case is that of the language, digits are told."""

import unicodedata

import pytest

from icefall_discrete.text.spoken_words import has_digits, spoken_words

CASES = [
    # Catalan, Occitan: the point belongs to the word, however it is typed; elsewhere a point divides.
    ("ca", "La col·lecció és excel•lent.", "la col·lecció és excel·lent"),
    ("ca", "coŀlecció COL·LECCIÓ", "col·lecció col·lecció"),
    ("oc", "an·hèr", "an·hèr"),
    ("zh-CN", "约翰·史密斯,你好", "约翰 史密斯 你好"),
    # Joiners change letters of Sinhala, Persian, Hindi; Latin has none.
    ("si", "ශ්\u200dරී ලංකාව", "ශ්\u200dරී ලංකාව"),
    ("fa", "می\u200cخواهم کتاب\u200cها\u200c.", "می\u200cخواهم کتاب\u200cها"),
    ("hi", "क्\u200dष नमस्ते।", "क्\u200dष नमस्ते"),
    ("mn", "ᠬᠠᠷ\u180eᠠ", "ᠬᠠᠷ\u180eᠠ"),
    ("de", "Auf\u200clage Schiff\u00adfahrt", "auflage schifffahrt"),
    ("", "soft\u00adhyphen \u2060word\u2060joiner\ufeff", "softhyphen wordjoiner"),
    ("ar", "\u200fكـــتاب\u200e كُتُب", "كتاب كُتُب"),
    ("ar", "ﻛﺘﺎﺏ", "كتاب"),
    ("km", "ខ្មែរ\u200bភាសា", "ខ្មែរ ភាសា"),
    # Hebrew: geresh and gershayim, as they are and as they are typed; quotation marks are others.
    ("he", "צה״ל ג׳ירפה, רח׳ הרצל", "צה״ל ג׳ירפה רח׳ הרצל"),
    ("he", 'צה"ל ג\'ירפה מנכ"לית', "צה״ל ג'ירפה מנכ״לית"),
    ("he", 'הוא אמר "שלום" ל"הארץ"', "הוא אמר שלום ל הארץ"),
    ("he", "שָׁלוֹם", "שָׁלוֹם"),
    # Case of the language.
    ("tr", "İSTANBUL ISPARTA Iğdır", "istanbul ısparta ığdır"),
    ("az", "İlham XALQI", "ilham xalqı"),
    ("en", "ISTANBUL", "istanbul"),
    ("lt", "Ì Í", "i\u0307\u0300 i\u0307\u0301"),
    ("el", "Ο ΟΔΥΣΣΕΥΣ, ΛΌΓΟΣ.", "ο οδυσσευς λόγος"),
    ("de", "STRASSE Straße GROẞ", "strasse straße groß"),
    ("ka", "ᲥᲐᲠᲗᲣᲚᲘ", "ქართული"),
    # Apostrophes.
    ("uz", "Toshkent, o‘zbek bog‘, tog’ bilan.", "toshkent o'zbek bog' tog' bilan"),
    ("", "bog‘ bilan", "bog' bilan"),
    ("de", "‚Hallo‘ sagte er", "hallo sagte er"),
    ("en", "‘Hello’ don’t ‘stop’ 'now'", "hello don't stop now"),
    ("uk", "м'ята мʼята м’ята п‘ять", "м'ята м'ята м'ята п'ять"),
    ("haw", "ʻŌlelo Hawaiʻi ‘āina", "ʻōlelo hawaiʻi ʻāina"),
    ("br", "Ar c‘hazh c’hoazh", "ar c'hazh c'hoazh"),
    ("hy-AM", "Ինչո՞ւ, այո՛։", "ինչու այո"),
    ("cy", 'Mae’n "oer" i\'r gath – ŵyl', "mae'n oer i'r gath ŵyl"),
    ("ga-IE", "Tá an t‐uisce; d’ól sé, B’FHÉIDIR", "tá an t uisce d'ól sé b'fhéidir"),
    ("mt", "Ta' Malta sa’ hemm, “tista'”.", "ta' malta sa' hemm tista'"),
    ("mt", "'Il hinn ta' x'jista'? L-art t’Alla", "il hinn ta' x'jista' l art t'alla"),
    ("mt", "Qal 'iva' lil missieru", "qal iva lil missieru"),
    ("kek", "Li b'e' us, aa’ink aj k'anjel chaab'ilb'", "li b'e' us aa'ink aj k'anjel chaab'ilb'"),
    ("quc", "Utz, ja' ri K’iche’.", "utz ja' ri k'iche'"),
    ("yua", "Ma' jach jats'uts le naj ka'", "ma' jach jats'uts le naj ka'"),
    ("so", "Lo' iyo go’.", "lo' iyo go'"),
    ("nv", "Bilagáana bizaad yáłti’, dilkǫ́ǫ́’", "bilagáana bizaad yáłti' dilkǫ́ǫ́'"),
    ("vep", "Vepsän kel' om", "vepsän kel' om"),
    ("ha", "’Yan makaranta da 'ya'ya", "'yan makaranta da 'ya'ya"),
    ("rap", "Te 'arero", "te ʻarero"),
    ("en", "dogs' bones", "dogs bones"),
    ("it", "un po' di", "un po di"),
    # Words and letters that Unicode has among signs.
    ("my", "ဤစာအုပ်၌ သူ၏ ၎င်း ၍ ၊။", "ဤစာအုပ်၌ သူ၏ ၎င်း ၍"),
    ("sd", "هو ۽ هوءَ گهر ۾ آهن", "هو ۽ هوءَ گهر ۾ آهن"),
    ("", "ba꞉n", "ba꞉n"),
    ("naq", "!Gâi tsē! //Î ǂnū/khai", "ǃgâi tsē ǁî ǂnūǀkhai"),
    ("mn", "ᠬᠠ᠊ᠷ", "ᠬᠠᠷ"),
    # Marks, widths, normal form.
    ("th", "สวัสดีครับ ภาษาไทย", "สวัสดีครับ ภาษาไทย"),
    ("ja", "Ｔシャツ、ｶﾞｲﾄﾞ！コーヒー。", "tシャツ ガイド コーヒー"),
    ("vi", unicodedata.normalize("NFD", "Tiếng Việt"), "tiếng việt"),
    ("zh-TW", "二〇二四年", "二〇二四年"),
    ("fi", "EU:n jäsen: niin", "eu:n jäsen niin"),
    ("", "I ❤\ufe0f it: ☕ ️ ok", "i it ok"),
    ("", "… – ' ’ !", ""),
]


@pytest.mark.parametrize("language, written, spoken", CASES)
def test_words(language, written, spoken):
    assert spoken_words(written, language) == unicodedata.normalize("NFC", spoken)
    assert not has_digits(written)


@pytest.mark.parametrize("language, written, spoken", CASES)
def test_words_of_words_are_the_same(language, written, spoken):
    said = spoken_words(written, language)
    if "‘" not in written:  # without the language a final apostrophe is taken for a quotation mark
        assert spoken_words(said, language) == said


@pytest.mark.parametrize("written", ["ym 1984 roedd", "४ बजे", "٣ كتب", "ｍ² ２", "½ cup", "Ⅳ. Kapitel", "๑ คน"])
def test_digits_of_all_scripts_are_told(written):
    assert has_digits(written)
