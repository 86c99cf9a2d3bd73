#!/usr/bin/env python3
"""Within stage 7: let trained models tell whose voice is heard in what was made of some splits, for scoring.

A classifier says which of its classes it hears, a verification model how alike the voices of recording and output are.
"""

import logging
from pathlib import Path
from typing import Any, Iterator, Optional

from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.audio.reading import load_finite, load_recording, open_recording
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.provenance import read_record, recorded_in
from icefall_discrete.base.script import run_script
from icefall_discrete.data.facts import facts_of
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.voice_judge import VoiceJudge, VoiceJudges, add_judge_flags, load_voice_judges
from icefall_discrete.systems.tts.files import METHOD as SYNTHESIS
from icefall_discrete.systems.vocoder.files import Said, VocoderFiles, read_said, require_there
from icefall_discrete.systems.vocoder.heard import HeardVoice, write_heard_voices

LOG = logging.getLogger("judge")


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the experiment, whose splits were said")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with <split>.jsonl.gz")
    add_judge_flags(parser, "default: the voice in which all is said, else the class of each recording")
    return parser


def asked_class(asked: str, files: VocoderFiles, split: str, judge: Optional[VoiceJudge]) -> str:
    """The class that is to be heard in all of a split; empty: that of each recording.

    Raises:
      ValueError: if all is said in a voice, or as a prompt, of which the classifier knows no class.
    """
    path = files.record(split)
    settings = recorded_in(read_record(path, "made_from"), path).settings
    voice = settings.get("voice") or settings.get("prompt")
    if asked or not voice or judge is None or voice in judge.classes.names:
        return asked or voice or ""
    raise ValueError(
        f"all of {split} is said as {voice}, which is none of the classes of the classifier "
        f"({', '.join(judge.classes.names)}); name the one that is to be heard, --asked."
    )


def heard_voice(line: Said, cut: Cut, path: Path, judges: VoiceJudges) -> HeardVoice:
    """Whose voice is heard in the file `path` and in its recording. Raises BadAudio for what is too short."""

    def pair(judge: VoiceJudge) -> Iterator[Tensor]:
        yield load_finite(cut, judge.sample_rate_hz)
        yield load_recording(open_recording(path, cut.id), judge.sample_rate_hz)

    found = HeardVoice(line.cut_id)
    if judges.classifier is not None:
        original, said = (judges.classifier.answer(samples.float(), cut.id) for samples in pair(judges.classifier))
        own = str(facts_of(cut).get(judges.classifier.classes.fact) or "")
        asked = judges.class_to_hear(own, lambda: original)
        found = found._replace(own=own, asked=asked, original=original, said=said)
    if judges.verifier is not None:
        one, other = (samples.float() for samples in pair(judges.verifier))
        found = found._replace(similarity=f"{judges.verifier.similarity(one, other, cut.id):.6f}")
    return found


def judge_split(split: str, files: VocoderFiles, args: Any, judges: VoiceJudges) -> int:
    """Write whose voices are heard in a split; returns of how many utterances."""
    judges = judges._replace(asked=asked_class(args.asked, files, split, judges.classifier))
    cuts, heard = files.recordings(args.feature_dir, split), []
    lines = read_said(files.listed(split))
    require_there((line.cut_id for line in lines), cuts, files.listed(split), args.feature_dir)
    for line in lines:
        try:
            heard.append(heard_voice(line, cuts[line.cut_id], files.folder / line.audio, judges))
        except BadAudio as error:
            LOG.warning(f"{split}: no voice is heard: {error}")
    write_heard_voices(files.heard_voices(split), heard)
    files.note_heard(split, files.heard_voices(split))
    return len(heard)


def main() -> None:
    """Judge what was said last."""
    args = get_parser().parse_args()
    prediction = Experiment(args.exp_dir).stages().prediction
    says_nothing = "says nothing; give the folder of a vocoder, of text to speech or of enhancement"
    files, splits = prediction.last_of(VocoderFiles, args.exp_dir, SYNTHESIS, says_nothing)
    judges = load_voice_judges(args.verifier_exp_dir, args.classifier_exp_dir, args.asked)
    for split in splits:
        num_heard = judge_split(split, files, args, judges)
        LOG.info(f"{split}: {num_heard} voices were heard; {files.heard_voices(split)}")


if __name__ == "__main__":
    run_script(main)
