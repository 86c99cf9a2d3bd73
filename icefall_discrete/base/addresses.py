"""Files that lie elsewhere, read through lhotse's `smart_open`: `s3://bucket/shar/train`, `https://host/cuts.jsonl.gz`.

An address is only what a user gives as one: a name out of a file never becomes one, so that no data makes this machine
fetch anything. Endpoint and credentials are those of boto3: AWS_ENDPOINT_URL, AWS_PROFILE, AWS_ACCESS_KEY_ID, ...
"""

import collections
import contextlib
import os
import re
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PosixPath
from typing import Any, Callable, Deque, Dict, Iterator, Optional, Sequence, Tuple, Union

from icefall_discrete.base.atomic_files import naming

INSTALL = "pip install 'icefall-discrete[storage]'"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE | re.DOTALL)  # a path has one slash of two
_BLOCK_BYTES = 1 << 20
# What S3 calls a thing that is not there, and what a web server does.
_ABSENT = ("NoSuchKey", "NoSuchVersion", "404")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "401", "403")


class AddressError(OSError):
    """What lies at an address cannot be had; the sentence names it. is_absent: since nothing is there."""

    def __init__(self, sentence: str, is_absent: bool = False) -> None:
        super().__init__(sentence)
        self.is_absent = is_absent


class Address(PosixPath):
    """The address of something that is read; it is joined and named as a path is, and never written to."""

    __slots__ = ()

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":/")
        return f"{scheme}://{rest}"

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether something is there. Raises AddressError if that cannot be told."""
        try:
            next(_blocks(self), b"")
        except AddressError as error:
            if error.is_absent:
                return False
            raise
        return True

    def read_text(self, encoding: Optional[str] = None, errors: Optional[str] = None, newline: Any = None) -> str:
        """All of it. Raises AddressError, UnicodeDecodeError."""
        return b"".join(_blocks(self)).decode(encoding or "utf-8", errors or "strict")


def readable(place: Union[str, Path]) -> Path:
    """The place that a user names to be read: an `Address` if it is one, else a path. The `type` of such a flag."""
    found = _ADDRESS.match(str(place))
    return Address(f"{found[1]}:/{found[2]}") if found else Path(place)


def is_address(place: Path) -> bool:
    """Whether a path is an address, taken for one or not."""
    return _ADDRESS.match(str(place)) is not None


_CLIENTS: Dict[int, Any] = {}  # by process: making one takes as long as reading a shard


def _transport(address: Address) -> Optional[Dict[str, Any]]:
    """What is used again for the next address; None: the library makes it."""
    if not str(address).startswith("s3://"):
        return None
    if os.getpid() not in _CLIENTS:
        import boto3

        _CLIENTS[os.getpid()] = boto3.session.Session().client("s3")
    return {"client": _CLIENTS[os.getpid()]}


def _causes(error: Optional[BaseException]) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = getattr(error, "backend_error", None) or error.__cause__ or error.__context__, seen + 1


def _code_of(error: BaseException) -> str:
    """S3's word, or a web server's number, for what went wrong; empty where there is none."""
    for cause in _causes(error):
        answer = getattr(cause, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
        if getattr(answer, "status_code", None) is not None:
            return str(answer.status_code)  # type: ignore[union-attr]
    return ""


def _told(address: Address, error: Exception) -> AddressError:
    """The sentence for what a library raised."""
    causes, code = list(_causes(error)), _code_of(error)
    names = [type(cause).__name__ for cause in causes]
    missing = next((cause for cause in causes if isinstance(cause, ImportError)), None)
    if missing is not None or "MissingDependencyError" in names:
        return AddressError(f"{address} is an address, and what reads it is not installed; run `{INSTALL}`.")
    if isinstance(error, NotImplementedError):
        return AddressError(f"{address} is an address of a kind that smart_open does not know; copy it to a folder.")
    if code == "NoSuchBucket":
        return AddressError(f"{address} cannot be read: there is no such bucket; correct it, or AWS_ENDPOINT_URL.")
    if code in _ABSENT:
        return AddressError(f"{address} does not exist; correct the address, or copy there what is missing.", True)
    if {"NoCredentialsError", "PartialCredentialsError"} & set(names):
        return AddressError(
            f"{address} cannot be read: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE."
        )
    if code in _REFUSED:
        return AddressError(f"{address} may not be read ({code}); correct it, or use credentials that may read it.")
    why = " ".join(str(causes[-1]).split())[:200] or names[-1]
    return AddressError(f"{address} cannot be read ({why}); see that its server can be reached, then run again.")


def _blocks(address: Address) -> Iterator[bytes]:
    """The bytes at an address, as they are. Raises AddressError."""
    try:
        from lhotse.utils import SmartOpen  # with it comes all of lhotse, which most scripts' flags have no need of

        if SmartOpen.smart_open is None:
            SmartOpen.setup()  # which its first call does too, with what was meant for one address
        reused = SmartOpen.transport_params or _transport(address)
        with SmartOpen.open(str(address), "rb", reused, compression="disable") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block
    except Exception as error:  # each kind of storage fails with errors of its own library
        raise _told(address, error) from error


def fetch(address: Address, path: Path) -> None:
    """Copy what lies at an address to a file. Raises AddressError; OSError that names the file, as on a full disk."""
    with naming(path), open(path, "wb") as target:
        for block in _blocks(address):
            target.write(block)


@contextlib.contextmanager
def at_hand(place: Path) -> Iterator[Path]:
    """A file of this machine with what lies at a place, which is that file itself or an address."""
    if not isinstance(place, Address):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / place.name
        fetch(place, copy)
        yield copy


def _fetched(places: Sequence[Path], folder: Path, check: Callable[[Path, Path], None]) -> Tuple[Path, ...]:
    folder.mkdir()
    copies = tuple(folder / f"{number}-{place.name}" for number, place in enumerate(places))
    for place, copy in zip(places, copies):
        assert isinstance(place, Address)
        fetch(place, copy)
        check(place, copy)
    return copies


def fetched_ahead(
    groups: Iterator[Tuple[Path, ...]], check: Callable[[Path, Path], None]
) -> Iterator[Tuple[Path, ...]]:
    """Copies of groups of addresses on this machine, each until the next is asked for, which is fetched meanwhile.

    Args:
      check: of an address and its copy; raises what is to be said of a copy that is wrong.
    """
    folder, owner = Path(tempfile.mkdtemp()), os.getpid()
    waiting: Deque[Future[Tuple[Path, ...]]] = collections.deque()

    def fetch_next(number: int, group: Tuple[Path, ...]) -> None:
        waiting.append(pool.submit(_fetched, group, folder / str(number), check))

    try:
        with ThreadPoolExecutor(1) as pool:
            for number, group in enumerate(groups):
                fetch_next(number, group)
                if len(waiting) > 1:
                    yield from _used(waiting.popleft())
            while waiting:
                yield from _used(waiting.popleft())
    finally:
        if os.getpid() == owner:  # and not a copy of this process that a loader has forked
            shutil.rmtree(folder, ignore_errors=True)


def _used(fetching: "Future[Tuple[Path, ...]]") -> Iterator[Tuple[Path, ...]]:
    copies = fetching.result()
    yield copies
    shutil.rmtree(copies[0].parent, ignore_errors=True)
