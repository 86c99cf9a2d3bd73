"""APCodec with few channels and random weights, in the names of its authors' checkpoints; the same on every machine."""

import numpy as np
import torch
from toy_codecs import CODEBOOK_SIZE, RandomWeights

SIZES = {"dim": 16, "hidden": 24, "channels": 12, "latent": 8, "bins": 129, "blocks": 2, "ratio": 8}


def with_noise(samples):
    """Samples (S,) whose spectra have no bin so weak that its phase is that of rounding."""
    noise = np.random.RandomState(0).standard_normal(len(samples))
    return samples + torch.from_numpy(0.05 * noise).float()


def apcodec_weights(projected, num_codebooks=4):
    """Encoder and decoder in one, behind their names; projected: the layout of 48 kHz, else that of 16 kHz."""
    weights, sizes = RandomWeights(), SIZES
    dim, hidden, channels, latent, bins, ratio = (
        sizes[name] for name in ("dim", "hidden", "channels", "latent", "bins", "ratio")
    )

    def plain(name, *shape, scale=1.0):
        weights.normal(f"{name}.weight", *shape, scale=scale * (int(np.prod(shape[1:])) or 1) ** -0.5)
        weights.normal(f"{name}.bias", shape[0], scale=0.1)

    def norm(name):
        weights.normal(f"{name}.weight", dim)
        weights.normal(f"{name}.bias", dim, scale=0.1)

    def branch(prefix, side, inputs):
        plain(f"{prefix}embed_{side}", dim, inputs, 7)
        norm(f"{prefix}norm_{side}")
        for index in range(sizes["blocks"]):
            stem = f"{prefix}convnext_{side}.{index}"
            plain(f"{stem}.dwconv", dim, 1, 7)
            norm(f"{stem}.norm")
            plain(f"{stem}.pwconv1", hidden, dim)
            plain(f"{stem}.pwconv2", dim, hidden)
            for name, shape in (("grn.gamma", (1, 1, hidden)), ("grn.beta", (1, 1, hidden))) * projected:
                weights.normal(f"{stem}.{name}", *shape, scale=0.5)
            if not projected:
                weights.normal(f"{stem}.gamma", dim, scale=0.5)
        norm(f"{prefix}final_layer_norm_{side}")
        plain(f"{prefix}out_{side}", channels, dim)

    for side, name in (("logamp", "AMP"), ("pha", "PHA")):
        branch("encoder.", side, bins)
        down = f"encoder.{name}_Encoder_downsample_output_conv."
        weights.conv(down, channels // 2, channels, 7 if projected else 15)
        branch("decoder.", side, channels)
        up = f"decoder.{name}_Decoder_upsample_input_conv."
        weights.conv(up, channels, channels, 2 * ratio)
        weights.normal(f"{up}bias", channels, scale=0.1)
    weights.conv("encoder.latent_output_conv.", latent, channels, 7)
    weights.conv("decoder.latent_input_conv.", channels, latent, 7)
    for name in ("AMP_Decoder_output_conv", "PHA_Decoder_output_R_conv", "PHA_Decoder_output_I_conv"):
        weights.conv(f"decoder.{name}.", bins, channels, 7)
    for index in range(num_codebooks):
        stem = f"encoder.quantizer.quantizers.{index}."
        weights.normal(f"{stem}codebook.weight", CODEBOOK_SIZE, latent, scale=0.8**index)
        for name in ("in_proj", "out_proj") * projected:
            weights.conv(f"{stem}{name}.", latent, latent, 1)
    return weights.tensors


def apcodec(folder, projected=False):
    """As its trainers save it: a file for the encoder, another for the decoder."""
    tensors = apcodec_weights(projected)
    for part in ("encoder", "decoder"):
        state = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith(part)}
        torch.save({part: state}, folder / f"{part}_16k_4kbps")
    settings = {"codec_rate_hz": 48000, "window_samples": 160} if projected else {"window_samples": 120}
    return {"model": str(folder / "encoder_16k_4kbps"), **settings}
