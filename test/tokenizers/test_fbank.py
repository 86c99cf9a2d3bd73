"""Filter banks against independent implementations, and their frame counts."""

import kaldi_native_fbank
import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.audio.kaldi_features import has_kaldifeat, make_device_fbank, make_fbank, reflected
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.frames import fbank

TOY = Toy(lambda folder: {})


def kaldi_fbank(samples, snip_edges=False, shift_ms=10):
    """The same features from kaldi-native-fbank."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = snip_edges
    options.frame_opts.frame_shift_ms = shift_ms
    options.mel_opts.num_bins = 80
    options.mel_opts.high_freq = -400
    extractor = kaldi_native_fbank.OnlineFbank(options)
    extractor.accept_waveform(16000, samples.tolist())
    extractor.input_finished()
    return torch.stack([torch.from_numpy(extractor.get_frame(i)) for i in range(extractor.num_frames_ready)])


def test_equals_kaldi(speech):
    ours, _ = load_tokenizer("fbank").encode(speech[None], torch.tensor([len(speech)]))
    reference = kaldi_fbank(speech)
    assert ours.shape == (1, *reference.shape)
    # Edges differ: Kaldi reflects the signal there in another way.
    assert (ours[0] - reference)[2:-2].abs().max() < 2e-3


@pytest.mark.parametrize(
    "num_samples, num_frames",
    [(400, 3), (479, 3), (480, 3), (559, 3), (560, 4), (561, 4), (640, 4), (719, 4), (720, 5), (1519, 9), (1520, 10)],
)
def test_frame_counts_round_half_up(speech, num_samples, num_frames):
    assert load_tokenizer("fbank").encode(speech[None, :num_samples], torch.tensor([num_samples]))[1] == num_frames


def test_spec():
    spec = load_tokenizer("fbank").spec
    assert (spec.kind, spec.frame_rate_hz, spec.feature_dim) == ("continuous", 100.0, 80)
    assert spec.bits_per_second == 256000  # arXiv 2309.07377, Table 1
    assert spec.provenance["frame_shift_sec"] == 0.01


@pytest.mark.parametrize("num_samples", [400, 479, 480, 719, 720, 16000, 16161])
@pytest.mark.parametrize("shift", [160, 320])
def test_kaldi_on_reflected_samples_gives_the_same_frames_to_the_edges(speech, num_samples, shift):
    """What is handed to kaldifeat, in kaldi-native-fbank: no frame differs, neither in number nor in value."""
    ours = make_fbank(16000, shift / 16000, 80).extract(speech[:num_samples], 16000)
    reference = kaldi_fbank(reflected(speech[:num_samples], 400, shift), snip_edges=True, shift_ms=shift / 16)
    assert ours.shape == reference.shape
    assert (ours - reference).abs().max() < 2e-3


@pytest.mark.skipif(not has_kaldifeat(), reason="kaldifeat cannot be imported here")
@pytest.mark.parametrize("num_samples", [400, 480, 719, 16161])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_kaldifeat_gives_the_frames_of_kaldi_native_fbank_and_ours(speech, num_samples, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    samples = speech[:num_samples]
    found = make_device_fbank(16000, 0.01, 80, torch.device(device))(samples)
    assert found.device.type == device
    torch.testing.assert_close(found.cpu(), make_fbank(16000, 0.01, 80).extract(samples, 16000), atol=2e-3, rtol=1e-4)
    reference = kaldi_fbank(reflected(samples, 400, 160), snip_edges=True)
    torch.testing.assert_close(found.cpu(), reference, atol=2e-3, rtol=1e-4)


def test_a_device_asks_kaldifeat_and_the_cpu_never(speech, monkeypatch):
    asked = []

    def stand_in(sample_rate_hz, frame_shift_sec, num_mel_bins, device):
        asked.append((sample_rate_hz, frame_shift_sec, num_mel_bins, device))
        return lambda samples: torch.zeros(3, num_mel_bins)

    monkeypatch.setattr(fbank, "make_device_fbank", stand_in)
    monkeypatch.setattr(fbank, "has_kaldifeat", lambda: True)
    source = fbank.FbankFrames(fbank.FbankSettings())
    before = source.frames(speech)
    assert source.why_not_elsewhere() == ""
    source.move(Placement(torch.device("cuda", 1)))
    assert asked == [(16000, 0.01, 80, torch.device("cuda", 1))]
    assert source.frames(speech).shape == (3, 80)
    source.move(Placement())
    assert torch.equal(source.frames(speech), before) and len(asked) == 1
    with pytest.raises(ValueError, match=r"filter banks are computed in float32, not torch\.bfloat16; leave out dtype"):
        source.move(Placement(torch.device("cuda"), torch.bfloat16))
