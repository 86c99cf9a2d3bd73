"""The planner of vocoders: what is said otherwise has figures of its own."""

from pathlib import Path

import pytest
from planned_runs import asked

from icefall_discrete.experiment.stages import vocoder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "flags, name",
    [
        ([("voice", "J. Doe")], "voice-J.%20Doe"),
        ([("synthesis.voice", "J. Roe")], "voice-J.%20Roe"),
        ([("voice", "a/b"), ("prompt", "said by/me.1.wav")], "prompt-me.1_voice-a%2Fb"),
        ([("voice", "")], ""),
    ],
)
def test_what_a_vocoder_says_in_each_voice_has_figures_of_its_own(tmp_path, monkeypatch, flags, name):
    (tmp_path / "conf" / "recipes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "recipes" / "default.json").write_text('{"system": "vocoder"}')
    plan = vocoder.plan(asked(ROOT, tmp_path, flags))
    scores = next(command for stage in plan.stages for command in stage.commands if "/score.py" in str(command))
    given = dict(zip(scores.arguments[2::2], scores.arguments[3::2]))
    assert given.get("--search-name", "") == name


def test_another_prompt_of_the_same_name_is_listened_to_anew(tmp_path, monkeypatch):
    (tmp_path / "conf" / "recipes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "recipes" / "default.json").write_text('{"system": "vocoder"}')
    said = []
    for content in (b"me", b"me", b"you"):
        (tmp_path / "a.wav").write_bytes(content)
        stages = vocoder.plan(asked(ROOT, tmp_path, [("prompt", "a.wav")])).stages
        said.append([stage.settings_text for stage in stages])
    assert said[0] == said[1]
    assert [stage.number for stage, *texts in zip(stages, *said[1:]) if texts[0] != texts[1]] == [7, 8]
