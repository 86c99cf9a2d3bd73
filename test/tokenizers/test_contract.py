"""Every tokenizer, found by listing, against the contract of contract.py."""

import pytest
import torch
from toy_tokenizers import find_toy, make_toy

from icefall_discrete.base.feature_types import known_feature_types
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers import load_tokenizer, tokenizer_names
from icefall_discrete.tokenizers.contract import AudioRejected


@pytest.fixture(scope="module", params=tokenizer_names())
def tokenizer(request, tmp_path_factory, fit_audio):
    """The toy of each tokenizer, fitted."""
    try:
        return make_toy(request.param, tmp_path_factory.mktemp(request.param), fit_audio)
    except ImportError as error:
        pytest.skip(f"an installed library lacks what {request.param} needs ({error})")


def pieces(tokenizer, speech):
    """Utterances of many lengths: the shortest, odd ones, and the whole prompt."""
    shortest = tokenizer.min_samples
    lengths = (shortest, max(shortest, 1600), 4801, 12345, 15999, 16000, len(speech))
    return [speech[start : start + length] for start, length in zip((0, 11, 7000, 5, 301, 8000, 0), lengths)]


def encode_alone(tokenizer, samples):
    output, lens = tokenizer.encode(samples[None], torch.tensor([len(samples)]))
    assert lens.tolist() == [output.shape[1]]
    return output[0]


def test_padded_batch_equals_single_bit_for_bit(tokenizer, speech):
    utterances = pieces(tokenizer, speech)
    # NaN as padding: whatever lies behind an utterance must not be looked at.
    audio = torch.full((len(utterances), len(speech) + 333), float("nan"))
    for row, samples in enumerate(utterances):
        audio[row, : len(samples)] = samples
    num_samples = torch.tensor([len(samples) for samples in utterances])
    output, lens = tokenizer.encode(audio, num_samples)
    spec = tokenizer.spec
    fill = torch.tensor(spec.pad_ids) if spec.kind == "codes" else torch.zeros(spec.feature_dim)
    for row, samples in enumerate(utterances):
        assert torch.equal(output[row, : lens[row]], encode_alone(tokenizer, samples))
        assert (output[row, lens[row] :] == fill).all()
    backwards, _ = tokenizer.encode(audio.flip(0), num_samples.flip(0))
    assert torch.equal(backwards.flip(0), output)


def test_output_keeps_the_promise_of_the_spec(tokenizer, speech):
    spec = tokenizer.spec
    output = encode_alone(tokenizer, speech)
    if spec.kind == "codes":
        assert output.dtype == torch.int64 and output.shape[1] == spec.num_codebooks
        assert (output >= 0).all() and (output < torch.tensor(spec.codebook_sizes)).all()
        assert len(output.unique()) > 1
    else:
        assert output.dtype == torch.float32 and output.shape[1] == spec.feature_dim
        assert output.std() > 0
    assert tokenizer.sample_rate_hz == spec.sample_rate_hz
    assert spec.provenance["tokenizer"] == tokenizer.tokenizer_name in tokenizer_names()
    assert spec.made_with


def test_codebooks_fit_the_spec(tokenizer):
    codebooks = tokenizer.codebooks()
    if codebooks is not None:
        assert [len(codebook) for codebook in codebooks] == list(tokenizer.spec.codebook_sizes)
        assert all(codebook.dtype == torch.float32 and codebook.dim() == 2 for codebook in codebooks)


def test_spec_survives_its_file(tokenizer, tmp_path):
    tokenizer.spec.write(tmp_path / "spec.json")
    FeatureSpec.read(tmp_path / "spec.json").require_same(tokenizer.spec, "the file", "the tokenizer")


def test_frame_counts_around_hop_boundaries(tokenizer, speech):
    spec = tokenizer.spec
    hop = spec.sample_rate_hz / (spec.max_frame_rate_hz or spec.frame_rate_hz)
    edge = round(20 * hop)
    lengths = [edge + offset for offset in (-1, 0, 1)] + [edge + round(hop * part) for part in (-0.5, 0.25, 0.5, 0.75)]
    audio = speech.repeat(1 + (edge + round(hop)) // len(speech))
    lengths = sorted([*lengths, edge + round(hop / 2) - 1, edge + round(hop) - 1, edge + round(hop), len(audio)])
    counts = [len(encode_alone(tokenizer, audio[:length])) for length in lengths]
    assert len(lengths) == 11
    if spec.has_variable_rate:
        assert all(0 < count <= length / hop + 1 for count, length in zip(counts, lengths))
        return
    assert counts == sorted(counts)
    edge_frames = find_toy(tokenizer.tokenizer_name).edge_frames
    assert all(abs(count - length / hop) <= edge_frames for count, length in zip(counts, lengths))


def test_digital_silence_is_encoded(tokenizer):
    assert len(encode_alone(tokenizer, torch.zeros(8000))) > 0


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda audio: audio[:, :0], "empty"),
        (lambda audio: audio[:, :100], "too_short"),
        (lambda audio: audio.index_fill(1, torch.tensor([500]), float("nan")), "non_finite"),
        (lambda audio: audio.index_fill(1, torch.tensor([500]), float("inf")), "non_finite"),
        (lambda audio: audio * 32768, "out_of_range"),
    ],
)
def test_audio_that_cannot_be_encoded_is_named(tokenizer, speech, spoil, reason):
    good, bad = speech[None], spoil(speech[None])
    audio = torch.zeros(2, len(speech))
    audio[0] = good
    audio[1, : bad.shape[1]] = bad
    with pytest.raises(AudioRejected, match="cut b: ") as caught:
        tokenizer.encode(audio, torch.tensor([len(speech), bad.shape[1]]), ["cut a", "cut b"])
    assert (caught.value.reason, caught.value.row) == (reason, 1)


def test_loud_float_audio_is_read_with_a_warning(tokenizer, speech, caplog):
    loud = speech * (2.8 / float(speech.abs().max()))
    for number in range(5):
        _, lens = tokenizer.encode(loud[None], torch.tensor([len(loud)]), [f"cut {number}"])
        assert int(lens[0]) > 0
    said = [record.getMessage() for record in caplog.records if "the audio reaches" in record.getMessage()]
    assert [text.split(":")[0] for text in said] == ["cut 0", "cut 1", "cut 2"] and "reaches 2.8," in said[0]


def test_batches_of_the_wrong_type_are_refused(tokenizer, speech):
    num_samples = torch.tensor([len(speech)])
    with pytest.raises(ValueError, match="float64"):
        tokenizer.encode(speech[None].double(), num_samples)
    with pytest.raises(ValueError, match=r"expected \(N, S\)"):
        tokenizer.encode(speech, num_samples)
    with pytest.raises(ValueError, match="the padded length"):
        tokenizer.encode(speech[None], num_samples + 1)
    with pytest.raises(ValueError, match="num_samples is"):
        tokenizer.encode(speech[None], torch.tensor([1.0]))


def test_an_unfitted_tokenizer_names_the_stage(tokenizer, tmp_path, speech, fit_audio):
    if not tokenizer.needs_fit:
        with pytest.raises(ValueError, match="needs no fitting"):
            tokenizer.fit(fit_audio, tmp_path, seed=0)
        return
    for folder in (None, tmp_path):
        unfitted = type(tokenizer)("toy", tokenizer.config, folder)
        assert not unfitted.is_fitted
        with pytest.raises(RuntimeError, match=r"'toy' is not fitted .* run stage 2"):
            unfitted.encode(speech[None], torch.tensor([len(speech)]))


@pytest.mark.parametrize("feature_type", known_feature_types())
def test_every_feature_type_of_the_package_loads(feature_type):
    tokenizer = load_tokenizer(feature_type)
    assert tokenizer.name == feature_type
    assert tokenizer.is_fitted != tokenizer.needs_fit
