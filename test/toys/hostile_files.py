"""Files that would run a command, or take all memory, if they were unpickled; each maker writes one to a path."""

import collections
import pickle
import struct
import zipfile
from os import system
from typing import Tuple

import torch

HUGE = 10**12


class Call:
    """Pickles into a call."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class Touch(torch.nn.Module):
    """A scripted module that writes a file while it is loaded."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> Tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), state[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def archive(path, pickled, **entries):
    """A file of torch.save with this pickle and these storages."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a/data.pkl", pickled)
        for name, data in entries.items():
            made.writestr(f"a/data/{name}", data)


class StoragePickler(pickle._Pickler):
    """Spells ("storage", ...) tuples as persistent ids."""

    def persistent_id(self, value):
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None


def with_view(path, numel, size, stride, data=b"\0" * 16):
    """An archive with one tensor: what it says of storage and view need not be true."""
    storage = ("storage", torch.FloatStorage, "0", "cpu", numel)
    call = Call(torch._utils._rebuild_tensor_v2, storage, 0, size, stride, False, collections.OrderedDict())
    with open(f"{path}.pkl", "wb") as stream:
        StoragePickler(stream, 2).dump({"model": {"w": call}})
    with open(f"{path}.pkl", "rb") as stream:
        archive(path, stream.read(), **{"0": data})


def commands(marker):
    """Files that run a command when they are loaded as their makers expect, by name."""
    evil = {"model": {"w": torch.zeros(2)}, "extra": Call(system, f"touch '{marker}'")}
    return {
        "archive": lambda path: torch.save(evil, path),
        "legacy": lambda path: torch.save(evil, path, _use_new_zipfile_serialization=False),
        "raw": lambda path: path.write_bytes(pickle.dumps(evil["extra"])),
        "torchscript": lambda path: torch.jit.save(torch.jit.script(Touch(str(marker))), str(path)),
    }


def _deflated(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.writestr("a/data.pkl", pickle.dumps({"model": {}}, 2))
        with made.open("a/data/0", "w") as entry:
            for _ in range(48):
                entry.write(bytes(2**23))


def _legacy(path, keys, numel):
    """Five pickles and no storages: `numel` is a lie."""
    storage = ("storage", torch.FloatStorage, "0", "cpu", numel, None)
    call = Call(torch._utils._rebuild_tensor_v2, storage, 0, (2,), (1,), False, collections.OrderedDict())
    with open(path, "wb") as stream:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        for value in (0x1950A86A20F9469CFC6C, 1001, system, {"model": {"w": call}}, keys):
            StoragePickler(stream, 2).dump(value)
        stream.write(struct.pack("<q", numel) + bytes(64))


def _put(number):
    return b"r" + struct.pack("<I", number)


def _get(number):
    return b"h" + bytes([number])


DOUBLED = b"]" + b"".join(b"0](" + _get(0) * 2 + b"e" + b"q\0" for _ in range(64))
PICKLES = {
    "bytes": pickle.dumps(Call(bytes, HUGE), 2),
    "range in a list": pickle.dumps(Call(list, range(HUGE)), 2),
    "a long number": b"\x80\x02cbuiltins\nint\nX" + struct.pack("<I", 10**6) + b"9" * 10**6 + b"\x85R.",
    "a new bytes": b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85\x81.",
    "an old bytes": b"(I999999999999\nibuiltins\nbytes\n.",
    "a place in memory": b"\x80\x02]" + _put(2**32 - 1) + _get(0) + b".",
    "announced bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.",
    "announced bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.",
    "announced frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "doubled lists": b"\x80\x02]q\0" + DOUBLED + b".",
    "a doubled key": b"\x80\x02})q\0" + b"".join(b"0" + _get(0) * 2 + b"\x86q\0" for _ in range(64)) + b"Ns.",
    "a list in itself": b"\x80\x02]q\0" + _get(0) + b"a.",
    "nested lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "many sets": b"\x80\x02](%seq\0(%st."
    % (
        b"".join(b"J" + struct.pack("<i", number) for number in range(10_000)),
        (b"cbuiltins\nset\n" + _get(0) + b"\x85R") * 5_000,
    ),
    "a changed function": b"\x80\x02c_codecs\nencode\nN}X\x0c\0\0\0__defaults__)s\x86b.",
    "an extension": b"\x80\x02\x82\x01.",
    "a name of many lines": b"\x80\x04\x8c\x04a\nb\r\x8c\x08\x1b[31mbad\x93.",
}


def bombs():
    """Files that take all memory, or for ever, when they are believed, by name."""
    made = {name: lambda path, data=data: archive(path, data) for name, data in PICKLES.items()}
    return {
        **made,
        "deflated": _deflated,
        "a storage that is not there": lambda path: with_view(path, HUGE, (2,), (1,)),
        "a view beyond its storage": lambda path: with_view(path, 4, (5,), (1,)),
        "a view of nothing, repeated": lambda path: with_view(path, 4, (HUGE,), (0,)),
        "a view that overflows": lambda path: with_view(path, 4, (2**62, 2**62), (2**62, 1)),
        "a legacy storage that is not there": lambda path: _legacy(path, ["0"], HUGE),
        "a legacy storage that is not listed": lambda path: _legacy(path, [], 4),
        "half a file": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
        "nothing": lambda path: path.write_bytes(b""),
        "a page": lambda path: path.write_text("<html>404</html>"),
    }
