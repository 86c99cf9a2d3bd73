"""PESQ and DNSMOS: judges that packages bring along. They are measured where the package can be imported.

`pip install 'icefall-discrete[metrics]'` has both. PESQ needs a C compiler, DNSMOS carries its networks in the wheel of
speechmos and loads nothing from elsewhere.
"""

import importlib
import importlib.metadata
import importlib.util
from types import ModuleType
from typing import Dict, Iterable, Optional, Tuple

import numpy as np

from icefall_discrete.audio.resampling import resampled
from icefall_discrete.metrics.signals.pairs import Pair

RATE_HZ = 16000
# What each judge needs to be imported.
PACKAGES: Dict[str, Tuple[str, ...]] = {
    "pesq": ("pesq",),
    "dnsmos": ("speechmos", "onnxruntime", "librosa", "requests"),
}


def missing_packages(judge: str) -> Tuple[str, ...]:
    """The packages of a judge ("pesq", "dnsmos") that are not installed."""
    return tuple(name for name in PACKAGES[judge] if importlib.util.find_spec(name) is None)


def judge_versions(judges: Iterable[str]) -> Dict[str, str]:
    """Versions of the packages that have the judges, which must be installed: other versions can judge otherwise."""
    packages = [PACKAGES[judge][0] for judge in judges]
    return {package: importlib.metadata.version(package) for package in packages}


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


def dnsmos(samples: np.ndarray, sample_rate_hz: int) -> float:
    """DNSMOS P.835, overall quality from 1 to 5 of samples (S,), without a reference.

    Reddy et al. 2022, https://arxiv.org/abs/2110.01763; shorter audio than 9 s is repeated, as its authors do. Samples
    beyond 1 are brought back by level.

    Raises:
      ImportError: if speechmos, or what it needs, is missing.
    """
    judge = _package("dnsmos", "speechmos.dnsmos")
    found = _at_16_khz(samples, sample_rate_hz)
    peak = float(np.abs(found).max())
    return float(judge.run(found / peak if peak > 1.0 else found, sr=RATE_HZ)["ovrl_mos"])
