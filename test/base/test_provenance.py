import json
import os

import pytest

from icefall_discrete.base.provenance import (
    Provenance,
    Rules,
    against,
    differences,
    digest_of_file,
    digest_of_lines,
    flat,
    read_record,
    set_aside,
)

MADE = Provenance({"pieces": "9" * 64}, {"order": 3, "model": {"dim": 16, "sizes": (1, 2)}}, {"torch": "2.1"})


def test_nested_values_have_dotted_names():
    assert flat({"a": {"b": {"c": 1}, "d": [1]}, "e": {}}) == {"a.b.c": 1, "a.d": [1]}


def test_a_record_on_disk_is_the_same_and_what_is_noted_is_not_compared(tmp_path):
    MADE.write(tmp_path / "made.json")
    assert set(json.loads((tmp_path / "made.json").read_text())) == {"inputs", "settings", "noted"}
    again = Provenance.read(tmp_path / "made.json")
    assert MADE.is_same(again) and again.digest() == MADE.digest()
    assert Provenance(MADE.inputs, MADE.settings, {"torch": "1.13"}).is_same(again)
    assert Provenance.read_if_there(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "old",
    [
        {"pieces": "9" * 64, "order": 3.0, "model": {"dim": 16, "sizes": [1, 2]}},
        {"pieces": "9" * 64, "order": 3, "model.dim": 16, "model.sizes": [1, 2]},
        {"files": {"pieces": "9" * 64}, "settings": {"order": 3, "model": {"dim": 16, "sizes": [1, 2]}}},
    ],
)
def test_records_of_earlier_versions_say_the_same(old):
    assert MADE.is_same(Provenance.from_json(old, "old.json"))
    assert not MADE.is_same(Provenance.from_json({**old, "more": 1}, "old.json"))


def test_the_sentence_names_what_differs_and_what_to_do():
    def sentence(was, now):
        with pytest.raises(ValueError) as caught:
            Provenance(settings=now).require_same(Provenance(settings=was), "lm holds a model trained", "give --lm-dir")
        return str(caught.value)

    assert sentence({"a": 1}, {"a": 2}) == "lm holds a model trained with other a (was 1, is 2); give --lm-dir."
    two = sentence({"cuts": "a" * 64, "num_cuts": 24}, {"cuts": "b" * 64, "num_cuts": 40})
    assert two == "lm holds a model trained with other cuts, num_cuts (num_cuts: was 24, is 40); give --lm-dir."
    hashes = sentence({"cuts": "a" * 64}, {"cuts": "b" * 64})
    assert "other cuts (was 'aaaaaaaaaaaa...', is 'bbbbbbbbbbbb...');" in hashes
    many = sentence(dict.fromkeys("abcde", 1), {})
    assert "with other a, b, c and 2 more (a: was 1, is None);" in many


def test_rules_of_the_owner():
    rules = Rules(free=("train.device", "loader"), may_rise=("train.num_epochs",), later=("seed",))
    was = {"train": {"device": "cpu", "num_epochs": 2}, "loader": {"num_workers": 1}}
    now = {"train": {"device": "cuda", "num_epochs": 3}, "loader": {"num_workers": 4}, "seed": 7}
    assert differences(was, now, rules) == []
    assert [one.name for one in differences(now, was, rules)] == ["seed", "train.num_epochs"]
    assert against(differences({"rate": 50.0}, {"rate": 75})) == "rate: 50.0 against 75"


def test_a_model_is_the_same_under_another_name_if_its_hash_is():
    was = {"views": {"a": {"model": "package:some/model", "model_sha256": "a1" * 32, "layer": 4}}}
    now = {"views": {"a": {"model": "weights:some", "model_sha256": "a1" * 32, "layer": 4}}}
    assert differences(was, now) == []
    now["views"]["a"]["model_sha256"] = "b1" * 32
    assert [one.name for one in differences(was, now)] == ["views.a.model", "views.a.model_sha256"]
    assert [one.name for one in differences({"model": "a"}, {"model": "b"})] == ["model"]
    assert [one.name for one in differences({"layer": 1, "layer_sha256": "a1" * 32}, {"layer_sha256": "a1" * 32})]


def test_files_count_by_content_and_json_by_what_it_says(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text('{"a": 1, "b": 2}')
    second.write_text('{\n  "b": 2.0,\n  "a": 1\n}\n')
    assert digest_of_file(first) == digest_of_file(second)
    text = tmp_path / "a.txt"
    text.write_text("one")
    before = digest_of_file(text)
    assert before == digest_of_lines(["one"]) and digest_of_lines(["one", "two"]) != digest_of_lines(["onetwo"])
    text.write_text("two")
    os.utime(text, ns=(1, 1))
    assert digest_of_file(text) != before
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist; run the stage"):
        digest_of_file(tmp_path / "none.pt")


@pytest.mark.parametrize("value", [[], None, 5, "x", {"inputs": []}, {"files": None, "settings": {}}])
def test_a_damaged_record_is_a_sentence(tmp_path, value):
    path = tmp_path / "made.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ValueError, match=r"made\.json.* not an object; it was damaged"):
        Provenance.read(path)


def test_records_need_their_keys(tmp_path):
    path = tmp_path / "extract-dev.json"
    path.write_text('{"bytes": 3}')
    assert read_record(path, "bytes") == {"bytes": 3}
    with pytest.raises(ValueError, match=r"extract-dev\.json has no 'rtf'; rerun"):
        read_record(path, "bytes", "rtf")
    path.write_text("null")
    with pytest.raises(ValueError, match=r"extract-dev\.json is null, expected an object"):
        read_record(path)


def test_what_is_set_aside_is_kept(tmp_path):
    for text in ("one", "two"):
        (tmp_path / "lm.arpa").write_text(text)
        set_aside(tmp_path / "lm.arpa", tmp_path / "absent")
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["one", "two"]
    assert all(path.name.startswith("lm.arpa.before-") for path in tmp_path.iterdir())
