"""Decoding a small trained experiment: what it writes, what it refuses, and that a second run does nothing."""

import contextlib
import io
import itertools
import json
import logging
import re
import runpy
import shutil
import sys
from io import BytesIO
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Mapping

import pytest
import synthetic_codes
import torch
from lhotse.utils import fastcopy
from toy_corpus import run_stage_script
from toy_settings import model_config

from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.data.checksums import checksum_of
from icefall_discrete.data.cuts import load_feature_cuts, load_frames, write_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.methods import PREFIXES_RESCORED
from icefall_discrete.decoding.settings import DecodeConfig, require_enough
from icefall_discrete.experiment.checkpoint_choice import (
    CheckpointChoice,
    files_of,
    load_into,
    load_weights,
    resolve_choice,
)
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.metrics.wer import Transcript, count_errors, normal_form, total_errors
from icefall_discrete.systems.asr.decoding_files import decoding_suffix
from icefall_discrete.systems.asr.recognition import recognise, transcripts_of
from icefall_discrete.systems.asr.recogs import read_recogs, read_texts
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.transducer import EncoderOutput
from icefall_discrete.systems.assembly import build_network, build_trainer, filtered_corpus, training_data
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in
from icefall_discrete.training.averages import restore_epochs
from icefall_discrete.training.distributed import Group

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = "epoch-2_avg-1_context-2_max-sym-per-frame-1_use-averaged-model"


ATTENTION = {
    "model": {"attention_decoder_dim": 16, "attention_decoder_num_layers": 1, "attention_decoder_num_heads": 2},
    "loss": {"transducer_loss_scale": 0.0, "ctc_loss_scale": 0.3, "attention_decoder_loss_scale": 0.7},
}


def _train(folder: Path, name: str = "exp", changes: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> None:
    recipe = {key: {**own, **changes.get(key, {})} for key, own in synthetic_codes.TINY_RECIPE.items()}
    train = {**recipe["train"], "average_period": 1, "save_every_n": 2, "keep_last_k": 9, "device": "cpu"}
    settings = TrainSettings.from_dict({**recipe, "train": train}, "the test's recipe")
    cuts, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    codebooks = read_codebooks(folder / "features" / "codebooks.safetensors")
    experiment = Experiment(folder / name)
    experiment.start(settings, spec, PieceTargets(TextEncoder(folder / "lang" / "bpe.model")), codebooks)
    torch.manual_seed(0)
    corpus = filtered_corpus(settings, spec, cuts, cuts, experiment.targets())
    model = build_network(settings, corpus, codebooks)
    trainer = build_trainer(settings, corpus, model, folder / name, Group(), "torch")
    trainer.fit(training_data(settings, corpus))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = synthetic_codes.write_corpus(tmp_path_factory.mktemp("decode") / "work", num_train=12)
    synthetic_codes.write_split(folder / "features", "test", 5, seed=3)
    _train(folder)
    recipe = {"average": {"avg": 1}, "decode": {"max_sym_per_frame": 1}}
    (folder / "plain.json").write_text(json.dumps(recipe))
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def decode(folder, monkeypatch, caplog):
    caplog.set_level(logging.INFO)

    def run(*flags, feature_dir=None):
        arguments = ["--exp-dir", folder / "exp", "--feature-dir", feature_dir or folder / "features"]
        arguments += ["--recipe-config", folder / "plain.json", "--device", "cpu", *flags]
        monkeypatch.setattr(sys, "argv", ["decode.py", *map(str, arguments)])
        caplog.clear()
        runpy.run_path(str(ROOT / "local" / "decode.py"))["main"]()
        return caplog.text

    return run


def test_every_cut_is_transcribed_and_as_it_is_alone(folder, decode):
    decode()
    experiment = Experiment(folder / "exp")
    model = experiment.build_model()
    model.load_state_dict(load_weights(CheckpointChoice(epoch=2, avg=1), folder / "exp"))
    one_by_one = RunConfig(max_duration=0.01, device="cpu")
    compared = 0
    for split, number in (("dev", 6), ("test", 5)):
        found = read_recogs(folder / "exp" / "greedy_search" / f"recogs-{split}-{SUFFIX}.txt")
        cuts, spec = load_feature_cuts(folder / "features" / f"{split}.jsonl.gz")
        assert len(found) == number
        assert {t.cut_id: " ".join(t.ref) for t in found} == {cut.id: cut.supervisions[0].text for cut in cuts}
        alone, _ = recognise(model.eval(), cuts, spec, DecodeConfig(), one_by_one)
        assert sorted(transcripts_of(cuts, alone, experiment.text_encoder())) == found
        compared += sum(bool(t.hyp) for t in found)
    assert compared >= 3, "too few transcripts for a comparison"


def test_second_run_does_nothing_and_says_so(folder, decode):
    decode()
    path = folder / "exp" / "greedy_search" / f"recogs-test-{SUFFIX}.txt"
    before = path.stat().st_mtime_ns
    assert decode().count("nothing to do") == 2
    assert path.stat().st_mtime_ns == before


def test_other_weights_or_cuts_or_a_lost_file_are_decoded_again(folder, decode):
    decode()
    state = torch.load(folder / "exp" / "epoch-2.pt", weights_only=True)
    torch.save({**state, "step": state["step"] + 1000}, folder / "exp" / "epoch-2.pt")
    assert "nothing to do" not in decode()
    shutil.copy(folder / "features" / "dev.jsonl.gz", folder / "features" / "test.jsonl.gz")
    assert decode().count("nothing to do") == 1
    (folder / "exp" / "greedy_search" / f"recogs-dev-{SUFFIX}.txt").unlink()
    assert decode().count("nothing to do") == 1


def test_record_says_how_fast_and_what_was_decoded_last(folder, decode):
    decode("--splits", "test")
    record = json.loads((folder / "exp" / "greedy_search" / f"decode-test-{SUFFIX}.json").read_text())
    assert record["num_utterances"] == 5
    assert record["decode_rtf"] == pytest.approx(record["wall_sec"] / record["audio_sec"])
    assert (record["recipe"], record["device"]) == ("plain", "cpu")
    last = json.loads((folder / "exp" / "greedy_search" / "last-decoded.json").read_text())
    assert last == {"suffix": SUFFIX, "splits": ["test"]}


def test_flags_override_the_recipe(folder, decode):
    decode("--splits", "dev", "--epoch", "1", "--decoding-method", "modified_beam_search", "--beam-size", "2")
    names = {path.name for path in (folder / "exp" / "modified_beam_search").glob("recogs-*")}
    assert names == {"recogs-dev-epoch-1_avg-1__modified_beam_search__beam-size-2_use-averaged-model.txt"}


def test_a_file_of_weights_is_decoded_as_it_is(folder, decode):
    shutil.copy(folder / "exp" / "epoch-1.pt", folder / "exp" / "averaged.pt")
    decode("--splits", "dev", "--checkpoint", "averaged.pt")
    found = read_recogs(folder / "exp" / "greedy_search" / "recogs-dev-averaged_context-2_max-sym-per-frame-1.txt")
    decode("--splits", "dev", "--epoch", "1", "--avg", "1", "--use-averaged-model", "0")
    name = "recogs-dev-epoch-1_avg-1_context-2_max-sym-per-frame-1.txt"
    assert found == read_recogs(folder / "exp" / "greedy_search" / name)
    with pytest.raises(ValueError, match=r"--checkpoint nowhere.pt: .* there are: averaged.pt, .*epoch-2.pt"):
        decode("--checkpoint", "nowhere.pt")


def test_a_model_that_saw_whole_utterances_does_not_stream(decode):
    with pytest.raises(ValueError, match="streaming needs an encoder that was trained with causal"):
        decode("--splits", "dev", "--streaming", "1")


def test_language_models_phrases_and_nbest_lists(folder, decode, monkeypatch):
    for name, flags in (("trigram", []), ("bigram", ["--ngram-order", "2"])):
        cuts = [folder / "features" / f"{split}.jsonl.gz" for split in ("train", "dev")]
        arguments = ["--cuts", cuts[0], "--dev-cuts", cuts[1], "--lang-dir", folder / "lang", "--lm-dir", folder / name]
        monkeypatch.setattr(sys, "argv", ["train_lm.py", *map(str, [*arguments, *flags])])
        runpy.run_path(str(ROOT / "local" / "train_lm.py"))["main"]()
    phrases = folder / "phrases.txt"
    phrases.write_text("abc\n")
    method = ["--splits", "test", "--decoding-method", "modified_beam_search", "--nbest", "3"]
    outside = ["--lm", folder / "trigram", "--lodr", folder / "bigram", "--context-file", phrases]
    assert "if the best of 3 were always taken" in decode(*method, *outside)
    name = (
        "test-epoch-2_avg-1__modified_beam_search__beam-size-4_lm-trigram-scale-0.3_LODR-bigram-scale-0.1_"
        "context-phrases-score-2.0_nbest-3_use-averaged-model"
    )
    results = folder / "exp" / "modified_beam_search"
    lines = [json.loads(line) for line in (results / f"nbest-{name}.jsonl").read_text().splitlines()]
    best = {t.cut_id: " ".join(t.hyp) for t in read_recogs(results / f"recogs-{name}.txt")}
    assert [line["nbest"][0]["text"] for line in lines] == [best[line["id"]] for line in lines]
    assert all(1 <= len(line["nbest"]) <= 3 for line in lines) and len(lines) == 5
    words = [entry for line in lines for entry in line["nbest"] if entry["words"]]
    assert words and all(" ".join(w["word"] for w in entry["words"]) == entry["text"] for entry in words)
    assert json.loads((results / f"decode-{name}.json").read_text())["nbest_oracle_wer"] >= 0
    assert "nothing to do" in decode(*method, *outside)
    phrases.write_text("abc\nabd\n")
    assert "nothing to do" not in decode(*method, *outside)
    with pytest.raises(ValueError, match="--lm cannot be used with greedy_search"):
        decode("--lm", folder / "trigram")
    facts = json.loads((folder / "trigram" / "lm.json").read_text())
    (folder / "trigram" / "lm.json").write_text(json.dumps({**facts, "pieces_sha256": "0"}))
    with pytest.raises(ValueError, match="trigram was trained with other pieces than those of"):
        decode(*method, *outside)


def test_cuts_of_another_spec_are_refused_with_the_difference(folder, decode):
    spec = json.loads((folder / "features" / "spec.json").read_text())
    spec["provenance"] = {"layer": 9}
    (folder / "features" / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(ValueError, match=r"dev\.jsonl\.gz does not fit the model: provenance\.layer: None against 9"):
        decode()
    assert not list((folder / "exp" / "greedy_search").glob("recogs*"))


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--decoding-method", "magic"], "unknown decoding method 'magic'; known: greedy_search"),
        (["--epoch", "7"], "holds epochs 1 to 2"),
        (["--iter", "9999"], "holds checkpoint-"),
    ],
)
def test_mistakes_are_one_sentence_that_lists_what_there_is(decode, flags, message):
    with pytest.raises(ValueError, match=message):
        decode(*flags)


def test_missing_split_is_named(decode):
    with pytest.raises(FileNotFoundError, match=r"eval\.jsonl\.gz does not exist"):
        decode("--splits", "eval")


def test_iterations_are_averaged_like_epochs(trained):
    choice = resolve_choice(CheckpointChoice(iter=4, avg=9, use_averaged_model=False), trained / "exp")
    paths = files_of(choice, trained / "exp")
    assert paths[-1].name == "checkpoint-4.pt"
    assert choice.avg == len(paths) > 1
    states = [load_checkpoint(path)["model"] for path in paths]
    weights = load_weights(choice, trained / "exp")
    for name, value in weights.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, sum(state[name] for state in states) / len(states))
    averaged = resolve_choice(CheckpointChoice(iter=4, avg=9), trained / "exp")
    assert len(files_of(averaged, trained / "exp")) == averaged.avg + 1
    assert load_weights(averaged, trained / "exp").keys() == weights.keys()


def test_suffixes_are_icefalls():
    choice = CheckpointChoice(epoch=30, avg=9, use_averaged_model=True)
    greedy = decoding_suffix(choice.suffix, choice.use_averaged_model, DecodeConfig(), 2)
    assert greedy == "epoch-30_avg-9_context-2_max-sym-per-frame-1_use-averaged-model"
    by_iteration = CheckpointChoice(iter=8000, avg=2, use_averaged_model=False)
    beam = DecodeConfig(decoding_method="modified_beam_search", beam_size=8)
    suffix = decoding_suffix(by_iteration.suffix, by_iteration.use_averaged_model, beam, 2)
    assert suffix == "iter-8000_avg-2__modified_beam_search__beam-size-8"


class _EchoModel:
    """Has conv2d's frame counts and emits the first code of each utterance as its one label."""

    config = model_config(front_end="conv2d")
    blank_id = 0

    def encode(self, frames, frame_lens):
        assert (frame_lens >= 9).all(), "a cut that is too short reached the model"
        labels = torch.nn.functional.one_hot(frames[:, :1, 0] + 3, 30).float()
        return EncoderOutput(labels, torch.ones(len(frames), dtype=torch.int64), [])

    ctc_output = staticmethod(lambda x: 50 * x)


def test_too_short_cuts_give_an_empty_hypothesis_and_are_counted(trained):
    cuts, spec = load_feature_cuts(trained / "features" / "test.jsonl.gz")
    short = next(iter(cuts)).truncate(duration=0.08)
    cuts = [short.with_id("short"), *cuts]
    encoder = SimpleNamespace(decode=lambda labels: " ".join(f"code{label}" for label in labels))
    config, run = DecodeConfig(decoding_method="ctc_greedy_search"), RunConfig(device="cpu")
    found, facts = recognise(_EchoModel(), cuts, spec, config, run)
    transcripts = transcripts_of(cuts, found, encoder)
    assert transcripts[0] == Transcript("short", tuple(short.supervisions[0].text.split()), ())
    expected = [(f"code{load_frames(cut, spec)[0, 0] + 3}",) for cut in cuts[1:]]
    assert [transcript.hyp for transcript in transcripts[1:]] == expected
    assert (facts["num_too_short"], facts["too_short"], facts["num_utterances"]) == (1, ["short"], 6)
    only, facts = recognise(_EchoModel(), cuts[:1], spec, config, run)
    assert (transcripts_of(cuts[:1], only, encoder)[0].hyp, facts["num_too_short"]) == ((), 1)


def swept_as_decoded(folder, decode):
    """A sweep on dev finds for each scale the errors that decoding with it makes; what it cannot do is refused."""
    files = ("--exp-dir", folder / "exp_attention", "--feature-dir", folder / "features")
    sweep = (*files, "--recipe-config", folder / "plain.json", "--scales", "0,0.5,40", "--device", "cpu")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert run_stage_script("sweep_attention_scale.py", *sweep).returncode == 0
    rows = [
        line.split() for line in output.getvalue().splitlines() if re.fullmatch(r"[\d.]+ +[\d.]+ +\d+", line.strip())
    ]
    assert [scale for scale, _, _ in rows] == ["0", "0.5", "40"]
    least = min(rows, key=lambda row: int(row[2]))
    assert f"Best on dev: --decoding-method {PREFIXES_RESCORED} --attention-scale {least[0]}" in output.getvalue()
    out = folder / "exp_attention" / PREFIXES_RESCORED
    for scale, _, errors in rows:
        flags = ("--splits", "dev", "--decoding-method", PREFIXES_RESCORED, "--attention-scale", scale)
        decode("--exp-dir", folder / "exp_attention", *flags)
        (path,) = out.glob(f"recogs-dev-*attention-scale-{float(scale)}*.txt")
        said = read_recogs(path)
        found = total_errors(count_errors(normal_form(one.ref), normal_form(one.hyp)) for one in said)
        assert found.errors == int(errors), scale
    refused = run_stage_script("sweep_attention_scale.py", *sweep, "--ctc-weight", "0.4", check=False)
    assert "--ctc-weight cannot be used with ctc-prefix-beam-search-attention" in refused.stderr
    refused = run_stage_script("sweep_attention_scale.py", *sweep, "--exp-dir", folder / "exp", check=False)
    assert "needs a model that was trained with an attention decoder; this one was not" in refused.stderr


def test_ctc_head_and_attention_decoder_search_together(folder, decode):
    _train(folder, "exp_attention", ATTENTION)
    flags = ["--exp-dir", folder / "exp_attention", "--splits", "test", "--decoding-method", "joint_beam_search"]
    decode(*flags, "--nbest", "3", "--ctc-weight", "0.4")
    out = folder / "exp_attention" / "joint_beam_search"
    suffix = "epoch-2_avg-1__joint_beam_search__beam-size-4_ctc-weight-0.4_nbest-3_use-averaged-model"
    assert len(read_recogs(out / f"recogs-test-{suffix}.txt")) == 5
    lines = [json.loads(line) for line in (out / f"nbest-test-{suffix}.jsonl").read_text().splitlines()]
    several = [entry["nbest"] for entry in lines]
    assert all(1 <= len(found) <= 3 for found in several)
    assert all(a["score"] >= b["score"] for found in several for a, b in itertools.pairwise(found))
    ends = [word["end"] for found in several for one in found for word in one["words"]]
    assert all(end > 0 for end in ends)
    assert "nothing to do" in decode(*flags, "--nbest", "3", "--ctc-weight", "0.4")
    swept_as_decoded(folder, decode)
    for method, flag in (("joint_beam_search", "beam-size"), ("attention-decoder-rescoring-no-ngram", "num-paths")):
        config = DecodeConfig(decoding_method=method, nbest=3, **{flag.replace("-", "_"): 2})
        with pytest.raises(ValueError, match=f"nbest is 3, but .* keeps 2; raise --{flag}"):
            require_enough(config)
    with pytest.raises(ValueError, match="--ctc-weight cannot be used with greedy_search; it can with joint"):
        decode("--splits", "test", "--ctc-weight", "0.4")
    with pytest.raises(ValueError, match="joint_beam_search needs a model that was trained with an attention decoder"):
        decode("--splits", "test", "--decoding-method", "joint_beam_search")


def test_a_record_of_before_counts_and_other_codes_do_not(folder, decode):
    decode("--splits", "test")
    path = folder / "exp" / "greedy_search" / f"decode-test-{SUFFIX}.json"
    record = json.loads(path.read_text())
    made_from = record["made_from"]
    path.write_text(
        json.dumps({**record, "made_from": {"files": made_from["inputs"], "settings": made_from["settings"]}})
    )
    figures = folder / "features" / "extract-test.json"
    checksums = {"test.codes": checksum_of(folder / "features" / "test.codes")}
    figures.write_text(json.dumps({"bytes": 1, "checksums": checksums}))
    assert "nothing to do" in decode("--splits", "test")
    path.write_text(
        json.dumps({**record, "made_from": {**made_from, "inputs": {**made_from["inputs"], "test.codes": "0"}}})
    )
    assert "nothing to do" not in decode("--splits", "test")
    path.write_text(json.dumps({**record, "made_from": []}))
    with pytest.raises(ValueError, match=r"decode-test-.*json, 'made_from' should say .* is a list"):
        decode("--splits", "test")


@pytest.mark.parametrize("harm", ["lost", "cut short"])
def test_an_epoch_that_was_trained_and_lost_is_named_not_passed_over(folder, decode, harm):
    path = folder / "exp" / "epoch-2.pt"
    whole = path.read_bytes()
    if harm == "lost":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2])
    sentence = (
        rf"epoch-2\.pt is {'missing' if harm == 'lost' else 'cut short'}, though epoch 2 was trained; run stage 6 "
    )
    with pytest.raises(ValueError, match=sentence):
        decode()
    decode("--epoch", "1", "--splits", "test")
    assert restore_epochs(folder / "exp") == ["epoch-2.pt"]
    before, now = torch.load(BytesIO(whole), weights_only=True), torch.load(path, weights_only=True)
    assert before.keys() == now.keys() and before["step"] == now["step"]
    for part in (lambda state: state["model"], lambda state: state["model_avg"]["weights"]):
        assert all(torch.equal(part(now)[name], value) for name, value in part(before).items())
    assert "nothing to do" not in decode("--splits", "test")


def test_a_lost_epoch_that_no_checkpoint_holds_stays_lost(folder, decode):
    (folder / "exp" / "epoch-1.pt").unlink()
    for checkpoint in (folder / "exp").glob("checkpoint-*.pt"):
        checkpoint.unlink()
    assert restore_epochs(folder / "exp") == []
    with pytest.raises(ValueError, match=r"epoch-1\.pt is missing.*--epoch and --avg \(whole: 2\)"):
        decode()  # an average over all steps of epoch 2 begins with the weights of epoch 1
    decode("--avg", "2", "--splits", "test")
    (folder / "exp" / "train.json").write_text('{"epochs": null}')
    with pytest.raises(ValueError, match=r"'epochs' of .*train\.json is null, expected a list of objects"):
        decode()


def test_texts_keep_their_spaces_and_references_outside_the_pieces_are_said(folder, decode):
    path = folder / "features" / "test.jsonl.gz"
    cuts, _ = load_feature_cuts(path)
    changed = list(cuts)
    changed[0].supervisions[0] = fastcopy(changed[0].supervisions[0], text="今天 天气ab")
    write_cuts(path, changed)
    said = decode("--splits", "test")
    assert "characters" in said and "have no piece: '天' (2), " in said and "The model cannot say them" in said
    results = folder / "exp" / "greedy_search"
    texts = read_texts(results / f"texts-test-{SUFFIX}.jsonl", "absent")
    transcripts = read_recogs(results / f"recogs-test-{SUFFIX}.txt")
    assert {text.id: text.ref for text in texts} == {cut.id: cut.supervisions[0].text for cut in changed}
    assert [tuple(words_in(text.hyp)) for text in texts] == [one.hyp for one in transcripts]
    assert ("今", "天", "天", "气", "ab") in [one.ref for one in transcripts]


def test_weights_that_are_not_finite_are_not_decoded_with(folder, tmp_path):
    exp_dir = shutil.copytree(folder / "exp", tmp_path / "exp")
    state = load_checkpoint(exp_dir / "epoch-2.pt")
    next(iter(state["model"].values())).view(-1)[0] = float("inf")
    save_checkpoint(exp_dir / "epoch-2.pt", state)
    choice = resolve_choice(CheckpointChoice(epoch=2, avg=1, use_averaged_model=False), exp_dir)
    with pytest.raises(ValueError, match=r"epoch-2\.pt: 1 of \d+ numbers of '.*' are NaN or infinite"):
        load_into(Experiment(exp_dir).build_model(), choice, exp_dir)


def test_weights_of_another_epoch_are_refused(folder, tmp_path):
    exp_dir = shutil.copytree(folder / "exp", tmp_path / "exp")
    shutil.copy(exp_dir / "epoch-1.pt", exp_dir / "epoch-2.pt")
    with pytest.raises(ValueError, match=r"epoch-2\.pt holds the weights of epoch 1; put back its own"):
        load_weights(CheckpointChoice(epoch=2, avg=1, use_averaged_model=False), exp_dir)
