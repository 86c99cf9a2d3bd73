"""The search for a feature type, and the checks of a tokenizer's output."""

import pytest
import torch

from icefall_discrete.base.feature_types import known_feature_types
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import check_output, pad_outputs

CODES = FeatureSpec("toy", "codes", 16000, 50.0, 2, (4, 6), 0)


def test_unknown_feature_type_lists_the_known_ones(tmp_path):
    (tmp_path / "own_type.json").write_text('{"tokenizer": "fbank"}')
    with pytest.raises(ValueError, match=r"unknown feature type 'fbnk'; .*known: .*dmel.*fbank.*own_type") as caught:
        load_tokenizer("fbnk", [tmp_path])
    assert "own_type" not in known_feature_types()
    assert str(tmp_path) not in str(caught.value)


def test_the_issue_feature_types_are_there():
    assert {"fbank", "mfcc_km500", "fbank_km500", "dmel", "whisper_tiny_km500"} <= set(known_feature_types())


def test_recipe_conf_wins_over_the_package(tmp_path):
    (tmp_path / "fbank.json").write_text('{"tokenizer": "fbank", "num_mel_bins": 40}')
    assert load_tokenizer("fbank", [tmp_path]).spec.feature_dim == 40
    assert load_tokenizer("fbank").spec.feature_dim == 80
    assert load_tokenizer(str(tmp_path / "fbank.json")).spec.feature_dim == 40


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"tokenizer": "fbnk"}', "unknown tokenizer 'fbnk'; .*known: .*concat, concat_kmeans, .*cpc, "),
        ('{"tokenizer": "kmeans"}', "unknown tokenizer 'kmeans'"),
        ('{"num_mel_bins": 80}', "unknown tokenizer None"),
        ('{"tokenizer": "fbank", "num_mels": 80}', "unknown setting num_mels"),
        ('{"tokenizer": "fbank", "num_mel_bins": "80"}', "num_mel_bins"),
        ('{"tokenizer": ', "not valid JSON"),
    ],
)
def test_mistakes_in_a_feature_conf_name_the_file(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(str(path))
    assert "mine.json" in str(caught.value)


def test_missing_feature_conf_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.json does not exist"):
        load_tokenizer(str(tmp_path / "absent.json"))


@pytest.mark.parametrize(
    "output, message",
    [
        (torch.full((50, 2), 4), "ids from 4 to 4"),
        (torch.full((50, 2), -1), "ids from -1"),
        (torch.zeros(50, 1, dtype=torch.int64), r"promises \(T, 2\)"),
        (torch.zeros(50, 2), "float32, but"),
        (torch.zeros(46, 2, dtype=torch.int64), "46 frames for 1.000 s"),
        (torch.zeros(54, 2, dtype=torch.int64), "54 frames for 1.000 s"),
    ],
)
def test_output_that_breaks_the_promise_is_refused(output, message):
    with pytest.raises(RuntimeError, match=message):
        check_output(output, CODES, 16000, "cut a")


def test_codes_are_padded_with_the_pad_id_of_each_codebook():
    padded, lens = pad_outputs([torch.zeros(1, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64)], CODES)
    assert padded.tolist() == [[[0, 0], [4, 6], [4, 6]], [[1, 1], [1, 1], [1, 1]]]
    assert lens.tolist() == [1, 3]
