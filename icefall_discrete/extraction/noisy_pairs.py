"""Noisy speech with the clean speech that it was made of, for enhancement: each utterance in one kind of noise."""

import hashlib
import itertools
from pathlib import Path
from typing import Dict, List, Sequence

from lhotse import MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.audio.noise import Condition, NoiseSource
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.mixture_corpora import MixtureCuts
from icefall_discrete.extraction.noisy_cuts import noisy_manifest, write_noisy_set

CLEAN = "clean"


def conditions_of(cut_id: str, conditions: Sequence[Condition], copies: int, seed: int) -> List[Condition]:
    """`copies` different ones of the conditions (all, if there are fewer), drawn by the cut's id and the seed."""
    digests = {one: hashlib.sha256(f"{seed} {one.set_name(cut_id)}".encode()).hexdigest() for one in conditions}
    return sorted(conditions, key=digests.__getitem__)[:copies]


def noisy_pairs(clean_manifest: Path, source: NoiseSource, copies: int, audio_dir: Path, nj: int) -> List[MixtureCuts]:
    """Make the noisy versions of the cuts of a manifest, `copies` of each, each in a condition of its own.

    Args:
      source: of the noise; all its kinds at all its ratios are the conditions. audio_dir: of all noisy sets.
      nj: threads.
    Returns:
      pairs, sorted by the ids of the noisy cuts, which the clean ones have too.
    Raises:
      ValueError: if a cut is silent.
    """
    cuts, config = list(load_cuts(clean_manifest)), source.config
    conditions = [Condition(*one) for one in itertools.product(config.kinds, config.snrs)]
    chosen: Dict[Condition, List[MonoCut]] = {condition: [] for condition in conditions}
    for cut in cuts:
        for condition in conditions_of(cut.id, conditions, copies, config.seed):
            chosen[condition].append(cut)
    pairs: List[MixtureCuts] = []
    by_id = {cut.id: cut for cut in cuts}
    for condition, some in chosen.items():
        if some:
            write_noisy_set(some, condition, source, clean_manifest, audio_dir, nj)
            noisy = load_cuts(noisy_manifest(clean_manifest, condition))
            pairs += [MixtureCuts(one, {CLEAN: _renamed(by_id[one.custom["clean_id"]], one.id)}) for one in noisy]
    return sorted(pairs, key=lambda pair: pair.mixture.id)


def _renamed(cut: MonoCut, name: str) -> MonoCut:
    return fastcopy(cut, id=name, supervisions=[fastcopy(one, id=name) for one in cut.supervisions])
