"""The planner: what a recipe file says reaches its stage, flags find theirs, mistakes are told, markers are read."""

import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planned_runs import arguments, asked, planned

from icefall_discrete.base.provenance import flat
from icefall_discrete.base.settings import from_dict
from icefall_discrete.experiment.plan import (
    StageRange,
    absent_input,
    check_inputs,
    describe,
    joined,
    parted,
    records_of,
    told_stages,
)
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.experiment.recipe_check import NOT_SECTIONS
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.experiment.run_options import Asked, Corpus
from icefall_discrete.experiment.stage_notes import StageNotes, cksum, read_note
from icefall_discrete.experiment.stages import asr
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.training_settings import OTHER_SECTIONS
from icefall_discrete.text.pieces import BpeConfig

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {
    "model_size": "tiny",
    "model": {"embedding_dim": 48},
    "loader": {"max_duration": 17.5},
    "filter": {"max_utterance_sec": 11.0},
    "augment": {"augment_prob": 0.25},
    "loss": {"ctc_loss_scale": 0.125},
    "train": {"num_epochs": 3, "precision": "bf16"},
    "own_labels": {"cache_batches": 7},
    "init": {"init_from": "conf", "init_modules": ["encoder"]},
    "bpe": {"vocab_size": 77, "piece_type": "unigram", "language_token": True},
    "average": {"avg": 4, "use_averaged_model": False},
    "decode": {"decoding_method": "greedy_search", "max_sym_per_frame": 2, "beam_size": 9},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A recipe's folder, the working folder, with a recipe that says something in each section."""
    folder = tmp_path / "egs" / "toy" / "ASR"
    (folder / "conf" / "recipes").mkdir(parents=True)
    (folder / "conf" / "recipes" / "default.json").write_text(json.dumps(RECIPE))
    monkeypatch.chdir(folder)
    return folder


def test_a_teacher_labels_before_its_student_is_trained(here):
    (here / "exp" / "first").mkdir(parents=True)
    plan = planned(ROOT, here, teacher="exp/first", label_fraction="0.5")
    (train,) = (stage for stage in plan.stages if stage.number == 6)
    label, student = (command.arguments for command in train.commands)
    assert label[1].endswith("local/pseudo_label.py") and student[1].endswith("local/train.py")
    said = dict(zip(label[2::2], label[3::2]))
    assert (said["--exp-dir"], said["--except-labelled"], said["--split"]) == ("exp/first", "0.5", "train")
    assert student[student.index("--pseudo-labels") + 1] == said["--output"]
    assert "teacher=exp/first" in train.settings and train.marker.endswith("_labels-0.5_st1/.done-6")
    following = {"teacher": train.marker.rpartition("/")[0], "label_fraction": "0.5"}
    second = planned(ROOT, here, dry_run="true", **following)
    assert any(f"--teacher {following['teacher']} does not exist" in notice for notice in second.notices)
    with pytest.raises(ValueError, match="_st1 does not exist"):
        planned(ROOT, here, **following)
    assert second.stages[-3].marker.endswith("_labels-0.5_st2/.done-6")
    more = planned(ROOT, here, [("train.untranscribed-splits", "more")], teacher="exp/first")
    labelled = [command.arguments for command in more.stages[-3].commands]
    assert [words[words.index("--split") + 1] for words in labelled[:-1]] == ["more"]
    with pytest.raises(ValueError, match="--teacher has nobody to teach: all transcripts are used"):
        planned(ROOT, here, teacher="exp/first")


def stage_script(name):
    module_spec = importlib.util.spec_from_file_location(f"planned_{name}", ROOT / "local" / f"{name}.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def train_settings(plan):
    args = stage_script("train").get_parser().parse_args(arguments(plan, "train"))
    return flat(read_settings(args.recipe_config, args.model_size, args.conf_dir, args).to_dict())


def said(section, values):
    """The settings of training, by dotted names, that a section with these values makes others than the defaults."""
    defaults = flat(TrainSettings.from_dict({}, "nothing").to_dict())
    found = flat(TrainSettings.from_dict({section: values}, "section").to_dict())
    return {name: value for name, value in found.items() if value != defaults.get(name)}


def bpe_settings(plan):
    script = stage_script("train_bpe")
    args = script.get_parser().parse_args(arguments(plan, "train_bpe"))
    recipe = script.read_recipe(args.recipe_config)
    return script.override(from_dict(BpeConfig, recipe.get("bpe", {}), "recipe"), args, "bpe")


def decode_settings(plan):
    script = stage_script("decode")
    args = script.get_parser().parse_args(arguments(plan, "decode"))
    choice, search = script.decode_settings(args, system_stages("asr").prediction)
    return choice, search.decode


def test_a_search_asks_for_heads_that_are_trained(here):
    ctc = [("transducer-loss-scale", "0"), ("ctc-loss-scale", "1")]
    with pytest.raises(
        ValueError, match=r"modified_beam_search needs a model with the transducer head, .* by a flag; .*: ctc_greedy"
    ):
        planned(ROOT, here, ctc, decoding_method="modified_beam_search")
    with pytest.raises(
        ValueError, match=r"joint_beam_search needs .* attention decoder head, .*attention-decoder-loss"
    ):
        planned(ROOT, here, ctc, decoding_method="joint_beam_search")
    weighed = [*ctc, ("ctc-weight", "1")]  # the decoder is not asked
    assert planned(ROOT, here, weighed, decoding_method="joint_beam_search")
    assert planned(ROOT, here, ctc, decoding_method="ctc_greedy_search")
    assert planned(ROOT, here, ctc, decoding_method="modified_beam_search", stop_stage="6")
    trained = here / "exp" / "of_ctc" / "config.json"
    trained.parent.mkdir(parents=True)
    trained.write_text(json.dumps({"loss": {"transducer_loss_scale": 0.0, "ctc_loss_scale": 1.0}}))
    of_old = {"exp_dir": "exp/of_ctc", "stage": "7"}
    assert planned(ROOT, here, decoding_method="ctc_greedy_search", **of_old)
    with pytest.raises(ValueError, match=r"transducer_loss_scale is 0 in exp/of_ctc/config\.json"):
        planned(ROOT, here, decoding_method="modified_beam_search", **of_old)


@pytest.mark.parametrize("section", TrainSettings.sections())
def test_a_section_reaches_training(here, section):
    found, wanted = train_settings(planned(ROOT, here)), said(section, RECIPE[section])
    assert len(wanted) == len(RECIPE[section]) and {name: found[name] for name in wanted} == wanted


def test_section_bpe_reaches_its_stage(here):
    found = bpe_settings(planned(ROOT, here))
    assert {key: getattr(found, key) for key in RECIPE["bpe"]} == RECIPE["bpe"]


@pytest.mark.parametrize("section", ["average", "decode"])
def test_a_section_reaches_decoding(here, section):
    found = decode_settings(planned(ROOT, here))[("average", "decode").index(section)]
    assert {key: getattr(found, key) for key in RECIPE[section]} == RECIPE[section]


def test_the_model_size_reaches_training(here):
    size = json.loads((ROOT / "icefall_discrete" / "conf" / "models" / "tiny.json").read_text())
    found, wanted = train_settings(planned(ROOT, here)), said("model", size)
    changed = said("model", RECIPE["model"])
    assert len(wanted) > 5 and all(found[name] == value for name, value in wanted.items() if name not in changed)


def test_every_section_is_one_of_these():
    known = {*TrainSettings.sections(), *OTHER_SECTIONS}
    fitting, of_others = {"when", "fitted_to"}, {"synthesis", "ranking"}
    assert {*RECIPE, "description", "system", *fitting, *of_others} == known
    assert known == {*asr.SECTIONS, *NOT_SECTIONS, *fitting, *of_others}


def test_an_option_or_a_flag_comes_before_the_recipe(here):
    flags = [("base-lr", "0.01"), ("decode.beam-size", "5"), ("avg", "2"), ("ctc_loss_scale", "0.5")]
    options = {"num_epochs": "6", "max_duration": "20", "vocab_size": "55", "decoding_method": "modified_beam_search"}
    plan = planned(ROOT, here, flags, **options)
    training = train_settings(plan)
    wanted = {**said("train", {"num_epochs": 6, "base_lr": 0.01}), **said("loader", {"max_duration": 20.0})}
    wanted.update(said("loss", {"ctc_loss_scale": 0.5}))
    assert len(wanted) == 4 and {name: training[name] for name in wanted} == wanted
    assert bpe_settings(plan).vocab_size == 55
    choice, decode = decode_settings(plan)
    assert (choice.avg, decode.beam_size, decode.decoding_method) == (2, 5, "modified_beam_search")
    settings = {stage.number: set(stage.settings) for stage in plan.stages}
    assert {"train.base_lr=0.01", "train.ctc_loss_scale=0.5"} <= settings[6] - settings[3]
    assert {"decode.beam_size=5", "decode.avg=2"} <= settings[7] - settings[6]
    (score,) = [c for s in plan.stages for c in s.commands if c.output]
    command = score.arguments[score.arguments.index("--run-command") + 1]
    assert "--base-lr 0.01 --decode.beam-size 5 --avg 2" in command and "--num-epochs 6" in command
    assert "modified_beam_search_avg-2_beam-size-5" in score.arguments


@pytest.mark.parametrize(
    "recipe, method",
    [("paper_icassp2024", "greedy_search"), ("dedup_bpe", "modified_beam_search"), ("default", "greedy_search")],
)
def test_a_recipe_is_decoded_by_its_own_search(here, recipe, method):
    plan = planned(ROOT, here, recipe=recipe)
    assert plan.names["decoding_method"] == method and plan.names["search_name"] == ""
    assert plan.stages[-2].marker.endswith(f"/.done-7-{method}")


def test_a_recipe_that_names_no_search_is_decoded_as_before(here):
    (here / "own.json").write_text(json.dumps({"bpe": {"vocab_size": 30}}))
    plan = planned(ROOT, here, recipe="own.json")
    assert plan.names["decoding_method"] == "modified_beam_search" and plan.names["search_name"] == ""
    assert decode_settings(plan)[1].decoding_method == "modified_beam_search"


@pytest.mark.parametrize("recipe", sorted(ROOT.glob("egs/*/ASR/run.sh")), ids=lambda path: path.parts[-3])
def test_every_recipe_file_can_be_planned(recipe, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    files = [*recipe.parent.glob("conf/recipes/*.json"), *ROOT.glob("icefall_discrete/conf/recipes/*.json")]
    for path in (path for path in files if read_recipe(path).get("system", "asr") == "asr"):
        plan = planned(ROOT, recipe.parent, recipe=path.stem, dry_run="true")
        assert [stage.number for stage in plan.stages] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    "flags, options, sentence",
    [
        ((), {"feature_type": "fbnk"}, "unknown feature type 'fbnk'; did you mean fbank? known: .*dmel, "),
        ((), {"feature_type": "fbank+dml"}, "unknown feature type 'dml'.* did you mean dmel?"),
        ((), {"recipe": "defalt"}, "unknown recipe 'defalt'; did you mean default? known: "),
        ((), {"decoding_method": "greedy"}, "unknown decoding method 'greedy'.* did you mean greedy_search?"),
        ((), {"precision": "fp8"}, "--precision is 'fp8', expected one of fp32, bf16, fp16"),
        ((), {"lm": "fourgram"}, "--lm is 'fourgram', expected one of ngram"),
        ((), {"languages": "en,yy"}, "--languages has 'yy'; known: en, xx"),
        ((), {"env": "conda"}, "--env is 'conda', expected one of them; known: k2, portable, auto"),
        ((), {"nj": "0"}, "--nj is '0', expected a whole number of at least 1"),
        ((), {"world_size": "0"}, "--world-size is '0', expected a whole number of at least 1"),
        ((), {"num_epochs": "0"}, "--num-epochs is '0', expected a whole number of at least 1"),
        ((), {"max_duration": "-1"}, "--max-duration is '-1', expected a number above 0"),
        ((), {"backend": "k3"}, "--backend is 'k3', expected one of auto, k2, torch"),
        ((), {"stage": "5", "stop_stage": "3"}, "--stop-stage 3 comes before --stage 5"),
        ((), {"lm": "ngram"}, "--lm cannot be used with greedy_search; it can with modified_beam_search"),
        ((("context-file", "x.txt"),), {}, "--context-file cannot be used with greedy_search"),
        ((), {"decoding_method": "1best", "env": "portable"}, "1best needs k2, which this environment does not have"),
        ((("beam-sise", "3"),), {}, "unknown option --beam-sise, did you mean --beam-size?"),
        ((("use_fp16", "1"),), {}, "unknown option --use-fp16, icefall's; here that is --precision fp16"),
        ((("nothing-known", "1"),), {}, "unknown option --nothing-known; --help lists those of run.sh"),
        ((("train.base_rl", "3"),), {}, "unknown option --train.base-rl, did you mean --train.base-lr?"),
        ((("num-threads", "3"),), {}, "say which is meant: --train.num-threads or --decode.num-threads"),
        ((("base-lr", "fast"),), {}, "--base-lr is 'fast', expected a number"),
        ((("train.exp-dir", "x"),), {}, "--train.exp-dir is what run.sh itself gives this stage"),
        ((("lm-unit", "words"),), {}, "unknown option --lm-unit, a flag of a stage that this run does not have"),
        (
            (("init-from", "../none"),),
            {},
            "--init-from ../none does not exist; paths are relative to the recipe's folder",
        ),
        ((("num-epoch", "3"),), {}, "unknown option --num-epoch, did you mean --num-epochs?"),
    ],
)
def test_mistakes_are_told(here, flags, options, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        planned(ROOT, here, flags, **options)


@pytest.mark.parametrize(
    "section, values, sentence",
    [
        ("train", {"num_epoch": 3}, "unknown setting 'num_epoch' in section train; did you mean num_epochs"),
        ("decode", {"beam_sise": 3}, "unknown setting 'beam_sise' in section decode; did you mean beam_size"),
        ("average", {"av": 3}, "unknown setting 'av' in section average; did you mean avg"),
        ("system", "classification", "is a recipe of system classification; these stages are of asr"),
        ("decoding", {}, "unknown section decoding; .*known: model, "),
        ("train", 7, "section 'train' is 7, expected an object"),
        (
            "train",
            {"num_epochs": "many"},
            "setting 'train.num_epochs' is 'many', expected a whole number of at least 1",
        ),
    ],
)
def test_mistakes_in_a_recipe_are_told(here, section, values, sentence):
    (here / "conf" / "recipes" / "default.json").write_text(json.dumps({**RECIPE, section: values}))
    with pytest.raises(ValueError, match=sentence):
        planned(ROOT, here)


def test_a_curriculum_is_left_out_where_it_cannot_be_read(here):
    recipe = {**RECIPE, "loader": {"curriculum_epochs": 2}}
    (here / "conf" / "recipes" / "default.json").write_text(json.dumps(recipe))
    assert train_settings(planned(ROOT, here))["loader.curriculum_epochs"] == 2
    plan = planned(ROOT, here, shar="true")
    assert train_settings(plan)["loader.curriculum_epochs"] == 0
    assert any("curriculum of recipe default" in notice for notice in plan.notices)


def write_marker(stage, settings):
    path = Path(stage.marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"# {len(settings)} lines of settings follow", *settings, ""]))
    return path


def test_a_share_of_the_labels_reaches_all_that_reads_text(here):
    whole = planned(ROOT, here, lm="ngram", decoding_method="modified_beam_search")
    asked_for = planned(ROOT, here, lm="ngram", label_fraction="0.5", decoding_method="modified_beam_search")
    (here / "conf" / "recipes" / "half.json").write_text(json.dumps({**RECIPE, "filter": {"label_fraction": 0.5}}))
    in_recipe = planned(ROOT, here, lm="ngram", recipe="half", decoding_method="modified_beam_search")
    assert not any("labels" in word or "label-fraction" in word for word in str(whole.stages).split("'"))
    for plan in (asked_for, in_recipe):
        assert "_labels-0.5" in given_to(plan, "train_bpe", "--lang-dir")
        assert given_to(plan, "train", "--lang-dir") == given_to(plan, "train_bpe", "--lang-dir")
        assert given_to(plan, "train_lm", "--label-fraction") == "0.5"
        assert given_to(plan, "train_lm", "--lm-dir").startswith(given_to(plan, "train", "--lang-dir"))
        assert "label_fraction=0.5" in next(stage for stage in plan.stages if stage.number == 5).settings
    assert given_to(asked_for, "train", "--exp-dir") == "exp/fbank_default_labels-0.5"
    assert (
        train_settings(asked_for)["filter.label_fraction"] == train_settings(in_recipe)["filter.label_fraction"] == 0.5
    )
    assert given_to(asked_for, "train_bpe", "--label-fraction") == "0.5"
    train = next(stage for stage in asked_for.stages if stage.number == 6)
    assert "label_fraction=0.5" in train.settings
    with pytest.raises(ValueError, match=r"--label-fraction is '0', expected"):
        planned(ROOT, here, label_fraction="0")


def test_text_beyond_the_transcripts_has_models_and_graphs_of_its_own(here):
    (here / "data" / "text").mkdir(parents=True)
    text = "data/text/help.txt"
    (here / text).write_text("one two\n", encoding="utf-8")
    method = {"decoding_method": "modified_beam_search"}
    with pytest.raises(ValueError, match=r"help\.txt says no languages, but the pieces need them, as language_token"):
        planned(ROOT, here, lm="ngram", lm_text=text, **method)
    (here / "conf" / "recipes" / "default.json").write_text(json.dumps({**RECIPE, "bpe": {"vocab_size": 77}}))
    alone, more = (planned(ROOT, here, lm="ngram", **method, **said) for said in ({}, {"lm_text": text}))
    assert given_to(alone, "train_lm", "--lm-dir").endswith("/lm_6gram") and "--text" not in arguments(
        alone, "train_lm"
    )
    assert given_to(more, "train_lm", "--text") == text
    assert given_to(more, "train_lm", "--lm-dir") == given_to(more, "decode", "--lm")
    assert given_to(more, "decode", "--lm") == f"{given_to(alone, 'decode', '--lm')}_help"
    assert more.names["search_name"] == "modified_beam_search_ngram_help"
    assert "lm_order=6" in alone.stages[-2].settings and "lm_order=6" in more.stages[-2].settings
    (here / text).write_text("one two three\n", encoding="utf-8")
    again = planned(ROOT, here, lm="ngram", lm_text=text, **method)
    assert [stage.number for stage, new in zip(more.stages, again.stages) if stage.settings != new.settings] == [7, 8]
    (here / "data" / "text" / "my own: text.txt").write_text("one two\n", encoding="utf-8")
    odd = planned(ROOT, here, lm="ngram", lm_text="data/text/my own: text.txt", **method)
    assert odd.names["search_name"] == "modified_beam_search_ngram_my-own-text"
    assert given_to(odd, "train_lm", "--lm-dir").endswith("/lm_6gram_my-own-text")


def given_to(plan, script, flag):
    """What a stage's flag says."""
    given = arguments(plan, script)
    return given[given.index(flag) + 1]


def test_a_stage_refuses_what_was_made_with_other_settings(here):
    plan = planned(ROOT, here, corpus_options="subset", subset="60")
    check_inputs(plan, StageRange(2, 8))
    write_marker(plan.stages[0], ["subset=120"])
    with pytest.raises(ValueError, match=r"stage 2 reads what stage 1 .*: was subset=120; is subset=60.*--stage 1"):
        check_inputs(plan, StageRange(2, 8))
    check_inputs(plan, StageRange(1, 8))
    write_marker(plan.stages[0], ["subset=60"])
    check_inputs(plan, StageRange(2, 8))


def test_the_plan_as_text_says_what_is_done(here):
    plan = planned(ROOT, here)
    marker = write_marker(plan.stages[1], plan.stages[1].settings)
    text = describe(plan, StageRange(1, 4))
    assert "Stage 2: tokenizer of fbank: done\n" in text and "Stage 3: extraction of fbank: to be run\n" in text
    assert "Stage 6: training of exp/fbank_default: not asked for\n" in text and " --seed 42 " in text
    marker.write_text(marker.read_text().replace("seed=42", "seed=7"))
    changed = "to be run again, the settings changed\n    was seed=7\n    is  seed=42\n"
    assert f"Stage 2: tokenizer of fbank: {changed}" in describe(plan, StageRange(1, 4))
    marker.rename(f"{marker}.begun")
    assert changed in describe(plan, StageRange(1, 4))


def test_what_a_dry_run_told_is_read_as_it_was_meant(here):
    plan = planned(ROOT, here, exp_dir="a: b's", lm="ngram", decoding_method="modified_beam_search")
    write_marker(plan.stages[1], plan.stages[1].settings)
    write_marker(plan.stages[2], ("seed=7", *plan.stages[2].settings[1:]))
    told = told_stages("\n".join(["Commands run in x, with y", describe(plan, StageRange(1, 8))]))
    assert [stage.number for stage in told] == [stage.number for stage in plan.stages]
    assert [stage.is_done for stage in told] == [False, True, *[False] * 6]
    assert told[2].state == "to be run again, the settings changed"
    assert [stage.commands for stage in told] == [tuple(c.arguments for c in s.commands) for s in plan.stages]


@pytest.mark.parametrize("text", ["", "# 2 lines of settings follow\na=1\n", "# 1 lines of settings follow\na=1", "a"])
def test_a_note_that_is_not_whole_says_nothing(tmp_path, text):
    (tmp_path / "note").write_text(text)
    assert read_note(str(tmp_path / "note")) is None and read_note(str(tmp_path / "none")) is None
    assert StageNotes({}).changes(str(tmp_path / "note"), "a=2") == []


def test_notes_of_before_are_compared_in_their_words(tmp_path):
    (tmp_path / "note").write_text("a=1\nb=old\n")
    notes = StageNotes({"b=new": "b=old"})
    assert notes.changes(str(tmp_path / "note"), "a=1\nb=new") == []
    assert notes.changes(str(tmp_path / "note"), "a=2\nb=new") == ["was a=1", "is  a=2"]


@pytest.mark.parametrize("content", [b"", b"abc\n", bytes(range(256)) * 3])
def test_cksum_is_that_of_the_program(content):
    assert cksum(content) == subprocess.run(["cksum"], input=content, capture_output=True).stdout.decode().strip()


def test_records_survive_the_shell(here):
    records = records_of(planned(ROOT, here, data_dir="50% \"a\" 'b'\n$HOME", languages="en"))
    assert parted(joined(records)) == [list(record) for record in records]
    printed = subprocess.run(
        ["bash", "-c", 'printf "%s\\0" "$@"', "-", "2", "a b", "*"], capture_output=True, text=True
    )
    assert parted(printed.stdout) == [["a b", "*"]]


def test_another_training_seed_is_a_row_of_its_own_on_the_same_codes(here):
    plan, other = planned(ROOT, here), planned(ROOT, here, [("train.seed", "43")])
    before, now = ({stage.number: stage for stage in one.stages} for one in (plan, other))
    assert plan.names["exp_dir"] == "exp/fbank_default" and other.names["exp_dir"] == "exp/fbank_default_seed-43"
    assert all(before[number] == now[number] for number in (1, 2, 3, 4, 5))
    assert "train.seed=43" in now[6].settings and "seed=42" in now[6].settings
    seeds = [arguments(one, "train")[arguments(one, "train").index("--seed") + 1] for one in (plan, other)]
    recipes = [arguments(one, "score")[arguments(one, "score").index("--recipe") + 1] for one in (plan, other)]
    assert seeds == ["42", "43"] and recipes == ["default", "default"]
    tuned = planned(ROOT, here, [("train.seed", "43"), ("base-lr", "0.1")])
    assert tuned.names["exp_dir"] == "exp/fbank_default_base-lr-0.1_seed-43"
    assert "default_base-lr-0.1" in arguments(tuned, "score")


@pytest.mark.parametrize(("said", "kept"), [("42", ()), ("43", (("train.seed", "43"),))])
def test_the_seed_of_all_stages_is_no_other_run(here, said, kept):
    records = [("option", "ROOT", str(ROOT)), ("option", "HERE", str(here)), ("option", "SCRIPT", "run.sh")]
    records += [("option", "LAST_STAGE", "8"), ("option", "seed", "42"), ("flag", "train.seed", said)]
    assert Asked.from_records(records).flags == kept


def test_the_command_of_a_row_holds_whatever_differs(here):
    command = asked(ROOT, here, [("base-lr", "0.1")], exp_dir="a b", world_size="2", stage="6").command
    assert command[:5] == ["egs/toy/ASR/run.sh", "--feature-type", "fbank", "--recipe", "default"]
    assert command[5:] == ["--exp-dir", "a b", "--world-size", "2", "--base-lr", "0.1"]


def test_planning_needs_no_package_and_no_time():
    code = "import sys, icefall_discrete.experiment.stages.asr as asr; print(*sys.modules)"
    start = time.process_time()
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "numpy", "lhotse", "tqdm", "sentencepiece"} & set(done.stdout.split())
    assert time.process_time() - start < 5


def test_what_no_stage_made_is_told_before_anything_runs(here):
    plan = planned(ROOT, here, stage="6")
    said = absent_input(plan, StageRange(6, 8))
    assert re.fullmatch(
        r"stage 6 \(training of .*\) reads .*train\.jsonl\.gz, which stage 3 \(extraction of fbank\) makes, and it "
        r"does not exist; begin with --stage [0-3]\.",
        said,
    )
    for stage in plan.stages:
        for path in map(Path, stage.outputs if stage.number < 6 else ()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    assert absent_input(plan, StageRange(6, 8)) == ""  # data that was made by hand is taken
    assert absent_input(plan, StageRange(0, 8)) == ""


def test_another_condition_of_a_recipe_is_another_training(here):
    settings = {}
    for processes in (0, 2, 3):
        when = [{"device": "cpu", "train": {"world_size": processes}}] if processes else []
        recipe = {**RECIPE, **({"when": when} if when else {})}
        (here / "conf" / "recipes" / "fitted.json").write_text(json.dumps(recipe))
        train = next(stage for stage in planned(ROOT, here, recipe="fitted").stages if stage.number == 6)
        settings[processes] = train.settings
    assert len({tuple(lines) for lines in settings.values()}) == 3
    assert not [line for line in settings[0] if line.startswith("when_digest")]


def test_no_flag_of_a_recipe_has_the_name_of_a_fact_about_its_corpus():
    """Both are variables of one script: a flag of that name would be taken for the fact."""
    facts = {field.name for field in dataclasses.fields(Corpus)}
    scripts = sorted(ROOT.glob("egs/*/*/run*.sh"))
    assert len(scripts) > 20
    for script in scripts:
        flags = script.read_text(encoding="utf-8").partition("parse_options.sh")[0]
        assert not facts & set(re.findall(r"^([a-z_]+)=", flags, re.MULTILINE)), script
