"""A client of the server: what it sends, held against what it may, and what it is told."""

import asyncio
import contextlib
import json
import logging
from typing import Any, Mapping, Optional, Protocol, Union

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.inference.serving.limits import Bucket, Deadline
from icefall_discrete.inference.serving.settings import ServerConfig

LOG = logging.getLogger(__name__)
END = "Done"
SAMPLE_BYTES = 4
# Why a connection is closed (RFC 6455, 7.4.1), and how much of a reason it can carry.
NORMAL_CLOSURE, POLICY_VIOLATION, REASON_BYTES = 1000, 1008, 123
_SHOWN = 40


class Refused(Exception):
    """Something a client sent that cannot be served; the message is for the client, who is let go."""


class Connection(Protocol):
    """A WebSocket, as the library `websockets` has it."""

    async def recv(self) -> Union[str, bytes]:
        """The next message."""

    async def send(self, message: str) -> None:
        """Send a text."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say that it is over."""

    @property
    def transport(self) -> asyncio.WriteTransport:
        """What it runs over."""


class Caller:
    """One client: its connection, its name in logs and errors, and its limits."""

    def __init__(self, connection: Connection, name: str, config: ServerConfig) -> None:
        self.name, self._connection, self._config = name, connection, config
        self._messages = Bucket(config.max_messages)
        self._is_deaf = False

    async def receive(self, deadline: Optional[Deadline] = None) -> Union[str, bytes]:
        """The next message, not sooner than the client's rate allows.

        Raises Refused if none comes for too long, or if `deadline` is over, however many came before.
        """
        await asyncio.sleep(self._messages.wait_sec())
        idle_sec = self._config.idle_timeout_sec
        left_sec = idle_sec if deadline is None else deadline.left_sec()
        try:
            return await asyncio.wait_for(self._connection.recv(), min(idle_sec, left_sec))
        except asyncio.TimeoutError:
            if deadline is not None and left_sec < idle_sec:
                raise Refused(deadline.reason) from None
            raise Refused(f"nothing came for {idle_sec:g} s, so this connection ends.") from None

    async def say(self, message: Mapping[str, Any]) -> None:
        """Send a JSON object."""
        await self.say_text(json.dumps(message, ensure_ascii=False))

    async def say_text(self, text: str) -> None:
        """Send a text as it is. Raises Refused if the client has read too little for too long."""
        patience_sec = self._config.idle_timeout_sec
        try:
            if not self._is_deaf:
                await asyncio.wait_for(self._connection.send(text), patience_sec)
        except asyncio.TimeoutError:
            self._is_deaf = True
        if self._is_deaf:
            raise Refused(f"nothing was read for {patience_sec:g} s, so this connection ends.")

    async def refuse(self, reason: str) -> None:
        """Say why, and end the connection."""
        prefix = "" if reason.startswith(f"{self.name}:") else f"{self.name}: "  # streams name themselves
        LOG.warning("%s%s", prefix, reason)
        with contextlib.suppress(Refused):
            await self.say({"error": reason})
        await self.leave(POLICY_VIOLATION, reason)

    async def leave(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """End the connection; one whose client does not read that it ends is cut."""
        said = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        try:
            if not self._is_deaf:
                await asyncio.wait_for(self._connection.close(code, said), self._config.idle_timeout_sec)
        except asyncio.TimeoutError:
            self._is_deaf = True
        if self._is_deaf:
            self._connection.transport.abort()


def float_samples(data: Union[bytes, bytearray]) -> Tensor:
    """Samples (S,) of float32, little-endian. Raises Refused for what is no whole number of them."""
    if len(data) % SAMPLE_BYTES:
        raise Refused(f"{len(data)} bytes are no whole number of samples; expected float32, {SAMPLE_BYTES} bytes each.")
    return torch.from_numpy(np.frombuffer(data, dtype="<f4").astype(np.float32))


def refuse_text(message: str) -> Refused:
    """What is said to a text message that is not the end."""
    shown = message if len(message) <= _SHOWN else message[:_SHOWN] + "..."
    return Refused(
        f"the text {json.dumps(shown, ensure_ascii=False)} came; expected samples in binary messages, or {END}."
    )
