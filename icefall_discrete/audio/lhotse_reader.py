"""lhotse reads files by `sound_files.py`, its own recipes included, where `read_whole_files` was called.

Where header and file agree, as almost always, the samples are those of lhotse's usual reader.
"""

import functools
import os
from pathlib import Path
from typing import Any, Optional, Tuple

import numpy as np
import soundfile
from lhotse.audio.backend import (
    CompositeAudioBackend,
    LibsndfileCompatibleAudioInfo,
    get_default_audio_backend,
    set_current_audio_backend,
)
from lhotse.utils import compute_num_samples

from icefall_discrete.audio.sound_files import TOLERANCE_SEC, Held, decoded, examine, is_exact_flac

_OTHER_READERS = (".sph", ".mp4", ".m4a", ".m4b")


class WholeFileBackend(CompositeAudioBackend):
    """lhotse's usual reader for all but the files whose header does not know how much they hold."""

    def __init__(self) -> None:
        super().__init__(get_default_audio_backend().backends)

    def _examine(self, source: Any) -> Optional[Held]:
        """None for what is no file, or may be read by another library."""
        is_file = isinstance(source, (str, Path)) and ".tar/" not in str(source)
        if not is_file or str(source).lower().endswith(_OTHER_READERS):
            return None
        try:
            return examine(Path(source))
        except soundfile.LibsndfileError:
            return None

    def info(self, path_or_fd: Any, force_opus_sampling_rate: Optional[int] = None) -> LibsndfileCompatibleAudioInfo:
        """Channels, samples and rate of a file; BadSoundFile says why it cannot be used."""
        held = self._examine(path_or_fd)
        if held is None:
            return super().info(path_or_fd, force_opus_sampling_rate)
        return LibsndfileCompatibleAudioInfo(held.channels, held.frames, held.rate_hz, held.frames / held.rate_hz)

    def read_audio(
        self,
        path_or_fd: Any,
        offset: float = 0.0,
        duration: Optional[float] = None,
        force_opus_sampling_rate: Optional[int] = None,
    ) -> Tuple[np.ndarray, int]:
        """Samples (C, S) float32 and their rate."""
        held = self._examine(path_or_fd)
        if held is None or held.is_usual:
            return super().read_audio(path_or_fd, offset, duration, force_opus_sampling_rate)
        path = Path(path_or_fd)
        is_whole = offset <= 0 and duration is None
        if not is_whole and is_exact_flac(path):
            return super().read_audio(path_or_fd, offset, duration, force_opus_sampling_rate)
        samples = decoded(path, held).T
        if is_whole:
            return samples, held.rate_hz
        start = compute_num_samples(offset, held.rate_hz)
        end = held.frames if duration is None else start + compute_num_samples(duration, held.rate_hz)
        return samples[:, start:end], held.rate_hz


def read_whole_files() -> None:
    """Let lhotse read files by `WholeFileBackend`, and take nothing longer than TOLERANCE_SEC for a rounding error.

    Where its variables LHOTSE_AUDIO_BACKEND and LHOTSE_AUDIO_DURATION_MISMATCH_TOLERANCE are set, they hold.
    """
    os.environ.setdefault("LHOTSE_AUDIO_DURATION_MISMATCH_TOLERANCE", str(TOLERANCE_SEC))
    if "LHOTSE_AUDIO_BACKEND" not in os.environ:
        set_current_audio_backend(_backend())


@functools.lru_cache(maxsize=1)
def _backend() -> WholeFileBackend:
    return WholeFileBackend()
