"""A classifier of synthetic codes: its head, its training through the loop, and the stages from training to a table."""

import copy
import dataclasses
import json
import runpy
import sys
from itertools import combinations
from pathlib import Path

import pytest
import torch
from synthetic_codes import SPEC, TINY_RECIPE, Killed, killed_after, make_trainer, write_corpus, write_split

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.trials import Trial, write_trials
from icefall_discrete.losses.class_loss import ClassLossConfig, class_losses
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.verification import equal_error_rate
from icefall_discrete.nn.heads.classifier import statistics_pooling
from icefall_discrete.results.page import results_page
from icefall_discrete.systems.assembly import filtered_corpus
from icefall_discrete.systems.classification.embeddings import cosine_scores, embeddings_and_facts
from icefall_discrete.systems.classification.prediction import (
    ClassificationFiles,
    ClassificationPrediction,
    Predicted,
    read_predictions,
    write_predictions,
)
from icefall_discrete.systems.classification.verification import METHOD as VERIFICATION
from icefall_discrete.systems.classification.verification import read_scores
from icefall_discrete.systems.contract import known_systems, stages_of, system_stages
from icefall_discrete.systems.prediction import RunConfig

LOCAL = Path(__file__).resolve().parents[2] / "local"
OF_A_RECOGNISER = ("decoder_dim", "joiner_dim", "inner_ctc_stacks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus of two languages with codes of their own, and a recipe that tells them apart."""
    corpus = write_corpus(tmp_path_factory.mktemp("classes") / "corpus", languages=("aa", "bb"))
    model = {name: value for name, value in TINY_RECIPE["model"].items() if name not in OF_A_RECOGNISER}
    recipe = {**TINY_RECIPE, "system": "classification", "target": {"fact": "language"}, "model": model}
    recipe["loss"] = {"label_smoothing": 0.0}
    recipe["train"] = {**recipe["train"], "decode_interval": 1, "device": "cpu"}
    (corpus / "recipe.json").write_text(json.dumps({**recipe, "model_size": "tiny"}))
    (corpus / "models" / "tiny.json").write_text(json.dumps({"heads": {"transducer": {"decoder_dim": 32}}}))
    return corpus


def test_pooling_leaves_padding_out_and_a_single_frame_has_no_deviation():
    x = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
    lens = torch.tensor([7, 4, 1])
    pooled = statistics_pooling(x, lens)
    for row, one, num in zip(pooled, x, lens):
        alone = torch.cat((one[:num].mean(dim=0), one[:num].var(dim=0, unbiased=False).clamp(min=1e-5).sqrt()))
        torch.testing.assert_close(row, alone)
        torch.testing.assert_close(row, statistics_pooling(one[None, :num], num[None])[0])
    x[1, 4:], x[2, 1:] = float("nan"), 1e30
    assert torch.equal(statistics_pooling(x, lens), pooled)


def test_a_constant_utterance_has_a_finite_gradient():
    x = torch.ones(1, 5, 2, requires_grad=True)
    statistics_pooling(x, torch.tensor([5])).sum().backward()
    assert x.grad.isfinite().all()


def test_the_loss_of_an_utterance_by_hand():
    logits, classes = torch.tensor([[0.0, 0.0], [100.0, 0.0]]), torch.tensor([1, 0])
    assert class_losses(logits, classes, ClassLossConfig(0.0)).tolist() == pytest.approx([0.6931472, 0.0])
    with pytest.raises(ValueError, match="label_smoothing"):
        ClassLossConfig(1.5)


def test_an_utterance_in_a_batch_gives_what_it_gives_alone(folder, tmp_path):
    trainer, _ = make_trainer(folder, tmp_path)
    system = trainer.system.eval()
    lens = [64, 40, 24]  # multiples of all downsampling together: no group of frames is completed by padding
    codes = torch.randint(16, (3, 64, 1), generator=torch.Generator().manual_seed(0))
    for row, num in enumerate(lens):
        codes[row, num:] = SPEC.pad_ids[0]
    facts = {"cut_ids": ["a", "b", "c"], "text": [None] * 3, "languages": ["aa", "bb", "bb"]}
    batch = {**facts, "codes": codes, "frame_lens": torch.tensor(lens)}
    whole = system.losses(system.prepare(batch, trainer.device), 0)
    assert int(whole.frames) == 3 and whole.finite.all()
    total = 0.0
    for row, num in enumerate(lens):
        one = {key: value[row : row + 1] for key, value in batch.items()}
        one = {**one, "codes": one["codes"][:, :num]}
        total += float(system.losses(system.prepare(one, trainer.device), 0).total)
    assert total == pytest.approx(float(whole.total), rel=1e-5)


def test_some_utterances_are_learnt_by_heart(folder, tmp_path):
    trainer, data = make_trainer(
        folder,
        tmp_path,
        train__num_epochs=1,
        train__average_period=20,
        train__ref_duration=0.1,
        model__dropout=[0.0],
        augment__augment_start_epoch=9,
    )
    batch = next(iter(data.valid_batches()))
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: [batch] * 40))
    assert trainer.system.eval().figures([batch]) == {"dev_accuracy": 100.0, "dev_balanced_accuracy": 100.0}


def assert_resumes_exactly(folder, tmp_path, **changes):
    """A run that is killed after three batches and goes on leaves the weights of one that was not; its epochs."""
    trainer, data = make_trainer(folder, tmp_path / "whole", **changes)
    whole = trainer.fit(data)
    trainer, data = make_trainer(folder, tmp_path / "killed", train__save_every_n=2, **changes)
    with pytest.raises(Killed):
        trainer.fit(killed_after(data, 3))
    trainer, data = make_trainer(folder, tmp_path / "killed", train__save_every_n=2, **changes)
    resumed = trainer.fit(data)
    assert [one["train"] for one in resumed["epochs"]] == [one["train"] for one in whole["epochs"]]
    weights, expected = (load_checkpoint(tmp_path / name / "epoch-2.pt")["model"] for name in ("killed", "whole"))
    assert (
        all(torch.equal(weights[key], value) for key, value in expected.items()) and weights.keys() == expected.keys()
    )
    return whole["epochs"]


def test_a_killed_run_goes_on_as_if_it_had_not_been(folder, tmp_path):
    epochs = assert_resumes_exactly(folder, tmp_path)
    assert {"dev_accuracy", "dev_balanced_accuracy"} <= set(epochs[0])


def test_so_does_one_with_running_statistics_and_an_angular_margin(folder, tmp_path):
    """The largest batches, which are tried at each beginning, leave no trace in running statistics."""
    small = {"ecapa_channels": [8, 8, 8, 12], "ecapa_kernels": [3, 3, 3, 1], "ecapa_dilations": [1, 2, 3, 1]}
    classifier = {"kind": "ecapa", **small, "res2net_scale": 2, "se_channels": 4, "attention_channels": 4}
    changes = {"model__encoder": "identity", "model__front_end": "identity", "model__in_dim": 16}
    changes.update(model__classifier=classifier, loss__class_loss="angular_margin", loader__crop_sec=0.5)
    assert_resumes_exactly(folder, tmp_path, **changes)


def test_parts_of_utterances_are_counted_as_such_and_refused_where_the_rate_varies(folder, tmp_path):
    trainer, data = make_trainer(folder, tmp_path, loader__crop_sec=0.5)
    heard = sum(float(batch["duration_sec"].sum()) for batch in data.train_batches(1, 0))
    whole = sum(float(batch["duration_sec"].sum()) for batch in make_trainer(folder, tmp_path)[1].train_batches(1, 0))
    assert data.epoch_amount == pytest.approx(heard, rel=1e-4) and heard < 0.9 * whole
    assert max(float(batch["duration_sec"].max()) for _, batch in data.largest_batches()) <= 0.5001
    settings = stages_of({"system": "classification"}).settings.from_dict({"loader": {"crop_sec": 0.5}}, "test")
    varying = dataclasses.replace(SPEC, max_frame_rate_hz=SPEC.frame_rate_hz)
    cuts, _ = load_feature_cuts(folder / "features" / "dev.jsonl.gz")
    with pytest.raises(ValueError, match=r"crop_sec is 0\.5, but '.*' has a variable rate"):
        filtered_corpus(settings, varying, cuts, cuts, trainer.system.targets)


def test_embeddings_of_utterances_do_not_depend_on_the_batch_and_are_compared(folder, tmp_path):
    encoder = {"kind": "bilstm", "in_dim": 16, "hidden_dim": 8}
    trainer, _ = make_trainer(folder, tmp_path, model__encoder=encoder)
    cuts, spec = load_feature_cuts(folder / "features" / "dev.jsonl.gz")
    network = trainer.model.eval()
    runs = (RunConfig(max_duration=sec) for sec in (100.0, 0.1))
    together, alone = (embeddings_and_facts(network, cuts, spec, run)[0] for run in runs)
    assert together.keys() == {cut.id for cut in cuts}
    for cut_id, embedding in together.items():
        torch.testing.assert_close(embedding, alone[cut_id], rtol=1e-3, atol=1e-4)
    scores = cosine_scores(together, [("dev-0", "dev-0"), ("dev-0", "dev-1")])
    assert scores[0] == pytest.approx(1.0) and -1 <= scores[1] < 1
    with pytest.raises(ValueError, match="pair dev-0 other: cut other has no embedding"):
        cosine_scores(together, [("dev-0", "other")])


def test_what_was_said_of_the_classifier_before_it_had_kinds_still_holds(folder, tmp_path):
    trainer, _ = make_trainer(folder, tmp_path, model__classifier={"pooled_dropout": 0.25})
    assert trainer.model.config.classifier.pooled_dropout == 0.25
    assert [name for name, _ in trainer.model.head.named_parameters()] == ["output.weight", "output.bias"]


@pytest.fixture(scope="module")
def stage(folder):
    """Runs a stage of local/ with flags."""

    def run(name, *flags):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"{name}.py", *map(str, flags)])
            runpy.run_path(str(LOCAL / f"{name}.py"))["main"]()

    return run


@pytest.fixture(scope="module")
def trained(folder, stage):
    """The experiment folder after training by the stage that trains every system."""
    exp_dir = folder / "exp"
    files = ["--recipe-config", folder / "recipe.json", "--conf-dir", folder, "--feature-dir", folder / "features"]
    stage("train", *files, "--exp-dir", exp_dir, "--num-epochs", 6, "--fact", "language", "--lr-batches", 1000)
    return exp_dir


def test_the_experiment_folder_says_which_system_it_is_and_holds_its_classes(trained):
    assert json.loads((trained / "config.json").read_text())["system"] == "classification"
    assert list(json.loads((trained / "classes.json").read_text())["classes"]) == ["aa", "bb"]
    assert not (trained / "bpe.model").exists()


def test_a_first_try_on_wrong_data_holds_the_next_one_to_nothing(folder, stage):
    write_split(folder / "features", "odd", 2, 9, ("cc",))
    exp_dir = folder / "tried"
    given = ["--recipe-config", folder / "recipe.json", "--conf-dir", folder, "--feature-dir", folder / "features"]
    given += ["--exp-dir", exp_dir, "--fact", "language", "--num-epochs", 1]
    with pytest.raises(ValueError, match="its language is cc, which is none of the 2 of the training data"):
        stage("train", *given, "--valid-split", "odd")
    assert [path.name for path in exp_dir.glob("[!.]*") if path.is_file()] == []
    stage("train", *given, "--base-lr", 0.01)
    assert (exp_dir / "epoch-1.pt").is_file()
    with pytest.raises(ValueError, match=r"was trained with other settings \(train.base_lr: 0.01 there, 0.02 now\)"):
        stage("train", *given, "--base-lr", 0.02)
    with pytest.raises(ValueError, match="its language is cc"):
        stage("train", *given, "--base-lr", 0.01, "--valid-split", "odd", "--num-epochs", 2)
    assert (exp_dir / "config.json").is_file() and (exp_dir / "epoch-1.pt").is_file(), "what was begun stays"


def test_a_training_that_ended_before_its_first_checkpoint_holds_nobody_to_its_settings(folder, stage, monkeypatch):
    exp_dir = folder / "ended"
    given = ["--recipe-config", folder / "recipe.json", "--conf-dir", folder, "--feature-dir", folder / "features"]
    given += ["--exp-dir", exp_dir, "--num-epochs", 1]

    def killed(self, *args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("icefall_discrete.training.trainer.Trainer.fit", killed)
        stage("train", *given, "--fact", "language", "--base-lr", 0.01)
    (exp_dir / "classes.json").write_text(json.dumps({"fact": "speaker", "classes": {"who": 1}}))
    (exp_dir / "notes.txt").write_text("mine")
    stage("train", *given, "--fact", "language", "--base-lr", 0.02)
    assert list(json.loads((exp_dir / "classes.json").read_text())["classes"]) == ["aa", "bb"]
    assert (exp_dir / "epoch-1.pt").is_file() and (exp_dir / "notes.txt").read_text() == "mine"
    assert json.loads((exp_dir / "config.json").read_text())["train"]["base_lr"] == 0.02


def test_predictions_are_scored_and_stand_in_a_page(folder, stage, trained, capsys):
    stage("decode", "--exp-dir", trained, "--feature-dir", folder / "features", "--splits", "dev", "--device", "cpu")
    files, splits = ClassificationPrediction().last(trained, "whatever a planner passes")
    lines = read_predictions(files.said("dev"))
    assert splits == ["dev"] and [line.cut_id for line in lines] == sorted(f"dev-{n}" for n in range(6))
    before = files.said("dev").stat().st_mtime_ns
    stage("decode", "--exp-dir", trained, "--feature-dir", folder / "features", "--splits", "dev", "--device", "cpu")
    assert files.said("dev").stat().st_mtime_ns == before
    capsys.readouterr()
    stage("score", "--exp-dir", trained, "--results-dir", trained / "results", "--recipe", "tiny")
    assert "dev: accuracy" in capsys.readouterr().out and "class \\ said" in files.page("dev").read_text()
    result = json.loads((trained / "result.json").read_text())
    correct = sum(line.true == line.said for line in lines)
    assert result["sets"]["dev"]["accuracy"]["rate"] == pytest.approx(100 * correct / 6, abs=1e-3)
    assert set(result["sets"]["dev"]["languages"]) == {"aa", "bb"} and result["decoding"]["method"] == "classification"
    page = results_page("T", [result], ["dev"], [], None, [])
    assert "| dev accuracy % | dev balanced accuracy % |" in page and "WER" not in page
    assert "### Per language, dev: accuracy %" in page


def test_trials_are_scored_beside_classes_and_stand_in_a_page(folder, stage, trained, capsys):
    cuts, _ = load_feature_cuts(folder / "features" / "dev.jsonl.gz")
    language = {cut.id: cut.supervisions[0].language for cut in cuts}
    trials = [Trial(language[left] == language[right], left, right) for left, right in combinations(language, 2)]
    lists = folder / "trials"
    write_trials(lists / "dev.txt", trials)
    given = ["--exp-dir", trained, "--feature-dir", folder / "features", "--splits", "dev", "--device", "cpu"]
    stage("decode", *given, "--trials", lists)
    files, splits = ClassificationPrediction().last(trained, VERIFICATION)
    lines = read_scores(files.said("dev"))
    assert splits == ["dev"] and [line.trial for line in lines] == trials
    before = files.said("dev").stat().st_mtime_ns
    stage("decode", *given, "--trials", lists)
    assert files.said("dev").stat().st_mtime_ns == before
    write_trials(lists / "dev.txt", trials[::-1])
    stage("decode", *given, "--trials", lists)
    assert read_scores(files.said("dev"))[0] == lines[-1], "another list is compared again"
    capsys.readouterr()
    stage("score", "--exp-dir", trained, "--decoding-method", VERIFICATION, "--recipe", "tiny")
    assert "dev: EER" in capsys.readouterr().out and "same, least alike" in files.page("dev").read_text()
    result = json.loads((trained / "result.json").read_text())
    scored = result["sets"]["dev"]
    together = [line.trial.is_target for line in lines]
    assert scored["eer"]["rate"] == pytest.approx(equal_error_rate([line.score for line in lines], together), abs=1e-3)
    assert scored["eer"]["rate"] < 25, "utterances of one language are more alike"
    assert (scored["num_trials"], scored["num_target_trials"], scored["num_utterances"]) == (15, sum(together), 6)
    assert "| dev EER % | dev minDCF |" in results_page("T", [result], ["dev"], [], None, [])
    write_trials(lists / "dev.txt", [Trial(True, "dev-0", "other")])
    with pytest.raises(CorpusError, match=r"dev\.txt: its trials name 1 utterance that is not there, .* \(other\)"):
        stage("decode", *given, "--trials", lists)


def test_scores_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "scores.tsv").write_text("1\ta\tb\t0.5\n1\ta\tb\n")
    with pytest.raises(ValueError, match=r"scores\.tsv:2: expected 1 or 0, two cut ids and a score between tabs"):
        read_scores(tmp_path / "scores.tsv")
    (tmp_path / "scores.tsv").write_text("")
    with pytest.raises(ValueError, match="holds no score; decode the split again"):
        read_scores(tmp_path / "scores.tsv")


def test_a_folder_of_another_system_is_not_gone_on_with(folder, stage, trained, tmp_path):
    recipe = {**json.loads((folder / "recipe.json").read_text()), "system": "asr"}
    (tmp_path / "recipe.json").write_text(json.dumps({name: recipe[name] for name in ("system", "bpe")}))
    files = ["--recipe-config", tmp_path / "recipe.json", "--feature-dir", folder / "features", "--exp-dir", trained]
    with pytest.raises(ValueError, match="was trained as system 'classification', now it is 'asr'; give another"):
        stage("train", *files, "--conf-dir", folder, "--lang-dir", folder / "lang", "--device", "cpu")


def test_predictions_are_read_as_they_were_written(tmp_path):
    lines = [Predicted("a", "x", "y", 0.25), Predicted("b", None, None, None)]
    write_predictions(tmp_path / "p.tsv", lines[::-1])
    assert read_predictions(tmp_path / "p.tsv") == lines
    (tmp_path / "p.tsv").write_text("a\tx\n")
    with pytest.raises(ValueError, match=r"p\.tsv:1: 2 columns, expected 4"):
        read_predictions(tmp_path / "p.tsv")
    rules = dataclasses.replace(ScoringRules(), unscored_words=("uh",))
    with pytest.raises(ValueError, match="a classifier says none"):
        ClassificationPrediction().score("dev", ClassificationFiles(tmp_path, ""), tmp_path, rules)


def test_systems_are_found_by_their_folders():
    assert {"asr", "classification"} <= set(known_systems()) and "codec" not in known_systems()
    assert stages_of({}).settings.system == "asr"
    assert stages_of({"system": "classification"}).settings.system == "classification"
    with pytest.raises(ValueError, match="unknown system 'singing'; known: asr, classification"):
        system_stages("singing")


def test_a_recipe_of_one_system_has_no_sections_of_another(folder):
    recipe = copy.deepcopy(json.loads((folder / "recipe.json").read_text()))
    settings = stages_of(recipe).settings
    with pytest.raises(ValueError, match="joiner_dim"):
        settings.from_dict({**recipe, "model": {"joiner_dim": 3}}, "test")
    with pytest.raises(ValueError, match="unknown section target"):
        stages_of({}).settings.from_dict(recipe, "test")
