"""Recordings of behaviour: what counts as the same result and what does not, and hashes that see every bit."""

import json
import sys
from pathlib import Path

import pytest
import torch
from forked import run_forked
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from behaviour import reading  # noqa: E402
from behaviour.comparison import SHOWN, compare_records, compare_sections  # noqa: E402
from behaviour.parts import with_values  # noqa: E402


def _record(sections, **made):
    return {"made": {"code": "a", **made}, "parts": {"train": {"seconds": 1.0, "sections": sections}}}


def _differences(kind, old, new):
    return compare_sections("train", old, new, kind).differences


def test_equal_recordings_agree_whatever_they_took():
    old, new = (_record({"weights": {"w": "1"}, "texts": {"a": "b"}}) for _ in range(2))
    new["parts"]["train"]["seconds"] = 2.0
    assert compare_records(old, new) == ([], [])


def test_renamed_weights_are_the_same_and_the_names_are_noted():
    old, new = {"a": "1", "b": "2", "c": "2"}, {"a": "1", "x": "2", "c": "2"}
    found = compare_sections("train", old, new, "weights")
    assert found.differences == []
    assert found.notes == ["train: 1 renamed: b -> x"]


@pytest.mark.parametrize(
    "new",
    [{"a": "1", "b": "3"}, {"a": "1"}, {"a": "1", "b": "2", "c": "2"}, {"a": "1", "b": "1"}],
    ids=["changed", "lost", "twice", "other multiset"],
)
def test_other_weights_differ(new):
    assert _differences("weights", {"a": "1", "b": "2"}, new)


def test_figures_may_be_renamed_and_added_to_but_not_lost_or_changed():
    old = {"epochs 1 loss": "0.1", "epochs 1 ctc": "0.2"}
    new = {"epochs 1 total": "0.1", "epochs 1 ctc": "0.2", "more": "5"}
    found = compare_sections("train", old, new, "figures batches")
    assert found.differences == []
    assert len(found.notes) == 2
    assert _differences("figures", old, {"epochs 1 loss": "0.1"}) == ["train: epochs 1 ctc: 0.2 -> absent"]
    assert _differences("figures", old, {**old, "epochs 1 ctc": "0.3"}) == ["train: epochs 1 ctc: 0.2 -> 0.3"]


def test_texts_belong_to_their_names():
    old = {"a": "x", "b": "y"}
    assert len(_differences("texts", old, {"a": "y", "b": "x"})) == 2
    assert _differences("texts", old, {**old, "c": "z"}) == ["train: c: absent -> z"]


def test_many_differences_are_counted_not_listed():
    old, new = ({str(number): value for number in range(100)} for value in ("x", "y"))
    found = _differences("texts", old, new)
    assert len(found) == SHOWN + 1
    assert found[-1] == f"train: and {100 - SHOWN} more of 100"


def test_lost_section_differs_and_parts_of_one_side_are_noted():
    old, new = _record({"weights": {"w": "1"}, "texts": {"a": "b"}}), _record({"weights": {"w": "1"}}, code="b")
    old["parts"]["score"] = new["parts"]["lm"] = {"seconds": 1.0, "sections": {}}
    found = compare_records(old, new)
    assert found.differences == ["train, texts: a: b -> absent"]
    assert found.notes == ["made: code: a -> b", "lm: not in the older recording", "not recorded anew: score"]


def test_hash_of_weights_is_that_of_type_shape_and_bits_in_either_file(tmp_path):
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7), "c": torch.tensor([1.5]).bfloat16()}
    save_file(weights, str(tmp_path / "w.safetensors"))
    # Neither the storage that a view shares nor the order of its axes is part of a weight.
    shared = torch.arange(12.0)[:6].reshape(2, 3)
    model = {**weights, "a": shared, "d": shared.t().contiguous().t()}
    torch.save({"model": model, "step": 3, "epoch": {"float.hex": "0x1p0"}}, tmp_path / "w.pt")
    plain, saved = reading.weights_of(tmp_path / "w.safetensors"), reading.weights_of(tmp_path / "w.pt")
    assert saved == {**{f"model/{name}": value for name, value in plain.items()}, "model/d": plain["a"]}
    others = [weights["a"].reshape(3, 2), weights["a"].double(), -weights["a"], weights["a"] + 2**-20]
    torch.save(others, tmp_path / "others.pt")
    assert len({plain["a"], *reading.weights_of(tmp_path / "others.pt").values()}) == 5


def test_file_of_weights_runs_nothing(tmp_path):
    torch.save({"a": Path("x")}, tmp_path / "w.pt")
    with pytest.raises(Exception, match="does not belong into a file of weights"):
        reading.weights_of(tmp_path / "w.pt")


def test_figures_are_exact_and_hold_no_times():
    value = {"epochs": [{"loss": 0.1 + 0.2, "train_sec": 3.0, "best": True}], "steps": 4, "device": "cpu"}
    assert reading.figures_of(value) == {"epochs 1 loss": "0.30000000000000004", "steps": "4"}


def test_batch_done_again_shows_every_value_that_it_had(tmp_path):
    line = "INFO Epoch 2, batch {}, loss[loss={}, ctc=1.5, over 3.00 frames.], tot_loss[loss=9, over 1 frames.]\n"
    (tmp_path / "log-1").write_text(line.format(1, 4.5) + line.format(2, 5))
    (tmp_path / "log-2").write_text(line.format(2, 6))
    found = reading.batch_losses(tmp_path)
    assert found["epoch 2 batch 1 loss"] == "4.5" and found["epoch 2 batch 2 loss"] == "5 or 6"
    assert found["epoch 2 batch 2 ctc"] == "1.5" and len(found) == 4


def test_settings_are_found_wherever_they_stand():
    nested = {"tokenizer": "t", "training": {"max_steps": 9, "rate": 1}}
    small = with_values(nested, {"max_steps": 2}, "f.json")
    assert small == {"tokenizer": "t", "training": {"max_steps": 2, "rate": 1}}
    with pytest.raises(ValueError, match=r"f.json has the settings \[\], expected each of \['steps'\] once"):
        with_values(nested, {"steps": 2}, "f.json")


def test_command_compares_two_recordings(tmp_path):
    for name, loss in (("old", "0.1"), ("same", "0.1"), ("other", "0.2")):
        (tmp_path / f"{name}.json").write_text(json.dumps(_record({"figures": {"loss": loss}})))

    def run(name, *flags):
        return run_forked("tools/record_behaviour.py", "--output", tmp_path / f"{name}.json", *flags)

    against = ("--against", str(tmp_path / "old.json"))
    assert run("same", *against).returncode == 0
    differing = run("other", *against)
    assert differing.returncode == 1 and "DIFFERENT: train, figures: loss: 0.1 -> 0.2" in differing.stdout
    assert "--against must be given" in run("other").stderr
