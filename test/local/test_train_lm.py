"""The stage that trains language models: what it writes, that a rerun does nothing, and what it refuses."""

import json
import math

import pytest
import torch
from toy_corpus import run_stage_script, write_manifest

from icefall_discrete.base.provenance import Provenance
from icefall_discrete.decoding.fusion import Fusion, fusion_files
from icefall_discrete.decoding.settings import FusionConfig
from icefall_discrete.lm.arpa import read_arpa
from icefall_discrete.lm.folder import load_language_model
from icefall_discrete.systems.language_model.system import sentence_losses
from icefall_discrete.text.pieces import TextEncoder

SMALL = ("--lm-type", "lstm", "--lm-dim", 16, "--lm-layers", 1, "--lm-num-epochs", 2, "--lm-warmup-batches", 5)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    train, dev = write_manifest(folder, "train", 12), write_manifest(folder, "dev", 5, seed=1)
    run_stage_script("train_bpe.py", "--cuts", train, "--lang-dir", folder / "lang", "--vocab-size", 30)
    flags = ("--cuts", train, "--dev-cuts", dev, "--lang-dir", folder / "lang")
    return folder, flags


def test_ngrams_over_pieces_and_over_words(corpus):
    folder, flags = corpus
    done = run_stage_script("train_lm.py", *flags, "--lm-dir", folder / "trigram")
    facts = json.loads((folder / "trigram" / "lm.json").read_text())
    assert facts["dev_perplexity"] < 30 and f"dev perplexity {facts['dev_perplexity']:.2f} over pieces" in done.stderr
    pieces = TextEncoder(folder / "lang" / "bpe.model").pieces()
    model = read_arpa(folder / "trigram" / "lm.arpa")
    assert {token for (token,) in model.grams[0]} == {*pieces[2:], "<s>", "</s>"}
    before = (folder / "trigram" / "lm.arpa").stat().st_mtime_ns
    assert "nothing to do" in run_stage_script("train_lm.py", *flags, "--lm-dir", folder / "trigram").stderr
    assert (folder / "trigram" / "lm.arpa").stat().st_mtime_ns == before
    other = run_stage_script("train_lm.py", *flags, "--lm-dir", folder / "trigram", "--ngram-order", 2, check=False)
    assert other.returncode == 1 and "trained with other ngram_order" in other.stderr.splitlines()[-1]
    (folder / "more.txt").write_text("five seventy\n", encoding="utf-8")
    words = ("--lm-dir", folder / "words", "--lm-unit", "words", "--text", folder / "more.txt")
    run_stage_script("train_lm.py", *flags, *words)
    tokens = {token for (token,) in read_arpa(folder / "words" / "lm.arpa").grams[0]}
    assert {"one", "mañana", "l'eau", "five", "seventy", "</s>"} < tokens
    with pytest.raises(ValueError, match=r"words is a language model of words; a search over pieces needs"):
        load_language_model(folder / "words")


def test_a_record_of_before_counts_and_other_text_gives_another_model(corpus):
    folder, flags = corpus
    target = ("--lm-dir", folder / "stale", "--ngram-order", 2)
    run_stage_script("train_lm.py", *flags, *target)
    made = json.loads((folder / "stale" / "inputs.json").read_text())
    (folder / "stale" / "inputs.json").write_text(json.dumps({**made["settings"], **made["inputs"]}))
    assert "nothing to do" in run_stage_script("train_lm.py", *flags, *target).stderr
    before = (folder / "stale" / "lm.arpa").read_bytes()
    (folder / "extra.txt").write_text("one one one\n", encoding="utf-8")
    said = run_stage_script("train_lm.py", *flags, *target, "--text", folder / "extra.txt").stderr
    assert "holds a language model trained with other further_texts" in said
    assert (folder / "stale" / "lm.arpa").read_bytes() != before
    (aside,) = folder.glob("stale.before-*")
    assert (aside / "lm.arpa").read_bytes() == before


def test_further_text_is_a_model_of_its_own_in_the_mixture(corpus):
    folder, flags = corpus
    (folder / "far.txt").write_text("three three three three\n\nforty\n" * 50, encoding="utf-8")
    more = (*flags, "--text", folder / "far.txt")
    said = run_stage_script("train_lm.py", *more, "--lm-dir", folder / "mixed").stderr
    weights = json.loads((folder / "mixed" / "lm.json").read_text())["mixture_weights"]
    assert sum(weights) == pytest.approx(1) and weights[0] > 0.5
    assert f"weight of {weights[0]:.3f}, that of the further text {weights[1]:.3f}" in said
    run_stage_script("train_lm.py", *flags, "--lm-dir", folder / "alone")
    alone, mixed = (json.loads((folder / name / "lm.json").read_text()) for name in ("alone", "mixed"))
    assert "mixture_weights" not in alone and mixed["dev_perplexity"] < 1.2 * alone["dev_perplexity"]
    assert mixed["num_sentences"] == alone["num_sentences"] + 100
    assert "nothing to do" in run_stage_script("train_lm.py", *more, "--lm-dir", folder / "mixed").stderr


def test_a_neural_model_and_what_fusion_makes_of_it(corpus):
    folder, flags = corpus
    run_stage_script("train_lm.py", *flags, *SMALL, "--lm-dir", folder / "lstm")
    facts = json.loads((folder / "lstm" / "lm.json").read_text())
    model = load_language_model(folder / "lstm", folder / "lang" / "bpe.model").model
    encoder = TextEncoder(folder / "lang" / "bpe.model")
    assert len(facts["epoch_perplexities"]) == 2
    other_order = run_stage_script("train_lm.py", *flags, *SMALL, "--lm-dir", folder / "lstm", "--ngram-order", 6)
    assert "nothing to do" in other_order.stderr, "it has no n-grams"
    left = {path.name for path in (folder / "lstm" / "training").iterdir()}
    assert left == {"log", "tensorboard", "train.json", "system.json"}
    loss, count = sentence_losses(model, torch.tensor([encoder.encode("one two")]))
    assert loss / count < math.log(100)
    config = FusionConfig(lm=str(folder / "lstm"), lm_scale=0.5)
    _, scores = Fusion(config, folder / "lang" / "bpe.model", CPU).scorer(["a", "b"]).start(torch.arange(2))
    expected = model(torch.ones(2, 1, dtype=torch.int64)).log_softmax(dim=2)[:, 0] * 0.5
    torch.testing.assert_close(scores, expected)
    assert [path.name for path in fusion_files(config)] == ["lm.json", "model.safetensors"]
    assert Fusion(FusionConfig(), folder / "lang" / "bpe.model", CPU).scorer(["a"]) is None


def test_mistakes_are_one_sentence(corpus):
    folder, flags = corpus
    words = ("--lm-dir", folder / "none", "--lm-unit", "words", "--lm-type", "lstm")
    done = run_stage_script("train_lm.py", *flags, *words, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: lm_unit words is for n-gram models only")
    # What ended before anything was made holds nobody to its settings.
    (folder / "begun").mkdir()
    Provenance({"texts": "others"}, {"lm_type": "lstm"}).write(folder / "begun" / "inputs.json")
    run_stage_script("train_lm.py", *flags, "--lm-dir", folder / "begun", "--ngram-order", 1)
    assert (folder / "begun" / "lm.arpa").is_file()
    with pytest.raises(FileNotFoundError, match=r"none holds no language model .*train one with train_lm\.py"):
        load_language_model(folder / "none")


def test_further_text_outside_the_pieces_or_with_reserved_strings_is_refused(corpus):
    folder, flags = corpus
    (folder / "strange.txt").write_text("one two\n" + "日本に行く\n" * 20, encoding="utf-8")
    asked = (*flags, "--lm-dir", folder / "strange", "--text", folder / "strange.txt")
    done = run_stage_script("train_lm.py", *asked, check=False)
    assert done.returncode == 1 and "characters" in done.stderr and "strange.txt, line 2" in done.stderr
    assert not (folder / "strange").exists()
    run_stage_script("train_lm.py", *asked, "--max-unknown-percent", 100)
    (folder / "reserved.txt").write_text("one two\none <blk> two\n", encoding="utf-8")
    asked = (*flags, "--lm-dir", folder / "reserved", "--text", folder / "reserved.txt")
    done = run_stage_script("train_lm.py", *asked, check=False)
    assert done.returncode == 1 and "reserved.txt, line 2: its text has '<blk>'" in done.stderr
    (folder / "blank.txt").write_text(" \n\n", encoding="utf-8")
    asked = (*flags, "--lm-dir", folder / "blank", "--text", folder / "blank.txt")
    done = run_stage_script("train_lm.py", *asked, check=False)
    assert done.returncode == 1 and "blank.txt has no sentence, expected one a line" in done.stderr
    assert not (folder / "blank").exists()
