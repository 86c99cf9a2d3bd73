#!/usr/bin/env python3
"""Which --attention-scale is best on dev, for rescoring with the attention decoder: one search, many scales.

Decode the test set with the one that it prints. icefall reports the best of such scales on the test set itself.
"""

import dataclasses
from typing import Tuple

from icefall_discrete.base.flags import ScriptParser, given_settings, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.decoding.methods import PREFIXES_RESCORED, require_used
from icefall_discrete.experiment.sweeps import sweep_parser, swept
from icefall_discrete.systems.asr.scale_sweep import errors_by_scale


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What is tried, on what."""

    split: str = setting("dev", "split whose errors decide")
    scales: Tuple[float, ...] = setting(
        (0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 9.0),
        "attention scales to try, each once",
        minimum=0,
        distinct=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)


def get_parser() -> ScriptParser:
    """The flags: files, checkpoints, what is tried, and the search."""
    return sweep_parser(__doc__, SweepConfig)


def main() -> None:
    """Search once, rescore with each scale, and print the errors of all."""
    args = get_parser().parse_args()
    require_used(PREFIXES_RESCORED, given_settings(args, "decode"))
    asked = override(SweepConfig(), args)
    decode, run, trained, cuts = swept(args, asked.split)
    config = dataclasses.replace(decode, decoding_method=PREFIXES_RESCORED)
    errors = errors_by_scale(trained, cuts, config, run, asked.scales, f"Decoding {asked.split}")
    rows = [[f"{scale:g}", f"{counts.rate:.2f}", str(counts.errors)] for scale, counts in errors.items()]
    print(text_table(["attention scale", f"{asked.split} WER %", "errors"], rows))
    best = min(errors, key=lambda scale: errors[scale].errors)
    print(f"Best on {asked.split}: --decoding-method {PREFIXES_RESCORED} --attention-scale {best:g}")


if __name__ == "__main__":
    run_script(main)
