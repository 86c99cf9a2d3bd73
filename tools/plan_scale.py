#!/usr/bin/env python3
"""What large corpora cost by this repository: hours, bytes on disk, GPU hours and money, from figures that have owners.

Counts of corpora are read from the READMEs of their recipes, throughputs from where they were measured; what was never
measured on a GPU follows from the assumptions that the flags state. `docs/scale.md` holds what it prints.
"""

import dataclasses
import re
from pathlib import Path
from typing import Iterable, List, NamedTuple, Tuple

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "egs"
BENCHMARKS = ROOT / "tools" / "benchmark" / "README.md"
# Of HuBERT-Large: 24 blocks of 4 d^2 + 2 d f weights, two operations each at 50 Hz, and the convolutions before them.
_BLOCKS, _WIDTH, _INNER, _RATE_HZ = 24, 1024, 4096, 50
_CHANNELS = 512
# Of each convolution: outputs a second, channels of its input, width.
_CONVOLUTIONS = (
    (3200, 1, 10),
    *((rate, _CHANNELS, 3) for rate in (1600, 800, 400, 200)),
    (100, _CHANNELS, 2),
    (50, _CHANNELS, 2),
)
# Published, of parts that the recipes' READMEs have no figures of: hours (and utterances) of the training sets.
GIGASPEECH_XL_HOURS = 10000.0  # arXiv 2106.06909
MLS_ENGLISH = ("44659.74", "10808037")  # arXiv 2012.03411, and the corpus's card on Hugging Face
_TAR_BLOCK, _NPY_HEADER = 512, 128


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What nobody measured here."""

    peak_tflops: float = setting(989.0, "bf16 peak of the GPU, dense (NVIDIA's sheet for H100 SXM and H200)", above=0)
    peak_share: float = setting(0.2, "share of it that extraction reaches", above=0, maximum=1)
    dollars_per_gpu_hour: float = setting(3.0, "price of an hour of one GPU", above=0)
    epochs: int = setting(20, "epochs of training", minimum=1)


class Corpus(NamedTuple):
    """A corpus to plan for: hours and utterances of its training set, and at how many speeds it is extracted."""

    name: str
    hours: float
    utterances: int
    speeds: Tuple[float, ...]


def _found(path: Path, pattern: str) -> List[Tuple[str, ...]]:
    """What a pattern with groups finds in a README. Raises ValueError if it finds nothing."""
    found = [one.groups() for one in re.finditer(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)]
    if not found:
        raise ValueError(f"{path} has no figures of the form {pattern!r}; correct the pattern in tools/plan_scale.py.")
    return found


def _sums(rows: Iterable[Tuple[str, ...]]) -> Tuple[float, int]:
    """Hours and utterances of all rows."""
    rows = list(rows)
    return sum(float(hours) for hours, _ in rows), sum(int(utterances) for _, utterances in rows)


def corpora() -> List[Corpus]:
    """The corpora of the plan, by what the READMEs of their recipes say."""
    libri = _found(RECIPES / "librispeech/ASR/README.md", r"^\| train-[\w-]+ \| ([\d.]+) \| (\d+) \|")
    mls = _found(RECIPES / "mls/ASR/README.md", r"^\| \w+ \| ([\d.]+) \| [\d.]+ \| [\d.]+ \| (\d+) /")
    ((giga,),) = _found(RECIPES / "gigaspeech/ASR/README.md", r"XL\s+(\d{7})\)")
    return [
        Corpus("LibriSpeech 960", *_sums(libri), (0.9, 1.0, 1.1)),
        Corpus("GigaSpeech XL", GIGASPEECH_XL_HOURS, int(giga), (1.0,)),
        Corpus("MLS with English", *_sums([*mls, MLS_ENGLISH]), (1.0,)),
        Corpus("100,000 h, cuts of 15 s", 100000.0, 24_000_000, (1.0,)),
    ]


def operations_per_second_of_audio() -> float:
    """Floating point operations of HuBERT-Large for a second of audio, without what attention adds with length."""
    blocks = _BLOCKS * (4 * _WIDTH**2 + 2 * _WIDTH * _INNER) * 2 * _RATE_HZ
    return blocks + sum(2 * rate * inputs * _CHANNELS * width for rate, inputs, width in _CONVOLUTIONS)


def row(corpus: Corpus, assumed: Assumptions, speed: float, mib_per_cut: float, cuts_per_sec: float) -> List[str]:
    """The cells of a corpus's row; `speed` of training is in seconds of audio a second."""
    hours = corpus.hours * sum(1 / speed for speed in corpus.speeds)
    cuts = corpus.utterances * len(corpus.speeds)
    codes = hours * 3600 * _RATE_HZ * 2
    shar = cuts * (3 * _TAR_BLOCK + -(-(_NPY_HEADER + codes / cuts) // _TAR_BLOCK) * _TAR_BLOCK)
    extraction = hours * operations_per_second_of_audio() / (assumed.peak_tflops * 1e12 * assumed.peak_share)
    training = hours * assumed.epochs / speed
    dollars = (extraction + training) * assumed.dollars_per_gpu_hour
    return [
        corpus.name,
        f"{hours:,.0f}",
        f"{cuts / 1e6:.1f}",
        f"{codes / 1e9:.1f}",
        f"{shar / 1e9:.0f}",
        f"{cuts * mib_per_cut / 1024:.0f}",
        f"{cuts / cuts_per_sec / 60:.0f}",
        f"{extraction:,.1f}",
        f"{training:,.0f}",
        f"{dollars:,.0f}",
    ]


def table(assumed: Assumptions) -> str:
    """The plan as a table of Markdown."""
    ((speed,),) = _found(RECIPES / "librispeech/ASR/README.md", r"in fp16 went at ([\d,]+) times real time")
    cuts, mib, _, _, rate = _found(BENCHMARKS, r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| \d+ \|$")[-1]
    head = (
        "corpus, training set",
        "hours, all speeds",
        "10^6 cuts",
        "codes, GB",
        "Shar, GB",
        "manifest in memory, GiB a process",
        "an epoch read, minutes a process",
        "extraction, GPU h",
        f"training, {assumed.epochs} epochs, GPU h",
        f"dollars at {assumed.dollars_per_gpu_hour:g} an hour",
    )
    rows = [
        row(corpus, assumed, float(speed.replace(",", "")), int(mib) / int(cuts), float(rate)) for corpus in corpora()
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows))


def main() -> None:
    """Print the plan."""
    print(table(config_from_flags(Assumptions, __doc__)))


if __name__ == "__main__":
    run_script(main)
