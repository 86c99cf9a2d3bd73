"""The corpus folder that `download.py` makes and `prepare.py` reads, one subfolder a language.

<language>/sounds/<prompt id>.g722      audio: G.722 at 64 kbit/s, 16 kHz, one channel
<language>/core-sounds-<language>.txt   transcript
<language>/md5sums                      "<md5>  <path below the language's folder>"; written last
"""

from pathlib import Path

SAMPLE_RATE_HZ = 16000
SAMPLES_PER_BYTE = 2  # G.722 at 64 kbit/s holds two samples in a byte


def transcript_path(folder: Path) -> Path:
    """Return the transcript of a language's folder."""
    return folder / f"core-sounds-{folder.name}.txt"
