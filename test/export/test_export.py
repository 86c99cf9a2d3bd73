"""What is exported gives what PyTorch gives, for utterances of other lengths, in batches and in streams."""

import contextlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_export import RECIPE, filter_banks
from toy_models import CODES, CONFIG

from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.dataset import padding_values
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.export import command, onnx_files
from icefall_discrete.export.onnx_files import export_onnx, onnx_runner
from icefall_discrete.export.parts import Part, whole_parts
from icefall_discrete.export.streaming import streaming_parts
from icefall_discrete.export.torchscript import export_torchscript
from icefall_discrete.onnx.folder import NUM_FRAMES, checked_file, read_model
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.streaming_model import FrameBuffer, StreamingConfig, StreamingEncoder
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.systems.contract import known_systems
from icefall_discrete.tokenizers import load_tokenizer

STREAMS = StreamingConfig(16, 32)


def small_recogniser(encoder):
    """A recogniser of codes with an encoder of these settings and random weights."""
    torch.manual_seed(0)
    small = {"input": {"embedding_dim": 16}, "front_end": "conv1d", "encoder": encoder}
    config = TrainSettings.from_dict({"model": {**small, "heads": RECIPE["model"]["heads"]}}, "the test's").model
    return build_transducer(config, CODES, 20, AugmentConfig()).eval()


def largest(found, wanted):
    return float((found - wanted).abs().max())


@torch.no_grad()
def test_a_padded_batch_gives_what_pytorch_gives_alone(whole, model, voice):
    features = filter_banks(voice)[0]
    lens = torch.tensor([len(features), 90])
    batch = torch.stack([features, features + 5.0])  # what stands behind an end may be anything
    out, out_lens = onnx_runner(whole / "encoder.onnx")({"x": batch, "x_lens": lens})
    for row, length in enumerate(lens.tolist()):
        alone = model.encode(batch[row : row + 1, :length], lens[row : row + 1])
        assert int(out_lens[row]) == int(alone.lens[0])
        wanted = model.joiner.encoder_proj(alone.encoder_out[0])
        # Padding reaches the last frames through the front end, as in icefall's recipe and in PyTorch.
        kept = len(wanted) - 2 * row
        assert largest(out[row, :kept], wanted[:kept]) < 1e-3


@torch.no_grad()
def check_chunks(run, part, encoder, buffer):
    """What `run` gives of the buffer's windows, states and all, is what PyTorch gives; returns it, (T', J)."""
    named = {name: torch.zeros_like(value) for name, value in part.example(1, 0).items()}
    state, outs = encoder.initial_state(1), []
    while buffer.is_ready:
        window, num_frames = buffer.next_window()
        named["x"], count = window.unsqueeze(0), torch.tensor([num_frames])
        if NUM_FRAMES in named:
            named[NUM_FRAMES] = count
        wanted, lens, state = encoder(named["x"], count, state)
        out, *states = run(named)
        named.update(zip([name for name in named if name not in ("x", NUM_FRAMES)], states))
        wanted, out = wanted[:, : int(lens)], out[:, : int(lens)]
        assert largest(out, encoder.model.joiner.encoder_proj(wanted)) < 1e-3
        outs.append(out[0])
    assert len(outs) > 4
    return torch.cat(outs)


def test_chunks_give_what_pytorch_gives(streaming, model, voice):
    encoder = StreamingEncoder(model, STREAMS)
    buffer = FrameBuffer(encoder, (0.0,) * 80, torch.float32)
    buffer.push(filter_banks(voice)[0])
    (part, *_) = streaming_parts(model, Experiment(streaming).spec(), STREAMS, False)
    check_chunks(onnx_runner(streaming / "encoder.onnx"), part, encoder, buffer)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["conformer", "e_branchformer", "transformer"])
def test_chunks_of_layered_encoders_give_what_the_whole_gives(kind, tmp_path):
    shape = {"kind": kind, "dim": 16, "num_heads": 2, "num_layers": 2, "feedforward_dim": 24, "causal": True}
    shape.update({"chunk_size": [4], "left_context_frames": [8]})
    model = small_recogniser({**shape, **({"cgmlp_dim": 24} if kind == "e_branchformer" else {})})
    streams = StreamingConfig(4, 8)
    encoder, part = StreamingEncoder(model, streams), streaming_parts(model, CODES, streams)[0]
    # Up to within a chunk.
    frames = part.example(1, 0)["x"].repeat(1, 9, 1)[0, :-5]
    runs = [lambda inputs: part.module(*inputs.values())]
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        export_onnx(part, tmp_path, False)  # refuses what differs
        runs.append(onnx_runner(tmp_path / "encoder.onnx"))
    whole = model.joiner.encoder_proj(model.encode(frames[None], torch.tensor([len(frames)])).encoder_out[0])
    for run in runs:
        buffer = FrameBuffer(encoder, padding_values(CODES), torch.int64)
        buffer.push(frames)
        buffer.finish()
        found = check_chunks(run, part, encoder, buffer)
        assert found.shape == whole.shape and largest(found, whole) < 1e-4


def test_sherpa_knows_no_streams_of_other_encoders():
    fbank = load_tokenizer("fbank").spec
    model = small_recogniser({"kind": "transformer", "dim": 16, "num_heads": 2, "num_layers": 1, "causal": True})
    with pytest.raises(ValueError, match="knows the Zipformer alone; export with --to onnx"):
        command.require_known_to_sherpa(model, fbank, True)


def test_sherpa_knows_no_streams_of_filters_that_are_brought_to_other_dimensions():
    fbank = load_tokenizer("fbank").spec
    for dim, refused in ((128, True), (0, False), (80, False)):
        model = {**RECIPE["model"], "input": {"embedding_dim": dim}, "front_end": "conv2d"}
        built = build_transducer(
            TrainSettings.from_dict({"model": model}, "the test's").model, fbank, 20, AugmentConfig()
        )
        with pytest.raises(ValueError, match="brings them to 128 dim") if refused else contextlib.nullcontext():
            command.require_known_to_sherpa(built, fbank, True)


def test_files_say_what_runtimes_ask_for(whole, streaming, exp_dir):
    onnx = pytest.importorskip("onnx")

    def said(path):
        return {one.key: one.value for one in onnx.load(str(path)).metadata_props}

    assert said(whole / "encoder.onnx")["model_type"] == "zipformer2"
    assert said(whole / "ctc.onnx")["model_type"] == "zipformer2_ctc"
    assert said(whole / "decoder.onnx") == {"context_size": "2", "vocab_size": "36"}
    assert said(whole / "joiner.onnx") == {"joiner_dim": "20"}
    facts = said(streaming / "encoder.onnx")
    assert (facts["T"], facts["decode_chunk_len"], facts["left_context_len"]) == ("45", "32", "16")
    assert facts["encoder_dims"] == "24" and facts["num_encoder_layers"] == "1"
    names = [one.name for one in onnx.load(str(streaming / "encoder.onnx")).graph.input]
    assert names[:4] == ["x", "cached_key_0", "cached_nonlin_attn_0", "cached_val1_0"]
    assert names[-2:] == ["embed_states", "processed_lens"]
    assert (whole / "tokens.txt").read_text().startswith("<blk> 0\n<sos/eos> 1\n<unk> 2\n")
    assert (whole / "bpe.model").read_bytes() == (exp_dir / "bpe.model").read_bytes()


def test_a_changed_file_of_the_folder_is_refused(whole, tmp_path):
    model = read_model(whole)
    assert model.parts == ("encoder", "decoder", "joiner", "ctc") and model.checkpoint == "epoch-1_avg-1"
    assert checked_file(whole, model, "joiner.onnx").is_file()
    (tmp_path / "joiner.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"joiner\.onnx is not the file that was exported"):
        checked_file(tmp_path, model, "joiner.onnx")
    with pytest.raises(FileNotFoundError, match=r"holds no model\.json; give a folder that"):
        read_model(tmp_path)


def test_torchscript_of_codes_gives_what_pytorch_gives(tmp_path):
    torch.manual_seed(0)
    model = build_transducer(CONFIG, CODES, 20, AugmentConfig()).eval()
    for part in whole_parts(model, CODES)[:3]:
        loaded = torch.jit.load(str(tmp_path / export_torchscript(part, tmp_path)))
        inputs = part.example(2, 41)
        wanted = part.module(*inputs.values())
        found = loaded(*inputs.values())
        for one, other in zip(
            [wanted] if len(part.outputs) == 1 else wanted, [found] if len(part.outputs) == 1 else found
        ):
            assert torch.allclose(one.float(), other.float(), atol=1e-4)


@pytest.mark.parametrize(
    "encoder",
    [
        {"kind": "conformer", "dim": 16, "num_heads": 2, "num_layers": 1, "feedforward_dim": 24},
        {"kind": "e_branchformer", "dim": 16, "num_heads": 2, "num_layers": 1, "feedforward_dim": 24, "cgmlp_dim": 24},
        {"kind": "transformer", "dim": 16, "num_heads": 2, "num_layers": 1, "feedforward_dim": 24},
        {"kind": "bilstm", "in_dim": 16, "hidden_dim": 8, "num_layers": 1},
        {"kind": "contextnet", "in_dim": 16, "block_channels": [16, 16, 16], "squeezed_dim": 4, "out_dim": 16},
        {"kind": "mlp", "in_dim": 16, "hidden_dim": 16},
    ],
    ids=lambda encoder: encoder["kind"],
)
def test_encoders_of_other_kinds_give_what_pytorch_gives(encoder, tmp_path):
    pytest.importorskip("onnxruntime")
    if encoder["kind"] == "bilstm" and torch.__version__.startswith("1."):
        pytest.skip("this torch refuses it, in a sentence")
    (part,) = whole_parts(small_recogniser(encoder), CODES)[:1]
    export_onnx(part, tmp_path, False)  # refuses what differs
    inputs = part.example(3, 57)
    for wanted, found in zip(part.module(*inputs.values()), onnx_runner(tmp_path / "encoder.onnx")(inputs)):
        torch.testing.assert_close(found.float(), wanted.float(), rtol=1e-3, atol=1e-4)


def test_weights_of_8_bits(model, whole, tmp_path):
    pytest.importorskip("onnxruntime")
    joiner = whole_parts(model, Experiment(whole).spec())[2]
    assert export_onnx(joiner, tmp_path, True) == ["joiner.onnx", "joiner.int8.onnx"]
    inputs = joiner.example(5, 0)
    exact, small = (onnx_runner(tmp_path / name)(inputs)[0] for name in ("joiner.onnx", "joiner.int8.onnx"))
    assert 0.0 < largest(small, exact) < 0.1 * float(exact[:, 3:].abs().max())


def run(exp_dir, *flags):
    command.main("export", ["--exp-dir", str(exp_dir), *map(str, flags)])


def test_refusals_are_one_sentence_and_leave_nothing(exp_dir, tmp_path, monkeypatch):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("")
    with pytest.raises(ValueError, match=r"full exists and is not empty; give a folder that is new"):
        run(exp_dir, "--out-dir", full)
    with pytest.raises(FileNotFoundError, match=r"nothing is no experiment: there is no such folder; correct"):
        run(tmp_path / "nothing", "--out-dir", tmp_path / "out")
    with pytest.raises(SystemExit):
        run(exp_dir, "--to", "elsewhere")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx is not installed; pip install 'icefall-discrete\[export\]'"):
        run(exp_dir, "--out-dir", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_package_that_lacks_another_is_told_from_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "toy_runtime").mkdir()
    (tmp_path / "toy_runtime" / "__init__.py").write_text("import absent_mathematics\n")
    monkeypatch.syspath_prepend(tmp_path)
    lacking = r"toy_runtime cannot be imported \(No module named 'absent_mathematics'\); pip install 'icefall-discrete"
    with pytest.raises(ImportError, match=lacking):
        onnx_files.imported("toy_runtime")
    with pytest.raises(ImportError, match=r"absent_runtime is not installed; pip install"):
        onnx_files.imported("absent_runtime.quantization")


class Sorting(nn.Module):
    """Looks at its numbers, which a trace does once."""

    def forward(self, x):
        return x * 2 if float(x.sum()) > 10 else x


def test_a_network_whose_trace_differs_is_refused(tmp_path):
    def example(num, frames):
        return {"x": torch.ones(num, frames) if num == 2 else torch.zeros(num, frames) + 0.001}

    part = Part("encoder", Sorting(), example, ("y",), {"x": {0: "N", 1: "T"}, "y": {0: "N", 1: "T"}}, {})
    with pytest.raises(
        ValueError, match="encoder of this model cannot be exported to TorchScript: what the file gives"
    ):
        export_torchscript(part, tmp_path)
    assert not list(tmp_path.iterdir())


def test_models_of_codes_are_not_for_sherpa():
    model = build_transducer(CONFIG, CODES, 20, AugmentConfig())
    with pytest.raises(ValueError, match="filter banks of its own, every 10 ms at 16 kHz, but this model reads 'toy'"):
        command.require_known_to_sherpa(model, CODES, False)


def test_the_readme_says_which_systems_are_exported(tmp_path):
    readme = (Path(command.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in readme.splitlines() if line.startswith("| `") and line.count("|") == 5]
    rows = [row for row in rows if any(word in row[2] for word in ("yes", "refused"))]
    listed = {name.strip(" `"): row for row in rows for name in row[1].split(",")}
    assert set(listed) == set(known_systems())
    for system, (*_, instead, _) in listed.items():
        folder = tmp_path / system
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"system": system}))
        advice = instead.strip()
        sentence = re.escape(f"was trained as system '{system}', and recognisers alone are exported; {advice}.")
        for runtime in (command.ONNX, command.TORCHSCRIPT, command.SHERPA):
            with pytest.raises((ValueError, FileNotFoundError), match=sentence if advice else r"spec\.json"):
                run(folder, "--to", runtime)
