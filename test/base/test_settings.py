"""Settings: flags, JSON and defaults agree, and mistakes are named."""

import argparse
import dataclasses
from typing import Optional, Tuple

import pytest

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.base.settings import from_dict, setting, to_dict


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    """Toy settings."""

    num_layers: Tuple[int, ...] = setting((1, 2), "layers of each stack")
    base_lr: float = setting(0.045, "learning rate, 100 % of it")
    causal: bool = setting(False, "causal or not")
    front_end: str = setting("conv2d", "front end", choices=("conv1d", "conv2d"))
    max_hours: Optional[float] = setting(None, "hours, or none for all")


def parse(*arguments: str) -> ToyConfig:
    parser = ScriptParser("toy")
    add_flags(parser, ToyConfig)
    return override(ToyConfig(), parser.parse_args(list(arguments)))


def test_flags_override_defaults_and_only_those_given():
    config = parse("--num-layers", "3,4,5", "--causal", "1", "--max-hours", "2")
    assert config == ToyConfig(num_layers=(3, 4, 5), causal=True, max_hours=2.0)
    assert parse() == ToyConfig()


@pytest.mark.parametrize(
    "arguments", [["--causal", "maybe"], ["--front-end", "conv3d"], ["--num-layers", "1,x"], ["--lr"]]
)
def test_bad_flags_are_refused(arguments):
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2


def test_help_lists_every_field_with_its_default(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    assert "--num-layers" in text and "(default: 1,2)" in text and "100 % of it" in text


@dataclasses.dataclass(frozen=True)
class Several:
    """Settings of several values."""

    speeds: Tuple[float, ...] = setting((), "numbers")
    ways: Tuple[str, ...] = setting((), "names that may have blanks")


@pytest.mark.parametrize("text", ["0.9,1.0", "0.9 1.0", "0.9, 1.0", " 0.9  1.0 ", "0.9,1.0,"])
def test_several_values_have_commas_or_blanks_between_them(text):
    parser = ScriptParser("toy")
    add_flags(parser, Several)
    found = override(Several(), parser.parse_args(["--speeds", text, "--ways", "ours, ours in bf16"]))
    assert found == Several((0.9, 1.0), ("ours", "ours in bf16"))


def test_two_rooms_may_not_share_a_flag():
    parser = ScriptParser("toy")
    add_flags(parser, ToyConfig)
    with pytest.raises(argparse.ArgumentError):
        add_flags(parser, ToyConfig)


def test_json_round_trip(tmp_path):
    config = ToyConfig(num_layers=(7,), max_hours=1.5)
    write_json(tmp_path / "c.json", to_dict(config))
    assert from_dict(ToyConfig, read_json(tmp_path / "c.json"), "c.json") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": 3}, "c.json: unknown setting layers for ToyConfig; known settings: base_lr, causal"),
        ({"causal": 1}, "c.json: setting 'causal' is 1, but ToyConfig expects true or false"),
        ({"base_lr": "fast"}, "setting 'base_lr' is 'fast'"),
    ],
)
def test_json_mistakes_name_the_file_and_the_setting(values, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        from_dict(ToyConfig, values, "c.json")


def test_integer_is_accepted_for_a_float():
    assert from_dict(ToyConfig, {"base_lr": 1}, "c.json").base_lr == 1.0
