"""Feature types whose networks others published: each loaded, run for a second, and held against what it gave before.

What is compared are codes, by their hash, or of frames, which differ in their last digits between machines, a few sums.
Frames are those of a k-means that is still to be fitted, too. A mirror is a folder with the files of the hub below
ORG/NAME, those of `weights:NAME` below NAME, and files that lie elsewhere under their own names.
"""

import dataclasses
import hashlib
import json
import math
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete import CONF_DIR
from icefall_discrete.base.feature_types import read_feature_settings
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.script import one_sentence
from icefall_discrete.base.weights import WEIGHTS_PREFIX
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.composed.quantized import QuantizedTokenizer
from icefall_discrete.tokenizers.contract import SpeechTokenizer

FEATURES = CONF_DIR / "features"
WEIGHTS = CONF_DIR / "weights"
# Settings that name what is fetched, wherever they stand in a feature type.
_FETCHED = ("model", "kmeans_path")
_NUM_SUMS, _TOLERANCE, _TOLD_DIGITS = 6, 1e-3, 12
AS_RECORDED, NOT_RECORDED = "as recorded", "nobody has recorded it yet"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a preset gave: `found`, or why there is nothing; and what that is against what was recorded."""

    name: str
    found: Optional[Dict[str, Any]]
    verdict: str

    @property
    def is_wrong(self) -> bool:
        """Whether it could not be run, or gave something else than before."""
        return self.verdict not in (AS_RECORDED, NOT_RECORDED)

    @property
    def row(self) -> List[str]:
        """Name, shape, rate, hash or sums, verdict."""
        if self.found is None:
            return [self.name, "", "", "", self.verdict]
        told = self.found.get("sha256", "")[:_TOLD_DIGITS] or f"{self.found['sums'][0]:.5g} ..."
        shape = " x ".join(map(str, self.found["shape"]))
        return [self.name, shape, f"{self.found['frame_rate_hz']:g}", told, self.verdict]


def _fetched(values: Any) -> Iterator[str]:
    if isinstance(values, dict):
        for name, value in values.items():
            if name in _FETCHED and isinstance(value, str) and value:
                yield value
            else:
                yield from _fetched(value)
    elif isinstance(values, list):
        for value in values:
            yield from _fetched(value)


def presets() -> Dict[str, List[str]]:
    """The feature types of the package that need what others published, each with what that is."""
    found = {path.stem: list(_fetched(read_feature_settings(path))) for path in sorted(FEATURES.glob("*.json"))}
    return {name: needed for name, needed in found.items() if needed}


def hub_name(needed: str) -> str:
    """What a feature type calls `needed` by the name that the hub has for it."""
    if not needed.startswith(WEIGHTS_PREFIX):
        return needed
    return str(read_object(WEIGHTS / f"{needed.removeprefix(WEIGHTS_PREFIX)}.json")["hub"]["id"])


def one_second(rate_hz: int) -> Tensor:
    """A second of audio (S,) that is the same everywhere: harmonics of a voice that rises, louder and softer."""
    time = torch.arange(rate_hz, dtype=torch.float64) / rate_hz
    phase = 2 * math.pi * (120.0 * time + 40.0 * time.square())
    tones = torch.stack([torch.sin(number * phase) / number for number in range(1, 20)]).sum(dim=0)
    return (0.2 * tones * (0.6 + 0.4 * torch.sin(2 * math.pi * 3.0 * time))).float()


def _here(values: Any, mirror: Path) -> Any:
    """The settings of a feature type with what the mirror has in place of what it names."""
    if isinstance(values, list):
        return [_here(value, mirror) for value in values]
    if not isinstance(values, dict):
        return values
    changed = {}
    for name, value in values.items():
        is_named = name in _FETCHED and isinstance(value, str) and value
        place = mirror / value.removeprefix(WEIGHTS_PREFIX) if is_named else None
        changed[name] = str(place.resolve()) if place is not None else _here(value, mirror)
    return changed


def output_of(tokenizer: SpeechTokenizer) -> Tuple[Tensor, float]:
    """Codes (T, K), or frames (T, D) where they are all that there is, of a second; and how many there are in one."""
    samples = one_second(tokenizer.sample_rate_hz)
    if isinstance(tokenizer, QuantizedTokenizer) and not tokenizer.is_fitted:
        with torch.no_grad():
            return tokenizer.frames(samples), tokenizer.frame_rate_hz
    frames, lens = tokenizer.encode(samples[None], torch.tensor([len(samples)]), ["a second"])
    return frames[0, : int(lens[0])], tokenizer.spec.frame_rate_hz


def told(output: Tensor, frame_rate_hz: float) -> Dict[str, Any]:
    """What is recorded of an output: {"shape", "frame_rate_hz", "sha256" or "sums"}."""
    said: Dict[str, Any] = {"shape": list(output.shape), "frame_rate_hz": frame_rate_hz}
    if not output.is_floating_point():
        return {**said, "sha256": hashlib.sha256(output.to(torch.int64).contiguous().numpy().tobytes()).hexdigest()}
    values = output.double().flatten()
    places = torch.arange(len(values), dtype=torch.float64)
    sums = [values.square().mean().sqrt(), *((values * torch.cos(places * k)).mean() for k in range(1, _NUM_SUMS))]
    return {**said, "sums": [float(one) for one in sums]}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> List[str]:
    """What is another now; sums may differ by a thousandth of the first one, which is the size of the numbers."""
    found = [name for name in ("shape", "frame_rate_hz", "sha256") if before.get(name) != now.get(name)]
    sums = before.get("sums", []), now.get("sums", [])
    near = [abs(one - other) <= _TOLERANCE * abs(sums[0][0]) for one, other in zip(*sums)]
    return found if len(sums[0]) == len(sums[1]) and all(near) else [*found, "sums"]


def check_preset(name: str, mirror: Optional[Path], recorded: Mapping[str, Any]) -> Outcome:
    """Load a preset, from a mirror or as its settings say, run it, and hold it against what was recorded."""
    try:
        with tempfile.TemporaryDirectory() as place:
            path = preset = FEATURES / f"{name}.json"
            if mirror is not None:
                path = Path(place) / preset.name
                path.write_text(json.dumps(_here(read_feature_settings(preset), mirror)), encoding="utf-8")
            found = told(*output_of(load_tokenizer(path, (FEATURES,), None)))
    except Exception as error:  # of several libraries; the next one is to be checked all the same
        return Outcome(name, None, f"cannot be run: {one_sentence(error)}")
    if name not in recorded:
        return Outcome(name, found, NOT_RECORDED)
    changed = differences(recorded[name], found)
    return Outcome(name, found, f"differs from the record in {', '.join(changed)}" if changed else AS_RECORDED)
