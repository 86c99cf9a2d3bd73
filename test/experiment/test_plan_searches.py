"""Searches that read files: which of them are one search, and which are two."""

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
