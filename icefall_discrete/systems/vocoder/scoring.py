"""How far what a vocoder says is from the recordings, and what a recogniser hears in both."""

import collections
import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from lhotse import CutSet
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_discrete.audio.reading import load_finite, load_recording, open_recording
from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import language_of
from icefall_discrete.data.facts import facts_of
from icefall_discrete.metrics.facts import known_metrics
from icefall_discrete.metrics.reconstruction import (
    JUDGES,
    ReconstructionFigures,
    of_input,
    present_judges,
    reconstruction,
)
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.signals.judges import judge_versions
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.scoring import score_transcripts
from icefall_discrete.systems.vocoder.files import VocoderFiles, read_said, require_there
from icefall_discrete.systems.vocoder.heard import Heard, HeardVoice, read_heard, read_heard_voices
from icefall_discrete.systems.vocoder.page import listening_page
from icefall_discrete.text.words import words_in

LOG = logging.getLogger(__name__)
Json = Dict[str, Any]
NOT_KNOWN = "not known"


def judges_at_hand() -> List[str]:
    """Those of JUDGES whose packages are installed; of others the log says how to get them."""
    present = list(present_judges())
    missing = [judge for judge in JUDGES if judge not in present]
    if missing:
        LOG.info(
            f"not measured, as their packages are not installed: {', '.join(missing)}; pip install "
            "'icefall-discrete[metrics]' has them, then score again"
        )
    return present


def score_speech(split: str, files: VocoderFiles, feature_dir: Path, rules: ScoringRules) -> Json:
    """Figures of a split, over all and by language, from its audio and, where a recogniser heard it, its texts.

    Also writes the page to listen to.

    Raises:
      ValueError: if the folder's cuts are others than those that were said. UnreadableAudio: if a recording is gone.
    """
    rate = FeatureSpec.read(feature_dir / "spec.json").sample_rate_hz
    cuts, inputs = files.recordings(feature_dir, split), files.inputs(feature_dir, split)
    groups: Dict[str, ReconstructionFigures] = collections.defaultdict(ReconstructionFigures)
    everyone, judges, left_out = ReconstructionFigures(), judges_at_hand(), 0
    lines = read_said(files.listed(split))
    require_there((line.cut_id for line in lines), cuts, files.listed(split), feature_dir)
    for line in tqdm(lines, desc=f"Measuring {split}", unit="utterance"):
        cut = cuts[line.cut_id]
        recorded = load_finite(cut, rate)
        said = load_recording(open_recording(files.folder / line.audio, cut.id), rate)
        try:
            found = reconstruction(recorded.numpy(), said.numpy(), rate, judges)
            if line.cut_id in inputs:
                before = reconstruction(recorded.numpy(), load_finite(inputs[line.cut_id], rate).numpy(), rate, judges)
                found.update(of_input(before))
        except ValueError as error:
            left_out += 1
            LOG.warning(f"{split}: cut {cut.id} cannot be measured: {error}")
            continue
        everyone.add(found)
        groups[language_of(cut) or NOT_KNOWN].add(found)
    scored: Json = {"num_utterances": everyone.num_utterances, "num_not_measured": left_out, **everyone.scores()}
    scored["judges"] = judge_versions(judges)
    scored["languages"] = {
        name: {"num_utterances": group.num_utterances, **group.scores()} for name, group in sorted(groups.items())
    }
    heard = add_what_was_heard(scored, split, files, cuts, rules)
    said_of = {line.cut_id: line for line in lines}
    # Of a mixture several sources are said, each under an id of its own.
    shown = CutSet.from_cuts(cuts[cut_id].with_id(cut_id) for cut_id in said_of)
    write_text(files.page(split), listening_page(split, files.page(split), shown, said_of, heard))
    if files.heard_inputs(split).is_file():
        of_inputs: Json = {"languages": {}}
        add_heard(of_inputs, read_heard(files.heard_inputs(split)), cuts, rules)
        scored.update(of_input(of_inputs))
        for name, part in of_inputs["languages"].items():
            scored["languages"].setdefault(name, {}).update(of_input(part))
    print(f"{split}: {speech_table(scored)}")
    return scored


def add_what_was_heard(
    scored: Json, split: str, files: VocoderFiles, cuts: Mapping[str, Cut], rules: ScoringRules
) -> List[Heard]:
    """Put what lists tell of whose voices, and which texts, were heard in a split, where they are; returns the texts.

    Raises:
      ValueError: if a list is of other audio, or of other cuts, than there are now.
    """
    voices, texts = files.heard_voices(split), files.heard(split)
    heard_voices = read_heard_voices(voices) if voices.is_file() else []
    heard = read_heard(texts) if texts.is_file() else []
    for path, lines in ((voices, heard_voices), (texts, heard)):
        if lines:
            require_there((line.cut_id for line in lines), cuts, path, "the features")
            files.require_heard(split, path)
    if heard_voices:
        add_heard_voices(scored, heard_voices, cuts)
    if heard:
        add_heard(scored, heard, cuts, rules)
    return heard


def add_heard(scored: Json, heard: Sequence[Heard], cuts: Mapping[str, Cut], rules: ScoringRules) -> None:
    """Put error rates of what was said against the text (`wer`, `cer`) and against what was heard before (`dwer`)."""
    languages = {line.cut_id: language_of(cuts[line.cut_id]) or NOT_KNOWN for line in heard}
    texts = {line.cut_id: str(facts_of(cuts[line.cut_id]).get("text") or "") for line in heard}

    def rates(pairs: Mapping[str, Sequence[str]]) -> Json:
        transcripts = [
            rules.scored(Transcript(cut_id, *(tuple(words_in(text)) for text in pair)))
            for cut_id, pair in pairs.items()
        ]
        return score_transcripts(transcripts, languages)

    said = rates({line.cut_id: (texts[line.cut_id], line.said) for line in heard})
    original = rates({line.cut_id: (texts[line.cut_id], line.original) for line in heard})
    between = rates({line.cut_id: (line.original, line.said) for line in heard})
    for part, of_said, of_original, of_both in (
        (scored, said, original, between),
        *(
            (scored["languages"].setdefault(name, {}), one, original["languages"][name], between["languages"][name])
            for name, one in said["languages"].items()
        ),
    ):
        part.update({"wer": of_said["wer"], "cer": of_said["cer"], "dwer": of_both["wer"]})
        part.update({"wer_original": of_original["wer"], "cer_original": of_original["cer"]})


def add_heard_voices(scored: Json, heard: Sequence[HeardVoice], cuts: Mapping[str, Cut]) -> None:
    """Put how often the voice that was asked for was heard, and how alike voices are."""
    groups: Dict[str, ReconstructionFigures] = collections.defaultdict(ReconstructionFigures)
    everyone = ReconstructionFigures()
    for line in heard:
        for group in (everyone, groups[language_of(cuts[line.cut_id]) or NOT_KNOWN]):
            group.add(line.figures())
    scored.update(everyone.scores())
    for name, group in groups.items():
        scored["languages"].setdefault(name, {}).update(group.scores())


def speech_table(scored: Json) -> str:
    """A table of the figures of a split, by language and over all."""
    known = [metric for name, metric in known_metrics().items() if name in scored]
    parts = [*scored["languages"].items(), ("all", scored)] if len(scored["languages"]) > 1 else [("all", scored)]
    rows = [
        [name, str(part.get("num_utterances", "")), *(one.shown(one.of(part)) for one in known)] for name, part in parts
    ]
    return "\n" + text_table(["", "utterances", *(metric.head for metric in known)], rows)
