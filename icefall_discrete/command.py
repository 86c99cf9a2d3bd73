"""The console script `icefall-discrete`: its first argument is the name of a command."""

import importlib
import sys
from typing import Dict, Tuple

from icefall_discrete.base.script import run_script

PROGRAM = "icefall-discrete"
# Command: the module whose `main(prog, arguments)` it is, imported only when asked for, and what --help says of it.
COMMANDS: Dict[str, Tuple[str, str]] = {
    "transcribe": ("icefall_discrete.inference.command", "print the text of audio files"),
    "onnx": ("icefall_discrete.onnx.command", "print the text of audio files by an exported model, without PyTorch"),
    "export": ("icefall_discrete.export.command", "write a trained model for other runtimes: ONNX, sherpa-onnx"),
    "serve": (
        "icefall_discrete.inference.serving.command",
        "recognise what clients and browsers send, over WebSockets",
    ),
    "push": ("icefall_discrete.inference.push_command", "make a model folder, for a hub or by hand"),
    "pull": ("icefall_discrete.inference.pull_command", "get a model folder, from a hub or another folder"),
    "align": ("icefall_discrete.inference.align_command", "print when the words of known texts were said"),
    "resynthesise": ("icefall_discrete.inference.resynthesis_command", "audio files to tokens and back to audio"),
    "continue": ("icefall_discrete.inference.continue_command", "codes or audio that a language model goes on with"),
    "fill": ("icefall_discrete.inference.fill_command", "the other codes of a codec for first ones, and their audio"),
    "synthesise": ("icefall_discrete.inference.synthesis_command", "codes to audio"),
}


def usage() -> str:
    """What --help prints."""
    lines = [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND [--help] ...", "", "commands:", *lines])


def main() -> None:
    """Run the command named by the first argument; without one, or with an unknown one, print the usage (status 2)."""
    name, *arguments = sys.argv[1:] or [""]
    if name in ("-h", "--help"):
        print(usage())
    elif name not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"{usage()}\n{PROGRAM}: unknown command '{name}'; known: {known}." if name else usage(), file=sys.stderr)
        sys.exit(2)
    else:
        command = importlib.import_module(COMMANDS[name][0]).main
        run_script(lambda: command(f"{PROGRAM} {name}", arguments))
