"""From spectra of overlapping windows back to audio. N utterances, T frames, H samples from one to the next."""

import torch
import torch.nn.functional as F
from torch import Tensor


def inverse_stft(spectrum: Tensor, window: Tensor, hop: int) -> Tensor:
    """Audio (N, T hop) of complex spectra (N, n_fft / 2 + 1, T); the edges are trimmed as a convolution's would be.

    Args:
      window: (n_fft,), at least hop long.
    """
    num, num_frames, size = spectrum.shape[0], spectrum.shape[2], len(window)
    total = (num_frames - 1) * hop + size
    frames = torch.fft.irfft(spectrum, size, dim=1) * window[:, None]
    energy = window.square()[:, None].expand(1, size, num_frames)
    joined = F.fold(torch.cat([frames, energy]), (1, total), (1, size), stride=(1, hop))[:, 0, 0]
    trim = (size - hop) // 2
    kept = joined[:, trim : trim + num_frames * hop]
    return kept[:num] / kept[num:]
