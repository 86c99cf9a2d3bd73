"""Encoders of attention layers: what a batch gives, what is trained, how large they are."""

import copy
from importlib.resources import files

import pytest
import torch
from synthetic_codes import make_trainer
from toy_models import CODES, CONFIG
from toy_settings import changed

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.attention.multi_head import by_offset_to_by_source
from icefall_discrete.nn.encoders.contract import ENCODERS, build_encoder, streaming_encoder
from icefall_discrete.nn.front_ends.espnet_conv1d import EspnetConv1dConfig
from icefall_discrete.systems.asr.streaming_model import StreamingConfig, StreamingEncoder
from icefall_discrete.systems.asr.transducer import Heads, ModelConfig, build_transducer

SMALL = {"dim": 16, "num_layers": 2, "num_heads": 2, "feedforward_dim": 24}
NO_DROPOUT = {"dropout": (0.0,), "attention_dropout": 0.0, "positional_dropout": 0.0}
KINDS = {
    "e_branchformer": {"cgmlp_dim": 20, "cgmlp_kernel": 7, "merge_kernel": 5},
    "conformer": {"cnn_module_kernel": 7, "cnn_module_norm": "layer"},
    "transformer": {},
}
LENS = (29, 1, 14, 27)


def small(kind, **changes):
    torch.manual_seed(0)
    return build_encoder(ENCODERS.find(kind)(**{**SMALL, **KINDS[kind], **changes}))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(kind, training):
    encoder = small(kind, **NO_DROPOUT).train(training)
    x = torch.randn(len(LENS), 33, 16)
    x[0, 29:] = 1e4  # behind the end of all of them
    together, lens, inner = encoder(x, torch.tensor(LENS), inner=(1, 0))
    for index, length in enumerate(LENS):
        one = slice(index, index + 1)
        alone, alone_lens, alone_inner = encoder(x[one, :length], torch.tensor([length]), inner=(1, 0))
        assert alone_lens.tolist() == [length] == lens[one].tolist()
        torch.testing.assert_close(together[one, :length], alone, rtol=1e-5, atol=1e-5)
        for (batched, _), (single, _) in zip(inner, alone_inner):
            torch.testing.assert_close(batched[one, :length], single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_utterance_without_frames_spoils_nothing(kind):
    out, lens, _ = small(kind).eval()(torch.randn(2, 9, 16), torch.tensor([9, 0]))
    assert lens.tolist() == [9, 0] and bool(out.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_training_reaches_every_parameter(kind):
    encoder = small(kind).train()
    out, _, _ = encoder(torch.randn(3, 20, 16), torch.tensor([20, 20, 13]))
    (out * torch.randn_like(out)).sum().backward()
    idle = [name for name, value in encoder.named_parameters() if value.grad is None or not bool(value.grad.any())]
    # A constant that is added to all keys changes no weight.
    assert [name for name in idle if not name.endswith("linear_k.bias")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_with_todays_heads(kind, corpus_dir, tmp_path):
    encoder = {"kind": kind, **SMALL, **KINDS[kind]}
    trainer, data = make_trainer(
        corpus_dir, tmp_path / "exp", model__encoder=encoder, model__inner_ctc_stacks=[0], train__num_epochs=2
    )
    epochs = trainer.fit(data)["epochs"]
    assert type(trainer.model.encoder).__module__.endswith(f"{kind}.encoder")
    for loss in ("simple", "ctc", "inner_ctc"):
        assert epochs[-1]["train"][loss] < epochs[0]["train"][loss], loss


@pytest.mark.parametrize("training", [False, True])
def test_statistics_of_a_batch_leave_padding_out(training):
    encoder = small("conformer", cnn_module_norm="batch", **NO_DROPOUT).train(training)
    other = copy.deepcopy(encoder)
    lens = torch.tensor(LENS)
    x = torch.randn(len(LENS), 29, 16)
    longer = torch.cat((x, torch.full((len(LENS), 9, 16), 1e4)), dim=1)
    longer[1, 1:] = -1e4
    first, second = encoder(x, lens)[0], other(longer, lens)[0]
    for index, length in enumerate(LENS):
        torch.testing.assert_close(first[index, :length], second[index, :length], rtol=1e-5, atol=1e-5)
    for name, value in encoder.named_buffers():
        torch.testing.assert_close(value, dict(other.named_buffers())[name], rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_frame_trains_with_the_statistics_so_far():
    encoder = small("conformer", cnn_module_norm="batch").train()
    assert bool(encoder(torch.randn(1, 1, 16), torch.tensor([1]))[0].isfinite().all())


def test_offsets_are_read_by_source():
    rows = torch.arange(3, 3 - 7, -1).expand(2, 4, 7)  # the offsets themselves
    time = torch.arange(4)
    assert torch.equal(by_offset_to_by_source(rows), (time.unsqueeze(1) - time).expand(2, 4, 4))


def count(module):
    return sum(value.numel() for value in module.parameters())


def test_e_branchformer_has_espnets_size():
    encoder = build_encoder(ENCODERS.find("e_branchformer")())
    assert count(encoder.layers[0]) == 1_942_528
    assert count(encoder) == 12 * 1_942_528 + count(encoder.after_norm)
    assert count(EspnetConv1dConfig(2).build(512, 256, 0.0)) == 656_128


def test_the_whole_of_espnets_recogniser_of_units_has_its_size():
    pytest.importorskip("torch", minversion="2.1", reason="it is built on the meta device, torch >= 2.1")
    size = files("icefall_discrete") / "conf" / "models" / "e_branchformer.json"
    units = FeatureSpec("units", "codes", 16000, 50.0, 1, (6000,), 0)
    heads = Heads(transducer=False, ctc=True, inner_ctc=False, attention_decoder=True)
    with torch.device("meta"):
        model = build_transducer(
            from_dict(ModelConfig, read_json(size), "size"), units, 5000, AugmentConfig(), None, heads
        )
    padding_row = model.input_embedding.table.shape[1]
    assert count(model) - padding_row == 40_362_000


def test_input_positions_do_not_depend_on_padding_and_cannot_stream():
    torch.manual_seed(0)
    config = changed(CONFIG, input_positions=True)
    model = build_transducer(config, CODES, 9, AugmentConfig()).eval()
    codes = torch.randint(0, 10, (2, 24, 2))
    codes[1, 16:] = torch.tensor(CODES.codebook_sizes)
    together = model.encode(codes, torch.tensor([24, 16]))
    alone = model.encode(codes[1:, :16], torch.tensor([16]))
    torch.testing.assert_close(together.encoder_out[1:, : alone.lens[0]], alone.encoder_out, rtol=1e-4, atol=1e-5)
    plain = build_transducer(CONFIG, CODES, 9, AugmentConfig()).eval()
    plain.load_state_dict(model.state_dict())
    assert not torch.allclose(plain.encode(codes, torch.tensor([24, 16])).encoder_out, together.encoder_out)
    with pytest.raises(ValueError, match="input_positions cannot stream"):
        StreamingEncoder(model, StreamingConfig())


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="dim is 18 with 4 heads; give a dim that twice"):
        ENCODERS.find("e_branchformer")(dim=18)
    with pytest.raises(ValueError, match="merge_kernel is 4, expected odd numbers"):
        ENCODERS.find("e_branchformer")(merge_kernel=4)
    with pytest.raises(ValueError, match="chunk_size is \\[0\\], expected numbers of frames, or -1"):
        ENCODERS.find("conformer")(chunk_size=(0,))
    with pytest.raises(ValueError, match="streaming needs an encoder that was trained with causal"):
        streaming_encoder(small("e_branchformer"), 4, 4)
