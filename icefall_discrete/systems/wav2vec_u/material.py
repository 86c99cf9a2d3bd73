"""From a folder of features, or of codes and their codebooks, to speech that a training can take, made once."""

import logging
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
from lhotse.cut import Cut
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.provenance import Provenance, Rules
from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import cuts_digest, is_speed_perturbed, load_feature_cuts, load_frames
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.systems.wav2vec_u.config import FRAMES, PoolingConfig
from icefall_discrete.systems.wav2vec_u.pooling import FILE, Pooling, fit_pooling
from icefall_discrete.systems.wav2vec_u.speech import FACTS, Speech, Utterance, read_speech, write_speech

LOG = logging.getLogger(__name__)
RECORD = "made_from.json"
# A name may stand for other features than before: what they promise is held against the record too, if it has that.
_SPEC, _UNITS_SPEC = "spec", "units_spec"
# Above, nothing was learnt in the paper of 2.0; of its table, 16 Hz is the highest that was.
_HIGHEST_HZ = 20.0


class Heard(NamedTuple):
    """Cuts of a split, their spec, the codebooks of codes, and units of the same cuts by their ids, if any."""

    cuts: List[Cut]
    spec: FeatureSpec
    codebooks: Optional[List[np.ndarray]] = None
    units: Optional[Dict[str, Cut]] = None
    units_spec: Optional[FeatureSpec] = None

    @property
    def num_units(self) -> int:
        """Size of the units' codebook; 0 if there are none."""
        return self.units_spec.codebook_sizes[0] if self.units_spec is not None else 0

    def frames_of(self, cut: Cut) -> np.ndarray:
        """Frames (T, D) of a cut; of codes, the entries of all codebooks side by side."""
        frames = load_frames(cut, self.spec)
        if self.codebooks is None:
            return frames
        return np.concatenate([codebook[frames[:, k]] for k, codebook in enumerate(self.codebooks)], axis=1)

    def units_of(self, cut: Cut, num_frames: int) -> Optional[np.ndarray]:
        """Units (T,) at the middle of each of T frames; None if there are none.

        Raises:
          ValueError: if the cut has none.
        """
        if self.units is None or self.units_spec is None:
            return None
        if cut.id not in self.units:
            raise ValueError(f"cut {cut.id} has no units; extract the same splits with both feature types.")
        codes = load_frames(self.units[cut.id], self.units_spec)[:, 0]
        middles = (np.arange(num_frames) + 0.5) * self.units_spec.frame_rate_hz / self.spec.frame_rate_hz
        return codes[np.minimum(middles.astype(np.int64), len(codes) - 1)]


def hear(
    feature_dir: Path,
    split: str,
    languages: Sequence[str],
    codebooks: Optional[Sequence[Tensor]] = None,
    expected: Optional[FeatureSpec] = None,
    unit_dir: Optional[Path] = None,
) -> Heard:
    """The cuts of a split, without copies at other speeds.

    Args:
      languages: that are heard; none: all. codebooks: of the folder, as it has them.
      expected: of the features, if they must be the same as before. unit_dir: folder of codes of one codebook, such as
        k-means of MFCC.
    Raises:
      ValueError: if features are codes of a variable rate or without codebooks, units are no codes, or the spec is
        another one.
    """
    cuts, spec = load_feature_cuts(feature_dir / f"{split}.jsonl.gz", expected)
    _require_frames(spec, codebooks, feature_dir)
    books = [one.float().numpy() for one in codebooks or ()] if spec.kind == "codes" else None
    kept = [cut for cut in chosen_languages(cuts, languages) if not is_speed_perturbed(cut)]
    if unit_dir is None:
        return Heard(kept, spec, books)
    unit_cuts, unit_spec = load_feature_cuts(unit_dir / f"{split}.jsonl.gz")
    if unit_spec.num_codebooks != 1 or unit_spec.has_variable_rate:
        raise ValueError(f"'{unit_spec.name}' in {unit_dir}: units must be codes of one codebook at a constant rate.")
    return Heard(kept, spec, books, {cut.id: cut for cut in unit_cuts}, unit_spec)


def _require_frames(spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]], where: Path) -> None:
    """Raise ValueError if nothing continuous is known of the features."""
    if spec.kind == "continuous" or (codebooks and not spec.has_variable_rate):
        return
    reason = "of a variable rate" if spec.has_variable_rate else "without codebooks"
    raise ValueError(
        f"'{spec.name}' in {where} are codes {reason}, and wav2vec-U hears frames; give a folder of continuous "
        "features, or of codes of k-means."
    )


def prepare_speech(folder: Path, train: Heard, dev: Heard, config: PoolingConfig, seed: int) -> Dict[str, Speech]:
    """`speech-train` and `speech-dev` below `folder`, and the pooling, by the training cuts; made if absent.

    Raises:
      ValueError: if they are there and were made of something else.
    """
    inputs = {
        "train_cuts": cuts_digest(train.cuts),
        "dev_cuts": cuts_digest(dev.cuts),
        "features": train.spec.name,
        "units": train.units_spec.name if train.units_spec is not None else None,
        _SPEC: train.spec.promise(),
        _UNITS_SPEC: train.units_spec.promise() if train.units_spec is not None else None,
    }
    origin = Provenance(inputs, {**to_dict(config), "seed": seed})
    # Before there is a pooling nothing is made: whoever asked for more clusters than there are frames may ask again.
    begun = Provenance.read_if_there(folder / RECORD) if (folder / FILE).is_file() else None
    if begun is not None:
        advice = "take another --exp-dir, or move that folder aside"
        # Of a record that has it, what is absent in it counts.
        later = tuple(name for name in (_SPEC, _UNITS_SPEC) if name not in begun.inputs)
        origin.require_same(begun, f"{folder} holds speech made", advice, Rules(later=later))
    folder.mkdir(parents=True, exist_ok=True)
    origin.write(folder / RECORD)
    if not (folder / FILE).is_file():
        frames = (train.frames_of(cut) for cut in tqdm(train.cuts, desc="frames to cluster", unit="cut"))
        fit_pooling(frames, config, seed).save(folder)
    pooling = Pooling.load(folder)
    found = {}
    for name, heard in (("train", train), ("dev", dev)):
        own = folder / f"speech-{name}"
        found[name] = read_speech(own) if (own / FACTS).is_file() else pooled(heard, pooling, own)
    rate = found["train"].rate_hz
    LOG.info(f"{len(found['train'].ids)} utterances to learn from, {rate:.1f} segments a second")
    if pooling.kind != FRAMES and rate > _HIGHEST_HZ:
        LOG.warning(
            f"{rate:.1f} segments a second are more than {_HIGHEST_HZ:g}, from which nothing was learnt elsewhere; "
            "lower --clusters."
        )
    return found


def pooled(heard: Heard, pooling: Pooling, folder: Path) -> Speech:
    """Segments of cuts, written to `folder`."""

    def utterances() -> Iterator[Utterance]:
        for cut in tqdm(heard.cuts, desc=f"segments for {folder.name}", unit="cut"):
            frames = heard.frames_of(cut)
            yield cut.id, pooling(frames), heard.units_of(cut, len(frames))

    return write_speech(folder, utterances(), sum(cut.duration for cut in heard.cuts))
