"""How near a signal comes to the one that it was made from: codecs, vocoders and speech synthesis against recordings.

`reconstruction` measures one utterance, `ReconstructionFigures` the utterances of a set. What a recogniser hears, and
whether the voice is still the same, are figures of a recogniser and of classifiers: they are put beside these under
the names `wer`, `dwer`, `speaker_accuracy` and `speaker_similarity`.
"""

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from icefall_discrete.audio.pitch import pitch
from icefall_discrete.metrics.bootstrap import bootstrap_interval
from icefall_discrete.metrics.facts import Metric
from icefall_discrete.metrics.signals.cepstra import mel_cepstral_distortion
from icefall_discrete.metrics.signals.judges import PACKAGES, dnsmos, missing_packages, pesq
from icefall_discrete.metrics.signals.pairs import aligned, checked
from icefall_discrete.metrics.signals.pitch_errors import pitch_errors
from icefall_discrete.metrics.signals.spectra import mel_distance, stft_distance
from icefall_discrete.metrics.signals.stoi import stoi
from icefall_discrete.metrics.signals.waveform import si_sdr

_LEGEND = (
    "Reconstruction is measured on signals brought together in time, a mean over utterances: mel distance (of two "
    "windows, as Codec-SUPERB) and STOI (1: as clear as the original)."
)
_SIGNAL = (
    "STFT distance is that of magnitude spectra, SI-SDR wants the same phase, MCD is of mel cepstra c1 to c24 after "
    "dynamic time warping. PESQ is wide-band."
)
_PITCH = (
    "Of the frames voiced in both, GPE counts those whose F0 is off by more than a fifth; VDE counts frames voiced in "
    "one only, FFE those with either error."
)
_JUDGED = "DNSMOS is a judge's guess of the quality that listeners hear, of the reconstruction and of the original."
_INPUT = "Figures of the input are of what was enhanced or parted, held against the same speech as the output."
_HEARD = (
    "dWER counts words that a recogniser hears otherwise than in the original, original WER is its own on the "
    "original, which WER is to be held against; speaker accuracy is how often a classifier hears the voice that was "
    "asked for, original speaker accuracy how often it hears in the original whose that is."
)
_ALIKE = "Speaker similarity is the cosine between a verification model's embeddings of the two (1: one voice)."
METRICS = (
    Metric("mel_distance", "mel distance", "distance", _LEGEND, unit="", decimals=3),
    Metric("stoi", "STOI", "intelligibility", _LEGEND, unit="", higher_is_better=True, decimals=3),
    Metric("stft_distance", "STFT distance", "distance", _SIGNAL, unit="", decimals=3, is_aside=True),
    Metric("si_sdr", "SI-SDR", "ratio", _SIGNAL, unit="dB", higher_is_better=True, is_aside=True),
    Metric("mcd", "MCD", "distortion", _SIGNAL, unit="dB", decimals=2, is_aside=True),
    Metric("pesq", "PESQ", "quality", _SIGNAL, unit="", higher_is_better=True, decimals=2, is_aside=True),
    Metric("gpe", "GPE", "error rate", _PITCH, is_aside=True),
    Metric("vde", "VDE", "error rate", _PITCH, is_aside=True),
    Metric("ffe", "FFE", "error rate", _PITCH, is_aside=True),
    Metric("dnsmos", "DNSMOS", "quality", _JUDGED, unit="", higher_is_better=True, decimals=2, is_aside=True),
    Metric("dnsmos_original", "DNSMOS original", "quality", _JUDGED, "", True, 2, is_aside=True),
    Metric("wer_original", "original WER", "error rate", _HEARD, is_aside=True),
    Metric("cer_original", "original CER", "error rate", _HEARD, is_aside=True),
    Metric("dwer", "dWER", "error rate", _HEARD, is_aside=True),
    Metric("speaker_accuracy", "speaker", "accuracy", _HEARD, higher_is_better=True, is_aside=True),
    Metric("speaker_accuracy_original", "original speaker", "accuracy", _HEARD, higher_is_better=True, is_aside=True),
    Metric("speaker_similarity", "speaker similarity", "similarity", _ALIKE, "", True, 3, is_aside=True),
    Metric("mel_distance_input", "input mel distance", "distance", _INPUT, unit="", decimals=3, is_aside=True),
    Metric("stoi_input", "input STOI", "intelligibility", _INPUT, "", True, 3, is_aside=True),
    Metric("si_sdr_input", "input SI-SDR", "ratio", _INPUT, "dB", True, is_aside=True),
    Metric("pesq_input", "input PESQ", "quality", _INPUT, "", True, 2, is_aside=True),
    Metric("dnsmos_input", "input DNSMOS", "quality", _INPUT, "", True, 2, is_aside=True),
    Metric("dwer_input", "input dWER", "error rate", _INPUT, is_aside=True),
)
OF_INPUT = "_input"
JUDGES = tuple(PACKAGES)
_PERCENT = {metric.name for metric in METRICS if metric.unit == "%"}
Figures = Dict[str, Optional[float]]


def of_input(figures: Mapping[str, Any]) -> Dict[str, Any]:
    """Those of METRICS that are known of the input too, under their names there, from what they are of an output."""
    known = {metric.name for metric in METRICS}
    return {f"{name}{OF_INPUT}": value for name, value in figures.items() if f"{name}{OF_INPUT}" in known}


def require_judges(names: Iterable[str]) -> List[str]:
    """The names of judges. Raises ValueError for one that is not known."""
    wanted = list(names)
    unknown = [judge for judge in wanted if judge not in JUDGES]
    if unknown:
        raise ValueError(f"unknown judge '{unknown[0]}'; known: {', '.join(JUDGES)}.")
    return wanted


def present_judges() -> Sequence[str]:
    """Those of JUDGES whose packages are installed."""
    return [judge for judge in JUDGES if not missing_packages(judge)]


def reconstruction(
    reference: np.ndarray,
    estimate: np.ndarray,
    sample_rate_hz: int,
    judges: Sequence[str] = (),
    same_pace: bool = True,
) -> Figures:
    """Measure one utterance against the recording that it was made from, or that says the same.

    Args:
      reference: (S,) samples in [-1, 1], a tensor or an array. estimate: (S',), at the same rate.
      sample_rate_hz: of both, 2000 at least.
      judges: "pesq", "dnsmos" or both, see `present_judges`; nothing of them is measured unless asked for.
      same_pace: whether both last equally long, up to a fifth. Otherwise, as of synthesis with its own durations, only
        what needs no common time is measured: `mcd` and `dnsmos`.

    Returns:
      Values by the names of METRICS, and `lag_ms`, by how much the estimate came late (it is shifted back first). None
      where there is nothing to measure, such as `gpe` without voice or `stoi` of less than 0.4 s of speech.
    Raises:
      ValueError: for audio without samples, NaN or infinite samples, a silent reference, other lengths, or a judge that
        is not known. ImportError: if a judge's package is missing.
    """
    require_judges(judges)
    if not same_pace:
        first, second = checked(reference, "the reference"), checked(estimate, "the estimate")
        found: Figures = {"mcd": mel_cepstral_distortion(first, second, sample_rate_hz)}
        return {**found, **(_judged(first, second, sample_rate_hz) if "dnsmos" in judges else {})}
    pair = aligned(reference, estimate, sample_rate_hz)
    errors = pitch_errors(pitch(pair.reference, sample_rate_hz), pitch(pair.estimate, sample_rate_hz))
    return {
        "mel_distance": mel_distance(pair),
        "stoi": stoi(pair),
        "stft_distance": stft_distance(pair),
        "si_sdr": si_sdr(pair),
        "mcd": mel_cepstral_distortion(pair.reference, pair.estimate, sample_rate_hz),
        **({"pesq": pesq(pair)} if "pesq" in judges else {}),
        "gpe": errors.gross,
        "vde": errors.voicing,
        "ffe": errors.frame,
        **(_judged(pair.reference, pair.estimate, sample_rate_hz) if "dnsmos" in judges else {}),
        "lag_ms": 1000.0 * pair.lag_sec,
    }


def _judged(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> Figures:
    return {"dnsmos": dnsmos(estimate, sample_rate_hz), "dnsmos_original": dnsmos(reference, sample_rate_hz)}


class ReconstructionFigures:
    """Figures of the utterances of a set, and their means."""

    def __init__(self) -> None:
        self._values: Dict[str, List[float]] = {}
        self.num_utterances = 0

    def add(self, figures: Mapping[str, Optional[float]]) -> None:
        """Count an utterance: what `reconstruction` gave, or any values by name; None is left out of its mean."""
        self.num_utterances += 1
        for name, value in figures.items():
            mine = self._values.setdefault(name, [])
            if value is not None:
                mine.append(value)

    def scores(self) -> Dict[str, Any]:
        """For `sets.<split>` of a result: {name: {"value" (of percentages "rate"), "interval", "num_utterances"}}.

        Each utterance counts as much as any other; the 95 % interval is over utterances (bootstrap.py). Without a value
        that could be counted, both are None.
        """
        return {name: _mean(name, np.asarray(values)) for name, values in self._values.items()}


def _mean(name: str, values: np.ndarray) -> Dict[str, Any]:
    key = "rate" if name in _PERCENT else "value"
    if not len(values):
        return {key: None, "interval": None, "num_utterances": 0}
    low, high = bootstrap_interval(len(values), lambda drawn: float(values[drawn].mean()))
    return {
        key: round(float(values.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "num_utterances": len(values),
    }
