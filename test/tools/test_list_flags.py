"""local/flags.json lists the flags of the stages as they are."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_flags_are_listed_as_they_are():
    module_spec = importlib.util.spec_from_file_location("list_flags", ROOT / "tools" / "list_flags.py")
    list_flags = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(list_flags)
    listed = (ROOT / "local" / "flags.json").read_text()
    assert listed == list_flags.listing(), "flags changed: run tools/list_flags.py"
