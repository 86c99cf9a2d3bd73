"""A few seconds of synthetic speech-like audio on disk, and a tokenizer that needs no weights, for the data tests."""

import contextlib
import dataclasses
import io
import json
import logging
import runpy
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional

import numpy as np
import soundfile
import torch
from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.tokenizers.contract import SpeechTokenizer

RATE = 16000
WORDS = ("ночь", "one", "two", "three", "l'eau", "forty", "mañana")


def make_cuts(folder: Path, num_cuts: int = 12, seed: int = 0, prefix: str = "utt") -> List[MonoCut]:
    """Write `num_cuts` WAV files of 0.4 to 2 s and return their cuts, each with a text of a few words."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    cuts = []
    for index in range(num_cuts):
        name = f"{prefix}{index:03d}"
        size = int(rng.integers(int(0.4 * RATE), 2 * RATE))
        tone = np.sin(2 * np.pi * rng.uniform(100, 400) * np.arange(size) / RATE) * rng.uniform(0.1, 0.5)
        samples = (tone + 0.1 * rng.standard_normal(size)).astype(np.float32).clip(-1, 1)
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
        recording = Recording.from_file(folder / f"{name}.wav", recording_id=name)
        text = " ".join(rng.choice(WORDS, size=3))
        supervision = SupervisionSegment(name, name, 0.0, recording.duration, text=text, language="en")
        cuts.append(MonoCut(name, 0.0, recording.duration, 0, supervisions=[supervision], recording=recording))
    return cuts


def write_manifest(folder: Path, split: str, num_cuts: int = 12, seed: int = 0) -> Path:
    """Make a corpus manifest `toy_cuts_<split>.jsonl.gz` in `folder` and its audio below it; return its path."""
    path = folder / f"toy_cuts_{split}.jsonl.gz"
    write_cuts(path, make_cuts(folder / "audio" / split, num_cuts, seed, prefix=f"{split}-"))
    return path


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    """Settings of the toy tokenizer."""

    levels: int = setting(50, "entries of each codebook")
    delay_sec: float = setting(0.0, "seconds to sleep for each utterance")
    kind: str = setting("codes", "codes or continuous")


class ToyTokenizer(SpeechTokenizer):
    """Loudness and number of sign changes of each 20 ms, quantised: 2 codebooks at 50 Hz."""

    Config = ToyConfig
    runtime_settings = ("delay_sec",)

    @property
    def min_samples(self) -> int:
        """One frame."""
        return RATE // 50

    @property
    def spec(self) -> FeatureSpec:
        """Two codebooks, or two dimensions."""
        codes = self.config.kind == "codes"
        return FeatureSpec(
            name=self.name,
            kind=self.config.kind,
            sample_rate_hz=RATE,
            frame_rate_hz=50.0,
            num_codebooks=2 if codes else 0,
            codebook_sizes=(self.config.levels, 30) if codes else (),
            feature_dim=0 if codes else 2,
            provenance=self._settings(),
        )

    def _encode_one(self, samples: torch.Tensor) -> torch.Tensor:
        time.sleep(self.config.delay_sec)
        size = RATE // 50
        frames = samples[: len(samples) // size * size].reshape(-1, size)
        loudness = frames.square().mean(dim=1).sqrt()
        changes = (frames[:, 1:] * frames[:, :-1] < 0).float().mean(dim=1)
        if self.config.kind == "continuous":
            return torch.stack([loudness, changes], dim=1)
        return torch.stack([(loudness * self.config.levels).long(), (changes * 30).long()], dim=1)

    def codebooks(self) -> Optional[List[torch.Tensor]]:
        """The middle of each level."""
        if self.config.kind == "continuous":
            return None
        return [((torch.arange(n) + 0.5) / n).unsqueeze(1) for n in self.spec.codebook_sizes]


def make_tokenizer(config: ToyConfig = ToyConfig()) -> ToyTokenizer:
    """Make the toy tokenizer; picklable with functools.partial."""
    return ToyTokenizer("toy", config)


class Finished(NamedTuple):
    """How a stage's script ended: its status and what it wrote to standard error."""

    returncode: int
    stderr: str


def run_stage_script(script: str, *arguments: object, check: bool = True) -> Finished:
    """Run `local/<script>` with flags, in this process; with `check`, a failure shows what it said."""
    path = Path(__file__).resolve().parents[2] / "local" / script
    stream, status, argv = io.StringIO(), 0, sys.argv
    handlers = logging.getLogger().handlers[:]
    sys.argv = [str(path), *map(str, arguments)]
    try:
        with contextlib.redirect_stderr(stream):
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.argv = argv
        logging.getLogger().handlers[:] = handlers
        torch.set_flush_denormal(False)  # the stage may have set it, for a process of its own
    assert not check or status == 0, stream.getvalue()
    return Finished(status, stream.getvalue())


def write_conf(folder: Path, num_clusters: int = 8) -> Path:
    """A conf dir with the feature type `small_km`: a few clusters of filter banks."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"tokenizer": "fbank_kmeans", "num_clusters": num_clusters, "num_mel_bins": 20, "frame_shift_sec": 0.02}
    (folder / "small_km.json").write_text(json.dumps(values))
    return folder
