#!/usr/bin/env python3
"""Within stage 7: let a vocoder say the units that were told of the texts of some splits, each cut in its own voice.

A voice that the vocoder does not know is that of nobody in particular. Units of another feature type than the vocoder's
are refused.
"""

import logging
import shutil
from pathlib import Path
from typing import List

from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.systems.tts.files import METHOD, SynthesisFiles
from icefall_discrete.systems.vocoder.files import NOBODY, Said, audio_name, write_said

LOG = logging.getLogger("speak")


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of texts to units, whose splits were said")
    parser.add_argument(
        "--vocoder-exp-dir", type=Path, required=True, help="folder of a vocoder of the same feature type"
    )
    return parser


def speak(speaker: Speaker, split: str, files: SynthesisFiles) -> None:
    """Write a FLAC file for each cut of a split, and the list of them."""
    folder = files.audio(split)
    # Units of another vocoder are refused before anything of before is removed.
    voices = {cut.id: speaker.voices.of(cut) for cut in load_feature_cuts(files.said(split), speaker.spec)[0]}
    files.forget(split)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines: List[Said] = []
    for number, speech in enumerate(speaker.say_file(files.said(split))):
        name, voice = audio_name(speech.name, number), voices[speech.name]
        write_flac(folder / name, speech.samples.numpy(), speaker.sample_rate_hz)
        lines.append(Said(speech.name, f"{folder.name}/{name}", speaker.voices.names[voice - 1] if voice else NOBODY))
    write_said(files.listed(split), lines)
    LOG.info(f"{split}: {len(lines)} texts were said; {files.listed(split)}")


def main() -> None:
    """Say what was told last."""
    args = get_parser().parse_args()
    prediction = Experiment(args.exp_dir).stages().prediction
    tells_none = "tells no units of texts; give the folder of a recipe of system tts or speech_lm"
    files, splits = prediction.last_of(SynthesisFiles, args.exp_dir, METHOD, tells_none)
    speaker = Speaker(args.vocoder_exp_dir)
    for split in splits:
        speak(speaker, split, files)


if __name__ == "__main__":
    run_script(main)
