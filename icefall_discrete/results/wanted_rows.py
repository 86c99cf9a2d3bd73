"""The rows that a recipe wants in its tables, `conf/rows.json`, in order of their priority.

    {"description": "...",
     "rows": [
       {"train.seed": [42, 43], "recipe": "default", "feature_type": ["fbank", "dmel"]},
       {"feature_type": "dmel", "each": [{"decoding_method": "greedy_search"}, {"lm": "ngram", "lm_scale": [0.3, 0.5]}]}
     ]}

An entry holds options of run.sh, and flags of its stages. A list stands for a row with each of its values, those of
the last list next to each other: the first entry is fbank and dmel with seed 42, then both with seed 43. `each` is a
list of entries that have the options beside it too, or others in their place; null takes one away. A row wanted twice
is made once, in whatever order its options stand; `feature-type` is `feature_type`.

    {"languages": ["en", "it"], "vocab_size": 70, "together": "default_one_each"}

stands for models of one language each that are scored as if they were one, whose row has that recipe's name.
"""

import itertools
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Mapping, Tuple

from icefall_discrete.base.json_files import as_json, read_object

ROWS_FILE = Path("conf/rows.json")
Options = Tuple[Tuple[str, str], ...]
_EACH = "each"
TOGETHER, LANGUAGES = "together", "languages"
_NOT_OF_ROWS = ("stage", "stop_stage", "dry_run", "exp_dir", "results_dir")


def read_wanted(path: Path) -> List[Options]:
    """The options of each row, without dashes in front, in the order of the file.

    Raises:
      ValueError: for a file of another form, naming the entry, its value and what was expected.
    """
    found = read_object(path, "the rows that a recipe wants")
    unknown = sorted(set(found) - {"description", "rows"})
    if unknown or not isinstance(found.get("rows"), list):
        what = f"has '{unknown[0]}'" if unknown else f"has as its 'rows' {as_json(found.get('rows'))}"
        raise ValueError(f"{path} {what}, expected a 'description' and a list 'rows' of objects; correct it.")
    rows: Dict[FrozenSet[Tuple[str, str]], Options] = {}
    for place, entry in enumerate(found["rows"]):
        for options in _expanded(entry, {}, f"{path}: entry {place} of 'rows'"):
            rows.setdefault(frozenset(options), options)
    return list(rows.values())


def _expanded(entry: Any, above: Mapping[str, str], where: str) -> List[Options]:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {as_json(entry)}, expected an object of options of run.sh; correct it.")
    inner = entry.get(_EACH, [{}])
    if not isinstance(inner, list) or not inner:
        raise ValueError(f"{where}: '{_EACH}' is {as_json(inner)}, expected a list of such objects; correct it.")
    values: Dict[str, List[Any]] = {}
    for written, said in entry.items():
        name = _name(written, where)
        if name in values:
            raise ValueError(f"{where}: '{written}' stands twice, with '-' and with '_'; take one of the two away.")
        if name != _EACH:
            values[name] = _values(name, said, where)
    found: List[Options] = []
    for chosen in itertools.product(*values.values()):
        options = {**above, **dict(zip(values, chosen))}
        options = {name: value for name, value in options.items() if value is not None}
        if _EACH not in entry:
            found.append(tuple(options.items()))
            continue
        for place, one in enumerate(inner):
            found += _expanded(one, options, f"{where}, entry {place} of '{_EACH}'")
    return found


def _name(written: str, where: str) -> str:
    """The one spelling of an option."""
    if written.startswith("-"):
        raise ValueError(f"{where}: '{written}' begins with a dash, expected the name of an option alone; correct it.")
    return written.replace("-", "_")


def _values(name: str, said: Any, where: str) -> List[Any]:
    if name in _NOT_OF_ROWS:
        raise ValueError(f"{where}: '{name}' is no choice of a row, it is given by what makes the rows; leave it out.")
    values = said if isinstance(said, list) else [said]
    if not values or any(isinstance(value, (list, dict)) for value in values):
        raise ValueError(
            f"{where}: '{name}' is {as_json(said)}, expected a text, a number, or a list of them; correct it."
        )
    return [value if value is None or isinstance(value, str) else as_json(value) for value in values]
