"""Searches that read files: which of them are one search, and which are two."""

import re
from pathlib import Path

from planned_runs import arguments, planned

ROOT = Path(__file__).resolve().parents[2]


def test_files_of_one_name_are_searches_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "conf" / "recipes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "recipes" / "default.json").write_text("{}")
    says = {"data/text/a.txt": "one\n", "b/a.txt": "two\n", "c/a.txt": "three\n", "d/a.txt": "two\n"}
    for name, said in says.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(said, encoding="utf-8")
    method = {"lm": "ngram", "decoding_method": "modified_beam_search"}
    plans = [planned(ROOT, tmp_path, lm_text=name, **method) for name in says]
    names = [plan.names["search_name"] for plan in plans]
    assert names[0] == "modified_beam_search_ngram_a"
    assert len(set(names[:3])) == 3 and names[1] == names[3]
    models = [arguments(plan, "train_lm")[arguments(plan, "train_lm").index("--lm-dir") + 1] for plan in plans]
    assert len(set(models[:3])) == 3 and models[1] == models[3]
    phrases = [planned(ROOT, tmp_path, [("context-file", name)], **method).names["search_name"] for name in says]
    assert len(set(phrases[1:3])) == 2 and phrases[1] == phrases[3]


def test_a_file_in_the_working_folder_is_the_search_of_what_it_holds(tmp_path, monkeypatch):
    (tmp_path / "conf" / "recipes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "recipes" / "default.json").write_text("{}")
    phrases = tmp_path / "my phrases: 1.txt"

    def plan_of(flag, value):
        return planned(ROOT, tmp_path, [(flag, value)], decoding_method="modified_beam_search")

    phrases.write_text("one\n", encoding="utf-8")
    first, same = (plan_of("context-file", f"{folder}{phrases.name}") for folder in ("", "./"))
    phrases.write_text("two\n", encoding="utf-8")
    other = plan_of("context-file", phrases.name)
    names = [plan.names["search_name"] for plan in (first, same, other)]
    assert names[0] == names[1] != names[2]
    assert all(re.fullmatch(r"modified_beam_search_context-file-my-phrases-1-[0-9a-f]{6}", name) for name in names)
    changed = [stage.number for stage, new in zip(first.stages, other.stages) if stage.settings != new.settings]
    assert changed == [7, 8], "phrases that changed are searched with again"
    for flag, value, name in (
        ("lodr", "lm/2gram.v1", "lodr-2gram.v1"),
        ("checkpoint", "my best: 1.pt", "checkpoint-my-best-1.pt"),
        ("blank-penalty", "1e+0", "blank-penalty-1e+0"),
    ):
        (tmp_path / "lm" / "2gram.v1").mkdir(parents=True, exist_ok=True)
        assert plan_of(flag, value).names["search_name"] == f"modified_beam_search_{name}"
