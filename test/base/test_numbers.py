"""What is read as a number, and how hours are written."""

import pytest

from icefall_discrete.base.numbers import hours_text, number_of


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0.0047, "0.005"),
        (0.00051, "0.001"),
        (1 / 3600, "under 0.001"),
        (0.0, "0.000"),
        (0.1, "0.10"),
        (1.392, "1.39"),
        (960.0, "960.00"),
    ],
)
def test_a_few_seconds_are_not_said_to_be_no_hours(hours, text):
    assert hours_text(hours) == text


def test_numbers_are_read_as_anybody_writes_them():
    assert (number_of("-1.5e2"), number_of("nan"), number_of("1_000")) == (-150.0, None, None)
