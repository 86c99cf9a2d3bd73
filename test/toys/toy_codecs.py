"""Codecs with few channels and random weights, in the names of the published checkpoints; the same on every machine.

Each function writes a model into a folder and returns the settings that its tokenizer needs.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file

SEED = 1234
NUM_FILTERS = 4
DIM = 16
CODEBOOK_SIZE = 32
# Frames (25 Hz) that a layer of the toy Mimi sees, and its layers.
MIMI_WINDOW = 10
MIMI_LAYERS = 2


class RandomWeights:
    """Draws tensors by numpy, whose numbers do not change between releases, and keeps them by name."""

    def __init__(self, seed=SEED, group_norm=False):
        self._draw = np.random.RandomState(seed)
        self._group_norm = group_norm
        self.tensors = {}

    def normal(self, name, *shape, scale=1.0):
        self.tensors[name] = torch.from_numpy(scale * self._draw.standard_normal(shape)).float()

    def conv(self, prefix, *shape, gain=1.0):
        """A convolution (out, in, kernel) or transposed (in, out, kernel), with weight norm or a group norm."""
        transposed = ".convtr." in prefix or prefix.startswith("generator.ups.")
        if self._group_norm:
            self.normal(f"{prefix}weight", *shape, scale=gain * (shape[1 - transposed] * shape[2]) ** -0.5)
            behind = prefix[: prefix[:-1].rindex(".") + 1]
            self.normal(f"{behind}norm.weight", shape[int(transposed)])
            self.normal(f"{behind}norm.bias", shape[int(transposed)], scale=0.1)
        else:
            self.normal(f"{prefix}weight_v", *shape)
            gains = torch.from_numpy(self._draw.uniform(0.7, 1.4, (shape[0], 1, 1))).float()
            self.tensors[f"{prefix}weight_g"] = gain * gains
        self.normal(f"{prefix}bias", shape[int(transposed)], scale=0.1)

    def lstm(self, prefix, size, num_layers, bidirectional):
        for layer in range(num_layers):
            for ending in ("", "_reverse") if bidirectional else ("",):
                inputs = size * (2 if bidirectional and layer else 1)
                self.normal(f"{prefix}weight_ih_l{layer}{ending}", 4 * size, inputs, scale=inputs**-0.5)
                self.normal(f"{prefix}weight_hh_l{layer}{ending}", 4 * size, size, scale=size**-0.5)
                self.normal(f"{prefix}bias_ih_l{layer}{ending}", 4 * size, scale=0.1)
                self.normal(f"{prefix}bias_hh_l{layer}{ending}", 4 * size, scale=0.1)

    def snake(self, prefix, channels):
        self.tensors[f"{prefix}alpha"] = torch.from_numpy(self._draw.uniform(0.5, 2.0, (1, channels, 1))).float()


def _residual_block(weights, prefix, channels, snake):
    if snake:
        weights.snake(f"{prefix}block.0.", channels)
        weights.snake(f"{prefix}block.2.", channels // 2)
    weights.conv(f"{prefix}block.1.conv.conv.", channels // 2, channels, 3)
    weights.conv(f"{prefix}block.3.conv.conv.", channels, channels // 2, 1)
    weights.conv(f"{prefix}shortcut.conv.conv.", channels, channels, 1)


def seanet_encoder(weights, prefix, ratios, num_lstm=2, bidirectional=False, snake=False, num_blocks=1, audio=1):
    """An encoder with `ratios` in the decoder's order, as in the published configurations."""
    channels, index = NUM_FILTERS, 1
    weights.conv(f"{prefix}model.0.conv.conv.", channels, audio, 7, gain=4.0)
    for ratio in reversed(ratios):
        for _ in range(num_blocks):
            _residual_block(weights, f"{prefix}model.{index}.", channels, snake)
            index += 1
        if snake:
            weights.snake(f"{prefix}model.{index}.", channels)
        weights.conv(f"{prefix}model.{index + 1}.conv.conv.", 2 * channels, channels, 2 * ratio)
        channels, index = 2 * channels, index + 2
    if num_lstm:
        weights.lstm(f"{prefix}model.{index}.lstm.", channels, num_lstm, bidirectional)
        channels, index = channels * (2 if bidirectional else 1), index + 1
    if snake:
        weights.snake(f"{prefix}model.{index}.", channels)
    weights.conv(f"{prefix}model.{index + 1}.conv.conv.", DIM, channels, 7)


def seanet_decoder(weights, prefix, ratios, num_lstm=2, snake=False, num_blocks=1, audio=1):
    channels, index = NUM_FILTERS * 2 ** len(ratios), 1
    weights.conv(f"{prefix}model.0.conv.conv.", channels, DIM, 7)
    if num_lstm:
        weights.lstm(f"{prefix}model.1.lstm.", channels, num_lstm, False)
        index = 2
    for ratio in ratios:
        if snake:
            weights.snake(f"{prefix}model.{index}.", channels)
        weights.conv(f"{prefix}model.{index + 1}.convtr.convtr.", channels, channels // 2, 2 * ratio)
        channels, index = channels // 2, index + 2
        for _ in range(num_blocks):
            _residual_block(weights, f"{prefix}model.{index}.", channels, snake)
            index += 1
    if snake:
        weights.snake(f"{prefix}model.{index}.", channels)
    weights.conv(f"{prefix}model.{index + 1}.conv.conv.", audio, channels, 7, gain=0.3)


def residual_vq(weights, prefix, num_codebooks, size=CODEBOOK_SIZE):
    for index in range(num_codebooks):
        stem = f"{prefix}vq.layers.{index}._codebook."
        weights.normal(f"{stem}embed", size, DIM, scale=0.8**index)
        weights.normal(f"{stem}embed_avg", size, DIM)
        weights.tensors[f"{stem}cluster_size"] = torch.ones(size)
        weights.tensors[f"{stem}inited"] = torch.ones(1)


def seanet_codec(ratios, num_codebooks, num_lstm=2, bidirectional=False, snake=False, num_blocks=1):
    """State dict of a whole codec in EnCodec's names."""
    weights = RandomWeights()
    seanet_encoder(weights, "encoder.", ratios, num_lstm, bidirectional, snake, num_blocks)
    residual_vq(weights, "quantizer.", num_codebooks)
    seanet_decoder(weights, "decoder.", ratios, num_lstm, snake, num_blocks)
    return weights.tensors


def speechtokenizer(folder):
    tensors = seanet_codec((8, 5, 4, 2), 8, bidirectional=True)
    tensors["transform.weight"], tensors["transform.bias"] = torch.zeros(24, DIM), torch.zeros(24)
    torch.save(tensors, folder / "SpeechTokenizer.pt")
    return {"model": str(folder / "SpeechTokenizer.pt")}


def soundstream(folder):
    """As data-parallel training saves it, without LSTM."""
    tensors = seanet_codec((8, 5, 4, 2), 4, num_lstm=0)
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "best.pth")
    return {"model": str(folder / "best.pth")}


def wavtokenizer_weights(ratios=(6, 5, 5, 4), dim=32, num_layers=2, num_codebooks=1, attends=True):
    """With 4 codebooks or more and without attention, those of Language-Codec."""
    weights = RandomWeights()
    seanet_encoder(weights, "feature_extractor.encodec.encoder.", ratios)
    residual_vq(weights, "feature_extractor.encodec.quantizer.", num_codebooks)
    weights.conv("feature_extractor.encodec.decoder.model.0.conv.conv.", 8, DIM, 7)

    def layer(name, *shape, scale=1.0):
        fan_in = int(np.prod(shape[1:])) or 1
        weights.normal(f"{name}.weight", *shape, scale=scale * fan_in**-0.5)
        weights.normal(f"{name}.bias", shape[0], scale=0.1)

    def conditioned_norm(name):
        weights.normal(f"{name}.scale.weight", 4, dim)
        weights.normal(f"{name}.shift.weight", 4, dim, scale=0.1)

    def attention():
        for index in (0, 1, 3, 4):
            for part in ("1", "2"):
                layer(f"backbone.pos_net.{index}.norm{part}", dim)
                layer(f"backbone.pos_net.{index}.conv{part}", dim, dim, 3)
        layer("backbone.pos_net.2.norm", dim)
        for name in ("q", "k", "v", "proj_out"):
            layer(f"backbone.pos_net.2.{name}", dim, dim, 1)
        layer("backbone.pos_net.5", dim)

    layer("backbone.embed", dim, DIM, 7)
    if attends:
        attention()
    conditioned_norm("backbone.norm")
    for index in range(num_layers):
        stem = f"backbone.convnext.{index}"
        layer(f"{stem}.dwconv", dim, 1, 7)
        conditioned_norm(f"{stem}.norm")
        layer(f"{stem}.pwconv1", 3 * dim, dim)
        layer(f"{stem}.pwconv2", dim, 3 * dim)
        weights.normal(f"{stem}.gamma", dim, scale=0.5)
    layer("backbone.final_layer_norm", dim)
    hop = int(np.prod(ratios))
    layer("head.out", 4 * hop + 2, dim)
    weights.tensors["head.istft.window"] = torch.hann_window(4 * hop)
    return weights.tensors


def wavtokenizer(folder):
    """As PyTorch Lightning saves it, with a discriminator and an optimiser."""
    state = {**wavtokenizer_weights(), "multiperioddisc.convs.0.weight": torch.zeros(2, 2)}
    checkpoint = {"state_dict": state, "epoch": 3, "optimizer_states": [{"state": {0: torch.zeros(2)}}]}
    torch.save(checkpoint, folder / "WavTokenizer.ckpt")
    return {"model": str(folder / "WavTokenizer.ckpt")}


def languagecodec_weights():
    return wavtokenizer_weights((8, 5, 4, 2), num_codebooks=6, attends=False)


def languagecodec(folder):
    """As PyTorch Lightning saves it."""
    torch.save({"state_dict": languagecodec_weights(), "epoch": 7}, folder / "languagecodec.ckpt")
    return {"model": str(folder / "languagecodec.ckpt")}


def audiodec_weights(activated=False, channels=4, strides=(3, 4, 5, 5)):
    """An eighth of the published widths; the activated kind has weight normalisation."""
    weights = RandomWeights()

    def conv(name, width_out, width_in, kernel, bias=False, gain=1.0, dilation=1, upsampling=False):
        shape = (width_in, width_out, kernel) if upsampling else (width_out, width_in, kernel)
        scale = gain * (width_in * kernel / (2 if upsampling else 1)) ** -0.5
        if activated:
            weights.normal(f"{name}.weight_v", *shape)
            direction = weights.tensors[f"{name}.weight_v"]
            weights.tensors[f"{name}.weight_g"] = scale * torch.norm_except_dim(direction, 2, 0)
        else:
            weights.normal(f"{name}.weight", *shape, scale=scale)
        if bias:
            weights.normal(f"{name}.bias", width_out, scale=0.1)
        behind = 1 if upsampling else (kernel - 1) * dilation
        if not name.endswith("conv2"):  # the others see single frames
            weights.tensors[f"{name.rpartition('.')[0]}.pad_buffer"] = torch.zeros(1, width_in, behind)

    def units(prefix, width):
        for index, dilation in enumerate((1, 3, 9)):
            conv(f"{prefix}res_units.{index}.conv1.conv", width, width, 7, dilation=dilation)
            conv(f"{prefix}res_units.{index}.conv2", width, width, 1, gain=0.5)

    widths = [channels, *(channels * 2 ** (index + 1) for index in range(len(strides)))]
    conv("encoder.conv.conv", channels, 1, 7, gain=8.0)
    for index, stride in enumerate(strides):
        units(f"encoder.conv_blocks.{index}.", widths[index])
        conv(f"encoder.conv_blocks.{index}.conv.conv", widths[index + 1], widths[index], 2 * stride, bias=True)
    conv("projector.project.conv", DIM, widths[-1], 3)
    for index in range(4):
        stem = f"quantizer.codebook.layers.{index}."
        weights.normal(f"{stem}embed", DIM, CODEBOOK_SIZE, scale=0.8**index)
        weights.tensors[f"{stem}embed_avg"] = torch.zeros(DIM, CODEBOOK_SIZE)
        weights.tensors[f"{stem}cluster_size"] = torch.ones(CODEBOOK_SIZE)
    conv("decoder.conv1.conv", widths[-1], DIM, 7)
    for index, stride in enumerate(reversed(strides)):
        block = f"decoder.conv_blocks.{index}." + ("1." if activated else "")
        before, behind = widths[-1 - index], widths[-2 - index]
        conv(f"{block}conv.deconv", behind, before, 2 * stride, bias=True, upsampling=True)
        units(block, behind)
    conv("decoder.conv2.conv", 1, channels, 7, gain=0.3)
    return weights.tensors


def audiodec(folder, activated=False):
    """As its trainer saves it, beside a discriminator and an optimiser."""
    generator = audiodec_weights(activated)
    kept = {"model": {"generator": generator, "discriminator": {"a": torch.ones(1)}}, "optimizer": {}, "steps": 500000}
    torch.save(kept, folder / "checkpoint-500000steps.pkl")
    return {"model": str(folder / "checkpoint-500000steps.pkl")}


def hificodec_weights(strides=(8, 5, 4, 2), kernels=(16, 11, 8, 4)):
    """A quarter of the published widths, and two residual blocks a stage with small kernels."""
    weights = RandomWeights()

    def blocks(prefix, stage, channels, normalised):
        for offset, kernel in enumerate((5, 3) if normalised else (3, 5)):
            index = 2 * stage + offset
            for part in ("convs1", "convs2"):
                for layer in range(3):
                    weights.conv(f"{prefix}resblocks.{index}.{part}.{layer}.", channels, channels, kernel, gain=0.5)
            if normalised:
                weights.normal(f"{prefix}normalize.{index}.weight", channels)
                weights.normal(f"{prefix}normalize.{index}.bias", channels, scale=0.1)

    weights.conv("encoder.conv_pre.", 8, 1, 7, gain=4.0)
    for stage, kernel in enumerate(reversed(kernels)):
        channels = 16 * 2**stage
        weights.normal(f"encoder.ups.{stage}.weight_v", channels, channels // 2, kernel)
        weights.tensors[f"encoder.ups.{stage}.weight_g"] = torch.ones(channels, 1, 1)
        weights.normal(f"encoder.ups.{stage}.bias", channels, scale=0.1)
        blocks("encoder.", stage, channels, True)
    weights.normal("encoder.conv_post.weight", 128, 128, 3, scale=0.06)
    weights.normal("encoder.conv_post.bias", 128, scale=0.1)
    for module, scale in (("quantizer_modules", 0.3), ("quantizer_modules2", 0.2)):
        for group in range(2):
            weights.normal(f"quantizer.{module}.{group}.embedding.weight", CODEBOOK_SIZE, 64, scale=scale)
    weights.conv("generator.conv_pre.", 64, 128, 7)
    for stage, kernel in enumerate(kernels):
        weights.conv(f"generator.ups.{stage}.", 64 >> stage, 32 >> stage, kernel)
        blocks("generator.", stage, 32 >> stage, False)
    weights.conv("generator.conv_post.", 1, 4, 7, gain=0.3)
    return weights.tensors


def hificodec(folder):
    """As the authors save it: three state dicts."""
    tensors = hificodec_weights()
    parts = {}
    for name, tensor in tensors.items():
        part, _, inner = name.partition(".")
        parts.setdefault(part, {})[inner] = tensor
    torch.save(parts, folder / "HiFi-Codec")
    return {"model": str(folder / "HiFi-Codec")}


ENCODEC_NAMES = (
    ("encoder.model.", "encoder.layers."),
    ("decoder.model.", "decoder.layers."),
    ("quantizer.vq.layers.", "quantizer.layers."),
    ("_codebook.", "codebook."),
    (".conv.norm.", ".norm."),
    (".convtr.norm.", ".norm."),
    (".conv.conv.", ".conv."),
    (".convtr.convtr.", ".conv."),
)
ENCODEC_CONFIG = {
    "model_type": "encodec",
    "architectures": ["EncodecModel"],
    "target_bandwidths": [1.5, 3.0],
    "hidden_size": DIM,
    "codebook_dim": DIM,
    "num_filters": NUM_FILTERS,
    "codebook_size": 1024,
    "sampling_rate": 24000,
}
STEREO_CONFIG = {
    **ENCODEC_CONFIG,
    "target_bandwidths": [3.0, 6.0],
    "sampling_rate": 48000,
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
}


def encodec_weights(stereo=False, num_codebooks=4):
    """State dict in EnCodec's own names, with codebooks of 1024."""
    weights = RandomWeights(group_norm=stereo)
    seanet_encoder(weights, "encoder.", (8, 5, 4, 2), audio=2 if stereo else 1)
    residual_vq(weights, "quantizer.", num_codebooks, ENCODEC_CONFIG["codebook_size"])
    seanet_decoder(weights, "decoder.", (8, 5, 4, 2), audio=2 if stereo else 1)
    return weights.tensors


def encodec(folder, stereo=False, num_codebooks=4):
    """As on the hub: in the names of transformers, weight normalisation by its old names."""
    tensors = {}
    for name, tensor in encodec_weights(stereo, num_codebooks).items():
        for ours, theirs in ENCODEC_NAMES:
            name = name.replace(ours, theirs)
        tensors[name] = tensor.contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = STEREO_CONFIG if stereo else ENCODEC_CONFIG
    kbps = num_codebooks * (1.5 if stereo else 0.75)
    config = {**config, "target_bandwidths": [kbps / 2, kbps]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return {"model": str(folder), "num_codebooks": 4}


def save_random(model, folder):
    """Fill every floating weight that is zero everywhere (codebooks), and save the model as transformers does."""
    torch.manual_seed(SEED)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(("embed", "embed_sum", "embed_avg")):
                value.normal_()
    model.eval().save_pretrained(folder, safe_serialization=True)
    return model


def dac(folder, num_codebooks=4):
    from transformers import DacConfig, DacModel

    torch.manual_seed(SEED)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=64,
        downsampling_ratios=[2, 4, 5, 8],
        n_codebooks=num_codebooks,
        codebook_size=CODEBOOK_SIZE,
        codebook_dim=4,
        sampling_rate=16000,
    )
    model = DacModel(config)
    with torch.no_grad():  # the library's start has hardly any signal left after the encoder
        for name, value in model.named_parameters():
            if name.endswith("weight") and value.dim() == 3:
                value.normal_(std=1.2 * (value.shape[1] * value.shape[2]) ** -0.5)
    save_random(model, folder)
    return {"model": str(folder), "num_codebooks": 3}


def mimi(folder, num_quantizers=6):
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(SEED)
    config = MimiConfig(
        hidden_size=32,
        num_filters=4,
        codebook_size=CODEBOOK_SIZE,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        num_quantizers=num_quantizers,
        upsample_groups=32,
        num_hidden_layers=MIMI_LAYERS,
        intermediate_size=64,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_scale_initial_scale=1.0,
        sliding_window=MIMI_WINDOW,
    )
    save_random(MimiModel(config), folder)
    return {"model": str(folder), "num_codebooks": 4}


def xcodec(folder, bandwidths=(0.25, 0.5, 1.0)):
    from transformers import DacConfig, HubertConfig, XcodecConfig, XcodecModel

    torch.manual_seed(SEED)
    acoustic = DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[8, 5, 4, 2],
        upsampling_ratios=[8, 5, 4, 2],
        decoder_hidden_size=64,
        hidden_size=16,
        sampling_rate=16000,
    )
    semantic = HubertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    config = XcodecConfig(
        acoustic_model_config=acoustic,
        semantic_model_config=semantic,
        codebook_size=CODEBOOK_SIZE,
        target_bandwidths=list(bandwidths),
    )
    save_random(XcodecModel(config), folder)
    return {"model": str(folder), "num_codebooks": 3}
