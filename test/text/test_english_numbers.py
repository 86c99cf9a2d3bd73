import pytest

from icefall_discrete.text.english_numbers import has_unclear_number, spell_numbers

MILLION = "one million two hundred and thirty four thousand five hundred and sixty seven"


@pytest.mark.parametrize(
    "written, spoken",
    [
        ("no number, at all", "no number, at all"),
        ("1,000 volts", "one thousand volts"),
        ("1,234,567", "one million two hundred and thirty four thousand five hundred and sixty seven"),
        ("3.5 amps", "three point five amps"),
        ("0.05 and .25 and 1,000.5", "zero point zero five and point two five and one thousand point five"),
        ("the 2nd one", "the second one"),
        ("the 21st, 3RD and 100th", "the twenty first , third and one hundredth"),
        ("-5 degrees, −3.5", "minus five degrees, minus three point five"),
        ("at 3:30 or 10:05 or 12:00", "at three thirty or ten oh five or twelve o'clock"),
        ("$5, $1 and $3.50", "five dollars , one dollar and three dollars and fifty cents"),
        ("$0.99 or £1.01 or €2 million", "ninety nine cents or one pound and one penny or two million euros"),
        ("$1,000.5 and 5¢", "one thousand point five dollars and five cents"),
        ("50% and 2.5%", "fifty percent and two point five percent"),
        ("1/2, 3/4, 2/3 and 5/8", "one half , three quarters , two thirds and five eighths"),
        ("2 1/2 cups, ½ a cup, 1½ cups", "two and one half cups, one half a cup, one and one half cups"),
        ("24/7", "twenty four seven"),
        (
            "the 1980s, the '90s, the 60's and 2000s",
            "the nineteen eighties , the nineties , the sixties and two thousands",
        ),
        ("1900s", "nineteen hundreds"),
        ("100s of 1000s", "hundreds of thousands"),
        ("No.1, 3:30pm, the 1,000th", "No. one , three thirty pm, the one thousandth"),
        ("20° or 20°C", "twenty degrees or twenty degrees celsius"),
        ("5cm, A4, 4x4", "five cm, A four , four x four"),
        ("5-10", "five - ten"),
        ("room 105.", "room one hundred and five ."),
        ("３ apples, ٤", "three apples, four"),
        ("1.2.3", "one . two . three"),
        ("1,5 and 1,2345", "one , five and one , two thousand three hundred and forty five"),
        ("1000000000000", "one trillion"),
        ("$.50, $.05, £.25, $.5", "fifty cents , five cents , twenty five pence , point five dollars"),
        ("$0.00 and $10.05", "zero dollars and ten dollars and five cents"),
        (
            "£3m, $2.5bn, €10K, 3m",
            "three million pounds , two point five billion dollars , ten thousand euros , three m",
        ),
        ("$.5 million", "point five million dollars"),
        ("5€ or 3.50 £, 10$.", "five euros or three pounds and fifty pence , ten dollars ."),
        ("$5 $6", "five dollars six dollars"),
        ("1 000 volts, $10 000, 1\u202f234\xa0567", "one thousand volts, ten thousand dollars , " + MILLION),
        ("1'000 and 1 050.5", "one thousand and one thousand and fifty point five"),
        ("1 ½ cups, 1-1/2 cups, 1,000 ½", "one and one half cups, one and one half cups, one thousand and one half"),
        ("-½", "minus one half"),
        ("007, 05, 00 and 0", "zero zero seven , zero five , zero zero and zero"),
        ("05:05", "five oh five"),
        ("9/11", "nine eleven"),
        ("2 9/11", "two and nine elevenths"),
    ],
)
def test_numbers_are_said(written, spoken):
    assert " ".join(spell_numbers(written).split()) == spoken


def test_a_number_of_any_length_is_said():
    assert spell_numbers("7" * 5000).split() == ["seven"] * 5000


@pytest.mark.parametrize(
    "written",
    ["on 9/11", "1/2/2014", "the 2012/13 year", "5/4", "1/32", "2 100 people", "100 200 300", "¥5", "m²", "Ⅳ"],
)
def test_a_number_that_may_be_said_in_several_ways_is_told(written):
    assert has_unclear_number(written)


@pytest.mark.parametrize(
    "written",
    ["and/or", "1/2 or 2 9/11", "24/7", "3/4.", "1 000 volts", "10 1000", "1.5 and 3:30", "½", "$5, 5¢", "x₹", "1980s"],
)
def test_a_number_that_is_said_in_one_way_is_clear(written):
    assert not has_unclear_number(written)
