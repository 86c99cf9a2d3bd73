"""The rows that recipes have are among those that they want."""

from pathlib import Path

import pytest

from icefall_discrete.results.joined import BETWEEN_COMMANDS
from icefall_discrete.results.ledger import DEFAULT_RECIPE, asked_by, read_ledger
from icefall_discrete.results.wanted_rows import ROWS_FILE, read_wanted

RECIPES = [path.parents[1] for path in sorted((Path(__file__).resolve().parents[2] / "egs").glob(f"*/*/{ROWS_FILE}"))]


def options(pairs):
    said = {name.replace("_", "-"): value for name, value in pairs if name not in ("env", "nj")}
    return {"recipe": DEFAULT_RECIPE, **said}


@pytest.mark.parametrize("folder", RECIPES, ids=lambda folder: "-".join(folder.parts[-2:]))
def test_a_recipe_wants_the_rows_that_it_has(folder):
    """Else what makes rows takes them for missing, and the one that it makes in place of such a row is refused."""
    wanted = [options(row) for row in read_wanted(folder / ROWS_FILE)]
    rows = read_ledger(sorted((folder / "results").glob("*.json")))
    commands = [one for row in rows for one in (row.get("command") or "").split(BETWEEN_COMMANDS)]
    for command in (one for one in commands if one.startswith("egs/")):
        assert options(asked_by(command)) in wanted, f"{folder / ROWS_FILE} wants no row of {command}"
