"""Stage 8 of wav2vec-U, on toys: the row is the seed's that was chosen without transcripts, and no seed is hidden."""

import json

import pytest
from toy_corpus import run_stage_script

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import Provenance, digest_of_file
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.metrics.symbol_errors import symbol_scores
from icefall_discrete.metrics.wer import count_errors
from icefall_discrete.results.ledger import commits_of, is_dirty, read_ledger, traceable
from icefall_discrete.results.page import results_page
from icefall_discrete.systems.wav2vec_u.config import TextConfig
from icefall_discrete.systems.wav2vec_u.seed_scores import METRIC_OF, ScoredSeeds, said_file, weights_of
from icefall_discrete.text.symbols import front_named

REFS = {"a": "casa", "b": "mesa", "c": "si"}
# Seed 1 is chosen, and seed 2 has fewer errors.
SAID = {
    0: {"a": "aaa", "b": "aa", "c": "a"},
    1: {"a": "cosa", "b": "masa", "c": "so"},
    2: {"a": "casa", "b": "mesa", "c": "so"},
}
COMMAND = "egs/toy/SSL/run.sh --recipe toy --languages es"
VERDICTS = ("collapsed: says few of the symbols", "near the text", "not near the text")


def scores_of(seed):
    return symbol_scores("ler", {name: count_errors(ref, SAID[seed][name]) for name, ref in REFS.items()})


def trained(folder, shuffled=False):
    """What stages 6 and 7 leave of three seeds and one that failed."""
    rows = [
        {"seed": seed, "step": 500, "lm_ppl": ppl, "symbols_seen": 1 / ppl, "weighted_ppl": ppl**3, "minutes": 2.0}
        for seed, ppl in enumerate((5.0, 1.0, 2.0))
    ]
    for row, said in zip(rows, VERDICTS):
        row["verdict"] = said
    table = {"text_ppl": 1.0, "shuffled_text": shuffled, "rule": "weighted_perplexity", "chosen": 1}
    write_json(folder / "seeds.json", {**table, "seeds": rows, "failed": {"3": "the loss is not finite"}})
    spec = FeatureSpec("toy", "continuous", 16000, 50.0, 0, (), 8)
    spec.write(folder / "spec.json")
    Provenance({"text": f"{shuffled}"}, {"steps": 500}).write(folder / "trained_from.json")
    write_json(folder / "env.json", {"git": "abc-clean", "versions": {}, "commits": ["abc-clean", "def-clean"]})
    for seed in SAID:
        weights = weights_of(folder, seed)
        write_text(weights, f"weights of {seed}")
        summary = {"epochs": [], "num_epochs": 0, "train_sec": 120.0, "train_sec_per_epoch": 1.0}
        write_json(weights.parent / "train.json", {**summary, "cpu_sec": 60.0, "device": "cpu"})
        made = {"weights_sha256": digest_of_file(weights), "git": "def-clean", "device_name": "toy"}
        for split in ("dev", "test"):
            said = {"metric": "ler", "scores": {**scores_of(seed), "decode_rtf": 0.1}, **made}
            write_json(said_file(folder, split, "greedy", seed), said)
    return folder


def score(folder, results, **flags):
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    always = ["--feature-dir", folder, "--splits", "dev,test", "--recipe", "toy_es", "--results-dir", results]
    always += ["--run-command", COMMAND, "--settings-digest", "0123"]
    return run_stage_script("score_unsupervised.py", "--exp-dir", folder, *always, *words, check=False)


def test_the_row_is_that_of_the_chosen_seed_and_the_others_stand_beside_it(tmp_path, capsys):
    folder, results = trained(tmp_path / "exp"), tmp_path / "results"
    done = score(folder, results)
    assert done.returncode == 0, done.stderr
    table = capsys.readouterr().out.splitlines()
    assert "dev LER %" in table[0] and "test LER %" in table[0]
    by_seed = {line.split()[0]: line for line in table[2:]}
    assert "70.0" in by_seed["0"] and VERDICTS[0] in by_seed["0"]
    assert "30.0" in by_seed["1"] and f"chosen, {VERDICTS[1]}" in by_seed["1"]
    assert "10.0" in by_seed["2"] and "chosen" not in by_seed["2"]
    assert "failed: the loss is not finite" in by_seed["3"]
    result = read_object(folder / "result.json")
    assert result["command"] == COMMAND and result["settings_digests"] == ["0123"]
    assert result["sets"]["test"]["ler"]["rate"] == pytest.approx(30.0)
    assert result["training"]["minutes"] == 6.0 and result["training"]["core_minutes"] == 3.0
    kept = read_object(folder / "said" / "seeds-greedy.json")
    assert result["seeds"] == kept and kept["chosen"] == 1
    assert [row["errors"]["test"] for row in kept["seeds"]] == pytest.approx([70.0, 30.0, 10.0])
    assert [row["verdict"] for row in kept["seeds"]] == list(VERDICTS)


def test_a_control_has_a_row_of_its_own(tmp_path):
    results = tmp_path / "results"
    for shuffled in (False, True):
        assert score(trained(tmp_path / f"exp-{shuffled}", shuffled), results).returncode == 0
    rows = traceable(read_ledger(sorted(results.glob("*.json"))))
    assert [path.name for path in sorted(results.glob("*.json"))] == [
        "toy_toy_es_cpu.json",
        "toy_toy_es_shuffled-text_cpu.json",
    ]
    assert rows[0]["training"]["digest_but_seed"] != rows[1]["training"]["digest_but_seed"]
    assert not is_dirty(rows[0]) and commits_of(rows[0]) == ["abc-clean", "def-clean"]
    page = results_page("Toys", rows, ["test"], ["dev"], None, [])
    assert "Recipe `toy_es` on cpu" in page and "Recipe `toy_es_shuffled-text` on cpu" in page
    assert "test LER %" in page and "seed 1 of 3, by weighted_perplexity, commits abc-clean, def-clean" in page
    assert metric_named("ler").direction == "lower is better"


def test_another_search_has_its_own_name_and_what_is_missing_is_named(tmp_path):
    folder, results = trained(tmp_path / "exp"), tmp_path / "results"
    missing = score(folder, results, **{"beam-size": 4})
    assert missing.returncode and "dev-beam4_lm0.5-seed0.json does not exist: seed 0 has not said dev" in missing.stderr
    for path in (folder / "said").glob("*-greedy-*.json"):
        path.rename(path.with_name(path.name.replace("greedy", "beam4_lm0.5")))
    assert score(folder, results, **{"beam-size": 4}).returncode == 0
    assert [path.name for path in results.iterdir()] == ["toy_toy_es_cpu__beam4_lm0.5.json"]
    said = said_file(folder, "test", "beam4_lm0.5", 1)
    write_json(said, {**read_object(said), "git": "eee-dirty"})
    assert score(folder, results, **{"beam-size": 4}).returncode == 0
    assert is_dirty(read_object(folder / "result.json")), "a split that was said otherwise is not hidden by another"
    write_text(weights_of(folder, 2), "trained anew")
    other = score(folder, results, **{"beam-size": 4})
    assert other.returncode and "-seed2.json was said by other weights than" in other.stderr
    table = json.loads((folder / "seeds.json").read_text())
    write_json(folder / "seeds.json", {**table, "chosen": 9})
    with pytest.raises(ValueError, match=r"seeds.json: 'chosen' is 9, no seed of its table"):
        ScoredSeeds.read(folder, ["test"], "greedy")
    del table["shuffled_text"]
    write_json(folder / "seeds.json", table)
    with pytest.raises(ValueError, match=r"seeds.json.*shuffled_text.*train it with train_unsupervised.py"):
        ScoredSeeds.read(folder, ["test"], "greedy")


def test_what_has_no_transcript_has_no_rate_and_each_front_has_a_metric():
    assert symbol_scores("per", {})["per"]["rate"] is None and symbol_scores("per", {})["per"]["interval"] is None
    assert metric_named("per").of(symbol_scores("per", {})) is None
    for front, metric in METRIC_OF.items():
        assert TextConfig(front=front) and front_named(front) and metric_named(metric)
    with pytest.raises(ValueError, match="front"):
        TextConfig(front="words")
