"""Settings that nest: sections, choices by kind, short and former names, layers, flags."""

import dataclasses
import sys
from typing import Optional, Tuple

import pytest

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.registry import FolderKinds, ListedKinds
from icefall_discrete.base.settings import check_settings, choice, from_dict, from_layers, section, setting, to_dict


@dataclasses.dataclass(frozen=True)
class Conv1d:
    """A convolution over time."""

    stride: int = setting(2, "frames that become one", minimum=1, formerly="front_end_stride")


@dataclasses.dataclass(frozen=True)
class Conv2d:
    """A convolution over time and frequency."""


@dataclasses.dataclass(frozen=True)
class Zipformer:
    """Stacks of layers."""

    encoder_dim: Tuple[int, ...] = setting((192, 256), "dimension of each stack", minimum=1)
    num_heads: Tuple[int, ...] = setting((4,), "heads of each stack")


@dataclasses.dataclass(frozen=True)
class Subsampling:
    """Fewer frames."""

    stride: int = setting(2, "frames that become one")


@dataclasses.dataclass(frozen=True)
class Conformer:
    """One stack."""

    num_heads: int = setting(8, "heads")
    subsampling: Subsampling = section(Subsampling, "before the layers")


@dataclasses.dataclass(frozen=True)
class Ctc:
    """A CTC head."""

    dropout: float = setting(0.1, "of its input", minimum=0.0, maximum=1.0)
    scale: float = setting(1.0, "of its loss")


FRONT_ENDS = ListedKinds({"conv1d": Conv1d, "conv2d": Conv2d})
ENCODERS = ListedKinds({"zipformer": Zipformer, "conformer": Conformer})


@dataclasses.dataclass(frozen=True)
class Model:
    """A model."""

    front_end: object = choice("conv2d", "before the encoder", FRONT_ENDS)
    encoder: object = choice("zipformer", "the encoder", ENCODERS)
    ctc: Optional[Ctc] = section(lambda: None, "a second head")
    decoder_dim: int = setting(512, "dimension of the predictor")

    def __post_init__(self) -> None:
        if self.decoder_dim == 13:
            raise ValueError("decoder_dim is 13, which brings bad luck.")


@dataclasses.dataclass(frozen=True)
class Train:
    """Training."""

    base_lr: float = setting(0.045, "learning rate", above=0.0)
    scale: float = setting(1.0, "of everything")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything."""

    model: Model = section(Model)
    train: Train = section(Train)


def parse(*arguments, config=None):
    parser = ScriptParser("toy")
    parser.add_argument("--exp-dir")
    add_flags(parser, Settings)
    return override(config or Settings(), parser.parse_args(list(arguments)))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_nested_json_round_trip():
    config = Settings(Model(Conv1d(4), Conformer(num_heads=2), Ctc(0.2)), Train(0.1))
    values = to_dict(config)
    assert values["model"]["front_end"] == {"kind": "conv1d", "stride": 4}
    assert values["model"]["encoder"] == {"kind": "conformer", "num_heads": 2, "subsampling": {"stride": 2}}
    assert from_dict(Settings, values, "c.json") == config
    assert to_dict(Settings())["model"]["ctc"] is None
    assert from_dict(Settings, to_dict(Settings()), "c.json") == Settings()
    assert from_dict(Model, {"ctc": {}}, "c.json").ctc == Ctc()


def test_a_bare_string_stands_for_its_kind():
    assert from_dict(Model, {"front_end": "conv1d"}, "c.json").front_end == Conv1d()
    assert from_dict(Model, {"encoder": {"num_heads": [2]}}, "c.json").encoder == Zipformer(num_heads=(2,))


def test_yesterdays_flat_json_is_read():
    old = {"encoder_dim": [96], "decoder_dim": 192, "front_end": "conv1d", "front_end_stride": 4, "num_heads": [2]}
    found = from_dict(Settings, {"model": old}, "config.json")
    assert found.model == Model(Conv1d(4), Zipformer((96,), (2,)), decoder_dim=192)
    # Old files have all settings; those of the front end that was not used mean nothing.
    assert from_dict(Model, {"front_end": "conv2d", "front_end_stride": 2}, "config.json") == Model()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": {"decoder_dm": 1}},
            "unknown setting model.decoder_dm for Model; did you mean .*known settings: .*encoder.num_heads",
        ),
        ({"model": {"decoder_dm": 1}}, r"did you mean decoder_dim\?"),
        (
            {"model": {"encoder": {"kind": "zipfromer"}}},
            r"'model.encoder': unknown kind.*mean zipformer\? known: conformer",
        ),
        ({"model": {"encoder": 3}}, "'model.encoder' is 3, expected one of conformer, zipformer, or an object with"),
        ({"model": {"encoder": "conformer", "encoder_dim": [1]}}, "unknown setting model.encoder_dim"),
        ({"model": {"encoder_dim": [1], "encoder": {"encoder_dim": [2]}}}, r"given twice, as \[2\] and as \[1\]"),
        ({"model": []}, "setting 'model' is a list, expected an object with settings"),
        ({"model": {"ctc": {"dropout": 1.5}}}, "'model.ctc.dropout' is 1.5, .* a number of at least 0 and at most 1"),
        ({"model": {"encoder_dim": [64, 0]}}, r"is \[64, 0\], but Zipformer expects a list of whole numbers, each at"),
        ({"model": {"decoder_dim": 10**30}}, "'model.decoder_dim' is 1000.* expects a whole number"),
        ({"train": {"base_lr": float("nan")}}, "'train.base_lr' is NaN, but Train expects a number above 0"),
        ({"train": {"base_lr": True}}, "'train.base_lr' is true"),
        ({"scale": 2.0}, "setting 'scale' may be model.ctc.scale or train.scale; write which one"),
        ({"model": {"decoder_dim": 13}}, "c.json: decoder_dim is 13, which brings bad luck"),
    ],
)
def test_mistakes_in_json_name_the_file_and_the_dotted_key(values, message):
    with pytest.raises(ValueError, match=message) as error:
        from_dict(Settings, values, "c.json")
    assert str(error.value).startswith("c.json: ")


@pytest.mark.parametrize("values", [[], None, 3, "text"])
def test_settings_that_are_no_object_are_refused(values):
    with pytest.raises(ValueError, match=r"c\.json: it holds .*, expected an object with settings"):
        from_dict(Settings, values, "c.json")


def test_the_same_value_both_ways_is_no_error():
    both = {"encoder_dim": [2], "encoder": {"encoder_dim": [2]}}
    assert from_dict(Model, both, "c.json").encoder == Zipformer((2,))


def test_layers_name_their_own_file_and_another_kind_drops_what_was_said_of_the_old_one():
    size = {"encoder_dim": [64], "front_end": {"kind": "conv1d", "stride": 4}, "ctc": {"scale": 0.5}}
    layers = [({"model": size}, "size.json"), ({"model": {"encoder": "conformer", "ctc": None}}, "recipe.json")]
    assert from_layers(Settings, layers).model == Model(Conv1d(4), Conformer())
    layers.append(({"model": {"encoder": {"num_heads": 3}, "ctc": {"dropout": 0.3}}}, "more.json"))
    assert from_layers(Settings, layers).model == Model(Conv1d(4), Conformer(3), Ctc(0.3))
    with pytest.raises(ValueError, match=r"^more\.json: .*'model.decoder_dim' is 'x'"):
        from_layers(Settings, [*layers[:2], ({"model": {"decoder_dim": "x"}}, "more.json")])


def test_what_a_recipe_says_of_a_kind_that_the_size_replaced_is_left_out_and_told(caplog):
    layers = [({"encoder": "conformer"}, "size.json"), ({"encoder_dim": [64], "decoder_dim": 14}, "recipe.json")]
    found = from_layers(Model, layers)
    assert (found.encoder, found.decoder_dim) == (Conformer(), 14)
    assert "recipe.json: 'encoder_dim' is left out: it is of encoder zipformer, not of conformer." in caplog.text
    with pytest.raises(ValueError, match="unknown setting encoder_dim"):
        from_dict(Model, {"encoder": "conformer", "encoder_dim": [64]}, "c.json")


def test_what_is_wrong_in_one_layer_may_be_right_in_the_end():
    layers = [({"decoder_dim": 13}, "size.json"), ({"decoder_dim": 14}, "recipe.json")]
    assert from_layers(Model, layers).decoder_dim == 14


def test_flags_by_full_short_and_former_names():
    assert parse() == Settings()
    full = parse("--model.encoder.num-heads", "2,3", "--train.base-lr", "1", "--model.front-end", "conv1d")
    assert full == Settings(Model(Conv1d(), Zipformer(num_heads=(2, 3))), Train(1.0))
    assert parse("--num-heads=2,3", "--base-lr", "1", "--front-end-stride", "2", "--model.front-end", "conv1d") == full
    assert parse("--dropout", "0.5").model.ctc == Ctc(0.5)


def test_a_flag_is_read_as_the_kind_that_the_recipe_chose():
    recipe = from_dict(Settings, {"model": {"encoder": "conformer"}}, "recipe.json")
    assert parse("--num-heads", "2", config=recipe).model.encoder == Conformer(2)
    with pytest.raises(ValueError, match=r"--model\.encoder\.num-heads is '2,3', expected a whole number\."):
        parse("--num-heads", "2,3", config=recipe)
    with pytest.raises(
        ValueError, match=r"encoder-dim is a setting of --model\.encoder zipformer, but that is conformer"
    ):
        parse("--encoder-dim", "2", config=recipe)
    assert parse("--encoder-dim", "2", "--encoder", "zipformer", config=recipe).model.encoder == Zipformer((2,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base-lr", "-1"], "error: --train.base-lr is '-1', expected a number above 0.\n"),
        (["--base-lr", "nan"], "error: --train.base-lr is 'nan', expected a number above 0.\n"),
        (["--base-rl", "1"], "error: unknown flag --base-rl; did you mean --base-lr? --help shows all.\n"),
        (["--scale", "1"], "error: --scale may be --model.ctc.scale or --train.scale; write which one.\n"),
        (["--encoder", "zipfromer"], "unknown kind 'zipfromer'; did you mean zipformer? known: conformer, zipformer."),
        (["--encoder-dim", "2,x"], "is '2,x', expected whole numbers, separated by commas, each at least 1."),
    ],
)
def test_mistakes_in_flags_are_one_sentence(capsys, arguments, message):
    error = refused(capsys, *arguments)
    assert message in error and error.count("\n") == 1


def test_a_short_name_that_two_settings_have_is_no_flag(capsys):
    error = refused(capsys, "--stride", "2")
    assert "--model.encoder.subsampling.stride or --model.front-end.stride" in error


def test_help_shows_sections_defaults_kinds_and_ranges(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "usage: " in text and "[--SETTING VALUE ...]" in text
    assert "--model.encoder {conformer,zipformer}, --encoder {conformer,zipformer}" in text
    assert "conformer: heads (default: 8); zipformer: heads of each stack (default: 4)" in text
    assert "model.encoder:" in text and "learning rate [above 0] (default: 0.045)" in text


def test_a_section_may_begin_the_flags_of_a_flat_class():
    parser = ScriptParser("toy")
    add_flags(parser, Train, "train")
    args = parser.parse_args(["--train.scale", "-2", "--base-lr", "3"])
    assert override(Train(), args, "train") == Train(3.0, -2.0)


def test_a_class_checks_its_own_ranges():
    with pytest.raises(ValueError, match=r"base_lr is -1, expected a number above 0"):
        Train(base_lr=-1)


def test_kinds_are_the_folders_of_a_package(tmp_path, monkeypatch):
    for kind in ("lstm", "transformer"):
        folder = tmp_path / "toy_encoders" / kind
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "config.py").write_text(
            "import dataclasses\nfrom toy_encoders import Base\n"
            f"@dataclasses.dataclass(frozen=True)\nclass Config(Base):\n    '''Settings.'''\n    of_{kind}: int = 1\n"
        )
    (tmp_path / "toy_encoders" / "__init__.py").write_text("class Base:\n    '''What they share.'''\n")
    monkeypatch.syspath_prepend(tmp_path)
    import toy_encoders

    kinds = FolderKinds("toy_encoders", toy_encoders.Base)
    assert kinds.names() == ["lstm", "transformer"]
    assert "toy_encoders.lstm.config" not in sys.modules, "a kind is imported when it is needed"
    assert kinds.find("lstm")().of_lstm == 1
    assert kinds.name_of(kinds.find("transformer")) == "transformer"
    with pytest.raises(ValueError, match=r"unknown kind 'lstn'; did you mean lstm\? known: lstm, transformer"):
        kinds.find("lstn")
