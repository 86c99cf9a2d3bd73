"""Tables in temporary files say what Python's own would."""

import random
import sqlite3

import pytest

from icefall_discrete.base.disk_tables import DiskTable, LinesByName, NumbersByName, folder_of_tables

NAMES = ["b", "a", "z\N{SNOWMAN}", "a!", "A", "\U0001f600", "\uffff", ""]


def test_numbers_are_those_that_were_given_first():
    table, expected = NumbersByName("the list"), {}
    for number, name in enumerate([*NAMES, *NAMES[:3]]):
        assert table.add(name, number / 3) == (name not in expected)
        expected.setdefault(name, number / 3)
    assert dict(table) == expected and list(table) == sorted(expected) and len(table) == len(NAMES)
    assert table.get("other") is None and "other" not in table
    assert table.keys() == set(NAMES) and table.keys() & {"b", "other"} == {"b"}


def test_lines_come_in_the_order_of_their_names_and_then_as_they_came():
    pairs = [(name, f"{name} {number}") for number in range(3) for name in NAMES]
    random.Random(0).shuffle(pairs)
    with LinesByName("the list") as lines:
        for name, line in pairs:
            lines.add(name, line)
        assert list(lines) == [line for _, line in sorted(pairs, key=lambda pair: pair[0])]


def test_where_there_is_no_room_the_sentence_says_for_what_and_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert folder_of_tables() == str(tmp_path)
    with (
        pytest.raises(
            OSError, match=rf"the list cannot be kept in {tmp_path} \(database or disk is full\); free space, or set"
        ),
        DiskTable("the list"),
    ):
        raise sqlite3.OperationalError("database or disk is full")
