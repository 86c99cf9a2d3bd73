"""Clips of real speech for stand-ins of corpora that cannot be fetched in a test, and a writer for their audio files.

The clips are prompts of egs/asterisk where they lie in its download folder (or may be fetched: in the short pipeline),
else pieces of test/assets/speech.flac under made-up words. A stand-in has a corpus's own folders, names and lists.
"""

import functools
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
ASTERISK = ROOT / "egs" / "asterisk" / "ASR"
RATE = 16000
MAX_SEC = 4.0
WORDS = ["please", "enter", "the", "number", "you", "wish", "to", "call", "now", "or", "press", "star", "for", "help"]
IS_PIPELINE = os.environ.get("ICEFALL_DISCRETE_PIPELINE") == "1"
ENVIRONMENT = Path(sys.prefix).name if Path(sys.prefix).name in ("k2", "portable") else "auto"
_FORMATS = {".mp3": {"format": "MP3"}, ".opus": {"format": "OGG", "subtype": "OPUS"}}


class Clip(NamedTuple):
    """Speech: samples (S,) int16 at 16 kHz, its text in lower-case words, and its language ('en', 'es', ...)."""

    samples: np.ndarray
    text: str
    language: str

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / RATE


def _fetch() -> None:
    flags = ["--env", ENVIRONMENT, "--stop-stage", "0"]
    done = subprocess.run(["bash", str(ASTERISK / "run.sh"), *flags], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


@functools.cache
def _prompts(language: str) -> List[Tuple[Path, str]]:
    """Audio file and text of each prompt of `language` that has both; empty if the corpus is not there."""
    import av  # noqa: F401  (the files are read by it)

    if str(ASTERISK / "local") not in sys.path:
        sys.path.append(str(ASTERISK / "local"))
    from asterisk_text import is_silence, normalize, parse_transcript

    folder = ASTERISK / "download" / "asterisk" / language
    transcript = folder / f"core-sounds-{language}.txt"
    if not transcript.is_file():
        return []
    texts = parse_transcript(transcript.read_text(encoding="utf-8"), str(transcript))
    files = {prompt_id: folder / "sounds" / f"{prompt_id}.g722" for prompt_id in sorted(texts)}
    found = [
        (path, normalize(texts[prompt_id], language))
        for prompt_id, path in files.items()
        if path.is_file() and not is_silence(prompt_id) and path.stat().st_size <= MAX_SEC * RATE / 2
    ]
    return [(path, text) for path, text in found if text and path.stat().st_size >= 0.5 * RATE / 2]


def _read_g722(path: Path) -> np.ndarray:
    import av

    with av.open(str(path), format="g722") as container:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]).astype(np.int16)


def _piece(rng: random.Random, language: str) -> Clip:
    samples, _ = soundfile.read(ROOT / "test" / "assets" / "speech.flac", dtype="int16")
    size = rng.randint(RATE * 3 // 4, len(samples))
    start = rng.randint(0, len(samples) - size)
    return Clip(samples[start : start + size], " ".join(rng.sample(WORDS, 4)), language)


def clips(count: int, seed: int = 0, language: str = "en") -> List[Clip]:
    """`count` clips of 0.5 to 4 s, the same ones for the same seed; of prompts, no one twice.

    Args:
      language: en, es, fr, it or ru. The pieces that stand for prompts are English whatever it says.
    """
    rng = random.Random(f"{seed},{language}")
    if IS_PIPELINE and not _prompts(language):
        _fetch()
        _prompts.cache_clear()
    prompts = _prompts(language)
    if not prompts:
        return [_piece(rng, language) for _ in range(count)]
    return [Clip(_read_g722(path), text, language) for path, text in rng.sample(prompts, count)]


def joined(parts: Sequence[Clip], gap_sec: float = 0.5) -> Tuple[np.ndarray, List[Tuple[float, float]]]:
    """One long recording of clips with silence between them, and each clip's start and end in seconds."""
    gap = np.zeros(int(gap_sec * RATE), dtype=np.int16)
    pieces, times, position = [], [], 0
    for clip in parts:
        pieces += [gap, clip.samples]
        start = position + len(gap)
        position = start + len(clip.samples)
        times.append((start / RATE, position / RATE))
    return np.concatenate([*pieces, gap]), times


def write_audio(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    """Write int16 samples (S,) at `rate` in the format of the file's suffix: .wav, .flac, .mp3 or .opus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **_FORMATS.get(path.suffix, {"subtype": "PCM_16"}))


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a text file (UTF-8), one line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
