"""The nearest known name, and where feature types are found."""

import re
from pathlib import Path

import pytest

from icefall_discrete.base.feature_types import find_feature_conf, find_feature_confs
from icefall_discrete.base.names import did_you_mean, edits_between, names_in, nearest, some_names_in
from icefall_discrete.decoding.methods import find_method, k2_methods, known_methods

ROOT = Path(__file__).resolve().parents[2]


def test_names_by_commas_may_have_blanks_between_them_and_count_once():
    assert (
        names_in(" dev, test ,,dev") == some_names_in("dev,test", "splits") == ["dev", "test"] and names_in(" ") == []
    )
    with pytest.raises(ValueError, match="--splits is ' ,', expected one name or several, by commas"):
        some_names_in(" ,", "splits")


@pytest.mark.parametrize("folder", ["local", "tools", "egs", "icefall_discrete"])
def test_every_flag_of_names_is_read_so(folder):
    scripts = [path for path in (ROOT / folder).rglob("*.py") if "benchmark" not in path.parts]
    assert scripts and not [path.name for path in scripts if re.search(r"args\.\w+\.split\(", path.read_text("utf-8"))]


@pytest.mark.parametrize("a, b, edits", [("", "", 0), ("", "ab", 2), ("abc", "abd", 1), ("ab", "ba", 2), ("x", "x", 0)])
def test_edits(a, b, edits):
    assert edits_between(a, b) == edits_between(b, a) == edits


@pytest.mark.parametrize(
    "name, meant",
    [
        ("stge", ["stage"]),
        ("greedy", ["greedy_search"]),
        ("something-else", []),
        ("fp8", ["fp16"]),
        ("", []),
        ("xx", []),
    ],
)
def test_nearest_is_near(name, meant):
    known = ("stage", "stop-stage", "greedy_search", "fp16", "fp32", "en", "es")
    assert nearest(name, known) == meant
    assert did_you_mean(name, known, "--") == (f"did you mean --{meant[0]}?" if meant else "")


def test_an_unknown_feature_type_names_the_nearest(tmp_path):
    (tmp_path / "own.json").write_text("{}")
    assert find_feature_confs("own+fbank", [tmp_path])[0] == tmp_path / "own.json"
    assert find_feature_confs(str(tmp_path / "own.json")) == [tmp_path / "own.json"]
    with pytest.raises(ValueError, match=r"unknown feature type 'fbnk'; did you mean fbank\? known: .*dmel, "):
        find_feature_confs("own+fbnk", [tmp_path])
    with pytest.raises(FileNotFoundError, match=r"missing\.json does not exist"):
        find_feature_conf("missing.json")


def test_an_unknown_search_names_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown decoding method 'greedy'; did you mean greedy_search\? known: greedy_search, "
    ):
        find_method("greedy")
    assert not set(known_methods()) & set(k2_methods())
