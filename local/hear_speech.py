#!/usr/bin/env python3
"""Within stage 7: let a recogniser hear what was made of some splits, and the recordings, for scoring.

The recogniser is any trained experiment of ours; it should have heard no resynthesis in training. Where no vocoder has
said the units of texts, a recogniser of the same units reads them.
"""

import logging
from pathlib import Path
from typing import Iterator, List, Mapping, Sequence, Union

import torch
from lhotse.cut import Cut

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import load_feature_cuts, load_frames
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.transcription import Failure, Outcome
from icefall_discrete.systems.tts.files import METHOD as SYNTHESIS
from icefall_discrete.systems.tts.files import SynthesisFiles
from icefall_discrete.systems.vocoder.files import VocoderFiles, read_said, require_there
from icefall_discrete.systems.vocoder.heard import Heard, write_heard

LOG = logging.getLogger("hear")
# Recordings of so many cuts are held in memory at once.
_AT_ONCE = 100


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the experiment, whose splits were said")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with <split>.jsonl.gz")
    parser.add_argument("--recogniser-exp-dir", type=Path, required=True, help="folder of the recogniser")
    return parser


def _text(outcome: Outcome, cut_id: str) -> str:
    if isinstance(outcome, Failure):
        LOG.warning(f"cut {cut_id}: nothing is heard: {outcome.message}")
        return ""
    return " ".join(outcome.text.split())


def texts_in(transcriber: Transcriber, names: Sequence[str], audio: Mapping[str, Union[Path, Cut]]) -> Iterator[str]:
    """What is heard in the audio of each name: a file, or that of a cut."""
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        held = [audio[name] for name in some]
        samples = [one if isinstance(one, Path) else load_finite(one, transcriber.spec.sample_rate_hz) for one in held]
        yield from (_text(outcome, name) for name, outcome in zip(some, transcriber.transcribe(samples)))


def read_units(files: SynthesisFiles, feature_dir: Path, split: str, transcriber: Transcriber) -> List[Heard]:
    """What is heard in the units of texts, and in the codes of their recordings.

    Raises:
      ValueError: if they are of another feature type than the recogniser's, or their recordings are not there.
    """
    told, theirs = load_feature_cuts(files.said(split), transcriber.spec)
    recorded, _ = load_feature_cuts(feature_dir / f"{split}.jsonl.gz", theirs)
    of_cut = {cut.id: cut for cut in recorded}
    require_there((cut.id for cut in told), of_cut, files.said(split), feature_dir)
    names, held = [cut.id for cut in told], [torch.from_numpy(load_frames(cut, theirs)).long() for cut in told]
    before = [torch.from_numpy(load_frames(of_cut[name], theirs)).long() for name in names]
    return list(map(Heard, names, transcriber.texts_of_codes(before), transcriber.texts_of_codes(held)))


def main() -> None:
    """Hear what was said last."""
    args = get_parser().parse_args()
    prediction = Experiment(args.exp_dir).stages().prediction
    says_nothing = "says nothing; give the folder of a vocoder, of text to speech or of enhancement"
    files, splits = prediction.last_of(VocoderFiles, args.exp_dir, SYNTHESIS, says_nothing)
    transcriber = Transcriber(args.recogniser_exp_dir)
    for split in splits:
        if isinstance(files, SynthesisFiles) and not files.listed(split).is_file():
            heard = read_units(files, args.feature_dir, split, transcriber)
            write_heard(files.heard(split), heard)
            files.note_heard(split, files.heard(split))
            LOG.info(f"{split}: the units of {len(heard)} texts were read; {files.heard(split)}")
            continue
        said = {line.cut_id: files.folder / line.audio for line in read_said(files.listed(split))}
        names, inputs = list(said), files.inputs(args.feature_dir, split)
        recordings = files.recordings(args.feature_dir, split)
        for of_cut in filter(None, (recordings, inputs)):
            require_there(names, of_cut, files.listed(split), args.feature_dir)
        originals = list(texts_in(transcriber, names, recordings))
        for audio, path in ((said, files.heard(split)), (inputs, files.heard_inputs(split))):
            if audio:
                write_heard(path, list(map(Heard, names, originals, texts_in(transcriber, names, audio))))
        files.note_heard(split, files.heard(split))
        LOG.info(f"{split}: {len(names)} utterances were heard; {files.heard(split)}")


if __name__ == "__main__":
    run_script(main)
