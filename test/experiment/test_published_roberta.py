"""Published RoBERTa over pairs of codes: fairseq's names and s3prl's file give what transformers' RoBERTa gives."""

from types import SimpleNamespace

import pytest
import torch

from icefall_discrete import CONF_DIR
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.experiment.initial_weights import begin_with
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.nn.acoustic_encoder import AcousticEncoderConfig
from icefall_discrete.systems.asr.transducer import ModelConfig, build_transducer
from icefall_discrete.systems.discrete_bert.network import build_discrete_bert
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.tokenizers.joint_codes import symbols_sha256

transformers = pytest.importorskip("transformers")
DICTIONARY = "3-4 90\n0-1 7\nmadeupword0000 0\n2-2 1\n"
SYMBOLS = [(3, 4), (0, 1), (2, 2)]
PLACES = 20
SHAPE = {"kind": "roberta", "dim": 16, "num_layers": 2, "num_heads": 2, "feedforward_dim": 24, "max_positions": PLACES}
MODEL = {"embedding_dim": 16, "front_end": "identity", "encoder": SHAPE}
SPEC = FeatureSpec("pairs", "codes", 16000, 100.0, 1, (4,), 0, {"symbols_sha256": symbols_sha256(SYMBOLS)})
IDS = torch.tensor([4, 5, 7, 3])  # of the codes 0 to 3, the unknown last
FITTING = ("fitting",)
# From transformers' names to fairseq's.
NAMES = (
    ("roberta.embeddings.word_embeddings", "embed_tokens"),
    ("roberta.embeddings.position_embeddings", "embed_positions"),
    ("roberta.embeddings.LayerNorm", "layernorm_embedding"),
    ("roberta.encoder.layer.", "layers."),
    ("attention.self.query", "self_attn.q_proj"),
    ("attention.self.key", "self_attn.k_proj"),
    ("attention.self.value", "self_attn.v_proj"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("attention.output.LayerNorm", "self_attn_layer_norm"),
    ("intermediate.dense", "fc1"),
    ("output.dense", "fc2"),
    ("output.LayerNorm", "final_layer_norm"),
)


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    model = transformers.RobertaForMaskedLM(
        transformers.RobertaConfig(
            vocab_size=9,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=PLACES + 2,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            pad_token_id=1,
            attn_implementation="eager",
        )
    ).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(std=0.3)
        model.roberta.embeddings.token_type_embeddings.weight.zero_()  # fairseq has none
    return model


def fairseq_weights(model, before="encoder.sentence_encoder."):
    """The weights by fairseq's names."""
    weights = {}
    for name, value in model.state_dict().items():
        if name.startswith("lm_head."):
            known = {"lm_head.decoder.weight": "lm_head.weight", "lm_head.decoder.bias": "lm_head.bias"}
            weights[f"encoder.{known.get(name, name)}"] = value
        elif "token_type" not in name and "position_ids" not in name:
            for theirs, fairseqs in NAMES:
                name = name.replace(theirs, fairseqs)
            weights[before + name] = value
    return weights


def settings(**changes):
    values = {"encoder_attention_heads": 2, "activation_fn": "gelu", "max_positions": PLACES, **changes}
    namespace = type(ScriptParser("").parse_args([]))  # of argparse, as fairseq keeps them
    return namespace(arch="roberta_base", **values)


def published(folder, model, **changes):
    """A folder as fairseq publishes it."""
    folder.mkdir()
    (folder / "dict.txt").write_text(DICTIONARY)
    torch.save({"args": settings(**changes), "model": fairseq_weights(model)}, folder / "bert_kmeans.pt")
    return folder


def old_names(weights):
    """As fairseq wrote them before 0.9, with the projections of attention in one."""
    old = {}
    for name, value in weights.items():
        name = name.replace("encoder.", "decoder.", 1).replace("layernorm_embedding", "emb_layer_norm")
        if "q_proj" in name:
            parts = [value, *(weights[name.replace("decoder.", "encoder.", 1).replace("q_", f"{x}_")] for x in "kv")]
            old[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        elif "k_proj" not in name and "v_proj" not in name:
            old[name] = value
    return old


def states(model, ids):
    with torch.no_grad():
        return model.roberta(ids[None], output_hidden_states=True).hidden_states[1:]


def begun(place, spec=SPEC, **changes):
    torch.manual_seed(1)
    network = build_discrete_bert(
        from_dict(AcousticEncoderConfig, {**MODEL, "encoder": {**SHAPE, **changes}}, "test"), spec
    )
    said = begin_with(network, InitialConfig(str(place), FITTING), spec, None).said
    return network.eval(), said


@pytest.mark.parametrize("form", ["folder", "old", "converted"])
@pytest.mark.parametrize("marks", [True, False])
def test_states_of_every_layer_are_those_of_transformers(tmp_path, reference, form, marks):
    folder = published(tmp_path / "bert", reference)
    place = folder
    if form == "old":
        state = {"args": settings(), "model": old_names(fairseq_weights(reference))}
        torch.save(state, folder / "bert_kmeans.pt")
        place = folder / "bert_kmeans.pt"
    elif form == "converted":
        place = tmp_path / "vq_wav2vec_kmeans_roberta.pt"
        weights = {"model_weight": fairseq_weights(reference), "text_dictionary": DICTIONARY}
        torch.save({"task_cfg": settings(), "model_cfg": settings(), **weights}, place)
    network, said = begun(place, marks=marks)
    assert "anew" not in said
    codes = torch.tensor([0, 3, 1, 2, 2, 0, 1, 3, 0, 0])
    ids = IDS[codes]
    ids = torch.cat([torch.tensor([0]), ids, torch.tensor([2])]) if marks else ids
    expected = [one[0, 1:-1] if marks else one[0] for one in states(reference, ids)]
    with torch.no_grad():
        found = network.encode(codes.view(1, -1, 1), torch.tensor([len(codes)]), inner=(0, 1))
    for (inner, _), theirs in zip(found.inner, expected):
        torch.testing.assert_close(inner[0], theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.encoder_out[0], expected[-1], rtol=1e-4, atol=1e-5)


def test_scores_of_hidden_codes_are_those_of_transformers(tmp_path, reference):
    network, _ = begun(published(tmp_path / "bert", reference))
    codes = torch.tensor([0, 3, 1, 2, 2, 0, 1])
    hidden = torch.tensor([0, 0, 1, 1, 0, 0, 0]).bool()
    ids = torch.where(hidden, torch.tensor(8), IDS[codes])  # <mask> is behind the dictionary
    ids = torch.cat([torch.tensor([0]), ids, torch.tensor([2])])
    with torch.no_grad():
        logits = reference(ids[None]).logits[0, 1:-1][:, IDS]
        nats = torch.nn.functional.cross_entropy(logits[hidden], codes[hidden], reduction="sum")
        shown = codes.view(1, -1, 1)
        found = network.find(shown, torch.tensor([7]), shown, hidden[None], hidden[None])
    assert float(found.nats) == pytest.approx(float(nats), rel=1e-4) and int(found.hidden) == 2


def test_a_recogniser_begins_with_its_encoder(tmp_path, reference):
    model = {**MODEL, "heads": {"transducer": {"decoder_dim": 8, "joiner_dim": 8}}}
    config = from_dict(ModelConfig, model, "test")
    network = build_transducer(config, SPEC, 11, AugmentConfig())
    said = begin_with(network, InitialConfig(str(published(tmp_path / "bert", reference)), FITTING), SPEC, None).said
    assert "Begins with input_embedding, encoder of" in said and "left there: head, mask_vector." in said
    expected = reference.roberta.encoder.layer[1].output.dense.weight
    assert torch.equal(network.encoder.layers[1].feed_forward.w_2.weight, expected)


def test_what_would_mean_something_else_is_refused_in_a_sentence(tmp_path, reference):
    place = published(tmp_path / "bert", reference)
    with pytest.raises(ValueError, match=r"bert has max_positions 20, here it is 40; set --model.encoder.max-pos"):
        begun(place, max_positions=40)
    with pytest.raises(ValueError, match=r"bert has num_heads 2, here it is 4"):
        begun(place, num_heads=4)
    other = FeatureSpec("pairs", "codes", 16000, 100.0, 1, (4,), 0, {"symbols_sha256": "0" * 64})
    with pytest.raises(ValueError, match=r"knows 3 pairs of codes by its dict\.txt, which are not those of 'pairs'"):
        begun(place, spec=other)
    with pytest.raises(ValueError, match=r"activation_fn relu, which is not known here, but gelu"):
        begun(published(tmp_path / "relu", reference, activation_fn="relu"))
    with pytest.raises(ValueError, match=r"dict\.txt:1: '3-4', expected a symbol and its count"):
        (place / "dict.txt").write_text("3-4\n")
        begun(place)
    (place / "dict.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"bert_kmeans\.pt is a RoBERTa, but .*dict\.txt is missing"):
        begun(place / "bert_kmeans.pt")


def test_the_recipe_of_published_checkpoints_has_their_shape(monkeypatch):
    for name in ("xavier_uniform_", "kaiming_uniform_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda weight, *rest, **named: weight)  # large ones take seconds
    path = CONF_DIR / "recipes" / "finetune_discrete_bert.json"
    settings = read_settings(path, None, [], SimpleNamespace())
    spec = FeatureSpec("pairs", "codes", 16000, 100.0, 1, (13500,), 0)
    network = build_transducer(settings.model, spec, 30, AugmentConfig())
    layers = 12 * (4 * 768 * 769 + 768 * 3073 + 3072 * 769 + 4 * 768)  # attention, feed-forward, two norms
    assert sum(value.numel() for value in network.encoder.parameters()) == layers + (2048 + 2 + 2) * 768
    assert settings.model.front_end.stride == 1 and settings.loss.ctc_loss_scale == 1.0
