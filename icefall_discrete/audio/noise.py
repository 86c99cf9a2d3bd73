"""Noise for evaluation: what is added to speech, drawn for each cut by itself, and the mixing at a stated ratio.

The signal-to-noise ratio is that of powers over the whole cut: mean square of the speech, its pauses included, over
mean square of the noise. It is what lhotse's mixer means by `snr`, and lower than a ratio of active speech to noise by
the part of the cut that is pause. Noise is as long as its speech, so that padding has no part in its power.
"""

import dataclasses
import hashlib
import re
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from lhotse import MonoCut
from lhotse.audio.mixer import AudioMixer

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.base.settings import LARGEST_SEED, check_settings, setting

BABBLE = "babble"
RECORDED = "recorded"
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls as 1 / frequency^exponent
LOWEST_HZ = 20.0  # nothing below: the power of brown noise would all lie where there is no speech
LONGEST_READ_SEC = 30.0  # of a recording that may last for minutes
MAX_SOURCES = 5000  # cuts that noise is drawn from; more would be memory without more variety
SILENT_DRAWS = 20
FULL_SCALE = 32768.0
_SET_NAME = re.compile(r"(?P<split>.+)-(?P<kind>[a-z_]+)-snr(?P<snr>-?\d+(\.\d+)?)")
_KIND = re.compile(r"[a-z_]+")


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
    """Which noisy versions of a split are made."""

    snrs: Tuple[float, ...] = setting(
        (20.0, 10.0, 5.0, 0.0), "signal-to-noise ratios (dB), powers of the whole cut", minimum=-100, maximum=100
    )
    kinds: Tuple[str, ...] = setting(
        (BABBLE, "white", "pink"),
        "noises: babble (of the training speech), white, pink, brown, recorded (of any recorded noise), or the word "
        "that the ids of some recorded noises begin with, such as music",
    )
    num_talkers: int = setting(6, "utterances that speak at once in babble", minimum=1)
    seed: int = setting(42, "of the noise", minimum=0, maximum=LARGEST_SEED)

    def __post_init__(self) -> None:
        if not self.snrs or not self.kinds:
            raise ValueError(f"snrs are {self.snrs}, kinds {self.kinds}: expected at least one of each.")
        wrong = [kind for kind in self.kinds if not _KIND.fullmatch(kind)]
        if wrong:
            raise ValueError(f"kind of noise {wrong[0]!r}: expected lower-case letters, such as babble or white.")
        check_settings(self)


class Condition(NamedTuple):
    """One kind of noise at one signal-to-noise ratio in dB."""

    kind: str
    snr_db: float

    def set_name(self, split: str) -> str:
        """Name of the noisy version of a split: `test-babble-snr5`."""
        return f"{split}-{self.kind}-snr{self.snr_db:g}"

    def cut_id(self, clean_id: str) -> str:
        """Id of the noisy version of a cut: `utt1_babble_snr5`."""
        return f"{clean_id}_{self.kind}_snr{self.snr_db:g}"


def condition_of(set_name: str, split: str) -> Optional[Condition]:
    """The condition of a noisy version of `split`, from its name; None for every other set.

    >>> condition_of("test-pink-snr-5", "test")
    Condition(kind='pink', snr_db=-5.0)
    """
    found = _SET_NAME.fullmatch(set_name)
    return Condition(found["kind"], float(found["snr"])) if found and found["split"] == split else None


def sample_cuts(cuts: Iterable[MonoCut], most: int, seed: int) -> List[MonoCut]:
    """At most `most` of the cuts, each with the same chance, read one by one; the same ones for the same seed."""
    generator = np.random.default_rng(seed)
    kept: List[MonoCut] = []
    for number, cut in enumerate(cuts):
        if number < most:
            kept.append(cut)
            continue
        place = int(generator.integers(number + 1))
        if place < most:
            kept[place] = cut
    return kept


def coloured_noise(
    num_samples: int, sample_rate_hz: int, exponent: float, generator: np.random.Generator
) -> np.ndarray:
    """Gaussian noise (S,) whose power density falls as 1 / f^exponent above 20 Hz and is nothing below.

    It is white noise shaped in the frequency domain, so it has no trend and no start.
    """
    size = max(num_samples, sample_rate_hz)  # a second at least, for the lowest frequencies
    spectrum = np.fft.rfft(generator.standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1.0 / sample_rate_hz)
    audible = frequencies >= LOWEST_HZ
    spectrum[~audible] = 0.0
    spectrum[audible] *= (frequencies[audible] / LOWEST_HZ) ** (-exponent / 2)
    return np.fft.irfft(spectrum, size)[:num_samples]


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples)))


def _read_levelled(cut: MonoCut, sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    """Samples of (a random part of) a cut at a power of 1; a silent one stays silent."""
    if cut.duration > LONGEST_READ_SEC:
        start = float(generator.uniform(0.0, cut.duration - LONGEST_READ_SEC))
        cut = cut.truncate(offset=start, duration=LONGEST_READ_SEC)
    samples = load_finite(cut, sample_rate_hz).double().numpy()
    power = _power(samples)
    return samples / np.sqrt(power) if power > 0.0 else samples


def _track(
    cuts: Sequence[MonoCut], num_samples: int, sample_rate_hz: int, generator: np.random.Generator
) -> np.ndarray:
    """A track (S,) of random cuts, level with each other, one behind the other from somewhere in the first."""
    pieces: List[np.ndarray] = []
    missing = num_samples
    while missing > 0:
        samples = _read_levelled(cuts[int(generator.integers(len(cuts)))], sample_rate_hz, generator)
        if not pieces:
            samples = samples[int(generator.integers(len(samples))) :]
        pieces.append(samples[:missing])
        missing -= len(pieces[-1])
    return np.concatenate(pieces)


class NoiseSource:
    """Makes the noise of a cut; which one depends on the seed, the kind and the cut's id, not on what came before.

    So a cut has the same noise at every ratio, in every order, and in a run that was interrupted.
    """

    def __init__(self, config: NoiseConfig, training: Sequence[MonoCut] = (), recorded: Sequence[MonoCut] = ()) -> None:
        """Args: training: cuts of training speech, for babble. recorded: cuts of recorded noise.

        Raises ValueError if a kind of `config` has nothing to be made of.
        """
        self.config = config
        self._cuts = {kind: self._cuts_of(kind, training, recorded) for kind in config.kinds if kind not in COLOURS}

    def _cuts_of(self, kind: str, training: Sequence[MonoCut], recorded: Sequence[MonoCut]) -> List[MonoCut]:
        if kind == BABBLE:
            found, advice = list(training), "give the manifest of the training cuts"
        else:
            found = [cut for cut in recorded if kind == RECORDED or cut.id.startswith(f"{kind}-")]
            advice = f"give a manifest of noise cuts, whose ids begin with '{kind}-' unless the kind is {RECORDED}"
        if not found:
            raise ValueError(f"noise '{kind}' has no cuts to be made of; {advice}, or use {', '.join(COLOURS)}.")
        return found

    def cuts_of(self, kind: str) -> List[MonoCut]:
        """The cuts whose audio the noise of a kind is made of; none for a colour."""
        return self._cuts.get(kind, [])

    def inputs(self, kind: str) -> dict:
        """What the noise of a kind depends on besides the cut: seed, number of talkers, ids of its cuts (hashed)."""
        if kind in COLOURS:
            return {"kind": kind, "seed": self.config.seed}
        listed = "\n".join(f"{cut.id} {cut.duration}" for cut in self._cuts[kind])
        return {
            "kind": kind,
            "seed": self.config.seed,
            "num_talkers": self.config.num_talkers if kind == BABBLE else 1,
            "sources": hashlib.sha256(listed.encode()).hexdigest(),
        }

    def noise(self, kind: str, cut_id: str, num_samples: int, sample_rate_hz: int) -> np.ndarray:
        """Noise (S,) float64 for the cut, of any level above nothing.

        Raises UnreadableAudio for a source that cannot be read, ValueError if the sources are silent.
        """
        digest = hashlib.sha256(f"{self.config.seed} {kind} {cut_id}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        if kind in COLOURS:
            return coloured_noise(num_samples, sample_rate_hz, COLOURS[kind], generator)
        talkers = self.config.num_talkers if kind == BABBLE else 1
        for _ in range(SILENT_DRAWS):
            tracks = [_track(self._cuts[kind], num_samples, sample_rate_hz, generator) for _ in range(talkers)]
            total = np.sum(tracks, axis=0)
            if total.any():
                return total
        raise ValueError(f"cut {cut_id}: {SILENT_DRAWS} draws of '{kind}' noise were all silent; check its manifest.")


class Mixture(NamedTuple):
    """Speech with noise: samples (S,) int16, the gain of both that avoids clipping (mostly 1), the ratio in dB."""

    samples: np.ndarray
    gain: float
    snr_db: float


def mix(speech: np.ndarray, noise: np.ndarray, snr_db: float, sample_rate_hz: int) -> Mixture:
    """Add noise (S,) to speech (S,) float64 in [-1, 1] at a signal-to-noise ratio, by lhotse's mixer.

    Speech keeps its level, unless the sum would be clipped: then both are made softer by the same gain, which leaves
    the ratio as it is. `snr_db` of the result is measured on the rounded samples.
    Raises ValueError if one of them is silent, where no ratio can be had.
    """
    if not speech.any() or not noise.any():
        raise ValueError(
            f"the {'noise' if speech.any() else 'speech'} is silent, so there is no signal-to-noise ratio."
        )
    mixer = AudioMixer(speech[np.newaxis], sample_rate_hz)
    mixer.add_to_mix(noise[np.newaxis], snr=snr_db)
    mixed = mixer.mixed_audio[0] * FULL_SCALE
    gain = min(1.0, (FULL_SCALE - 1.0) / float(np.abs(mixed).max()))
    samples = np.round(gain * mixed).astype(np.int16)
    kept_speech = gain * speech
    added = samples / FULL_SCALE - kept_speech
    return Mixture(samples, gain, float(10.0 * np.log10(_power(kept_speech) / _power(added))))
