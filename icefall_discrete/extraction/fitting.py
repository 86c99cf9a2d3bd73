"""Fit a tokenizer (k-means) on training audio, once."""

import hashlib
import logging
import random
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from lhotse import MonoCut
from torch import Tensor

from icefall_discrete.audio.reading import UnreadableAudio, load_samples
from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.extraction.check import original_id
from icefall_discrete.extraction.journal import different_keys

LOG = logging.getLogger(__name__)
FIT_FILE = "fit.json"


def choose_cuts(cuts: Sequence[MonoCut], max_hours: float, seed: int) -> List[MonoCut]:
    """All cuts in a seeded random order, or the first of them up to `max_hours` (0: no limit).

    Raises ValueError if a cut is speed-perturbed: the tokenizer is fitted on what was recorded.
    """
    chosen = list(cuts)
    for cut in chosen:
        if original_id(cut.id) != cut.id:
            raise ValueError(f"cut {cut.id}: is speed-perturbed; fit on the corpus manifest, not on extracted cuts.")
    random.Random(seed).shuffle(chosen)
    if max_hours <= 0:
        return chosen
    kept: List[MonoCut] = []
    seconds = 0.0
    for cut in chosen:
        if kept and seconds + cut.duration > 3600 * max_hours:
            break
        kept.append(cut)
        seconds += cut.duration
    return kept


class AudioOfCuts:
    """The audio of cuts as `fit` takes it, pairs of samples (S,) and cut id; what cannot be read is logged."""

    def __init__(self, cuts: Sequence[MonoCut], sample_rate_hz: int) -> None:
        self._cuts = cuts
        self._sample_rate_hz = sample_rate_hz

    def __len__(self) -> int:
        return len(self._cuts)

    def __iter__(self) -> Iterator[Tuple[Tensor, str]]:
        for cut in self._cuts:
            try:
                samples = load_samples(cut, self._sample_rate_hz)
            except UnreadableAudio as error:
                LOG.warning("left out of the fit: %s", error)
                continue
            yield samples, cut.id


def _inputs(cuts: Sequence[MonoCut], seed: int, max_hours: float) -> Dict[str, Any]:
    digest = hashlib.sha256()
    for cut in sorted(cuts, key=lambda cut: cut.id):
        digest.update(f"{cut.id} {cut.start} {cut.duration}\n".encode())
    return {"cuts": digest.hexdigest(), "num_cuts": len(cuts), "seed": seed, "max_hours": max_hours}


def fit_tokenizer(tokenizer: Any, cuts: Sequence[MonoCut], out_dir: Path, seed: int, max_hours: float = 0.0) -> bool:
    """Fit `tokenizer` on `cuts` into `out_dir`; return False if there was nothing to do.

    Nothing is done for a tokenizer that needs no fitting, or that is fitted already: on the same cuts, or by a file of
    centroids from elsewhere (which has no fit.json beside it).
    Raises ValueError if it was fitted on other cuts, with another seed or with other settings.
    """
    out_dir = Path(out_dir)
    if not tokenizer.needs_fit:
        LOG.info("feature type '%s' needs no fitting: nothing to do", tokenizer.name)
        return False
    inputs = _inputs(cuts, seed, max_hours)
    record = out_dir / FIT_FILE
    if tokenizer.is_fitted:
        promised = tokenizer.spec  # raises if the state does not belong to these settings
        changed = different_keys(read_json(record), inputs) if record.exists() else []
        if changed:
            raise ValueError(
                f"'{promised.name}' in {out_dir} was fitted with other {', '.join(changed)}; delete that folder "
                "to fit anew, or rerun with what it was fitted on."
            )
        LOG.info("feature type '%s' is fitted already in %s: nothing to do", promised.name, out_dir)
        return False
    out_dir.mkdir(parents=True, exist_ok=True)
    chosen = choose_cuts(cuts, max_hours, seed)
    hours = sum(cut.duration for cut in chosen) / 3600
    LOG.info("fitting '%s' on %d of %d cuts, %.2f h", tokenizer.name, len(chosen), len(cuts), hours)
    # Before the state: a state without it counts as one from elsewhere, and is not held against its inputs.
    write_json(record, inputs)
    tokenizer.fit(AudioOfCuts(chosen, tokenizer.sample_rate_hz), out_dir, seed)
    return True
