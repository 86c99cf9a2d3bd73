import dataclasses

import pytest
from toy_corpus import run_stage_script, write_manifest

from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.text.pieces import TextEncoder


def test_train_then_nothing_then_refuse_another_size(tmp_path):
    cuts = write_manifest(tmp_path / "manifests", "train", 12)
    flags = ("--cuts", cuts, "--lang-dir", tmp_path / "lang")
    run_stage_script("train_bpe.py", *flags, "--vocab-size", 30)
    encoder = TextEncoder(tmp_path / "lang" / "bpe.model")
    assert encoder.vocab_size == 30
    for cut in load_cuts(cuts):
        assert encoder.decode(encoder.encode(cut.supervisions[0].text)) == cut.supervisions[0].text
    assert len((tmp_path / "lang" / "tokens.txt").read_text(encoding="utf-8").splitlines()) == 30
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lang").iterdir()}
    assert "nothing to do" in run_stage_script("train_bpe.py", *flags, "--vocab-size", 30).stderr
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "lang").iterdir()}
    other = run_stage_script("train_bpe.py", *flags, "--vocab-size", 31, check=False)
    assert other.returncode == 1 and "trained with other vocab_size" in other.stderr.splitlines()[-1]


def test_other_transcripts_give_other_pieces_and_keep_those_of_before(tmp_path):
    cuts, others = write_manifest(tmp_path / "a", "train", 12), write_manifest(tmp_path / "b", "train", 12, seed=1)
    flags = ("--lang-dir", tmp_path / "lang", "--vocab-size", 28)
    run_stage_script("train_bpe.py", "--cuts", cuts, *flags)
    before = (tmp_path / "lang" / "bpe.model").read_bytes()
    said = run_stage_script("train_bpe.py", "--cuts", others, *flags).stderr
    assert "holds pieces trained with other texts (was '" in said
    assert (tmp_path / "lang" / "bpe.model").read_bytes() != before
    assert [path.read_bytes() for path in (tmp_path / "lang").glob("bpe.model.before-*")] == [before]
    assert "nothing to do" in run_stage_script("train_bpe.py", "--cuts", others, *flags).stderr


def test_perturbed_copies_do_not_count(tmp_path):
    path = write_manifest(tmp_path, "train", 12)
    cuts = list(load_cuts(path))
    write_cuts(tmp_path / "both.jsonl.gz", [*cuts, *(cut.perturb_speed(0.9) for cut in cuts)])
    for name, manifest in (("a", path), ("b", tmp_path / "both.jsonl.gz")):
        run_stage_script("train_bpe.py", "--cuts", manifest, "--lang-dir", tmp_path / name, "--vocab-size", 30)
    assert (tmp_path / "a" / "bpe.model").read_bytes() == (tmp_path / "b" / "bpe.model").read_bytes()


def test_transcripts_that_are_left_out_are_not_learnt(tmp_path):
    path = write_manifest(tmp_path, "train", 12)
    cuts = list(with_labels(load_cuts(path), 0.5))
    write_cuts(tmp_path / "half.jsonl.gz", cuts)
    (tmp_path / "recipe.json").write_text('{"description": "", "filter": {"label_fraction": 0.5}}')
    few = ("--vocab-size", 24)
    run_stage_script("train_bpe.py", "--cuts", tmp_path / "half.jsonl.gz", "--lang-dir", tmp_path / "a", *few)
    recipe = ("--recipe-config", tmp_path / "recipe.json")
    run_stage_script("train_bpe.py", "--cuts", path, "--lang-dir", tmp_path / "b", *few, *recipe)
    assert (tmp_path / "a" / "bpe.model").read_bytes() == (tmp_path / "b" / "bpe.model").read_bytes()
    assert len(cuts) == 6
    (tmp_path / "recipe.json").write_text('{"filter": {"label_fraction": 1.5}}')
    done = run_stage_script("train_bpe.py", "--cuts", path, "--lang-dir", tmp_path / "c", *few, *recipe, check=False)
    assert done.returncode == 1 and "label_fraction" in done.stderr and "Traceback" not in done.stderr


def test_user_mistakes_are_one_sentence(tmp_path):
    cuts = write_manifest(tmp_path, "train", 12)
    flags = ("--cuts", cuts, "--lang-dir", tmp_path / "lang")
    done = run_stage_script("train_bpe.py", *flags, "--vocab-size", 3000, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: vocab_size 3000 is too large for this text; the")
    silent = [*load_cuts(cuts)]
    silent[3] = dataclasses.replace(silent[3], supervisions=[dataclasses.replace(silent[3].supervisions[0], text="")])
    write_cuts(cuts, silent)
    done = run_stage_script("train_bpe.py", *flags, "--vocab-size", 30, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: cut train-003: its text is empty")


@pytest.mark.parametrize("flags", [(), ("--piece-type", "char"), ("--by-language", True), ("--language-token", True)])
@pytest.mark.parametrize("string", ["<blk>", "<sos/eos>", "<unk>", "<en>"])
def test_reserved_strings_are_refused_with_their_cut(tmp_path, string, flags):
    cuts = write_manifest(tmp_path, "train", 12)
    told = [*load_cuts(cuts)]
    supervision = dataclasses.replace(told[5].supervisions[0], text=f"one {string} two")
    told[5] = dataclasses.replace(told[5], supervisions=[supervision])
    write_cuts(cuts, told)
    size = () if "--piece-type" in flags else ("--vocab-size", 30)
    done = run_stage_script("train_bpe.py", "--cuts", cuts, "--lang-dir", tmp_path / "lang", *size, *flags, check=False)
    if string == "<en>" and "--language-token" not in flags:
        assert done.returncode == 0 or "too small" in done.stderr
    else:
        assert done.returncode == 1 and f"error: cut train-005: its text has '{string}'" in done.stderr
        assert not (tmp_path / "lang" / "bpe.model").exists()
