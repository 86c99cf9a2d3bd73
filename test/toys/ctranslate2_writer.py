"""Writes a model.bin as CTranslate2 does, and as it never would."""

import struct

import torch

TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


def text(name):
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def variable(name, value):
    """A variable with its values."""
    raw = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    sizes = struct.pack(f"<B{value.dim()}I", value.dim(), *value.shape)
    return text(name) + sizes + struct.pack("<BI", TYPES.index(value.dtype), len(raw)) + raw


def head(num_variables, kind="WhisperSpec", version=6, revision=3):
    """All before the variables."""
    return struct.pack("<I", version) + text(kind) + struct.pack("<II", revision, num_variables)


def tail(aliases=()):
    """All behind them: pairs of an alias and the variable it stands for."""
    return struct.pack("<I", len(aliases)) + b"".join(text(name) + text(of) for name, of in aliases)


def model(tensors, aliases=(), kind="WhisperSpec"):
    """A whole file."""
    return head(len(tensors), kind) + b"".join(variable(*one) for one in tensors.items()) + tail(aliases)


def hostile():
    """Files that state what cannot be, by what they do."""
    one, ones = variable("a", torch.ones(2)), torch.ones(4)
    huge = text("a") + struct.pack("<B3I", 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    return {
        "2^32 variables": head(2**32 - 1) + one,
        "more variables than there are": head(3) + one + one.replace(b"a\0", b"b\0"),
        "values cut short": head(1) + one[:-1],
        "2^96 values": head(1) + huge + struct.pack("<BI", 0, 2**32 - 1),
        "2^96 values of 0 bytes": head(1) + huge + struct.pack("<BI", 0, 0) + tail(),
        "255 dimensions": head(1) + text("a") + bytes([255]) + bytes(2000),
        "an unknown type": head(1) + text("a") + struct.pack("<BIBI", 1, 2, 6, 8) + bytes(8) + tail(),
        "another size": head(1) + text("a") + struct.pack("<BIBI", 1, 2, 0, 4) + bytes(4) + tail(),
        "a name without its end": head(1) + struct.pack("<H", 2) + b"ab" + one[4:] + tail(),
        "a name with a newline": head(1) + one.replace(b"a\0", b"\n\0") + tail(),
        "an empty name": head(1) + struct.pack("<H", 0) + one[4:] + tail(),
        "a name twice": head(2) + one + one + tail(),
        "an alias of nothing": head(1) + one + tail([("b", "c")]),
        "an alias of itself": head(1) + one + tail([("b", "b")]),
        "an alias that is a variable": head(1) + one + tail([("a", "a")]),
        "2^32 aliases": head(1) + one + struct.pack("<I", 2**32 - 1),
        "more behind its end": head(1) + one + tail() + b"\0",
        "another version": head(1, version=2**31) + one + tail(),
        "a scale of 0": model({"a": torch.ones(4, 2, dtype=torch.int8), "a_scale": ones - ones}),
        "a scale that is not finite": model({"a": torch.ones(4, 2, dtype=torch.int8), "a_scale": ones / 0}),
        "whole numbers without a scale": model({"a": torch.ones(4, 2, dtype=torch.int8)}),
        "words without a scale": model({"a": torch.ones(4, 2, dtype=torch.int32), "a_scale": ones}),
        "two scales": model({"a": torch.ones(4, dtype=torch.int8), "a_scale": ones, "b_scale": ones}, [("b", "a")]),
        "a scale that is quantized": model(
            {name: torch.ones(4, dtype=torch.int8) for name in ("a", "a_scale", "a_scale_scale")}
        ),
        "2^96 values of which there are none": head(1)
        + text("a")
        + struct.pack("<B4I", 4, 0, *[2**32 - 1] * 3)
        + struct.pack("<BI", 0, 0)
        + tail(),
        "scales of another shape": model({"a": torch.ones(3, 2, dtype=torch.int8), "a_scale": ones}),
    }
