"""The plan of text to speech: alignments before training, a vocoder and a recogniser behind it, vocoders beside it."""

import json
from pathlib import Path

import pytest
from planned_runs import arguments, asked

from icefall_discrete.experiment.stages import tts

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {"system": "tts", "model_size": "tiny_text_to_units", "train": {"num_epochs": 3}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A recipe's folder, the working folder, beside it a recogniser `asr` and a vocoder `voc`."""
    folder = tmp_path / "egs" / "toy" / "TTS"
    (folder / "conf" / "recipes").mkdir(parents=True)
    for name, recipe in {"default": RECIPE, "vocoder": {"system": "vocoder", "model_size": "vocos"}}.items():
        (folder / "conf" / "recipes" / f"{name}.json").write_text(json.dumps(recipe))
    for name in ("asr", "voc"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
        (folder / name / "spec.json").write_text(json.dumps({"name": "mfcc_km500"}))
    monkeypatch.chdir(folder)
    return folder


def plan_of(here, *flags, **given):
    return tts.plan(asked(ROOT, here, flags, **{"feature_type": "mfcc_km500", **given}))


def test_a_recogniser_aligns_and_hears(here):
    plan = plan_of(here, ("recogniser-exp-dir", "asr"), ("vocoder-exp-dir", "voc"))
    assert [stage.number for stage in plan.stages] == [1, 2, 3, 4, 5, 6, 7, 8]
    align, train = arguments(plan, "align_cuts"), arguments(plan, "train")
    given = dict(zip(align[::2], align[1::2]))
    assert given["--exp-dir"] == "asr" and given["--splits"] == "train,dev"
    assert given["--feature-dir"] == "data/features/mfcc_km500"
    assert given["--output-dir"] == train[train.index("--lang-dir") + 1] == "data/alignments/asr"
    scripts = [Path(command.arguments[1]).stem for command in plan.stages[6].commands]
    assert scripts == ["decode", "speak_units", "hear_speech"] and plan.stages[5].reads == (3, 5)
    assert plan.shown == "exp/mfcc_km500_default/synthesis/scores.txt"


def test_others_tell_voices_of_audio(here):
    wanted = (("recogniser-exp-dir", "asr"), ("classifier-exp-dir", "voc"))
    plan = plan_of(here, *wanted, ("vocoder-exp-dir", "voc"), ("asked", "it"))
    scripts = [Path(command.arguments[1]).stem for command in plan.stages[6].commands]
    assert scripts == ["decode", "speak_units", "hear_speech", "judge_voices"]
    assert arguments(plan, "judge_voices")[-4:] == ["--classifier-exp-dir", "voc", "--asked", "it"]
    assert "judge.asked=it" in plan.stages[6].settings
    alone = plan_of(here, ("verifier-exp-dir", "voc"), recipe="vocoder")
    assert [Path(command.arguments[1]).stem for command in alone.stages[-2].commands] == ["decode", "judge_voices"]


def test_copies_are_aligned_where_they_are_learnt_from(here):
    wanted = ("recogniser-exp-dir", "asr")
    assert "--speed-copies" in arguments(plan_of(here, wanted), "align_cuts")
    assert "--speed-copies" not in arguments(plan_of(here, wanted, ("use-speed-copies", "0")), "align_cuts")
    recipe = {**RECIPE, "filter": {"use_speed_copies": False}}
    (here / "conf" / "recipes" / "default.json").write_text(json.dumps(recipe))
    assert "--speed-copies" not in arguments(plan_of(here, wanted), "align_cuts")
    assert "--speed-copies" in arguments(plan_of(here, wanted, ("filter.use-speed-copies", "1")), "align_cuts")


def test_alignments_may_come_from_a_file(here):
    (here / "words.ctm").write_text("a 1 0 1 b\n")
    plan = plan_of(here, ("alignments", "words.ctm"))
    align = arguments(plan, "align_cuts")
    assert "--exp-dir" not in align and align[align.index("--alignments") + 1] == "words.ctm"
    assert [Path(command.arguments[1]).stem for command in plan.stages[6].commands] == ["decode"]
    before = [stage.settings_text for stage in plan.stages]
    (here / "words.ctm").write_text("a 1 0 2 b\n")
    assert [stage.number for stage, text in zip(plan.stages, before) if stage.settings_text != text] == [5, 6, 7, 8]


def test_mistakes_are_told(here):
    for flags, given, sentence in (
        ((), {}, "needs to know when letters are said: give --recogniser-exp-dir"),
        ((("recogniser-exp-dir", "absent"),), {}, "--recogniser-exp-dir absent holds no experiment"),
        ((("recogniser-exp-dir", "asr"), ("vocoder-exp-dir", "absent")), {}, "--vocoder-exp-dir absent holds no exp"),
        ((("alignments", "absent.ctm"),), {}, "--alignments absent.ctm does not exist"),
        (
            (("recogniser-exp-dir", "asr"), ("verifier-exp-dir", "voc")),
            {},
            "no voice that could be told; give --voc",
        ),
        ((("verifier-exp-dir", "absent"),), {"recipe": "vocoder"}, "--verifier-exp-dir absent holds no experiment"),
        ((("asked", "it"),), {"recipe": "vocoder"}, "--asked it is a class that a classifier hears; give --classifier"),
        ((("recogniser-exp-dir", "asr"),), {"feature_type": "dmel"}, "--feature-type mfcc_km500 --stop-stage 3"),
        ((), {"shar": "true"}, "--shar true is not for text to speech"),
    ):
        with pytest.raises(ValueError, match=sentence):
            plan_of(here, *flags, **given)


def test_recipes_of_vocoders_are_planned_as_such(here):
    plan = plan_of(here, recipe="vocoder")
    assert 5 not in [stage.number for stage in plan.stages] and plan.shown.endswith("resynthesis/scores.txt")
