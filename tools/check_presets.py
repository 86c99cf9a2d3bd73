#!/usr/bin/env python3
"""Prove the feature types whose networks others published: fetch, load, encode a second, compare with the record.

It prints shape, frames a second and the hash of the codes (of frames without codes a sum), and which presets nobody has
recorded yet; presets.json beside this file is the record. Networks are read as data, pickled ones too. It needs a
hub, or a mirror: a folder with ORG/NAME/<files of the hub>, NAME/<files of weights:NAME>, and files of other places.
preset_names.json says where public code, or a page that lists what a repository holds, has each name; --names prints it
and fetches nothing.
"""

import sys
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.names import known_names
from icefall_discrete.base.script import run_script
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.extraction.presets import NOT_RECORDED, Outcome, check_preset, hub_name, presets
from icefall_discrete.tokenizers.contract import library_versions

RECORD = Path(__file__).with_name("presets.json")
NAMES = Path(__file__).with_name("preset_names.json")
_LIBRARIES = ("torch", "transformers")


def get_parser() -> ScriptParser:
    """The flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "presets", nargs="*", help="names of feature types (default: all that need what others published)"
    )
    parser.add_argument("--mirror", type=Path, help="folder that stands for the hub and other places")
    parser.add_argument(
        "--record", type=Path, default=RECORD, help="what they gave before (default: presets.json here)"
    )
    parser.add_argument("--write", action="store_true", help="add what nobody has recorded yet to the record")
    parser.add_argument("--names", action="store_true", help="only say where the names of networks were seen in public")
    return parser


def print_names(names: List[str]) -> None:
    """A table of what is fetched, and a line of what was seen nowhere."""
    seen = read_object(NAMES)
    users: Dict[str, List[str]] = {}
    for name, needed in presets().items():
        for one in needed if name in names else ():
            users.setdefault(hub_name(one), []).append(name)
    found, unseen = ([one for one in sorted(users) if (one in seen) is wanted] for wanted in (True, False))
    rows = [[one, seen[one]["weights"], ", ".join(users[one]), seen[one]["seen"]] for one in found]
    print(text_table(["network", "weights", "presets", "seen"], rows))
    for one in found:
        if "note" in seen[one]:
            print(f"{one}: {seen[one]['note']}.")
    counts = f"{len(found)} of {len(users)}"
    print(f"Named by public code or a list of the hub: {counts}; by neither: {', '.join(unseen) or 'none'}.")


def chosen(names: List[str]) -> List[str]:
    """The presets that are asked for. Raises ValueError for a name that is none."""
    known = list(presets())
    for name in names:
        if name not in known:
            raise ValueError(f"{name} is no feature type of published networks; {known_names(known, name)}")
    return names or known


def main() -> None:
    """Check, print, and end with status 1 if something could not be run or gave something else."""
    args = get_parser().parse_args()
    if args.mirror is not None and not args.mirror.is_dir():
        raise FileNotFoundError(f"--mirror {args.mirror} is no folder; correct it.")
    names = chosen(args.presets)
    if args.names:
        print_names(names)
        return
    recorded: Dict[str, Any] = read_object(args.record) if args.record.is_file() else {}
    torch.set_num_threads(1)
    outcomes: List[Outcome] = []
    for name in names:
        outcomes.append(check_preset(name, args.mirror, recorded))
        print(
            text_table(["preset", "shape", "Hz", "codes", "verdict"], [outcomes[-1].row]).splitlines()[-1], flush=True
        )
    new = {one.name: one.found for one in outcomes if one.verdict == NOT_RECORDED and one.found}
    unknown = [name for name in names if name not in recorded]
    if args.write and new:
        made_with = library_versions(*_LIBRARIES)
        write_json(
            args.record, {**recorded, **{name: {**found, "made_with": made_with} for name, found in new.items()}}
        )
        unknown = [name for name in unknown if name not in new]
    print(f"Nobody has recorded yet: {', '.join(unknown) or 'none'}.")
    if any(one.is_wrong for one in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
