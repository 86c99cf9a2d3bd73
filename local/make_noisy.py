#!/usr/bin/env python3
"""Noisy versions of a split for evaluation: for each kind of noise and each ratio, audio and a manifest of cuts.

From <name>.jsonl.gz it makes <name>-<kind>-snr<dB>.jsonl.gz beside it; a killed run continues where it was. Recorded
noise comes from a manifest of cuts, such as the musan_cuts.jsonl.gz that icefall's recipes make of
`lhotse prepare musan`; its ids begin with music-, noise- and speech-, and each of the three words is a kind.
"""

import itertools
import logging
from pathlib import Path
from typing import List, Optional

from lhotse import MonoCut

from icefall_discrete.audio.noise import MAX_SOURCES, Condition, NoiseConfig, NoiseSource, sample_cuts
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import MOST_THREADS
from icefall_discrete.data.cuts import load_cuts, with_recordings
from icefall_discrete.extraction.noisy_cuts import write_noisy_set


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of the clean split, cuts with recordings")
    parser.add_argument("--audio-dir", type=Path, required=True, help="folder for the noisy audio, one folder a set")
    parser.add_argument("--train-cuts", type=Path, help="manifest of training speech that babble is made of")
    parser.add_argument("--noise-cuts", type=Path, help="manifest of recorded noise (default: none)")
    threads = Number(int, minimum=1, maximum=MOST_THREADS)
    parser.add_argument("--nj", type=threads, default=1, help="threads (default: 1)")
    add_flags(parser, NoiseConfig)
    return parser


def sources_of(manifest: Optional[Path], config: NoiseConfig) -> List[MonoCut]:
    """Some thousand cuts of a manifest, or none if there is no manifest."""
    if manifest is None:
        return []
    return sample_cuts(with_recordings(load_cuts(manifest, lazy=True), manifest), MAX_SOURCES, config.seed)


def main() -> None:
    """Make every noisy set."""
    args = get_parser().parse_args()
    config = override(NoiseConfig(), args)
    source = NoiseSource(config, sources_of(args.train_cuts, config), sources_of(args.noise_cuts, config))
    cuts = list(with_recordings(load_cuts(args.cuts), args.cuts))
    for kind, snr_db in itertools.product(config.kinds, config.snrs):
        figures = write_noisy_set(cuts, Condition(kind, snr_db), source, args.cuts, args.audio_dir, args.nj)
        if figures["num_made_softer"]:
            logging.info(
                f"{figures['num_made_softer']} of {figures['num_cuts']} cuts were made softer, by a factor of "
                f"{figures['smallest_gain']:.3f} or less, so that nothing is clipped"
            )


if __name__ == "__main__":
    run_script(main)
