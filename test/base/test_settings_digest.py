"""Digests are of what JSON files say."""

import json

import pytest

from icefall_discrete.base.settings_digest import canonical_json, digests_of, json_digest

VALUE = {"a": 1, "b": {"c": [1.5, "é", None, True], "d": 2}}


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": {"c": [1.5, "é", null, true], "d": 2}}\n',
        '{"b":\n {"d": 2.0, "c": [15e-1, "\\u00e9", null, true]},\r\n "a": 1e0}',
    ],
)
def test_the_same_values_have_the_same_digest(text):
    assert json_digest(json.loads(text)) == json_digest(VALUE)


@pytest.mark.parametrize(
    "other",
    [
        {**VALUE, "a": 2},
        {**VALUE, "a": True},
        {**VALUE, "a": "1"},
        {**VALUE, "e": None},
        {**VALUE, "b": {"c": ["é", 1.5, None, True], "d": 2}},
    ],
)
def test_other_values_have_another_digest(other):
    assert json_digest(other) != json_digest(VALUE)


def test_canonical_json_is_one_line_that_says_the_same():
    assert canonical_json(VALUE) == '{"a": 1, "b": {"c": [1.5, "é", null, true], "d": 2}}'


def write(folder, **values):
    for name, value in values.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


def test_parts_follow_what_is_made_of_them(tmp_path):
    write(tmp_path, pieces={"base": "both"}, both={"views": ["one", "fbank"]}, one={"x": 1})
    found = digests_of([tmp_path / "pieces.json", tmp_path / "one.json"])
    assert [path.stem for path, _ in found] == ["pieces", "both", "one", "fbank"]
    assert dict(found)[tmp_path / "one.json"] == json_digest({"x": 1})


def test_a_part_beside_its_file_comes_before_those_of_other_folders(tmp_path):
    for name, value in (("here", 1), ("there", 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, part={"x": value})
    write(tmp_path / "here", whole={"base": "part"}, joined={"base": "part+fbank"})
    write(tmp_path / "there", last={"x": 3})
    (_, (part, _)) = digests_of([tmp_path / "here" / "whole.json"], [tmp_path / "there"])
    assert part == tmp_path / "here" / "part.json"
    assert [path.stem for path, _ in digests_of([tmp_path / "here" / "joined.json"])] == ["joined", "part", "fbank"]
    write(tmp_path / "here", whole={"base": "last"})
    assert digests_of([tmp_path / "here" / "whole.json"], [tmp_path / "there"])[1][0].parent == tmp_path / "there"


def test_what_cannot_be_found_or_is_made_of_itself_is_named(tmp_path):
    write(tmp_path, whole={"base": "nothing"}, a={"base": "b"}, b={"views": ["fbank", "a"]})
    with pytest.raises(ValueError, match=r"whole\.json: is made of feature type 'nothing'"):
        digests_of([tmp_path / "whole.json"])
    with pytest.raises(ValueError, match=r"a\.json: this feature type is made of itself, by way of .*b\.json"):
        digests_of([tmp_path / "a.json"])
