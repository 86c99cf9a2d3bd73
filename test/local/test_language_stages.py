"""Languages through the stages: pieces with tokens, one language only, decoding, and identification in the scores."""

import json
import logging
import runpy
import sys
from pathlib import Path

import pytest
import synthetic_codes
import torch
from lhotse import MonoCut, SupervisionSegment

from icefall_discrete.data.cuts import language_of, load_cuts, text_of
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.results.page import results_page
from icefall_discrete.systems.asr.languages_said import read_languages, with_language_id, write_languages
from icefall_discrete.systems.asr.recognition import transcripts_of
from icefall_discrete.systems.asr.recogs import read_recogs
from icefall_discrete.systems.asr.scoring import score_transcripts, set_table
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.text.pieces import TextEncoder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("languages") / "corpus"
    return synthetic_codes.write_corpus(folder, num_train=12, num_dev=6, languages=("aa", "bb"))


@pytest.fixture
def stage(monkeypatch, caplog):
    caplog.set_level(logging.INFO)

    def run(name, *flags):
        monkeypatch.setattr(sys, "argv", [name, *map(str, flags)])
        caplog.clear()
        runpy.run_path(str(ROOT / "local" / name))["main"]()
        return caplog.text

    return run


def recipe_with(path, bpe, languages=()):
    path.write_text(json.dumps({"bpe": {"vocab_size": 20, **bpe}, "filter": {"languages": list(languages)}}))
    return path


@pytest.mark.parametrize("by_language", [False, True])
def test_pieces_know_the_languages_of_the_training_cuts(corpus, tmp_path, stage, by_language):
    recipe = recipe_with(tmp_path / "recipe.json", {"language_token": True, "by_language": by_language})
    flags = (
        "--cuts",
        corpus / "features" / "train.jsonl.gz",
        "--lang-dir",
        tmp_path / "lang",
        "--recipe-config",
        recipe,
    )
    flags += ("--vocab-size", 14 if by_language else 20)
    said = stage("train_bpe.py", *flags)
    assert "each language has a token" in said and "aa, bb" in said
    encoder = TextEncoder(tmp_path / "lang" / "bpe.model")
    assert encoder.language_tokens == {"aa": 3, "bb": 4}
    assert encoder.vocab_size == (3 + 2 + 2 * (14 - 3) if by_language else 20)
    for cut in load_cuts(corpus / "features" / "train.jsonl.gz"):
        labels = encoder.labels_of(text_of(cut), language_of(cut))
        assert encoder.decode(labels) == text_of(cut) and encoder.language_of(labels) == language_of(cut)
    lines = (tmp_path / "lang" / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines[3:5] == ["<aa> 3", "<bb> 4"] and len(lines) == encoder.vocab_size
    assert "nothing to do" in stage("train_bpe.py", *flags)
    with pytest.raises(ValueError, match="trained with other by_language"):
        stage("train_bpe.py", *flags, "--by-language", int(not by_language))


def test_pieces_of_one_language_and_those_of_all_as_before(corpus, tmp_path, stage):
    cuts = corpus / "features" / "train.jsonl.gz"
    flags = ("--cuts", cuts, "--vocab-size", 14)
    stage("train_bpe.py", *flags, "--lang-dir", tmp_path / "aa", "--languages", "aa")
    recipe = recipe_with(tmp_path / "recipe.json", {}, ["aa"])
    stage("train_bpe.py", *flags, "--lang-dir", tmp_path / "same", "--recipe-config", recipe)
    assert (tmp_path / "aa" / "bpe.model").read_bytes() == (tmp_path / "same" / "bpe.model").read_bytes()
    said = stage("train_bpe.py", *flags, "--lang-dir", tmp_path / "all")
    assert "each language" not in said and TextEncoder(tmp_path / "all" / "bpe.model").languages == ()
    # What older folders hold is what is asked for now: nothing is trained again.
    made = json.loads((tmp_path / "all" / "bpe.json").read_text())
    assert {**made["settings"], **made["inputs"]}.keys() == {"vocab_size", "texts"}
    (tmp_path / "all" / "bpe.json").write_text(json.dumps({**made["settings"], **made["inputs"]}))
    assert "nothing to do" in stage("train_bpe.py", *flags, "--lang-dir", tmp_path / "all")
    with pytest.raises(ValueError, match=r"no cut is in language cc; there are: aa \(6\), bb \(6\)"):
        stage("train_bpe.py", *flags, "--lang-dir", tmp_path / "cc", "--languages", "cc")


def experiment_with(corpus, folder, languages):
    """An experiment that was not trained: its weights are random, and its files are those of a trained one."""
    settings = TrainSettings.from_dict({**synthetic_codes.TINY_RECIPE, "filter": {"languages": languages}}, "test")
    spec = synthetic_codes.SPEC
    experiment = Experiment(folder)
    codebooks = read_codebooks(corpus / "features" / "codebooks.safetensors")
    experiment.start(settings, spec, PieceTargets(TextEncoder(corpus / "lang" / "bpe.model")), codebooks)
    torch.manual_seed(0)
    model = experiment.build_model()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({"model": weights, "epoch": 1, "step": 1}, folder / "epoch-1.pt")
    return folder


@pytest.mark.parametrize("languages", [(), ("bb",)])
def test_decoding_and_scores_of_a_model_with_language_tokens(corpus, tmp_path, stage, languages):
    exp_dir = experiment_with(corpus, tmp_path / "exp", list(languages))
    flags = ("--feature-dir", corpus / "features", "--splits", "dev", "--device", "cpu", "--avg", 1, "--epoch", 1)
    stage("decode.py", "--exp-dir", exp_dir, *flags, "--use-averaged-model", 0)
    (path,) = (exp_dir / "greedy_search").glob("languages-dev-*.txt")
    spoken = {cut.id: language_of(cut) for cut in load_cuts(corpus / "features" / "dev.jsonl.gz")}
    wanted = {cut_id for cut_id, language in spoken.items() if language in (languages or ("aa", "bb"))}
    said = read_languages(path)
    (recogs,) = (exp_dir / "greedy_search").glob("recogs-dev-*.txt")
    assert set(said) == {transcript.cut_id for transcript in read_recogs(recogs)} == wanted
    assert all(line.split("\t")[1] == spoken[line.split("\t")[0]] for line in path.read_text().splitlines())
    stage("score.py", "--exp-dir", exp_dir, "--results-dir", tmp_path / "results")
    scored = json.loads((exp_dir / "result.json").read_text())["sets"]["dev"]
    correct = sum(said[cut_id] == spoken[cut_id] for cut_id in wanted)
    assert scored["language_id"]["rate"] == pytest.approx(100 * correct / len(wanted), abs=1e-3)
    assert sorted(scored["languages"]) == sorted(languages or ("aa", "bb"))


def test_identification_in_tables_by_hand(corpus, tmp_path):
    encoder = TextEncoder(corpus / "lang" / "bpe.model")
    cuts, found = [], {}
    for index, (spoken, said) in enumerate((("aa", "aa"), ("aa", "bb"), ("bb", "bb"), ("bb", None), ("bb", "bb"))):
        segment = SupervisionSegment(f"c{index}", f"c{index}", 0.0, 1.0, text="abc", language=spoken)
        cuts.append(MonoCut(f"c{index}", 0.0, 1.0, 0, supervisions=[segment]))
        labels = [*([encoder.language_tokens[said]] if said else []), *encoder.encode("abc")]
        found[f"c{index}"] = [Hypothesis(labels, list(range(len(labels))), 0.0)]
    transcripts = transcripts_of(cuts, found, encoder)
    assert all(transcript.hyp == ("abc",) for transcript in transcripts)
    write_languages(tmp_path / "said.txt", cuts, {**found, "c4": found["c4"]}, encoder)
    said, spoken = read_languages(tmp_path / "said.txt"), {cut.id: language_of(cut) for cut in cuts}
    plain = score_transcripts(transcripts, spoken)
    assert with_language_id(plain, read_languages(tmp_path / "absent.txt"), spoken) is plain
    scored = with_language_id(plain, said, spoken)
    expected = {"rate": 60.0, "num": 5, "correct": 3, "none": 1}
    table = {"aa": {"aa": 1, "bb": 1}, "bb": {"bb": 2, "none": 1}}
    assert scored["language_id"] == {**expected, "confusions": table}
    assert scored["languages"]["bb"]["language_id"] == {"rate": 66.6667, "num": 3, "correct": 2, "none": 1}
    assert {key: scored[key] for key in plain if key != "languages"} == {k: plain[k] for k in plain if k != "languages"}
    lines = set_table("dev", scored).splitlines()
    assert lines[0].split()[-2:] == ["LID", "%"] and [line.split()[-1] for line in lines[2:]] == [
        "50.0",
        "66.7",
        "60.0",
    ]
    assert "LID" not in set_table("dev", plain)
    of_both = zip("xy", (scored, plain))
    rows = [{"feature_type": name, "recipe": "r", "device": "cpu", "sets": {"dev": one}} for name, one in of_both]
    page = results_page("T", rows, ["dev"], ["dev"], None, [])
    assert (
        "| dev LID % |" in page
        and "| 60.0 |" in page
        and "LID" not in results_page("T", rows[1:], ["dev"], ["dev"], None, [])
    )
