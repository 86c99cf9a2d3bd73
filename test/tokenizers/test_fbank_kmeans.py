"""The frame rate of filter-bank tokens is a setting, and their frames are the baseline's."""

import pytest
import torch

from icefall_discrete.tokenizers import load_tokenizer


def test_every_second_frame_of_the_baseline(speech):
    slow = load_tokenizer("fbank_km500").frames(speech)
    fast, _ = load_tokenizer("fbank").encode(speech[None], torch.tensor([len(speech)]))
    # Frames are centred in their hop: at 20 ms frame t lies between frames 2 t and 2 t + 1 at 10 ms.
    between = (fast[0, 0::2][: len(slow)] + fast[0, 1::2][: len(slow)]) / 2
    length = min(len(slow), len(between))
    correlation = torch.corrcoef(torch.stack([slow[:length].flatten(), between[:length].flatten()]))[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("frame_shift_sec, rate_hz", [(0.02, 50.0), (0.01, 100.0), (0.04, 25.0)])
def test_rate_is_a_setting(tmp_path, fit_audio, frame_shift_sec, rate_hz):
    path = tmp_path / "mine.json"
    path.write_text(f'{{"tokenizer": "fbank_kmeans", "num_clusters": 4, "frame_shift_sec": {frame_shift_sec}}}')
    tokenizer = load_tokenizer(str(path), state_dir=tmp_path)
    tokenizer.fit(fit_audio, tmp_path, seed=0)
    assert tokenizer.spec.frame_rate_hz == rate_hz
    assert tokenizer.encode(torch.zeros(1, 16000), torch.tensor([16000]))[1] == rate_hz
