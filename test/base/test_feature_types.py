"""Feature types are found by name, by path and as views, and say what differs from others, without torch."""

import json
import subprocess
import sys

import pytest

from icefall_discrete.base.feature_types import (
    FEATURES_DIR,
    feature_type_name,
    find_feature_confs,
    read_feature_settings,
)
from icefall_discrete.base.settings_digest import digests_of, json_digest


def test_views_are_found_each_by_itself(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "fbank.json").write_text("{}")
    asked = f"{tmp_path / 'mine.json'}+mfcc_km500+fbank"
    expected = [tmp_path / "mine.json", FEATURES_DIR / "mfcc_km500.json", tmp_path / "fbank.json"]
    assert find_feature_confs(asked, [tmp_path]) == expected
    assert feature_type_name(asked, [tmp_path]) == "mine+mfcc_km500+fbank"
    assert feature_type_name("fbank") == "fbank"


def test_a_file_named_like_views_comes_first(tmp_path):
    (tmp_path / "fbank+dmel.json").write_text("{}")
    assert find_feature_confs("fbank+dmel", [tmp_path]) == [tmp_path / "fbank+dmel.json"]


def test_an_unknown_view_is_named():
    with pytest.raises(ValueError, match=r"unknown feature type 'fbnk'; .*known: .*fbank"):
        find_feature_confs("fbank+fbnk")
    with pytest.raises(FileNotFoundError, match=r"absent\.json does not exist"):
        find_feature_confs("fbank+absent.json")


def test_no_torch_is_imported():
    code = "import sys, icefall_discrete.base.feature_types; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_view_twice_is_refused():
    with pytest.raises(ValueError, match=r"'dmel\+fbank\+dmel' names the view 'dmel' twice"):
        find_feature_confs("dmel+fbank+dmel")


def test_what_differs_from_another_one_is_enough(tmp_path):
    whole = {"tokenizer": "t", "num_codebooks": 4, "teacher": {"kind": "a", "layer": 5}, "steps": 7}
    (tmp_path / "below.json").write_text(json.dumps(whole))
    own = {"based_on": "below", "num_codebooks": 1, "teacher": {"layer": 6}}
    path = tmp_path / "above.json"
    path.write_text(json.dumps(own))
    said = {**whole, "num_codebooks": 1, "teacher": {"kind": "a", "layer": 6}}
    assert read_feature_settings(path) == said
    (tmp_path / "far").mkdir()
    far = tmp_path / "far" / "far.json"
    far.write_text(json.dumps({"based_on": "below", "steps": 8}))
    assert read_feature_settings(far, [tmp_path]) == {**whole, "steps": 8}
    assert dict(digests_of([path]))[path] == json_digest(said), "written out it is the same"
    digest = digests_of([path])
    (tmp_path / "below.json").write_text(json.dumps({**whole, "steps": 8}))
    assert digests_of([path]) != digest


def test_what_it_is_based_on_must_be_there_and_another(tmp_path):
    path = tmp_path / "own.json"
    for base, sentence in (
        ("fbnk", r"own.json: based_on is 'fbnk'; did you mean fbank\? known: .*, or a file"),
        ("own", r"own.json is based on itself; correct based_on in .*own.json"),
        (5, "based_on is 5; known: "),
    ):
        path.write_text(json.dumps({"based_on": base}))
        with pytest.raises(ValueError, match=sentence):
            read_feature_settings(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected an object with a 'tokenizer' and its settings"):
        read_feature_settings(path)
