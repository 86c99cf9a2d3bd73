#!/usr/bin/env python3
"""How near audio comes to what it was made from: mel distance, STOI, SI-SDR, MCD, errors of pitch, judges, voices.

Utterances are paired by the ids of two manifests of cuts, or by the names of files in two folders.

Example: local/measure_audio.py --reference data/manifests/cuts_test.jsonl.gz --estimate exp/resynthesis/test \
--output resynthesis.json
"""

import logging
from pathlib import Path

from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.extraction.audio_figures import AudioSource, PairSettings, audio_scores
from icefall_discrete.inference.voice_judge import add_judge_flags, load_voice_judges
from icefall_discrete.metrics.facts import known_metrics
from icefall_discrete.metrics.reconstruction import JUDGES, present_judges, require_judges


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="manifest of cuts, or folder of audio files")
    parser.add_argument("--estimate", type=Path, required=True, help="the same utterances, made anew")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--details", type=Path, help="file for the figures of each utterance (default: none)")
    parser.add_argument("--split", default="test", help="what the set is called in the file (default: test)")
    parser.add_argument("--sample-rate", type=Number(int, minimum=2000), help="Hz (default: that of the audio)")
    parser.add_argument(
        "--judges", default=",".join(present_judges()), help=f"of {','.join(JUDGES)} (default: those installed)"
    )
    add_judge_flags(parser, "default: that of the reference, or what it hears in that")
    parser.add_argument(
        "--other-pace", action="store_true", help="synthesis with its own durations: what needs no common time"
    )
    return parser


def main() -> None:
    """Measure all pairs, write the means, and print them."""
    args = get_parser().parse_args()
    judges = require_judges(names_in(args.judges))
    settings = PairSettings(args.sample_rate, judges, not args.other_pace)
    judges_of_voices = load_voice_judges(args.verifier_exp_dir, args.classifier_exp_dir, args.asked)
    sources = AudioSource(args.reference), AudioSource(args.estimate)
    scores, alone = audio_scores(*sources, settings, args.details, judges_of_voices.figures)
    write_json(args.output, {"sets": {args.split: scores}, "num_unpaired": alone})
    metrics = known_metrics()
    rows = [[metrics[name].head, metrics[name].with_interval(scores)] for name in scores if name in metrics]
    print(text_table(["figure", "mean"], rows), end="")
    logging.info(f"{args.output}: means over utterances")


if __name__ == "__main__":
    run_script(main)
