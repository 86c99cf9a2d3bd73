"""How far synthesis is from the recordings: its units, its audio where a vocoder said it, and what was heard of it."""

import collections
import logging
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.audio.reading import load_finite, load_recording, open_recording
from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import language_of, load_cuts, load_feature_cuts, load_frames
from icefall_discrete.metrics.reconstruction import Figures, ReconstructionFigures, reconstruction
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.signals.judges import judge_versions
from icefall_discrete.metrics.unit_edit_distance import UnitEditDistance
from icefall_discrete.systems.tts.files import SynthesisFiles
from icefall_discrete.systems.vocoder.files import Said, read_said, require_there
from icefall_discrete.systems.vocoder.page import listening_page
from icefall_discrete.systems.vocoder.scoring import (
    NOT_KNOWN,
    add_what_was_heard,
    judges_at_hand,
    speech_table,
)

LOG = logging.getLogger(__name__)
Json = Dict[str, Any]


class _Group:
    """Figures of some of the cuts."""

    def __init__(self, num_codebooks: int) -> None:
        self.edits, self.figures = UnitEditDistance(num_codebooks), ReconstructionFigures()

    def scores(self) -> Json:
        return {
            "num_utterances": self.figures.num_utterances,
            "unit_edits": {"rate": round(self.edits.percent_without_repetitions, 4)},
            **self.figures.scores(),
        }


def score_synthesis(split: str, files: SynthesisFiles, feature_dir: Path, rules: ScoringRules) -> Json:
    """Figures of a split, over all and by language; with audio, also the page to listen to.

    Raises:
      ValueError: if the folder's cuts are others than those whose texts were said.
    """
    spec = FeatureSpec.read(feature_dir / "spec.json")
    spoken, _ = load_feature_cuts(files.said(split), spec)
    recorded = {cut.id: cut for cut in load_cuts(feature_dir / f"{split}.jsonl.gz")}
    listed = {line.cut_id: line for line in read_said(files.listed(split))} if files.listed(split).is_file() else {}
    groups: Dict[str, _Group] = collections.defaultdict(lambda: _Group(spec.num_codebooks))
    everyone = _Group(spec.num_codebooks)
    judges = [judge for judge in judges_at_hand() if judge == "dnsmos"] if listed else []
    require_there((cut.id for cut in spoken), recorded, files.said(split), feature_dir)
    for cut in spoken:
        theirs, figures = recorded[cut.id], _figures(cut, recorded[cut.id], listed, files, spec, judges)
        for group in (everyone, groups[language_of(theirs) or NOT_KNOWN]):
            group.edits.add(load_frames(theirs, spec), load_frames(cut, spec))
            group.figures.add(figures)
    scored: Json = {**everyone.scores(), "judges": judge_versions(judges)}
    scored["languages"] = {name: group.scores() for name, group in sorted(groups.items())}
    heard = add_what_was_heard(scored, split, files, recorded, rules)
    if listed:
        shown = CutSet.from_cuts(recorded[cut.id] for cut in spoken if cut.id in listed)
        write_text(files.page(split), listening_page(split, files.page(split), shown, listed, heard))
    print(f"{split}: {speech_table(scored)}")
    return scored


def _figures(
    spoken: Cut,
    recorded: Cut,
    listed: Mapping[str, Said],
    files: SynthesisFiles,
    spec: FeatureSpec,
    judges: Sequence[str],
) -> Figures:
    """Length and, where there is audio, what `reconstruction` measures of audio of another pace."""
    found: Figures = {"length_error": 100.0 * abs(spoken.duration - recorded.duration) / recorded.duration}
    if spoken.id not in listed:
        return found
    original = load_finite(recorded, spec.sample_rate_hz)
    said = load_recording(open_recording(files.folder / listed[spoken.id].audio, spoken.id), spec.sample_rate_hz)
    try:
        measured = reconstruction(original.numpy(), said.numpy(), spec.sample_rate_hz, judges, same_pace=False)
    except ValueError as error:
        LOG.warning(f"cut {spoken.id} cannot be measured: {error}")
        return found
    return {**found, **measured}
