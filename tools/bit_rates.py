#!/usr/bin/env python3
"""Print the nominal bit rate of feature types from their specs: those of the published table, and any spec.json."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.results.bit_rates import SOURCE, bit_rate_table, published_specs


def main() -> None:
    """Print the table."""
    parser = ScriptParser(__doc__)
    parser.add_argument("specs", nargs="*", type=Path, help="spec.json files, such as data/features/*/spec.json")
    args = parser.parse_args()
    print(f"Nominal bit rates; the first rows are those of {SOURCE}.\n")
    print(bit_rate_table([*published_specs(), *map(FeatureSpec.read, args.specs)]), end="")


if __name__ == "__main__":
    run_script(main)
