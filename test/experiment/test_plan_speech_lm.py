"""The plan of models of text and speech: texts or speech is asked for, and who says and hears it."""

import itertools
import json
from pathlib import Path

import pytest
from planned_runs import arguments, asked

from icefall_discrete.experiment.stages import speech_lm

ROOT = Path(__file__).resolve().parents[2]
BOTH = {"system": "speech_lm", "model_size": "tiny"}
TTS = {
    **BOTH,
    "task": {"layouts": ["say=Say it: {text}{answer} so: {speech}<eos>"]},
    "synthesis": {"asked_task": "say"},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A recipe's folder, the working folder, beside it a vocoder and recognisers `same` and `other` of units."""
    folder = tmp_path / "egs" / "toy" / "LM"
    (folder / "conf" / "recipes").mkdir(parents=True)
    for name, recipe in {"default": BOTH, "alone": TTS}.items():
        (folder / "conf" / "recipes" / f"{name}.json").write_text(json.dumps(recipe))
    for name, units in {"same": "mfcc_km500", "voc": "mfcc_km500", "other": "whisper_tiny_km500"}.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
        (folder / name / "spec.json").write_text(json.dumps({"name": units}))
    monkeypatch.chdir(folder)
    return folder


def plan_of(here, *flags, **given):
    return speech_lm.plan(asked(ROOT, here, flags, **{"feature_type": "mfcc_km500", **given}))


def scripts_of(plan):
    return [Path(command.arguments[1]).stem for command in plan.stages[-2].commands]


def test_texts_are_asked_for_unless_a_flag_or_the_recipe_asks_for_speech(here):
    texts, spoken = plan_of(here), plan_of(here, ("asked-task", "tts"))
    assert texts.stages[-2].marker.endswith(".done-7-answers") and "--search-name" not in arguments(texts, "score")
    score = arguments(spoken, "score")
    given = dict(itertools.pairwise(score))
    assert given["--decoding-method"] == "synthesis" and given["--search-name"] == "tts"
    assert spoken.stages[-2].marker.endswith(".done-7-synthesis") and scripts_of(spoken) == ["decode"]
    assert spoken.stages[-3] == texts.stages[-3], "one training serves both"
    assert [notice for notice in spoken.notices if notice.startswith("Nobody hears what is said")]
    alone = plan_of(here, recipe="alone")
    assert "synthesis" in arguments(alone, "score") and "--search-name" not in arguments(alone, "score")


def test_what_cannot_be_asked_is_said_before_all_stages(here):
    with pytest.raises(ValueError, match="--asked-task sing: layouts are of asr, tts, continue; name one of these"):
        plan_of(here, ("asked-task", "sing"))
    in_a_voice = ("layouts", "tts={voice}{text}{answer}{speech}<eos>")
    planned = plan_of(here, ("layouts", "tts={text}{answer}{speech}<eos>"))
    assert planned.stages[-1].number == 6 and "of task asr: stages 7 and 8 are left out" in planned.notices[-1]
    for flags, sentence in (
        ((in_a_voice,), "layouts of tts begin with {voice}: give --voices FILE; local/embed_voices.py makes one"),
        ((in_a_voice, ("voices", "gone.safetensors")), "--voices gone.safetensors does not exist"),
        ((("voices", "gone.safetensors"),), "no layout begins with {voice}; leave it away"),
    ):
        with pytest.raises(ValueError, match=sentence):
            plan_of(here, *flags)
    (here / "there.safetensors").touch()
    spoken = (in_a_voice, ("voices", "there.safetensors"), ("asked-task", "tts"))
    stages = plan_of(here, *spoken).stages
    (here / "there.safetensors").write_bytes(b"others")
    changed = [
        stage.number for stage, now in zip(stages, plan_of(here, *spoken).stages) if stage.settings != now.settings
    ]
    assert changed == [6, 7, 8], "other vectors in a file of the same name are heard"


def test_a_vocoder_says_it_or_a_recogniser_of_the_same_units_reads_them(here):
    asks, voc = ("asked-task", "tts"), ("vocoder-exp-dir", "voc")
    heard = plan_of(here, asks, voc, ("recogniser-exp-dir", "other"))
    assert scripts_of(heard) == ["decode", "speak_units", "hear_speech"] and not heard.notices
    assert scripts_of(plan_of(here, asks, ("recogniser-exp-dir", "same"))) == ["decode", "hear_speech"]
    told = plan_of(here, asks, voc, ("classifier-exp-dir", "other"), ("verifier-exp-dir", "same"), ("asked", "it"))
    assert scripts_of(told) == ["decode", "speak_units", "judge_voices"] and not told.notices
    assert plan_of(here, asks, voc).notices, "a vocoder says it to nobody"
    judges = ["--classifier-exp-dir", "other", "--verifier-exp-dir", "same", "--asked", "it"]
    assert arguments(told, "judge_voices")[-6:] == judges and "judge.asked=it" in told.stages[-2].settings
    for flags, sentence in (
        ((asks, ("recogniser-exp-dir", "other")), "other does not read units of mfcc_km500; give --vocoder"),
        ((asks, ("vocoder-exp-dir", "absent")), "--vocoder-exp-dir absent holds no experiment"),
        ((voc,), "--vocoder-exp-dir is about speech, and answers of task asr are texts; ask with another"),
        ((("verifier-exp-dir", "same"),), "--verifier-exp-dir is about speech, and answers of task asr are texts"),
        ((asks, ("verifier-exp-dir", "same")), "units have no voice that could be told; give --vocoder-exp-dir too"),
        ((asks, voc, ("asked", "it")), "--asked it is a class that a classifier hears; give --classifier-exp-dir"),
    ):
        with pytest.raises(ValueError, match=sentence):
            plan_of(here, *flags)
