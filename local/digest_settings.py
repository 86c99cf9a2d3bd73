#!/usr/bin/env python3
"""Print digests of settings files, `digest<TAB>file` each: of what they say, not of how it is written."""

from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings_digest import digests_of


def main() -> None:
    """Read, digest, print; behind a feature type come those that it is made of."""
    parser = ScriptParser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="JSON files, such as conf/features/fbank.json")
    parser.add_argument("--conf-dir", type=Path, action="append", default=[], help="of feature types; repeatable")
    args = parser.parse_args()
    for path, digest in digests_of(args.files, args.conf_dir):
        print(f"{digest}\t{path}")


if __name__ == "__main__":
    run_script(main)
