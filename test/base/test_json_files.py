"""JSON files: mistakes are named with their place, and what a user wrote is never to be deleted."""

import pytest

from icefall_discrete.base.json_files import read_json, read_object, write_json


def test_round_trip_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "c.json"
    write_json(path, {"name": "ø", "sizes": [1, 2]})
    assert read_json(path) == {"name": "ø", "sizes": [1, 2]}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_object(path) == {"name": "ø", "sizes": [1, 2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1, column 2: Expecting property name"),
        (
            '{\n  "a": 1,\n}',
            "line 3, column 1: a comma stands before a closing bracket|line 2, column 9: Illegal trailing",
        ),
        ("root:x:0:0", "line 1, column 1: Expecting value"),
        ("[" * 100000, "nested too deeply|line 1"),
        ('{"a": {"b": [1, NaN]}}', r"'a\.b\.1' is nan, expected a finite number"),
        ('{"a": 1e999}', "'a' is inf"),
        ('{"a": 1, "a": 2}', "'a' stands twice in one object, as 1 and as 2"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_and_the_place(tmp_path, text, message):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_json(path)
    assert str(error.value).startswith(str(path)) and "delete" not in str(error.value)


def test_another_encoding_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "c.json").write_bytes('{"a": "ø"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"c\.json is not valid JSON: byte 7 is not UTF-8"):
        read_json(tmp_path / "c.json")
    with pytest.raises(FileNotFoundError, match=r"d\.json does not exist"):
        read_json(tmp_path / "d.json")


@pytest.mark.parametrize(("text", "name"), [("[]", "a list"), ("null", "null"), ("3", "a number"), ('"a"', "text")])
def test_what_is_no_object_is_refused(tmp_path, text, name):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=rf"c\.json holds {name}, expected an object"):
        read_object(tmp_path / "c.json")
