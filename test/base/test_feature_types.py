"""Feature types are found by name, by path and as views, without torch."""

import subprocess
import sys

import pytest

from icefall_discrete.base.feature_types import FEATURES_DIR, feature_type_name, find_feature_confs


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
