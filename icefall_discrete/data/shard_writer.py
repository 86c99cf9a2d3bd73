"""Numbered files of so many entries each: what the writers of Shar's cuts and of its arrays share."""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional, Type, TypeVar

from icefall_discrete.base.atomic_files import naming

_BUFFER = 2**20  # bytes
Writer = TypeVar("Writer", bound="ShardWriter")


class ShardWriter:
    """Write entries to the shards of a folder, as a context.

    A subclass has `name`, how a shard is called by its number, and may have its own ways to open and end one.

    Args:
      folder: where the shards lie. shard_size: entries in each.
    """

    name = ""

    def __init__(self, folder: Path, shard_size: int) -> None:
        self._folder, self._shard_size = folder, shard_size
        self._num_written = 0
        self._stream: Optional[BinaryIO] = None
        self._path = folder

    def __enter__(self: Writer) -> Writer:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._close()

    def opened(self, path: Path) -> BinaryIO:
        """A new shard."""
        return path.open("wb", buffering=_BUFFER)

    def end(self, stream: BinaryIO) -> None:
        """Write what stands behind the last entry of a shard."""

    def append(self, entry: bytes) -> None:
        """Write the next entry. Raises OSError that names the shard."""
        if self._num_written % self._shard_size == 0:
            self._close()
            self._path = self._folder / self.name.format(self._num_written // self._shard_size)
            with naming(self._path):
                self._stream = self.opened(self._path)
        self._num_written += 1
        assert self._stream is not None
        try:
            self._stream.write(entry)
        except OSError:
            with naming(self._path):  # not around each entry, which takes as long as to write it
                raise

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with naming(self._path), stream:
            self.end(stream)
