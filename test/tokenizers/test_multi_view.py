"""Streams of several views: alignment, rates of frames and of audio, state, provenance, and the model they feed."""

import json
import math
import shutil

import pytest
import torch
from toy_codecs import soundstream
from toy_settings import changed
from toy_tokenizers import Toy
from toy_views import TINY_MODEL, fitted, paths_of, write_confs

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.experiment.transcription_files import (
    keep_for_transcription,
    load_experiment_tokenizer,
    save_tokenizer,
)
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.tokenizers import load_tokenizer, read_feature_conf
from icefall_discrete.tokenizers.multi_view import resampled

TOY = Toy(lambda folder: {"views": paths_of(folder / "conf", "slow", "fast")})


@pytest.fixture(scope="module")
def folder(tmp_path_factory, fit_audio):
    """A folder with the conf dir and the state of `slow+fast`."""
    folder = tmp_path_factory.mktemp("views")
    fitted("slow+fast", folder, fit_audio)
    return folder


@pytest.fixture
def views(folder):
    return load_tokenizer("slow+fast", [folder / "conf"], folder / "state")


def encode(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


@pytest.mark.parametrize("length", [3200, 15999, 16161, 20000])
def test_each_stream_is_its_view_repeated_to_the_highest_rate(views, speech, length):
    slow, fast = (encode(view, speech[:length]) for view in views.parts)
    codes = encode(views, speech[:length])
    assert len(codes) == min(2 * len(slow), len(fast)) and codes.shape[1] == 2
    assert torch.equal(codes[:, 0], slow[torch.arange(len(codes)) // 2, 0])
    assert torch.equal(codes[:, 1], fast[: len(codes), 0])


def test_a_rational_ratio_takes_the_nearest_frame_before(folder, fit_audio, speech, tmp_path):
    conf = write_confs(tmp_path / "conf")
    values = json.loads((conf / "slow.json").read_text())
    (conf / "sixty.json").write_text(json.dumps({**values, "frame_shift_sec": 0.016}))
    views = load_tokenizer("sixty+fast", [conf])
    views.fit(fit_audio, tmp_path / "state", seed=1)
    slow = encode(views.parts[0], speech)
    codes = encode(views, speech)
    assert views.spec.frame_rate_hz == 100.0
    assert codes[:, 0].tolist() == [int(slow[math.floor(j * 62.5 / 100), 0]) for j in range(len(codes))]


def test_spec_lists_the_views_in_their_order_and_nests_their_provenance(views, folder):
    spec = views.spec
    assert (spec.name, spec.frame_rate_hz, spec.codebook_sizes) == ("slow+fast", 100.0, (8, 6))
    assert spec.bits_per_second == pytest.approx(100 * (3 + math.log2(6)))
    for view in views.parts:
        assert spec.provenance["views"][view.name]["provenance"] == view.spec.provenance
    assert [list(book.shape) for book in views.codebooks()] == [[8, 20], [6, 39]]
    backwards = load_tokenizer("fast+slow", [folder / "conf"], folder / "state")
    assert {"codebook_sizes", "name", "provenance.order"} == set(spec.differences(backwards.spec))


def test_a_swapped_view_is_named_in_the_difference(views, folder, fit_audio, tmp_path):
    shutil.copytree(folder / "state", tmp_path / "state")
    other = load_tokenizer("fast", [folder / "conf"])
    other.fit(fit_audio[:5], tmp_path / "state" / "fast", seed=2)
    swapped = load_tokenizer("slow+fast", [folder / "conf"], tmp_path / "state")
    assert list(views.spec.differences(swapped.spec)) == ["provenance.views.fast.provenance.kmeans_sha256"]


def test_a_state_from_elsewhere_is_used_and_only_what_is_missing_is_fitted(folder, fit_audio, tmp_path):
    shutil.copytree(folder / "state" / "slow", tmp_path / "slow")
    before = (tmp_path / "slow" / "kmeans.safetensors").stat().st_mtime_ns
    views = load_tokenizer("slow+fast", [folder / "conf"], tmp_path)
    assert views.needs_fit and not views.is_fitted
    with pytest.raises(RuntimeError, match=r"'slow\+fast' is not fitted \(its part 'fast' has no state in .*stage 2"):
        encode(views, fit_audio[0][0])
    views.fit(fit_audio, tmp_path, seed=1)
    assert views.is_fitted and (tmp_path / "slow" / "kmeans.safetensors").stat().st_mtime_ns == before
    for name in ("slow", "fast"):  # the same audio, seed and settings
        path = f"{name}/kmeans.safetensors"
        assert (tmp_path / path).read_bytes() == (folder / "state" / path).read_bytes()


def test_a_view_of_another_sample_rate_hears_resampled_audio(fit_audio, speech, tmp_path):
    conf = write_confs(tmp_path / "conf")
    codec = {"tokenizer": "soundstream", **soundstream(tmp_path), "codec_rate_hz": 24000}
    (conf / "codec.json").write_text(json.dumps(codec))
    views = load_tokenizer("slow+codec", [conf])
    slow, codec = views.parts
    assert views.sample_rate_hz == 24000 and views.min_samples == max(math.ceil(slow.min_samples * 1.5), 320)
    views.fit([(resampled(samples, 16000, 24000), name) for samples, name in fit_audio], tmp_path / "state", seed=1)
    spec = views.spec
    assert (spec.sample_rate_hz, spec.frame_rate_hz, spec.codebook_sizes) == (24000, 75.0, (8, 32, 32, 32, 32))
    heard = resampled(speech, 16000, 24000)
    for length in (views.min_samples, 24001, len(heard)):
        codes, expected = encode(views, heard[:length]), encode(codec, heard[:length])
        low = encode(slow, resampled(heard[:length], 24000, 16000))
        assert torch.equal(codes[:, 1:], expected[: len(codes)]) and len(expected) - len(codes) <= 2
        assert torch.equal(codes[:, 0], low[torch.arange(len(codes)) * 2 // 3, 0])


@pytest.mark.parametrize(
    "feature_type, message",
    [
        ("slow+nope", "unknown feature type 'nope'; known: .*slow"),
        ("slow+slow", r"'slow\+slow' names the view 'slow' twice"),
        ("slow+", "unknown feature type ''"),
        ("slow+units", "names 'units', which is made of other feature types itself"),
        ("one", "'one' has 1 views, expected at least 2"),
        ("slow+continuous", "needs codes, but 'continuous' gives continuous features"),
    ],
)
def test_mistakes_name_the_view(folder, fit_audio, tmp_path, feature_type, message):
    conf = write_confs(tmp_path / "conf")
    (conf / "one.json").write_text('{"tokenizer": "multi_view", "views": ["slow"]}')
    with pytest.raises(ValueError, match=message):
        load_tokenizer(feature_type, [conf]).fit(fit_audio, tmp_path / "state", seed=0)


def test_short_form_file_and_paths_are_one_feature_type(folder, views, tmp_path):
    conf = folder / "conf"
    by_path = read_feature_conf(f"{conf / 'slow.json'}+fast", [conf])
    assert by_path.name == "slow+fast"
    (tmp_path / "mine.json").write_text('{"tokenizer": "multi_view", "views": ["slow", "fast"]}')
    named = load_tokenizer(str(tmp_path / "mine.json"), [conf], folder / "state")
    assert set(named.spec.differences(views.spec)) == {"name"}
    for beside in ("slow", "fast"):  # beside the file that names them, they are found without a conf dir
        shutil.copy(conf / f"{beside}.json", tmp_path)
    assert load_tokenizer(tmp_path / "mine.json", (), folder / "state").spec == named.spec


def test_decoding_is_refused(views):
    with pytest.raises(ValueError, match=r"slow\+fast cannot be decoded as a whole"):
        views.decode(torch.zeros(1, 3, 2, dtype=torch.int64), torch.tensor([3]))


def test_the_tokenizer_travels_to_transcription(views, folder, tmp_path, speech):
    save_tokenizer(views, tmp_path / "features")
    (tmp_path / "recipe.json").write_text("{}")
    keep_for_transcription(tmp_path / "exp", tmp_path / "features", tmp_path / "recipe.json")
    shutil.rmtree(tmp_path / "features")
    here = load_experiment_tokenizer(tmp_path / "exp", views.spec)
    assert torch.equal(encode(here, speech), encode(views, speech))
    (tmp_path / "exp" / "tokenizer" / "fast" / "kmeans.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no fast/kmeans\.safetensors, the state of tokenizer"):
        load_experiment_tokenizer(tmp_path / "exp", views.spec)


@pytest.mark.parametrize("combination", ["concat", "sum", "weighted_sum"])
def test_a_model_trains_on_the_streams(views, speech, combination):
    codes, lens = views.encode(speech[None].repeat(2, 1), torch.tensor([len(speech), 12000]))
    torch.manual_seed(0)
    config = changed(TINY_MODEL, embedding_init="auto", codebook_combination=combination)
    model = build_transducer(config, views.spec, 20, AugmentConfig(), views.codebooks()).train()
    encoded = model.encode(codes, lens)
    assert encoded.lens.tolist() == sorted(encoded.lens.tolist(), reverse=True) and encoded.lens[1] > 0
    log_probs = model.ctc_output(encoded.encoder_out).log_softmax(dim=-1).transpose(0, 1)
    loss = torch.nn.functional.ctc_loss(log_probs, torch.tensor([[3, 4], [5, 6]]), encoded.lens, torch.tensor([2, 2]))
    loss.backward()
    embedding = model.input_embedding
    grads = {name: value.grad.abs().sum() for name, value in embedding.named_parameters()}
    assert all(grad > 0 for grad in grads.values())
    assert ("codebook_weights" in grads) == (combination == "weighted_sum")
    assert embedding.table.grad[:8].abs().sum() > 0 and embedding.table.grad[8:14].abs().sum() > 0


def test_spec_is_read_back(views, tmp_path):
    views.spec.write(tmp_path / "spec.json")
    assert FeatureSpec.read(tmp_path / "spec.json") == views.spec
