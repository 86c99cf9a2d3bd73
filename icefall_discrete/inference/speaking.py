"""What the commands that speak share: flags, and audio files that are written."""

import sys
from pathlib import Path
from typing import Any, Sequence, Set, Tuple

from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.atomic_files import require_folder_place
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.text_files import shown_name
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_recipe, settings_in
from icefall_discrete.inference.speaker import Speaker, Speech
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig

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


def print_path(path: Path) -> None:
    """Print the path of a file that was written: a line, whatever its name; as a JSON string where it would be none."""
    print(shown_name(str(path), sys.stdout.encoding or "utf-8"), flush=True)


def _identity(path: Path) -> Tuple[int, int]:
    """What the system knows a file by, whatever it is called."""
    status = path.stat()
    return status.st_dev, status.st_ino


class AudioFolder:
    """Where speech is written. What is read, or was written in the same call, is not overwritten.

    Args:
      out: the folder; it is made when something is written. inputs: files that are read.
    Raises:
      ValueError: if `out`, or what it is to be in, is a file.
    """

    def __init__(self, out: Path, inputs: Sequence[Path]) -> None:
        require_folder_place(out, "--out")
        self._out, self._inputs = out, {_identity(path) for path in inputs if path.exists()}
        self._written: Set[str] = set()

    def path_of(self, name: str, suffix: str = SUFFIX) -> Path:
        """<out>/<name><suffix>. Raises ValueError if it is one of the inputs."""
        path = self._out / f"{name}{suffix}"
        if path.exists() and _identity(path) in self._inputs:
            raise ValueError(f"{path} is read, and would be overwritten by what is made of it; give another --out.")
        return path

    def write(self, speech: Speech, sample_rate_hz: int, name: str) -> None:
        """Write it as <out>/<name>.flac, whole or not at all, and print the path.

        Raises ValueError for a name that was written before, or that is an input's.
        """
        path = self.path_of(name)
        if name in self._written:
            raise ValueError(f"two inputs would be written as {path}; give them in two calls, with another --out.")
        self._written.add(name)
        self._out.mkdir(parents=True, exist_ok=True)
        write_flac(path, speech.samples.numpy(), sample_rate_hz)
        print_path(path)
