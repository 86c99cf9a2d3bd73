"""What the commands that speak share: flags, and audio files that are written."""

import logging
from pathlib import Path
from typing import Any

from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_recipe, settings_in
from icefall_discrete.inference.speaker import Speaker, Speech
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig

LOG = logging.getLogger(__name__)
SUFFIX = ".flac"


def add_speaker_flags(parser: ScriptParser) -> None:
    """Where audio goes, whose voice it has, and the settings of a Speaker but for its folder."""
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the audio files (default: this one)")
    parser.add_argument("--speaker", default="", help="a voice of the vocoder's table (default: as the command says)")
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, SynthesisConfig, "synthesis")
    add_flags(parser, RunConfig)


def make_speaker(args: Any, exp_dir: Path) -> Speaker:
    """The speaker that the flags ask for: defaults, over them the recipe's settings, then the flags."""
    choice, _ = settings_in(load_recipe(exp_dir, None), f"the recipe of {exp_dir}")
    return Speaker(
        exp_dir,
        override(choice, args, "average"),
        override(RunConfig(), args),
        override(SynthesisConfig(), args, "synthesis"),
    )


def write_speech(speech: Speech, sample_rate_hz: int, out: Path, name: str) -> None:
    """Write it as <out>/<name>.flac, whole or not at all, and print the path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}{SUFFIX}"
    write_flac(path, speech.samples.numpy(), sample_rate_hz)
    print(path, flush=True)
