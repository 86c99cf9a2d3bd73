import re

import pytest
import torch
from toy_corpus import run_stage_script, write_manifest

from icefall_discrete.base import backend
from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.data.cuts import load_cuts, text_of
from icefall_discrete.decoding.k2_graph_files import GRAPH_FORMAT, load_graph
from icefall_discrete.decoding.k2_lexicon import read_lexicon, read_token_table
from icefall_discrete.lm.arpa import read_arpa
from icefall_discrete.text.pieces import TextEncoder

HAS_K2 = backend.resolve("auto") == "k2"


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    cuts = write_manifest(folder / "manifests", "train", 12)
    run_stage_script("train_bpe.py", "--cuts", cuts, "--lang-dir", folder / "lang", "--vocab-size", 30)
    return "--cuts", cuts, "--lang-dir", folder / "lang"


@pytest.mark.skipif(not HAS_K2, reason="k2 cannot be imported here")
def test_compile_then_nothing_then_another_model(flags, tmp_path):
    run_stage_script("compile_graphs.py", *flags, "--graph-dir", tmp_path)
    pieces = read_token_table(tmp_path / "tokens.txt")
    assert pieces == TextEncoder(flags[3] / "bpe.model").pieces()
    words = {word for cut in load_cuts(flags[1]) for word in text_of(cut).split()}
    assert set(read_lexicon(tmp_path, pieces).spellings) == words
    model = read_arpa(tmp_path / "G.arpa")
    assert model.order == 3 and {(word,) for word in words} <= set(model.grams[0])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {path.name for path in before} > {"L.pt", "L_disambig.pt", "G.pt", "LG.pt", "HLG.pt", "words.txt"}
    assert "nothing to do" in run_stage_script("compile_graphs.py", *flags, "--graph-dir", tmp_path).stderr
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    made = read_json(tmp_path / "graphs.json")  # as it was before inputs and settings were told apart
    write_json(tmp_path / "graphs.json", {**made["inputs"], **made["settings"]})
    assert "nothing to do" in run_stage_script("compile_graphs.py", *flags, "--graph-dir", tmp_path).stderr
    unigrams = f"\\data\\\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 {min(words)}\n\\end\\\n"
    (tmp_path / "one.arpa").write_text(unigrams, encoding="utf-8")
    run_stage_script("compile_graphs.py", *flags, "--graph-dir", tmp_path, "--arpa", tmp_path / "one.arpa")
    assert read_arpa(tmp_path / "G.arpa").order == 1
    arcs = [load_graph(tmp_path / name).num_arcs for name in ("LG.pt", "L.pt")]
    assert arcs[0] < arcs[1]


@pytest.mark.skipif(not HAS_K2, reason="k2 cannot be imported here")
def test_frequent_words_of_further_text_can_be_said_too(flags, tmp_path):
    (tmp_path / "more.txt").write_text("привет мир\n", encoding="utf-8")
    more, graphs = ("--text", tmp_path / "more.txt"), ("--graph-dir", tmp_path / "graphs")
    failed = run_stage_script("compile_graphs.py", *flags, *more, *graphs, check=False)
    assert "needs --dev-cuts, whose transcripts say how much it counts" in failed.stderr.splitlines()[-1]
    more += ("--dev-cuts", write_manifest(tmp_path / "manifests", "dev", 5, seed=1))
    foreign = run_stage_script("compile_graphs.py", *flags, *more, *graphs, check=False)
    assert re.search(r"more\.txt has none of the \d+ words of the lexicon", foreign.stderr.splitlines()[-1])
    (tmp_path / "more.txt").write_text("tree one hero\n\n" + "one tree\n" * 2, encoding="utf-8")
    said = run_stage_script("compile_graphs.py", *flags, *more, *graphs).stderr
    words = set(read_lexicon(tmp_path / "graphs", TextEncoder(flags[3] / "bpe.model").pieces()).spellings)
    transcripts = {word for cut in load_cuts(flags[1]) for word in text_of(cut).split()}
    assert words == {*transcripts, "tree"} and "that of " in said
    model = read_arpa(tmp_path / "graphs" / "G.arpa")
    assert ("tree", "one") in model.grams[1] and not any("hero" in ngram for ngram in model.grams[0])
    assert "nothing to do" in run_stage_script("compile_graphs.py", *flags, *more, *graphs).stderr
    other = run_stage_script("compile_graphs.py", *flags, *more, "--text-min-count", 1, *graphs).stderr
    assert "compiled anew" in other and "hero" in (tmp_path / "graphs" / "words.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(not HAS_K2, reason="k2 cannot be imported here")
@pytest.mark.parametrize("with_arpa", [False, True])
def test_graphs_of_the_older_format_are_made_anew_from_the_same_model(flags, tmp_path, with_arpa):
    word = min(word for cut in load_cuts(flags[1]) for word in text_of(cut).split())
    unigrams = f"\\data\\\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 {word}\n\\end\\\n"
    (tmp_path / "one.arpa").write_text(unigrams, encoding="utf-8")
    given = ["--arpa", tmp_path / "one.arpa"] if with_arpa else []
    folder = tmp_path / "graphs"
    run_stage_script("compile_graphs.py", *flags, "--graph-dir", folder, *given)
    expected = {name: load_graph(folder / name).as_dict()["arcs"] for name in ("LG.pt", "HLG.pt", "G.pt", "L.pt")}
    record = read_json(folder / "graphs.json")
    assert record["settings"] == {"format": GRAPH_FORMAT}
    write_json(folder / "graphs.json", record["inputs"])
    for name in expected:
        torch.save(load_graph(folder / name).as_dict(), folder / name)
    done = run_stage_script("compile_graphs.py", *flags, "--graph-dir", folder)
    assert ("made anew with their G.arpa" in done.stderr) == with_arpa and "nothing to do" not in done.stderr
    for name, arcs in expected.items():
        assert torch.equal(load_graph(folder / name).as_dict()["arcs"], arcs)
    assert read_arpa(folder / "G.arpa").order == (1 if with_arpa else 3)


@pytest.mark.skipif(not HAS_K2, reason="k2 cannot be imported here")
def test_user_mistakes_are_one_sentence(flags, tmp_path):
    missing = ("compile_graphs.py", *flags, "--graph-dir", tmp_path / "g", "--arpa", tmp_path / "none.arpa")
    done = run_stage_script(*missing, check=False)
    assert done.returncode == 1 and "none.arpa does not exist; leave --arpa out" in done.stderr.splitlines()[-1]
    pieces = tmp_path / "none.arpa"
    pieces.write_text("\\data\\\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 ▁zebra\n\\end\\\n", encoding="utf-8")
    done = run_stage_script(*missing, check=False)
    assert done.returncode == 1 and "it must be one over words" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(HAS_K2, reason="k2 can be imported here")
def test_without_k2_it_says_how_to_get_it(flags, tmp_path):
    done = run_stage_script("compile_graphs.py", *flags, "--graph-dir", tmp_path, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: graphs are compiled by k2, which cannot be imported")
