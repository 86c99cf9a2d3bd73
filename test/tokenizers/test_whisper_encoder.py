"""Whisper's front end and encoder against transformers and CTranslate2, and a transcript from our states."""

import copy
import json

import numpy as np
import pytest
import torch
from ctranslate2_writer import model as ctranslate2_file
from real_weights import real_weights
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel

from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.base.settings import from_dict
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.formats.ctranslate2_files import read_ctranslate2
from icefall_discrete.tokenizers.frames.whisper import WhisperFrames, WhisperSettings, locate_model, log_mel
from icefall_discrete.tokenizers.networks.whisper_encoder import read_whisper_encoder

EMBEDDINGS = "decoder/embeddings/weight"


def tiny_config(max_source_positions):
    return WhisperConfig(
        d_model=32,
        encoder_layers=3,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=100,
        max_source_positions=max_source_positions,
        max_target_positions=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )


def save_model(cls, folder, max_source_positions=100):
    """Random weights of a tiny Whisper, saved as transformers saves them: the model."""
    torch.manual_seed(0)
    model = cls(tiny_config(max_source_positions)).eval()
    model.save_pretrained(folder, safe_serialization=True)
    return model


def save_ctranslate2(model, folder, quantization):
    """The same weights as CTranslate2's own converter saves them."""
    converters = pytest.importorskip("ctranslate2.converters.transformers")
    # It multiplies weights in place.
    spec = converters._MODEL_LOADERS["WhisperConfig"].get_model_spec(copy.deepcopy(model))
    spec.register_vocabulary(["<|endoftext|>", "<|startoftranscript|>", *map(str, range(98))])
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir()
    spec.save(str(folder))


def states_of_the_library(folder, mel):
    """Final states (T, D) of a spectrogram (M, F) by CTranslate2, in float32."""
    library = pytest.importorskip("ctranslate2")
    model = library.models.Whisper(str(folder), device="cpu", compute_type="float32")
    view = library.StorageView.from_array(mel[None].contiguous().numpy())
    return torch.from_numpy(np.array(model.encode(view, to_cpu=True)))[0]


def for_the_library(folder, target):
    """Real weights with what the library wants beside them: names of ids (of tiny.en where they matter), settings."""
    (target / "model.bin").symlink_to(folder / "model.bin")
    names = [
        f"<{number}>"
        for number in range(
            len(read_ctranslate2(folder / "model.bin", lambda name: name == EMBEDDINGS).tensors[EMBEDDINGS])
        )
    ]
    names[50256:50258] = ["<|endoftext|>", "<|startoftranscript|>"]
    names[50361:50363] = ["<|nospeech|>", "<|notimestamps|>"]
    (target / "vocabulary.json").write_text(json.dumps(names))
    lists = ("suppress_ids", "suppress_ids_begin", "lang_ids", "alignment_heads")
    (target / "config.json").write_text(json.dumps({name: [] for name in lists}))


def settings_of(folder, layer=0, pad_sec=1.0):
    return WhisperSettings(model=str(folder), layer=layer, pad_sec=pad_sec)


def reference_mel(samples):
    features = WhisperFeatureExtractor()(samples.numpy(), sampling_rate=16000, padding=False, return_tensors="np")
    return torch.from_numpy(features.input_features).float()


def test_log_mel_equals_transformers(speech):
    samples = speech[:32000]
    ours = log_mel(samples, mel_filters(16000, 400, 80, 0.0, 8000.0))
    reference = reference_mel(samples)[0]
    assert ours.shape == reference.shape == (80, 200)
    assert (ours - reference).abs().max() < 1e-4


@pytest.mark.parametrize("cls", [WhisperModel, WhisperForConditionalGeneration])
def test_states_equal_transformers(tmp_path, speech, cls):
    # 1.8 s of audio and 0.2 s of silence fill the model's window of 2 s exactly.
    model = save_model(cls, tmp_path)
    encoder = model.get_encoder()
    samples = speech[:28800]
    with torch.no_grad():
        reference = encoder(reference_mel(torch.nn.functional.pad(samples, (0, 3200)))).last_hidden_state[0]
    ours = WhisperFrames(settings_of(tmp_path, pad_sec=0.2)).frames(samples)
    assert ours.shape == (90, 32)
    torch.testing.assert_close(ours, reference[:90], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_any_layer_can_be_taken(tmp_path, speech, layer):
    model = save_model(WhisperModel, tmp_path)
    caught = []
    model.encoder.layers[layer - 1].register_forward_hook(
        lambda module, args, output: caught.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.no_grad():
        model.encoder(reference_mel(speech[:32000]))
    ours = WhisperFrames(settings_of(tmp_path, layer=layer, pad_sec=0.0)).frames(speech[:32000])
    torch.testing.assert_close(ours, caught[0].reshape(100, 32), atol=1e-4, rtol=1e-4)


def test_a_layer_that_is_not_there_is_refused(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    with pytest.raises(ValueError, match=r"layer is 4, but .* has layers 1 to 3"):
        WhisperFrames(settings_of(tmp_path, layer=4)).frames(speech)


def test_layers_stand_side_by_side_and_leave_the_description_of_one_alone(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    several = WhisperFrames(WhisperSettings(model=str(tmp_path), layers=(2, 0, 1)))
    each = [WhisperFrames(settings_of(tmp_path, layer)) for layer in (2, 0, 1)]
    assert several.dim == 3 * each[0].dim
    assert torch.equal(several.frames(speech), torch.cat([one.frames(speech) for one in each], dim=1))
    assert several.description()["layers"] == [2, 0, 1] and "layers" not in each[0].description()
    with pytest.raises(ValueError, match=r"mine\.json: setting 'layers' is \[1, 1\], but .*none of them twice"):
        from_dict(WhisperSettings, {"layers": [1, 1]}, "mine.json")
    with pytest.raises(ValueError, match=r"layer is 2 and layers \[1\]; give one of them"):
        WhisperFrames(WhisperSettings(model=str(tmp_path), layer=2, layers=(1,)))
    with pytest.raises(ValueError, match=r"layer is 4, but .* has layers 1 to 3"):
        WhisperFrames(WhisperSettings(model=str(tmp_path), layers=(1, 4))).frames(speech)


@pytest.mark.parametrize("pad_sec", [0.0, 0.3])
def test_side_by_side_each_has_the_states_that_it_has_alone(tmp_path, speech, pad_sec):
    save_model(WhisperModel, tmp_path)
    states = WhisperFrames(WhisperSettings(model=str(tmp_path), layers=(2, 0), pad_sec=pad_sec))
    # The longest fills the window of 2 s and goes in pieces, the shortest has two states.
    samples = [speech[:9000], torch.cat([speech, speech]), speech[3000:30000], speech[:400], speech[:32000]]
    assert states.why_not_together() == ""
    for one, together in zip(samples, states.frames_together(samples)):
        torch.testing.assert_close(together, states.frames(one), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(states.frames_together(samples[1:2])[0], states.frames(samples[1]))


def test_short_audio_equals_a_model_with_a_shorter_window(tmp_path, speech):
    # The positions of a model for 1 s are the first ones of a model for 2 s, so the library itself can run the former.
    long = save_model(WhisperModel, tmp_path, 100)
    short = WhisperModel(tiny_config(50)).eval()
    weights = long.state_dict()
    weights["encoder.embed_positions.weight"] = weights["encoder.embed_positions.weight"][:50]
    short.load_state_dict(weights)
    with torch.no_grad():
        reference = short.encoder(reference_mel(speech[:16000])).last_hidden_state[0]
    states = WhisperFrames(settings_of(tmp_path, pad_sec=0.0))
    torch.testing.assert_close(states.frames(speech[:16000]), reference, atol=1e-4, rtol=1e-4)
    whole = states.frames(speech[:32000])
    assert torch.equal(states.frames(speech[:32000]), whole), "a short utterance in between changed the model"


def test_long_audio_is_encoded_in_equal_pieces(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    audio = torch.cat([speech, speech, speech])[:80000]  # 5 s for a window of 2 s: three pieces
    states = WhisperFrames(settings_of(tmp_path, pad_sec=0.0))
    assert states.frames(audio).shape == (250, 32)
    assert not torch.equal(states.frames(audio)[:84], states.frames(audio)[84:168])
    assert states.frames(audio[:32000]).shape == states.frames(audio[:31999]).shape == (100, 32)
    assert states.frames(audio[:32001]).shape == (101, 32)


def test_padding_never_makes_a_second_piece(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    audio = speech[:31000]
    with_padding = WhisperFrames(settings_of(tmp_path, pad_sec=9.0)).frames(audio)
    assert torch.equal(with_padding, WhisperFrames(settings_of(tmp_path, pad_sec=1000 / 16000)).frames(audio))


@pytest.mark.parametrize("quantization", ["float32", "float16", "bfloat16", "int16", "int8", "int8_float16"])
def test_a_folder_of_ctranslate2_gives_the_states_of_its_library(tmp_path, speech, quantization):
    # 2 s fill the model's window; 1.3 s do not.
    model = save_model(WhisperForConditionalGeneration, tmp_path / "published")
    save_ctranslate2(model, tmp_path / "converted", quantization)
    encoder = read_whisper_encoder(tmp_path / "converted", [0])
    for samples in (speech[:32000], speech[:20800]):
        mel = reference_mel(samples)[0]
        with torch.no_grad():
            ours = encoder(mel, [0])
        torch.testing.assert_close(ours, states_of_the_library(tmp_path / "converted", mel), atol=2e-5, rtol=1e-4)
    near = {"float32": 1e-5, "float16": 0.01, "bfloat16": 0.05}.get(quantization, 0.5)
    published = WhisperFrames(settings_of(tmp_path / "published"))
    converted = WhisperFrames(settings_of(tmp_path / "converted"))
    assert (published.frames(speech) - converted.frames(speech)).abs().max() < near
    for layer in (1, 3):
        published, converted = (WhisperFrames(settings_of(tmp_path / n, layer)) for n in ("published", "converted"))
        assert (published.frames(speech) - converted.frames(speech)).abs().max() < near
        assert len(converted._model.layers) == layer


@pytest.mark.parametrize("name", ["whisper_base", "whisper_tiny_en"])
def test_real_weights_give_the_states_of_the_library(tmp_path, speech, name):
    folder = real_weights(name)
    samples = speech[:32000]  # without silence behind it, of which either's states may be 1e-3 from exact ones
    frames = WhisperFrames(WhisperSettings(model=f"weights:{name}", pad_sec=0.0))
    for_the_library(folder, tmp_path)
    library = states_of_the_library(tmp_path, log_mel(samples, frames._filters))
    torch.testing.assert_close(frames.frames(samples), library, atol=5e-5, rtol=1e-4)
    assert library.abs().max() > 4


def test_a_network_may_run_in_other_numbers(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    frames = WhisperFrames(settings_of(tmp_path))
    exact = frames.frames(speech)
    frames.move(Placement(dtype=torch.bfloat16))
    coarse = frames.frames(speech)
    assert coarse.dtype == torch.float32 and 0 < (coarse - exact).abs().max() < 0.2
    assert frames.why_not_elsewhere() == ""


def read_edited(tmp_path, speech, edit):
    """Read a model of CTranslate2 that was edited."""
    model = save_model(WhisperForConditionalGeneration, tmp_path / "published")
    save_ctranslate2(model, tmp_path / "converted", "float32")
    path = tmp_path / "converted" / "model.bin"
    found = read_ctranslate2(path, lambda name: name.startswith("encoder/"), whole=["encoder/num_heads"])
    tensors, kind = found.tensors, "WhisperSpec"
    kind = edit(tensors) or kind
    path.write_bytes(ctranslate2_file(tensors, kind=kind))
    return WhisperFrames(settings_of(path.parent)).frames(speech)


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda tensors: None, ""),
        (lambda tensors: "TransformerSpec", "is a model of kind TransformerSpec, revision 3, expected WhisperSpec"),
        (lambda tensors: tensors.pop("encoder/num_heads") and "", "has no weight 'num_heads'"),
        (
            lambda tensors: tensors.update({"encoder/num_heads": torch.tensor(5).short()}),
            "32 dimensions cannot be parted",
        ),
        (lambda tensors: tensors.update({"encoder/num_heads": torch.tensor(0).short()}), "num_heads is 0, expected"),
        (lambda tensors: tensors.update({"encoder/gate": torch.ones(2)}), "1 weights are not understood"),
        (
            lambda tensors: tensors.pop("encoder/layer_1/ffn/linear_0/bias")[:0].sum() and "",
            "has no weight 'layer_1/ffn",
        ),
        (
            lambda tensors: tensors.update({"encoder/conv1/weight": torch.ones(32, 80)}),
            "conv1.weight is missing or has",
        ),
        (lambda tensors: tensors.update({"encoder/conv2/weight": torch.ones(32, 32, 5)}), "size mismatch for conv2"),
        (lambda tensors: tensors.update({"encoder/layer_999999999/x": torch.ones(2)}), "has no weight 'layer_3/"),
    ],
)
def test_a_folder_of_ctranslate2_that_is_not_understood(tmp_path, speech, edit, message):
    if not message:
        assert read_edited(tmp_path, speech, edit).shape == (102, 32)
        return
    with pytest.raises(ValueError, match=message) as caught:
        read_edited(tmp_path, speech, edit)
    assert "model.bin" in str(caught.value) or "converted" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frame_counts_are_those_of_states_that_begin_in_the_audio(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    states = WhisperFrames(settings_of(tmp_path))
    for samples in (400, 639, 640, 641, 959, 960, 961, 1279, 1280, 1281, 3201):
        assert len(states.frames(speech[:samples])) == -(-samples // 320)


def test_states_can_be_transcribed(tmp_path, speech):
    """The strictest test of the front end: the decoder reads from our states what the voice says."""
    library = pytest.importorskip("ctranslate2")
    folder = real_weights("whisper_tiny_en")
    # Ids in place of pieces, as the vocabulary is not among the weights.
    text = [3802, 262, 1271, 345, 4601, 284, 869]  # enter the number you wish to call
    states = WhisperFrames(WhisperSettings())
    view = library.StorageView.from_array(states.frames(speech)[None].numpy())
    for_the_library(folder, tmp_path)
    model = library.models.Whisper(str(tmp_path), compute_type="float32")
    found = model.generate(view, [[50257, 50362]], beam_size=1, max_length=16)[0].sequences_ids[0]
    assert [number for number in found if number in text] == text, found


def test_a_second_of_padding_is_nearly_as_good_as_thirty(speech):
    real_weights("whisper_tiny_en")
    short, full = (WhisperFrames(WhisperSettings(pad_sec=pad_sec)).frames(speech) for pad_sec in (1.0, 30.0))
    centre = full.mean(dim=0)
    assert torch.nn.functional.cosine_similarity(short - centre, full - centre).mean() > 0.95


def test_missing_package_says_what_to_install():
    with pytest.raises(FileNotFoundError, match="no_such_whisper is not installed; run `pip install no-such-whisper`"):
        WhisperFrames(WhisperSettings(model="package:no_such_whisper/model")).provenance  # noqa: B018


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent': this folder does not exist"):
        locate_model(str(tmp_path / "absent"))


def test_unreachable_hub_is_one_sentence(monkeypatch):
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(FileNotFoundError, match=r"'org/name' is neither on this disk .*\(ConnectionError: no route\)"):
        locate_model("org/name")


def test_hub_id_is_downloaded_without_pickles(monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}

    def download(hub_id, allow_patterns):
        asked.update(hub_id=hub_id, patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert locate_model("org/name") == tmp_path
    assert asked["hub_id"] == "org/name"
    assert not [pattern for pattern in asked["patterns"] if "pytorch" in pattern or pattern.endswith(".pt")]


def test_pickled_weights_are_refused(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="pickled weights are not read"):
        WhisperFrames(settings_of(tmp_path)).frames(speech)


def test_another_kind_of_model_is_refused(tmp_path, speech):
    save_model(WhisperModel, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(ValueError, match="model of type 'bert', expected 'whisper'"):
        WhisperFrames(settings_of(tmp_path)).frames(speech)


def test_a_broken_ctranslate2_model_is_named(tmp_path, speech):
    (tmp_path / "model.bin").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"model\.bin is no model of CTranslate2 that can be read"):
        WhisperFrames(settings_of(tmp_path)).frames(speech)


def test_provenance_names_a_local_model_without_its_path(tmp_path):
    folder = tmp_path / "my-whisper"
    save_model(WhisperModel, folder)
    provenance = WhisperFrames(settings_of(folder)).provenance
    assert provenance["model"] == "my-whisper"
    other = tmp_path / "other" / "my-whisper"
    torch.manual_seed(1)
    WhisperModel(tiny_config(100)).save_pretrained(other, safe_serialization=True)
    assert provenance["model_sha256"] != WhisperFrames(settings_of(other)).provenance["model_sha256"]


def test_sharded_weights_are_read(tmp_path, speech):
    model = save_model(WhisperModel, tmp_path / "whole")
    model.save_pretrained(tmp_path / "sharded", safe_serialization=True, max_shard_size="20KB")
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    whole, sharded = (WhisperFrames(settings_of(tmp_path / name)) for name in ("whole", "sharded"))
    np.testing.assert_array_equal(whole.frames(speech), sharded.frames(speech))


@pytest.mark.parametrize(
    "change, complaint",
    [
        (
            {"num_heads": torch.tensor([2, 2], dtype=torch.int8)},
            r"num_heads has shape \(2,\), expected one whole number",
        ),
        ({"num_heads": torch.tensor(4.9)}, "num_heads is 4.9, expected a whole number above 0"),
        ({"num_heads": torch.tensor(float("inf"))}, "num_heads is inf, expected a whole number"),
        ({"num_heads": torch.tensor(float("nan"))}, "num_heads is nan, expected a whole number"),
        ({"num_heads": torch.tensor(0, dtype=torch.int8)}, "num_heads is 0, expected a whole number"),
        ({"position_encodings/encodings": torch.zeros(0, 8)}, r"positions has shape \(0, 8\), which holds nothing"),
        ({"conv1/weight": torch.zeros(8, 0, 3)}, r"conv1\.weight has shape \(8, 0, 3\), which holds nothing"),
        ({"conv1/weight": torch.ones(8, 80, 3, dtype=torch.int8)}, "conv1/weight holds whole numbers of torch.int8"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused_in_one_sentence(tmp_path, change, complaint):
    encoder = {"num_heads": torch.tensor(2, dtype=torch.int8), "position_encodings/encodings": torch.zeros(10, 8)}
    shapes = {"conv1": (8, 80, 3), "conv2": (8, 8, 3), "layer_0/ffn/linear_0": (16, 8), "layer_0/ffn/linear_1": (8, 16)}
    attention = {f"layer_0/self_attention/linear_{n}": (size, 8) for n, size in ((0, 24), (1, 8))}
    for name, shape in {**shapes, **attention}.items():
        encoder.update({f"{name}/weight": torch.zeros(shape), f"{name}/bias": torch.zeros(shape[0])})
    for name in ("layer_norm", "layer_0/self_attention/layer_norm", "layer_0/ffn/layer_norm"):
        encoder.update({f"{name}/{kind}": torch.zeros(8) for kind in ("gamma", "beta")})
    path = tmp_path / "model.bin"
    for changed in ({}, change):
        whole = {f"encoder/{name}": value for name, value in {**encoder, **changed}.items()}
        path.write_bytes(ctranslate2_file(whole))
        if not changed:
            assert read_whisper_encoder(tmp_path, [0]).sizes.num_heads == 2
    with pytest.raises(ValueError, match=complaint) as caught:
        read_whisper_encoder(tmp_path, [0])
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
