#!/usr/bin/env python3
"""Within stage 7: let a recogniser hear what was said of some splits, and the recordings, for scoring.

The recogniser is any trained experiment of ours; it should have heard no resynthesis in training.
"""

import logging
from pathlib import Path
from typing import Iterator, List, Sequence

from lhotse.cut import Cut

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.transcription import Failure, Outcome
from icefall_discrete.systems.vocoder.files import Said, VocoderFiles, read_said
from icefall_discrete.systems.vocoder.scoring import Heard, write_heard

LOG = logging.getLogger("hear")
# Recordings of so many cuts are held in memory at once.
_AT_ONCE = 100


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--exp-dir",
        type=Path,
        required=True,
        help="folder of the vocoder, or of texts to units, whose splits were said",
    )
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with <split>.jsonl.gz")
    parser.add_argument("--recogniser-exp-dir", type=Path, required=True, help="folder of the recogniser")
    return parser


def _text(outcome: Outcome, cut_id: str) -> str:
    if isinstance(outcome, Failure):
        LOG.warning(f"cut {cut_id}: nothing is heard: {outcome.message}")
        return ""
    return " ".join(outcome.text.split())


def heard_lines(transcriber: Transcriber, cuts: Sequence[Cut], lines: Sequence[Said], folder: Path) -> Iterator[Heard]:
    """What is heard in the recording of each cut and in what was said of it."""
    recordings = [load_finite(cut, transcriber.spec.sample_rate_hz) for cut in cuts]
    originals = list(transcriber.transcribe(recordings))
    for line, original, said in zip(lines, originals, transcriber.transcribe([folder / one.audio for one in lines])):
        yield Heard(line.cut_id, _text(original, line.cut_id), _text(said, line.cut_id))


def main() -> None:
    """Hear what was said last."""
    args = get_parser().parse_args()
    files, splits = Experiment(args.exp_dir).stages().prediction.last(args.exp_dir, "")
    assert isinstance(files, VocoderFiles)
    transcriber = Transcriber(args.recogniser_exp_dir)
    for split in splits:
        cuts = {cut.id: cut for cut in load_cuts(args.feature_dir / f"{split}.jsonl.gz")}
        lines = read_said(files.listed(split))
        heard: List[Heard] = []
        for start in range(0, len(lines), _AT_ONCE):
            some = lines[start : start + _AT_ONCE]
            heard += heard_lines(transcriber, [cuts[line.cut_id] for line in some], some, files.folder)
        write_heard(files.heard(split), heard)
        LOG.info(f"{split}: {len(heard)} utterances were heard; {files.heard(split)}")


if __name__ == "__main__":
    run_script(main)
