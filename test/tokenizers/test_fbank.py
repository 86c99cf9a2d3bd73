"""Filter banks against an independent implementation, and their frame counts."""

import kaldi_native_fbank
import pytest
import torch

from icefall_discrete.tokenizers.contract import load_tokenizer


def kaldi_fbank(samples):
    """The same features from kaldi-native-fbank."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
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
