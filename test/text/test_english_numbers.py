import pytest

from icefall_discrete.text.english_numbers import spell_numbers


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
    ],
)
def test_numbers_are_said(written, spoken):
    assert " ".join(spell_numbers(written).split()) == spoken


def test_a_number_of_any_length_is_said():
    assert spell_numbers("7" * 5000).split() == ["seven"] * 5000
