"""A recogniser of units by ESPnet becomes an experiment that gives what ESPnet gave; what does not fit is named."""

import dataclasses
import json
import shutil
from os import system
from pathlib import Path

import pytest
import sentencepiece
import torch
import yaml
from forked import run_forked
from safetensors import safe_open
from safetensors.torch import load_file

from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.espnet_checkpoints import Beside, read_weights, write_experiment
from icefall_discrete.experiment.espnet_config import found_above, read_config
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.tokenizers.formats.piece_sampling import PieceSampler
from icefall_discrete.tokenizers.unit_bpe import MODEL_FILE, UnitPieces

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "test" / "assets"
THEIRS = ASSETS / "espnet_asr2"
UNITS = ASSETS / "golden_mfcc"
CHECKPOINT, CONFIG = THEIRS / "valid.acc.ave.pth", THEIRS / "config.yaml"
BESIDE = Beside(
    THEIRS / "bpe.model",
    THEIRS / "src_bpe.model",
    str(UNITS / "golden_mfcc.json"),
    str(UNITS / "kmeans.safetensors"),
    True,
    20.0,
)
# Places in our list of labels of ESPnet's blank, unknown and sos/eos; all others follow.
SPECIAL = {0: 0, 1: 2}


def convert(exp_dir, weights=None, config=None, **beside):
    weights = read_weights(CHECKPOINT) if weights is None else weights
    config = config or read_config(CONFIG)
    return write_experiment(exp_dir, CHECKPOINT, weights, config, dataclasses.replace(BESIDE, **beside))


def loaded(exp_dir):
    model = Experiment(exp_dir).build_model().eval()
    load_into(model, resolve_choice(CheckpointChoice(), exp_dir), exp_dir)
    return model


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("espnet") / "exp"
    assert convert(folder).unseen == [2, 4]
    return folder


@pytest.fixture(scope="module")
def golden():
    return load_file(str(THEIRS / "golden.safetensors"))


@pytest.fixture(scope="module")
def codes(exp_dir, speech):
    """Codes of the audio, by the tokenizer of the experiment."""
    tokenizer = load_experiment_tokenizer(exp_dir, Experiment(exp_dir).spec())
    return tokenizer.encode(speech[None], torch.tensor([len(speech)]))


def in_our_order(log_probs):
    """Columns of ESPnet's tokens as our labels."""
    return torch.cat((log_probs[:, :1], log_probs[:, -1:], log_probs[:, 1:-1]), dim=1)


def test_from_audio_to_log_probs_all_is_as_there(exp_dir, golden, codes):
    frames, lens = codes
    assert lens.tolist() == [1 + len(golden["source_ids"])]  # ESPnet's network begins with sos/eos
    model = loaded(exp_dir)
    with torch.no_grad():
        out, out_lens, _ = model.encode(frames.long(), lens)
        ctc = model.ctc_output(out[0]).log_softmax(dim=1)
        labels = torch.tensor(Experiment(exp_dir).targets().text_encoder.encode(text_of_golden()))
        decoder = model.attention_decoder(out, out_lens, labels[None])[0].log_softmax(dim=1)
    assert out_lens.tolist() == [len(golden["encoder_out"])]
    assert labels.tolist() == [SPECIAL.get(label, label + 1) for label in golden["text_ids"].tolist()]
    for found, expected in (
        (out[0], golden["encoder_out"]),
        (ctc, in_our_order(golden["ctc"])),
        (decoder, in_our_order(golden["decoder"])),
    ):
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)


def text_of_golden():
    with safe_open(str(THEIRS / "golden.safetensors"), "pt") as file:
        return file.metadata()["text"]


def test_units_stand_behind_pieces_and_marks_behind_none(exp_dir, speech, codes):
    tokenizer = load_experiment_tokenizer(exp_dir, Experiment(exp_dir).spec())
    found = tokenizer.encode_with_durations(speech[None], torch.tensor([len(speech)]))
    frames, durations = found.frames[0], found.durations[0]
    base = tokenizer.base.encode(speech[None], torch.tensor([len(speech)]))[0][0]
    assert torch.equal(tokenizer.frames_of(frames, durations), base)
    per_code = tokenizer.code_durations(frames, durations)
    assert per_code[:2].tolist() == [0, 0] and (per_code[2:] > 0).all()  # sos/eos, and a word's mark by itself
    assert all(book.isfinite().all() for book in tokenizer.codebooks())
    with pytest.raises(ValueError, match="use --unit-bpe-alpha 0"):
        PieceSampler(UnitPieces((exp_dir / "tokenizer" / MODEL_FILE).read_bytes()), 0.4)


def test_the_command_finds_the_models_that_the_configuration_names(tmp_path):
    asr = tmp_path / "exp" / "asr"
    asr.mkdir(parents=True)
    for name in ("valid.acc.ave.pth", "config.yaml"):
        shutil.copy(THEIRS / name, asr)
    for side, name in (("tgt", "bpe.model"), ("src", "src_bpe.model")):
        (tmp_path / "data" / "token_list" / side).mkdir(parents=True)
        shutil.copy(THEIRS / name, tmp_path / "data" / "token_list" / side / "bpe.model")
    flags = ["--units", UNITS / "golden_mfcc.json", "--kmeans", UNITS / "kmeans.safetensors"]
    checkpoint = ["--checkpoint", asr / "valid.acc.ave.pth"]
    done = run_forked("tools/convert_espnet.py", *checkpoint, *flags, "--exp-dir", tmp_path / "E")
    assert done.returncode == 0 and "2 of 16 units are in no piece alone (2, 4)" in done.stderr, done.stderr
    assert json.loads(done.stdout)["encoder"]["num_heads"] == 2
    # It is decoded as its recipe says: with both heads, in ESPnet's search.
    (found,) = Transcriber(tmp_path / "E").transcribe([ASSETS / "speech.flac"])
    assert found.duration_sec > 1 and isinstance(found.text, str)
    with pytest.raises(FileNotFoundError, match=r"config.yaml names 'other/bpe.model'.* say where with --bpe-model"):
        found_above(asr / "config.yaml", "", "other/bpe.model", "--bpe-model")


def without(name):
    return {key: value for key, value in read_weights(CHECKPOINT).items() if key != name}


def test_weights_that_do_not_fit_are_named(tmp_path):
    weights = read_weights(CHECKPOINT)
    kernel = "encoder.encoders.1.depthwise_conv_fusion.weight"
    for wrong, said in (
        (without("frontend.embed.0.weight"), "lacks the weight 'frontend.embed.0.weight'"),
        (without("encoder.encoders.1.norm_mlp.bias"), r"'encoder.layers.1.norm_mlp.bias' \(16,\) is missing"),
        (without("decoder.decoders.1.norm3.bias"), "layers.1.norm_feedforward.bias' .* is missing"),
        (without("ctc.ctc_lo.bias"), r"'ctc_output.bias' \(40,\) is missing"),
        ({**weights, kernel: weights[kernel][..., 1:]}, r"depthwise_conv_fusion.weight' is \(32, 1, 2\), expected"),
        ({**weights, "encoder.conditioning_layer.bias": torch.zeros(2)}, "conditioning_layer.bias' .* is unknown"),
        ({**weights, "ctc.ctc_lo.bias": torch.zeros(39)}, r"is \(39,\), but token_list of the configuration has 40"),
        ({**weights, "frontend.embed.0.weight": torch.zeros(29, 12)}, "but src_token_list of the configuration has 30"),
        ({**weights, "ctc.ctc_lo.bias": torch.full((40,), float("nan"))}, "40 of 40 numbers of 'ctc.ctc_lo.bias'"),
        ({**weights, "encoder.after_norm.weight": torch.tensor(1.0)}, "expected more than 0 axes"),
    ):
        with pytest.raises(ValueError, match=said):
            convert(tmp_path / "exp", wrong)
    assert not list(tmp_path.iterdir())


def test_pieces_and_units_that_do_not_belong_to_it_are_named(tmp_path):
    config = read_config(CONFIG)
    fewer = dataclasses.replace(config, source_tokens=[*config.source_tokens[:5], *config.source_tokens[6:]])
    less_text = dataclasses.replace(config, tokens=[*config.tokens[:5], *config.tokens[6:]])
    twice = dataclasses.replace(config, tokens=[*config.tokens[:5], *config.tokens[4:]])
    (tmp_path / "few.json").write_text(json.dumps({"tokenizer": "mfcc_kmeans", "num_clusters": 8}))
    (tmp_path / "damaged.model").write_bytes(b"\xff" * 9)
    for wanted, beside, said in (
        (fewer, {}, "src_bpe.model has 27 pieces, the checkpoint's token list 26"),
        (less_text, {}, "/bpe.model has 37 pieces, the checkpoint's token list 36"),
        (twice, {}, "a token stands twice"),
        (dataclasses.replace(config, tokens=["<blank>"]), {}, "has 1 tokens, expected <blank>, <unk>, the pieces"),
        (None, {"unit_pieces": BESIDE.pieces}, "is in one of them only"),
        (None, {"pieces": tmp_path / "damaged.model"}, "is not a sentencepiece model that can be read"),
        (None, {"pieces": tmp_path / "none.model"}, "none.model does not exist"),
        (None, {"kmeans": ""}, "golden_mfcc names no centroids; give those of the checkpoint with --kmeans"),
        (None, {"kmeans": str(tmp_path / "none.mdl")}, "none.mdl do not exist; correct --kmeans"),
        (None, {"units": str(tmp_path / "few.json")}, "expected 8 finite ones"),
        (None, {"units": "fbank", "kmeans": ""}, "fbank has 0 codebooks, expected one of units"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            convert(tmp_path / "exp", None, wanted, **beside)
    assert not (tmp_path / "exp").exists()


def test_units_beyond_the_feature_types_are_named(tmp_path):
    model = sentencepiece.SentencePieceProcessor(model_file=str(THEIRS / "src_bpe.model"))
    assert model.get_piece_size() == 30
    kmeans = load_file(str(UNITS / "kmeans.safetensors"))
    torch.save(kmeans["centroids"][:8], tmp_path / "eight.pt")
    (tmp_path / "few.json").write_text(json.dumps({"tokenizer": "mfcc_kmeans", "num_clusters": 8}))
    with pytest.raises(ValueError, match="with a character that is none of 8 units"):
        convert(tmp_path / "exp", units=str(tmp_path / "few.json"), kmeans=str(tmp_path / "eight.pt"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"encoder": "conformer"}, "encoder is 'conformer', but only 'e_branchformer' can be taken over"),
        ({"model": "mt"}, "model is 'mt', but only 'discrete_asr'"),
        ({"token_type": "char"}, "token_type is 'char', but only 'bpe'"),
        ({"encoder_conf": {"input_layer": "conv2d"}}, "encoder_conf.input_layer is 'conv2d', expected one of conv1d1"),
        ({"encoder_conf": {"rel_pos_type": "legacy"}}, "encoder_conf.rel_pos_type is 'legacy', but only 'latest'"),
        ({"decoder_conf": {"normalize_before": False}}, "decoder_conf.normalize_before is false, but only true"),
        ({"decoder_conf": {"attention_heads": "4"}}, "attention_heads is '4', expected a number of heads"),
        ({"model_conf": {"ctc_weight": 3}}, "ctc_weight is 3, expected a number from 0 to 1"),
        ({"token_list": "tokens.txt"}, "has no list of tokens called token_list"),
        ({"preencoder": [1, 2]}, "preencoder is a list, but only null"),
        ({"decoder_conf": [1]}, "decoder_conf is no list of settings"),
    ],
)
def test_another_configuration_is_named(tmp_path, changed, said):
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for name, value in changed.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_config(path)


def test_nothing_of_a_file_is_run(tmp_path):
    marker = tmp_path / "marker"
    evil = type("Evil", (), {"__reduce__": lambda self: (system, (f"touch '{marker}'",))})()
    torch.save({"a": evil}, tmp_path / "evil.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"is refused: it names .*system.* Nothing of it was run"):
        read_weights(tmp_path / "evil.pth")
    torch.save({"optimizers": [1]}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no state dict of tensors"):
        read_weights(tmp_path / "other.pth")
    config = tmp_path / "config.yaml"
    for text, said in (
        (f"a: !!python/object/apply:os.system ['touch {marker}']", "is not YAML of plain values"),
        ("[" * 5000, "is too deep|is not YAML"),
        ("- 1", "holds no settings"),
        ("a: &a [1]\nb: [*a, *a]", r"refers to another place with \*a"),
        ("a: 2001-99-99", "is not YAML of plain values"),
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_config(config)
    assert not marker.exists()
    torch.save({"model": read_weights(CHECKPOINT), "epoch": 1}, tmp_path / "checkpoint.pth")
    assert set(read_weights(tmp_path / "checkpoint.pth")) == set(read_weights(CHECKPOINT))


def test_a_model_of_ctc_alone(tmp_path, golden, codes):
    config = dataclasses.replace(read_config(CONFIG), ctc_weight=1.0)
    convert(tmp_path / "exp", None, config)
    model = loaded(tmp_path / "exp")
    assert model.attention_decoder is None
    with torch.no_grad():
        out, _, _ = model.encode(codes[0].long(), codes[1])
    torch.testing.assert_close(out[0], golden["encoder_out"], rtol=0.0, atol=1e-4)
    assert json.loads((tmp_path / "exp" / "recipe.json").read_text())["decode"]["decoding_method"].startswith("ctc_")
