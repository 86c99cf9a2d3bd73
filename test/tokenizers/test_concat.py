"""Frames of several sources side by side, and one codebook over them."""

import json

import pytest
import torch
from toy_tokenizers import Toy, make_tokenizer

from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer, save_tokenizer
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.frames import concat

FBANK = {"kind": "fbank", "num_mel_bins": 20}
MFCC = {"kind": "mfcc"}
JOINT = {"sources": [FBANK, MFCC]}
TOY = Toy(lambda folder: JOINT)


def encode(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


def alone(values):
    settings = dict(values)
    return make_tokenizer(settings.pop("kind"), settings)


@pytest.mark.parametrize("length", [3200, 15999, 16161, 20000])
def test_frames_are_those_of_each_source_at_the_highest_rate(speech, length):
    joint = make_tokenizer("concat", JOINT)
    fast, slow = (encode(alone(values), speech[:length]) for values in (FBANK, MFCC))
    frames = encode(joint, speech[:length])
    assert frames.shape == (min(len(fast), 2 * len(slow)), 20 + 39)
    assert torch.equal(frames[:, :20], fast[: len(frames)])
    assert torch.equal(frames[:, 20:], slow[torch.arange(len(frames)) // 2])
    assert (joint.spec.frame_rate_hz, joint.spec.feature_dim) == (100.0, 59)


def test_one_codebook_hears_every_source(speech, fit_audio, tmp_path):
    """Codes of the joint k-means change when either source does, and both sources' spread counts alike."""
    joint = make_tokenizer("concat_kmeans", {**JOINT, "num_clusters": 12, "fit_memory_mib": 8})
    joint.fit(fit_audio, tmp_path, seed=0)
    assert joint.spec.codebook_sizes == (12,) and joint.codebooks()[0].shape == (12, 59)
    codes = encode(joint, speech)[:, 0]
    assert len(codes.unique()) > 6
    frames = joint.frames(speech)
    for changed in (slice(0, 20), slice(20, 59)):
        noisy = frames.clone()
        noisy[:, changed] = noisy[:, changed].flip(0)
        assert (joint.quantizer.quantize(noisy)[:, 0] != codes).float().mean() > 0.1
    spread = joint.codebooks()[0].std(dim=0)
    assert 0.2 < float(spread[:20].mean() / spread[20:].mean()) < 5.0, "the default does not standardise"


def test_a_codebook_of_the_concatenated_frames_is_that_of_plain_kmeans(speech, fit_audio, tmp_path):
    """Without standardisation, codes are the nearest centroids of the frames side by side."""
    settings = {**JOINT, "num_clusters": 6, "fit_memory_mib": 8, "standardize": False}
    joint = make_tokenizer("concat_kmeans", settings)
    joint.fit(fit_audio, tmp_path, seed=0)
    expected = torch.cdist(encode(make_tokenizer("concat", JOINT), speech).double(), joint.codebooks()[0].double())
    assert torch.equal(encode(joint, speech)[:, 0], expected.argmin(dim=1))


def test_a_change_of_a_source_is_named_and_an_experiment_keeps_all_of_them(speech, fit_audio, tmp_path):
    values = {"tokenizer": "concat_kmeans", **JOINT, "num_clusters": 6, "fit_memory_mib": 8}
    (tmp_path / "joint.json").write_text(json.dumps(values))
    tokenizer = load_tokenizer("joint", [tmp_path], tmp_path / "features")
    tokenizer.fit(fit_audio, tmp_path / "features", seed=0)
    save_tokenizer(tokenizer, tmp_path / "features")
    again = load_experiment_tokenizer(tmp_path / "features", tokenizer.spec)
    assert torch.equal(encode(again, speech), encode(tokenizer, speech))
    (tmp_path / "joint.json").write_text(json.dumps({**values, "sources": [{**FBANK, "num_mel_bins": 40}, MFCC]}))
    with pytest.raises(ValueError, match="fitted with other settings than feature type 'joint' has now"):
        _ = load_tokenizer("joint", [tmp_path], tmp_path / "features").spec
    forty = make_tokenizer("concat", {"sources": [{**FBANK, "num_mel_bins": 40}, MFCC]}).spec
    found = make_tokenizer("concat", JOINT).spec.differences(forty)
    assert found == {"feature_dim": (59, 79), "provenance.sources.0_fbank.num_mel_bins": (20, 40)}


@pytest.mark.parametrize(
    "sources, message",
    [
        ([FBANK], "sources has 1 entries, expected 2 to 32"),
        ([FBANK, {"num_ceps": 13}], "entry 1 of sources is {'num_ceps': 13}, expected an object with the name"),
        ([FBANK, "mfcc"], '"mfcc"], but ConcatSettings expects'),
        (
            [FBANK, {"kind": "mfcs"}],
            "unknown FrameSource 'mfcs'; did you mean mfcc? known: concat, cpc, encoder, fbank, mfcc",
        ),
        ([FBANK, {**MFCC, "num_cep": 13}], "source 'mfcc' of `sources`: unknown setting num_cep"),
    ],
)
def test_mistakes_in_sources_are_one_sentence(sources, message):
    with pytest.raises(ValueError) as caught:
        make_tokenizer("concat", {"sources": sources})
    assert message in str(caught.value)


def test_sources_that_hear_other_audio_are_refused(monkeypatch):
    class Telephone(concat.find_frame_source("mfcc")):
        sample_rate_hz = 8000

    find = concat.find_frame_source
    monkeypatch.setattr(concat, "find_frame_source", lambda name: Telephone if name == "mfcc" else find(name))
    with pytest.raises(ValueError, match="the sources read audio at 16000, 8000 Hz, expected one rate"):
        make_tokenizer("concat", JOINT)


def test_it_moves_only_where_all_sources_can(monkeypatch):
    joint = make_tokenizer("concat", JOINT)
    assert joint.why_not_elsewhere() == "it runs no network of torch"
    moved = []
    for cls in (concat.find_frame_source(name) for name in ("fbank", "mfcc")):
        monkeypatch.setattr(cls, "move", lambda self, placement: moved.append(placement))
        monkeypatch.setattr(cls, "why_not_elsewhere", lambda self: "")
    joint.to("cpu", "bfloat16")
    assert moved == [Placement(torch.device("cpu"), torch.bfloat16)] * 2
