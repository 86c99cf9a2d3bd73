"""The decoder-only transformer: transformers' LLaMA, Qwen2 and GPT-2 by their weights, and keys and values kept."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from icefall_discrete.nn.decoder import attention
from icefall_discrete.nn.decoder.config import DecoderConfig
from icefall_discrete.nn.decoder.network import Cache, Decoder
from icefall_discrete.nn.decoder.transformers_names import HEAD, TOKENS, decoder_of, decoder_weights

transformers = pytest.importorskip("transformers")
V = 23


def hub_model(kind):
    torch.manual_seed(1)
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=V, n_embd=16, n_layer=2, n_head=2, n_positions=40)
        model = transformers.GPT2LMHeadModel(config)
    else:
        shape = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
        shape |= {"num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40}
        names = {"llama": ("LlamaConfig", "LlamaForCausalLM"), "qwen2": ("Qwen2Config", "Qwen2ForCausalLM")}[kind]
        config = getattr(transformers, names[0])(**shape, tie_word_embeddings=kind == "qwen2")
        model = getattr(transformers, names[1])(config)
    for value in model.parameters():  # biases begin with zeros, which would hide them
        torch.nn.init.normal_(value, std=0.3)
    return model.eval()


def ours_of(model, where="config.json"):
    config = model.config.to_dict()
    weights = decoder_weights(config, model.state_dict(), where)
    tokens, head = weights.pop(TOKENS), weights.pop(HEAD, None)
    decoder = Decoder(decoder_of(config, where))
    decoder.load_state_dict(weights)
    return decoder.eval(), tokens, tokens if head is None else head


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
@torch.no_grad()
def test_a_model_of_transformers_gives_the_same_scores_and_goes_on_the_same(kind):
    model = hub_model(kind)
    decoder, tokens, head = ours_of(model)
    ids = torch.randint(V, (2, 9), generator=torch.Generator().manual_seed(2))
    ours = F.linear(decoder(F.embedding(ids, tokens)), head)
    theirs = model(ids).logits
    assert float((ours - theirs).abs().max()) < 1e-5 * max(1.0, float(theirs.abs().max()))
    asked = {"do_sample": False, "pad_token_id": 0, "eos_token_id": V + 5}
    theirs = model.generate(ids[:1], attention_mask=torch.ones_like(ids[:1]), max_new_tokens=12, **asked)
    cache, said, new = Cache(), ids[:1], ids[:1]
    for _ in range(12):
        new = F.linear(decoder(F.embedding(new, tokens), cache)[:, -1:], head).argmax(dim=2)
        said = torch.cat([said, new], dim=1)
    assert torch.equal(said, theirs[:, : said.shape[1]])


def test_another_model_is_refused_in_a_sentence():
    config = hub_model("llama").config.to_dict()
    with pytest.raises(ValueError, match=r"config\.json: model_type is 'bloom', expected one of llama, qwen2, gpt2"):
        decoder_of({**config, "model_type": "bloom"}, "config.json")
    scaled = {**config, "rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "rope_parameters": None}
    with pytest.raises(ValueError, match="its rotary positions are scaled, which ours are not; give another model"):
        decoder_of(scaled, "config.json")
    with pytest.raises(ValueError, match=r"the weight 'model\.norm\.weight' is not there; fetch"):
        decoder_weights(config, {}, "config.json")


SHAPES = {
    "rotary": DecoderConfig(dim=16, num_layers=2, num_heads=4, num_key_heads=2, context=5, dropout=0.0),
    "learned": DecoderConfig(
        dim=16, num_layers=2, num_heads=4, norm="layer", activation="gelu", positions="learned", bias="all", context=12
    ),
}


def small(shape, **changes):
    torch.manual_seed(0)
    return Decoder(dataclasses.replace(SHAPES[shape], **changes)).eval()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sizes", [(11,), (1,) * 11, (4, 6, 1)])
@torch.no_grad()
def test_keys_and_values_that_are_kept_change_nothing(shape, sizes):
    decoder, x = small(shape), torch.randn(2, 11, 16)
    cache, whole = Cache(), decoder(x)
    parts = torch.cat([decoder(part, cache) for part in x.split(sizes, dim=1)], dim=1)
    assert float((parts - whole).abs().max()) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_padding_before_and_behind_changes_nothing_and_the_future_is_not_seen(shape):
    decoder, x = small(shape), torch.randn(1, 7, 16)
    alone, other = decoder(x), torch.randn(1, 4, 16)
    assert float((decoder(torch.cat([x, other], dim=1))[:, :7] - alone).abs().max()) < 1e-5
    longer = torch.cat([torch.cat([other, x], dim=1), torch.randn(1, 11, 16)])
    found = decoder(longer, starts=torch.tensor([4, 0]))
    assert float((found[:1, 4:] - alone).abs().max()) < 1e-5 and bool(found.isfinite().all())


@torch.no_grad()
def test_a_layer_looks_back_on_its_context_and_no_farther():
    decoder, x = small("rotary", num_layers=1), torch.randn(1, 9, 16)
    changed = torch.cat([torch.randn(1, 4, 16), x[:, 4:]], dim=1)
    same = (decoder(x) - decoder(changed)).abs().amax(dim=(0, 2)) < 1e-6
    assert same.tolist() == [False] * 8 + [True]
    with pytest.raises(ValueError, match=r"has 13 steps, but the learned positions end at 12 \(--model.decoder.cont"):
        small("learned")(torch.randn(1, 13, 16))
    with pytest.raises(ValueError, match="dim is 18, expected an even multiple of num_heads, 4"):
        dataclasses.replace(SHAPES["rotary"], dim=18)


@torch.no_grad()
def test_attention_without_torchs_own_is_the_same(monkeypatch):
    decoder, x = small("rotary"), torch.randn(2, 9, 16)
    found = [decoder(x), decoder(x[:, :5])]
    monkeypatch.setattr(attention, "_FUSED", False)
    assert all(float((one - other).abs().max()) < 1e-5 for one, other in zip(found, [decoder(x), decoder(x[:, :5])]))
