"""Manifests of two corpora as one: all cuts, in order, and one sentence for what does not fit together."""

import dataclasses

import pytest
from toy_corpus import make_cuts, run_stage_script

from icefall_discrete.data.cuts import language_of, load_cuts, write_cuts
from icefall_discrete.data.joined_manifests import join_manifests
from icefall_discrete.data.manifests import CorpusError, manifest_path

SPLITS = ("train", "test")


def with_language(cut, language):
    return dataclasses.replace(cut, supervisions=[dataclasses.replace(cut.supervisions[0], language=language)])


@pytest.fixture
def folder(tmp_path):
    """Manifests of two corpora of four and three cuts a split, in a folder of their own."""
    for number, (corpus, language) in enumerate((("prompts", "en"), ("games", "cs"))):
        for split in SPLITS:
            cuts = make_cuts(tmp_path / "audio" / corpus, 4 - number, prefix=f"{language}-{split}-")
            write_cuts(
                manifest_path(tmp_path / "manifests", corpus, split), [with_language(cut, language) for cut in cuts]
            )
    return tmp_path / "manifests"


def change(folder, corpus, split, edit):
    path = manifest_path(folder, corpus, split)
    write_cuts(path, [edit(cut) if index == 1 else cut for index, cut in enumerate(load_cuts(path))])


def test_all_cuts_of_all_corpora_in_order(folder):
    done = run_stage_script(
        "join_manifests.py", "--manifests-dir", folder, "--corpora", "prompts,games", "--corpus", "both", "--splits",
        ",".join(SPLITS),
    )  # fmt: skip
    assert "train by language: cs 3 (0.001 h), en 4 (0.002 h)" in done.stderr
    for split in SPLITS:
        joined = list(load_cuts(manifest_path(folder, "both", split)))
        apart = [cut for corpus in ("prompts", "games") for cut in load_cuts(manifest_path(folder, corpus, split))]
        assert joined == apart and [language_of(cut) for cut in joined] == 4 * ["en"] + 3 * ["cs"]
    figures = join_manifests(folder, ["prompts", "games"], "both", SPLITS)
    assert [one.num_cuts for one in figures.values()] == [7, 7]


@pytest.mark.parametrize(
    "corpus, split, edit, message",
    [
        ("games", "train", lambda cut: cut.with_id("en-train-002"), "cut id en-train-002 occurs twice"),
        (
            "games",
            "test",
            lambda cut: cut.with_id("en-train-002"),
            "cut id en-train-002 is in train and in test; rename",
        ),
        (
            "games",
            "train",
            lambda cut: cut.resample(8000),
            "cut cs-train-001 .* is at 8000 Hz, those before it at 16000",
        ),
        ("games", "test", lambda cut: with_language(cut, None), "the language of cut cs-test-001 is not known"),
        (
            "prompts",
            "test",
            lambda cut: dataclasses.replace(cut, supervisions=[]),
            "cut en-test-001 has 0 supervisions",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(folder, corpus, split, edit, message):
    change(folder, corpus, split, edit)
    with pytest.raises(CorpusError, match=message):
        join_manifests(folder, ["prompts", "games"], "both", SPLITS)
    assert not manifest_path(folder, "both", split).exists()


def test_a_corpus_without_cuts_is_no_part_of_a_joined_one(folder):
    write_cuts(manifest_path(folder, "games", "test"), [])
    with pytest.raises(CorpusError, match=r"games_cuts_test\.jsonl\.gz, .* holds no cut; prepare its corpus again"):
        join_manifests(folder, ["prompts", "games"], "both", SPLITS)


def test_names_that_leave_the_folder_are_refused(folder):
    for corpora, corpus in ((["prompts", "games"], "../x"), (["prompts", "../games"], "both"), (["prompts", ""], "x")):
        with pytest.raises(CorpusError, match=r"' is no name of a corpus or a split: manifests lie in .*; give a name"):
            join_manifests(folder, corpora, corpus, SPLITS)
    assert not (folder.parent / "x_cuts_train.jsonl.gz").exists()


def test_a_corpus_that_is_not_there_is_named(folder):
    with pytest.raises(CorpusError, match=r"pages_cuts_train\.jsonl\.gz, which is to be joined .* prepare its corpus"):
        join_manifests(folder, ["prompts", "pages"], "both", SPLITS)
    for corpora, corpus in ((["prompts"], "both"), (["prompts", "prompts"], "both"), (["prompts", "games"], "games")):
        with pytest.raises(CorpusError, match=f"cannot be joined to '{corpus}'; name two or more other corpora"):
            join_manifests(folder, corpora, corpus, SPLITS)
