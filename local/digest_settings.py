"""Print digests of settings files, `digest<TAB>file` each: of what they say, not of how it is written."""

from pathlib import Path

from icefall_discrete.config import StageParser
from icefall_discrete.settings_digest import digests_of
from icefall_discrete.stage import run_stage


def main() -> None:
    """Read, digest, print; behind a feature type come those that it is made of."""
    parser = StageParser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="JSON files, such as conf/features/fbank.json")
    parser.add_argument("--conf-dir", type=Path, action="append", default=[], help="of feature types; repeatable")
    args = parser.parse_args()
    for path, digest in digests_of(args.files, args.conf_dir):
        print(f"{digest}\t{path}")


if __name__ == "__main__":
    run_stage(main)
