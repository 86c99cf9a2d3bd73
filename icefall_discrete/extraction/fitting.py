"""Fit a tokenizer (k-means) on training audio, once."""

import array
import contextlib
import copy
import dataclasses
import logging
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, Mapping, Optional, Tuple

import numpy as np
from lhotse import MonoCut
from torch import Tensor

from icefall_discrete.audio.reading import UnreadableAudio, load_samples
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.provenance import Provenance, set_aside
from icefall_discrete.data.audio_files import note_audio, require_same_audio
from icefall_discrete.data.cuts import language_of
from icefall_discrete.data.cuts_on_disk import NumberedCuts, Selected
from icefall_discrete.data.facts import facts_of, require_fact
from icefall_discrete.extraction.choosing import choose_cuts, survey
from icefall_discrete.tokenizers.contract import SpeechTokenizer
from icefall_discrete.training.fit_folder import INPUTS, TRAINING_DIR

LOG = logging.getLogger(__name__)
FIT_FILE = "fit.json"
_AUDIO_RECORD = "fit.audio.gz"
MAX_UNREADABLE_FRACTION = 0.05


class AudioOfCuts:
    """The audio of cuts as `fit` takes it, pairs of samples (S,) and cut id; what cannot be read is logged and counted.

    It can be had by language (AudioByLanguage); what cannot be read is counted over all languages then.

    Args:
      cuts: to be read. sample_rate_hz: rate of the samples. max_unreadable: how many may be left out (None: all).
      when_read: called with what could not be read whenever all was gone through.
    """

    def __init__(
        self,
        cuts: NumberedCuts,
        sample_rate_hz: int,
        max_unreadable: Optional[int] = None,
        when_read: Callable[[Mapping[str, str]], None] = lambda unreadable: None,
    ) -> None:
        self._cuts = cuts
        self._num_cuts = len(cuts)
        self._sample_rate_hz = sample_rate_hz
        self._max_unreadable = len(cuts) if max_unreadable is None else max_unreadable
        self._when_read = when_read
        self.unreadable: Dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._cuts)

    def by_language(self) -> Dict[str, "AudioOfCuts"]:
        """The audio of each language, in order of names. Raises ValueError, naming the cut, if one has no language."""
        groups: Dict[str, array.array[int]] = {}
        for number, cut in enumerate(self._each()):
            require_fact(cut, "language")
            groups.setdefault(language_of(cut) or "", array.array("q")).append(number)
        parts = {language: copy.copy(self) for language in sorted(groups)}  # with one count of what is unreadable
        for language, part in parts.items():
            part._cuts = Selected(self._cuts, np.array(groups[language]))
        return parts

    def _each(self) -> Iterator[MonoCut]:
        return (self._cuts[number] for number in range(len(self._cuts)))

    def texts(self) -> Dict[str, str]:
        """The text of each cut that has one (AudioWithTexts)."""
        known = {cut.id: facts_of(cut)["text"] for cut in self._each()}
        return {name: str(text) for name, text in known.items() if text is not None}

    def __iter__(self) -> Iterator[Tuple[Tensor, str]]:
        """Raises ValueError as soon as more cuts cannot be read than may be left out."""
        for cut in self._each():
            try:
                samples = load_samples(cut, self._sample_rate_hz)
            except UnreadableAudio as error:
                LOG.warning("left out of the fit: %s", error)
                self.unreadable[cut.id] = str(error)
                if len(self.unreadable) > self._max_unreadable:
                    first = next(iter(self.unreadable.values()))
                    raise ValueError(
                        f"{len(self.unreadable)} of {self._num_cuts} cuts cannot be read, more than "
                        f"max_unreadable_fraction allows ({self._max_unreadable}); the first: {first}"
                    ) from None
                continue
            yield samples, cut.id
        self._when_read(self.unreadable)


def _can_be_read_now(recorded: Provenance, cuts: Iterable[MonoCut], sample_rate_hz: int) -> Optional[str]:
    """The first cut that was left out of a fit as unreadable and is no longer; None if there is none."""
    unreadable = set(recorded.noted.get("unreadable", []))
    for cut in cuts:
        if cut.id in unreadable:
            with contextlib.suppress(UnreadableAudio):
                load_samples(cut, sample_rate_hz)
                return cut.id
    return None


def _still_good(tokenizer: SpeechTokenizer, cuts: Selected, out_dir: Path, made_from: Provenance) -> bool:
    """Whether the fitted state is the one that is asked for; one that can be had of more audio now is set aside."""
    promised = tokenizer.spec  # raises if the state does not belong to these settings
    recorded = Provenance.read_if_there(out_dir / FIT_FILE)
    if recorded is not None:
        advice = f"rerun with what it was fitted on, or move {out_dir} aside and rerun from stage 2"
        made = f"'{promised.name}' in {out_dir} was fitted"
        made_from.require_same(recorded, made, advice)
        lost = set(recorded.noted.get("unreadable", []))
        require_same_audio(out_dir / _AUDIO_RECORD, (cut for cut in cuts if cut.id not in lost), made, advice)
        mended = _can_be_read_now(recorded, cuts, tokenizer.sample_rate_hz)
        if mended is not None:
            fitted = [one for one in (*tokenizer.parts, tokenizer) if one.needs_fit]  # not centroids from elsewhere
            moved = set_aside(*(path for one in fitted for path in one.state_files), out_dir / FIT_FILE)
            LOG.warning("cut %s can be read now: fitting anew; the state of before is %s", mended, moved[0])
            return False
    LOG.info("feature type '%s' is fitted already in %s: nothing to do", promised.name, out_dir)
    return True


def fit_tokenizer(
    tokenizer: SpeechTokenizer,
    cuts: Iterable[MonoCut],
    out_dir: Path,
    seed: int,
    max_hours: float = 0.0,
    max_unreadable_fraction: float = MAX_UNREADABLE_FRACTION,
) -> bool:
    """Fit `tokenizer` on `cuts` into `out_dir`; return False if there was nothing to do.

    Cuts are read several times, and none is held; a list is taken as it is.
    Nothing is done for a tokenizer that needs no fitting, or that is fitted already: on the same cuts, or by a file of
    centroids from elsewhere (which has no fit.json beside it). Audio that could not be read then is tried again; if
    some of it can be, the state is set aside and fitted anew.
    Raises ValueError if it was fitted on other cuts, with another seed or with other settings, or if a larger part of
    the cuts than `max_unreadable_fraction` cannot be read.
    """
    out_dir = Path(out_dir)
    if not tokenizer.needs_fit:
        LOG.info("feature type '%s' needs no fitting: nothing to do", tokenizer.name)
        return False
    with at_work(out_dir / f"{LOCK_FILE}-fit", f"the tokenizer in {out_dir}"):
        return _fit_alone(tokenizer, cuts, out_dir, seed, max_hours, max_unreadable_fraction)


def _fit_alone(
    tokenizer: SpeechTokenizer,
    cuts: Iterable[MonoCut],
    out_dir: Path,
    seed: int,
    max_hours: float,
    max_unreadable_fraction: float,
) -> bool:
    cuts = list(cuts) if iter(cuts) is cuts else cuts  # what can be read once only is kept
    found = survey(cuts, tokenizer.needs_language)
    made_from = Provenance(
        {"cuts": found.digest, "num_cuts": len(found.seconds)}, {"seed": seed, "max_hours": max_hours}
    )
    chosen = choose_cuts(cuts, found.seconds, max_hours, seed)
    if tokenizer.is_fitted and _still_good(tokenizer, chosen, out_dir, made_from):
        return False
    hours = hours_text(sum(cut.duration for cut in chosen) / 3600)
    LOG.info("fitting '%s' on %d of %d cuts, %s h", tokenizer.name, len(chosen), len(found.seconds), hours)
    if (out_dir / TRAINING_DIR / INPUTS).is_file():  # it goes on
        advice = f"move {out_dir} aside and rerun from stage 2"
        require_same_audio(out_dir / _AUDIO_RECORD, chosen, f"the training in {out_dir} was begun", advice)
    else:
        (out_dir / _AUDIO_RECORD).unlink(missing_ok=True)
    note_audio(out_dir / _AUDIO_RECORD, chosen)

    def note(unreadable: Mapping[str, str]) -> None:
        # Before the state: a state without it counts as one from elsewhere, and is not held against its inputs.
        noted = {"num_cuts_read": len(chosen) - len(unreadable), "unreadable": sorted(unreadable)}
        dataclasses.replace(made_from, noted=noted).write(out_dir / FIT_FILE)

    audio = AudioOfCuts(chosen, tokenizer.sample_rate_hz, int(max_unreadable_fraction * len(chosen)), note)
    made_from.write(out_dir / FIT_FILE)
    tokenizer.fit(audio, out_dir, seed)
    if audio.unreadable:
        LOG.warning("%d of %d cuts were left out of the fit, as they cannot be read", len(audio.unreadable), len(audio))
    return True
