"""PESQ and DNSMOS: judges that packages bring along. They are measured where the package can be imported.

`pip install 'icefall-discrete[metrics]'` has both. PESQ needs a C compiler. The wheel of speechmos carries the network
of DNSMOS, and that file alone is used: its code also computes another score, which takes long, and imports librosa.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterable, Optional, Tuple

import numpy as np

from icefall_discrete.audio.resampling import resampled
from icefall_discrete.metrics.signals.pairs import Pair

RATE_HZ = 16000
# What each judge needs to be imported.
PACKAGES: Dict[str, Tuple[str, ...]] = {
    "pesq": ("pesq",),
    "dnsmos": ("speechmos", "onnxruntime"),
}
# Of DNSMOS: samples that its network hears at once (9.01 s), from which to which second, and the polynomial from what
# it says of overall quality to the score, highest power first (the authors' dnsmos_local.py).
_HEARD, _HOP = 144160, RATE_HZ
_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
_NETWORK = Path("dnsmos_models", "sig_bak_ovr.onnx")


def missing_packages(judge: str) -> Tuple[str, ...]:
    """The packages of a judge ("pesq", "dnsmos") that are not installed."""
    return tuple(name for name in PACKAGES[judge] if importlib.util.find_spec(name) is None)


def judge_versions(judges: Iterable[str]) -> Dict[str, str]:
    """Versions of the packages that have the judges, which must be installed: other versions can judge otherwise."""
    return {PACKAGES[judge][0]: _version(PACKAGES[judge][0]) for judge in judges}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # its folder alone lies on the path: it can judge all the same
        return "not known"


def _package(judge: str, module: str) -> ModuleType:
    missing = missing_packages(judge)
    if missing:
        raise ImportError(
            f"{judge} needs {' and '.join(missing)}; install them with pip install 'icefall-discrete[metrics]', or do "
            f"without {judge}."
        )
    return importlib.import_module(module)


def _at_16_khz(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    found = samples if sample_rate_hz == RATE_HZ else resampled(samples, sample_rate_hz, RATE_HZ)
    return found.astype(np.float32)


def pesq(pair: Pair) -> Optional[float]:
    """Wide-band PESQ (ITU-T P.862.2) at 16 kHz, 1 to 4.64; None where it hears no utterance.

    Raises:
      ImportError: if the package pesq is missing.
    """
    judge = _package("pesq", "pesq")
    reference, estimate = (_at_16_khz(one, pair.sample_rate_hz) for one in (pair.reference, pair.estimate))
    try:
        return float(judge.pesq(RATE_HZ, reference, estimate, "wb"))
    except (judge.NoUtterancesError, judge.BufferTooShortError):
        return None


@functools.cache
def _network_of_dnsmos() -> Any:
    runtime, found = _package("dnsmos", "onnxruntime"), importlib.util.find_spec("speechmos")
    path = Path((found.submodule_search_locations or ["."])[0] if found else ".") / _NETWORK
    if not path.is_file():
        raise ImportError(f"dnsmos needs {_NETWORK} of speechmos, which {path.parent} does not hold; install 0.0.1.1.")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # threads that wait for each other would spin: half as much time again
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def dnsmos(samples: np.ndarray, sample_rate_hz: int) -> float:
    """DNSMOS P.835, overall quality from 1 to 5 of samples (S,), without a reference.

    Reddy et al. 2022, https://arxiv.org/abs/2110.01763: the mean over windows of 9.01 s, one a second. Shorter audio is
    repeated until it fills one. (The authors repeat it to up to twice that and hear the same again from other starts;
    of 16 utterances that differs by 0.016 on average, and takes three to nine times as long.) Samples beyond 1 are
    brought back by level.

    Raises:
      ImportError: if speechmos, or what runs its network, is missing.
    """
    network, found = _network_of_dnsmos(), _at_16_khz(samples, sample_rate_hz)
    peak = float(np.abs(found).max())
    found = found / peak if peak > 1.0 else found
    if len(found) < _HEARD:
        found = np.resize(found, _HEARD)
    starts = range(0, _HOP * max(1, len(found) // RATE_HZ - _HEARD // RATE_HZ), _HOP)
    said = [network.run(None, {"input_1": found[None, start : start + _HEARD]})[0][0][2] for start in starts]
    return float(np.polyval(_OVERALL, said).mean())
