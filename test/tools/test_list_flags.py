"""local/flags.json lists the flags of the stages as they are."""

import importlib.util
from pathlib import Path

import pytest

from icefall_discrete.base import flags
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, parsed
from icefall_discrete.tokenizers import find_tokenizer, setting_names, tokenizer_names
from icefall_discrete.training.train_config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


def tool(name):
    module_spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def test_flags_are_listed_as_they_are():
    list_flags = tool("list_flags")
    listed = (ROOT / "local" / "flags.json").read_text()
    assert listed == list_flags.listing(), "flags changed: run tools/list_flags.py"


NO_NUMBERS_TO_WORK_WITH = ("inf", "-inf", "nan", "1e308", "-1e308", "1e-320", "9" * 400, "1_0", "")


def test_no_flag_takes_a_number_without_end(monkeypatch):
    """Products with rates and quotients would be none, and `int` of them a traceback."""
    list_flags, parsers = tool("list_flags"), []
    parser_of = list_flags.parser_of
    monkeypatch.setattr(list_flags, "parser_of", lambda *of: parsers.append(parser_of(*of)) or parsers[-1])
    list_flags.listing()
    tried = set()
    for names, action, places in (flag for parser in parsers for flag in parser.known_flags()):
        for place in places:
            kinds = {place.annotation, *getattr(place.annotation, "__args__", ())} & {int, float}
            for text in NO_NUMBERS_TO_WORK_WITH if kinds and not place.is_choice else ():
                value = parsed(place, text)
                if value == () or (value is None and place.is_optional):
                    continue  # an empty list is for its owner to refuse
                with pytest.raises(ValueError):
                    raise AssertionError(f"--{names[0]} is {place.fitted(value)}")
                tried.add(names[0])
        kind = Number(action.type) if action.type in (int, float) else action.type
        for text in NO_NUMBERS_TO_WORK_WITH if isinstance(kind, Number) else ():
            with pytest.raises(flags.argparse.ArgumentTypeError, match="expected"):
                raise AssertionError(f"--{names[0]} is {kind(text)}")
            tried.add(names[0])
    assert len(tried) > 300


def test_no_tokenizer_takes_less_than_no_time():
    for name in tokenizer_names():
        known = find_tokenizer(name)
        try:
            known.read({}, "x.json")
        except ValueError:
            continue  # it needs to be told its parts
        for key in setting_names(name):
            if key.endswith(("_sec", "_hz", "_minutes", "_hours")):
                with pytest.raises(ValueError, match=key):
                    known.read({key: -1}, "x.json")


def test_a_number_that_is_refused_for_its_size_says_so(capsys):
    parser = ScriptParser("")
    add_flags(parser, TrainConfig, "train")
    parser.add_argument("--hours", type=Number(float, minimum=0))
    for flag, expected in (("--train.base-lr", "above 0"), ("--hours", "of at least 0")):
        with pytest.raises(SystemExit):
            parser.parse_args([flag, "1e308"])
        sentence = f"{flag} is '1e308', expected a number {expected}; its size must be 0, or 1e-30 to 1e+12.\n"
        assert capsys.readouterr().err.endswith(sentence)
