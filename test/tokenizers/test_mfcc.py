"""MFCC against an independent implementation, and the frames that are clustered."""

import json
from pathlib import Path

import kaldi_native_fbank
import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.audio.kaldi_features import deltas
from icefall_discrete.tokenizers import load_tokenizer

GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "golden_mfcc"
TOY = Toy(lambda folder: {})


def kaldi_mfcc(samples):
    """The same coefficients, every 20 ms, from kaldi-native-fbank."""
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.frame_shift_ms = 20
    options.frame_opts.snip_edges = False
    options.use_energy = False
    extractor = kaldi_native_fbank.OnlineMfcc(options)
    extractor.accept_waveform(16000, samples.tolist())
    extractor.input_finished()
    return torch.stack([torch.from_numpy(extractor.get_frame(i)) for i in range(extractor.num_frames_ready)])


def test_frames_are_mfcc_and_two_derivatives(speech):
    frames = load_tokenizer("mfcc_km500").frames(speech)
    reference = kaldi_mfcc(speech)
    assert frames.shape == (101, 39)
    assert len(reference) == 101
    assert (frames[:, :13] - reference)[1:-1].abs().max() < 2e-3  # values reach 100
    torch.testing.assert_close(frames[:, 13:26], deltas(frames[:, :13]))
    torch.testing.assert_close(frames[:, 26:], deltas(frames[:, 13:26]))


@pytest.mark.parametrize(
    "num_samples, num_frames",
    [(400, 1), (479, 1), (480, 2), (481, 2), (640, 2), (799, 2), (800, 3), (1119, 3), (1120, 4), (3039, 9), (3040, 10)],
)
def test_frame_counts_round_half_up(speech, num_samples, num_frames):
    assert len(load_tokenizer("mfcc_km500").frames(speech[:num_samples])) == num_frames


def test_golden_codes(speech):
    # test/assets/golden_mfcc: centroids fitted to this prompt once; an old file must go on to mean the same.
    tokenizer = load_tokenizer(str(GOLDEN / "golden_mfcc.json"), state_dir=GOLDEN)
    codes, _ = tokenizer.encode(speech[None], torch.tensor([len(speech)]))
    golden = json.loads((GOLDEN / "codes.json").read_text())
    assert codes.shape == (1, len(golden), 1)
    assert sum(a != b for a, b in zip(codes[0, :, 0].tolist(), golden)) <= 1
