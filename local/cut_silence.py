#!/usr/bin/env python3
"""Cuts without their silence: audio and a manifest, for trainings in which silence only misleads, such as wav2vec-U.

Example: local/cut_silence.py --cuts data/manifests/my_cuts_train.jsonl.gz --audio-dir data/voiced/train --output \
data/voiced/my_cuts_train.jsonl.gz
"""

from pathlib import Path

from icefall_discrete.audio.voice_activity import VoiceActivityConfig
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.names import names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import load_cuts, require_manifest_name, with_recordings
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.extraction.voiced_cuts import write_voiced


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of cuts with recordings")
    parser.add_argument("--languages", default="", help="of these languages only, by commas (default: all)")
    parser.add_argument("--audio-dir", type=Path, required=True, help="folder for the audio, of this manifest alone")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write, .jsonl.gz")
    add_flags(parser, VoiceActivityConfig)
    return parser


def main() -> None:
    """Cut one manifest."""
    args = get_parser().parse_args()
    require_manifest_name(args.output)
    languages = names_in(args.languages)
    cuts = list(with_recordings(chosen_languages(load_cuts(args.cuts), languages), args.cuts))
    write_voiced(cuts, override(VoiceActivityConfig(), args), args.output, args.audio_dir)


if __name__ == "__main__":
    run_script(main)
