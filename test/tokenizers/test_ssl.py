"""Layers of SSL models against transformers, and against fairseq and unilm by what these gave for the same weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from toy_tokenizers import Toy

from icefall_discrete.tokenizers.frames.ssl import (
    MODEL_CLASSES,
    SslFrames,
    SslSettings,
    normalized,
    piece_bounds,
)

CHECKPOINTS = Path(__file__).resolve().parents[1] / "assets" / "fairseq"
TOY = Toy(lambda folder: {"model": str(CHECKPOINTS / "wavlm_large.pt"), "layer": 2}, edge_frames=2)
LAYERS = 3
# Model type, and whether norms come before (as in large models) or after; data2vec knows only the latter.
KINDS = [(name, large) for name in MODEL_CLASSES for large in ((False,) if name == "data2vec-audio" else (False, True))]


def save_model(folder, model_type, large, **changes):
    """Random weights of a small model, norms included, saved as transformers saves them: the model."""
    config = transformers.AutoConfig.for_model(
        model_type,
        hidden_size=24,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=3 if model_type == "data2vec-audio" else 8,
        num_conv_pos_embedding_groups=2,
        **changes,
    )
    config.do_stable_layer_norm = large
    config.feat_extract_norm = "layer" if large else "group"
    model = getattr(transformers, MODEL_CLASSES[model_type])(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": large}))
    return model


def encoder_of(folder, layer, **settings):
    return SslFrames(SslSettings(model=str(folder), layer=layer, **settings))


def scaled(samples):
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    return extractor(samples.numpy(), sampling_rate=16000, return_tensors="pt").input_values


def reference(model, values):
    """hidden_states 0 .. L - 1, the raw output of the last layer, and the last hidden state."""
    caught = []
    hook = model.encoder.layers[-1].register_forward_hook(lambda module, args, output: caught.append(output))
    with torch.no_grad():
        found = model(values, output_hidden_states=True)
    hook.remove()
    raw = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    return [*(state[0] for state in found.hidden_states[:LAYERS]), raw.reshape(-1, raw.shape[-1])], found


@pytest.mark.parametrize("model_type, large", KINDS)
def test_every_layer_equals_transformers(tmp_path, speech, model_type, large):
    model = save_model(tmp_path, model_type, large)
    values = scaled(speech) if large else speech[None]
    states, found = reference(model, values)
    for layer, expected in enumerate(states):
        encoder = encoder_of(tmp_path, layer)
        ours = encoder.frames(speech)
        assert ours.shape == expected.shape == ((len(speech) - 400) // 320 + 1, 24) and encoder.dim == 24
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-4)
        assert encoder.normalisation == ("unit_variance 1e-07" if large else "none")
    last = found.last_hidden_state[0]
    with torch.no_grad():
        normed = model.encoder.layer_norm(ours) if large else ours
    torch.testing.assert_close(normed, last, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["hubert", "wav2vec2", "wav2vec2_ctc", "data2vec", "wavlm_base", "wavlm_large"])
def test_checkpoints_give_the_states_of_their_authors_code(speech, name):
    with np.load(CHECKPOINTS / "golden.npz") as golden:
        expected = torch.from_numpy(golden[name])
    for layer in (1, 2, 3):
        encoder = encoder_of(CHECKPOINTS / f"{name}.pt", layer)
        torch.testing.assert_close(encoder.frames(speech[4000:13600]), expected[layer - 1], atol=5e-5, rtol=1e-4)
    assert encoder.normalisation == ("none" if name in ("wav2vec2", "wavlm_base") else "layer_norm 1e-05")
    assert encoder.provenance["model"] == f"{name}.pt"


def test_only_the_layers_up_to_the_one_wanted_are_there(tmp_path):
    save_model(tmp_path, "hubert", True)
    for layer, expected in ((0, 1), (1, 1), (2, 2), (3, 3)):
        assert len(encoder_of(tmp_path, layer)._model[0].encoder.layers) == expected
    with pytest.raises(ValueError, match=r"layer is 4, but .* has layers 0 to 3"):
        _ = encoder_of(tmp_path, 4).dim


def test_normalisation_is_that_of_each_library(speech):
    quiet = speech[:8000] * 0.003 + 0.01
    torch.testing.assert_close(normalized(quiet, "unit_variance"), scaled(quiet)[0], atol=1e-5, rtol=1e-4)
    assert torch.equal(normalized(quiet, "layer_norm"), torch.nn.functional.layer_norm(quiet, quiet.shape))
    assert torch.equal(normalized(quiet, "none"), quiet)
    assert (normalized(quiet, "layer_norm") - normalized(quiet, "unit_variance")).abs().max() > 0.1


def test_the_rule_of_the_model_can_be_overruled(tmp_path, speech):
    model = save_model(tmp_path, "wavlm", True)
    for rule in ("none", "layer_norm", "unit_variance"):
        states, _ = reference(model, normalized(speech, rule)[None])
        encoder = encoder_of(tmp_path, 3, normalize=rule)
        torch.testing.assert_close(encoder.frames(speech), states[3], atol=2e-5, rtol=1e-4)
        assert encoder.normalisation.startswith(rule)
    (tmp_path / "preprocessor_config.json").unlink()
    assert encoder_of(tmp_path, 3).normalisation == "unit_variance 1e-07", "layer norm in the convolutions says so"
    with pytest.raises(ValueError, match="normalize is 'maybe'"):
        SslSettings(normalize="maybe")


@pytest.mark.parametrize("num_samples", [400, 719, 720, 16000, 16079, 16080, 31999, 32000, 32001, 99999])
@pytest.mark.parametrize("max_samples", [16000, 23456])
def test_pieces_lose_no_frame(num_samples, max_samples):
    bounds = piece_bounds(num_samples, max_samples)
    frames = [(end - start - 400) // 320 + 1 for start, end in bounds]
    assert sum(frames) == (num_samples - 400) // 320 + 1
    assert all(start == 320 * sum(frames[:index]) for index, (start, _) in enumerate(bounds))
    assert len(set(frames[:-1])) <= 1 and 1 <= frames[-1] <= frames[0]
    assert bounds[-1][1] == num_samples
    assert all(end - start <= max_samples + 400 for start, end in bounds)
    assert len(bounds) == 1 or num_samples > max_samples


def test_long_audio_is_normalised_whole_and_encoded_in_pieces(tmp_path, speech):
    model = save_model(tmp_path, "hubert", True)
    encoder = encoder_of(tmp_path, 2, max_chunk_sec=1.0)
    ours = encoder.frames(speech)
    values = normalized(speech, "unit_variance")
    pieces = [reference(model, values[None, start:end])[0][2] for start, end in piece_bounds(len(speech), 16000)]
    assert len(pieces) == 3
    torch.testing.assert_close(ours, torch.cat(pieces), atol=2e-5, rtol=1e-4)
    whole = encoder_of(tmp_path, 2).frames(speech)
    assert whole.shape == ours.shape and (whole - ours).abs().max() > 0.01


@pytest.mark.parametrize("model_type, large", KINDS)
def test_side_by_side_each_has_the_frames_that_it_has_alone(tmp_path, speech, model_type, large):
    save_model(tmp_path, model_type, large)
    samples = [speech[:9000], speech[2000:18000], speech[:400], speech[5000:14000], speech]
    for layer in (0, 3):
        encoder = encoder_of(tmp_path, layer, max_chunk_sec=1.5)  # the last one is longer, and goes in pieces
        if model_type == "data2vec-audio":
            assert encoder.why_not_together() == "its convolutions over positions hear the padding of others"
            return
        assert encoder.why_not_together() == ""
        for one, together in zip(samples, encoder.frames_together(samples)):
            torch.testing.assert_close(together, encoder.frames(one), atol=2e-5, rtol=1e-4)


def test_where_norms_are_over_time_only_the_equally_long_go_together(tmp_path, speech, monkeypatch):
    save_model(tmp_path, "hubert", False)
    encoder, sizes = encoder_of(tmp_path, 2), []
    plain = SslFrames._states

    def noted(self, values, mask):
        sizes.append(tuple(values.shape))
        assert mask is None
        return plain(self, values, mask)

    monkeypatch.setattr(SslFrames, "_states", noted)
    encoder.frames_together([speech[:9000], speech[:8000], speech[4000:13000]])
    assert sizes == [(2, 9000), (1, 8000)]


def rename_weight_norm(weights):
    """The other of torch's two ways to name a normalised weight."""
    names = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    names = {**names, **{new: old for old, new in names.items()}}
    renamed = {}
    for name, value in weights.items():
        end = next((end for end in names if name.endswith(f".{end}")), None)
        renamed[name if end is None else name[: -len(end)] + names[end]] = value
    return renamed


def test_weights_of_other_releases_and_heads_are_read(tmp_path, speech):
    save_model(tmp_path, "wavlm", False)
    expected = encoder_of(tmp_path, 3).frames(speech)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    renamed = {f"wavlm.{name}": value for name, value in rename_weight_norm(weights).items()}
    assert set(renamed).isdisjoint(weights)
    save_file({**renamed, "lm_head.weight": torch.zeros(3, 24)}, path)
    assert torch.equal(encoder_of(tmp_path, 3).frames(speech), expected)
    path.unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert torch.equal(encoder_of(tmp_path, 3).frames(speech), expected)


def test_adapters_of_mms_are_part_of_a_layer(tmp_path, speech):
    model = save_model(tmp_path, "wav2vec2", True, adapter_attn_dim=4, add_adapter=True)
    states, _ = reference(model, scaled(speech))
    torch.testing.assert_close(encoder_of(tmp_path, 2).frames(speech), states[2], atol=2e-5, rtol=1e-4)


def test_models_that_cannot_be_read_are_named(tmp_path, speech):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        encoder_of(tmp_path / "nowhere", 1).frames(speech)
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        encoder_of(tmp_path / "gone.pt", 1).frames(speech)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FileNotFoundError, match=r"expected config\.json and model\.safetensors"):
        encoder_of(tmp_path, 1).frames(speech)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is a model of type 'bert', expected one of hubert, wavlm"):
        encoder_of(tmp_path, 1).frames(speech)
    folder = tmp_path / "hubert"
    save_model(folder, "hubert", False)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layers.1.layer_norm.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 are missing \(encoder\.layers\.1\.layer_norm\.weight"):
        encoder_of(folder, 2).frames(speech)
    assert encoder_of(folder, 1).frames(speech).shape[1] == 24, "layer 1 needs nothing of layer 2"
    with pytest.raises(ValueError, match=r"wav2vec\.pt has no 'post_extract_proj'"):
        encoder_of(CHECKPOINTS / "wav2vec.pt", 1).frames(speech)


def test_provenance_follows_the_weights(tmp_path):
    save_model(tmp_path / "a", "hubert", False)
    save_model(tmp_path / "b", "hubert", True)
    first, second = (encoder_of(tmp_path / name, 1).provenance for name in ("a", "b"))
    assert first["model"] == "a" and first["model_sha256"] != second["model_sha256"]
