"""The server: who may connect, the page, and a service for each connection. It needs the package `websockets`."""

import asyncio
import logging
import socket
import ssl
from http import HTTPStatus
from typing import Any, Callable, Dict, Optional, Protocol, Type
from urllib.parse import urlsplit

from icefall_discrete.inference.serving.callers import Caller, Connection, Refused
from icefall_discrete.inference.serving.limits import Bucket
from icefall_discrete.inference.serving.page_files import Answer, Page, plain
from icefall_discrete.inference.serving.settings import LOCAL_NAME, ServerConfig

try:
    import websockets.asyncio.server as ws_server
    from websockets.datastructures import Headers
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Request, Response
except ImportError as error:
    raise ImportError(
        f"the server needs websockets 14 or newer ({error}); pip install 'icefall-discrete[serve]'."
    ) from error

LOG = logging.getLogger(__name__)
# Seconds for the opening handshake; connections that say nothing do not stay, and so many of them at most.
_OPEN_TIMEOUT_SEC, _MOST_OPENING = 10, 256
# Messages that a connection holds before its client is made to wait, and a closing one's patience in seconds.
_MESSAGES_HELD, _CLOSE_TIMEOUT_SEC = 2, 5
_LOCAL_HOSTS = (LOCAL_NAME, "127.0.0.1", "::1")


class Service(Protocol):
    """What is done for connections."""

    @property
    def facts(self) -> Dict[str, Any]:
        """What the page wants to know."""

    async def run(self) -> None:
        """Work for all of them, until cancelled."""

    async def serve(self, caller: Caller) -> None:
        """Serve one client; Refused, for what it may not do, ends its connection."""


def _most_opening(config: ServerConfig) -> int:
    """More than may come at once, who have not been read from yet, whatever they have said."""
    return max(_MOST_OPENING, int(2 * config.max_new_connections))


class _Opening:
    """Connections that have not said yet what they want; for one too many, the one that is silent longest goes."""

    def __init__(self, most: int) -> None:
        self._silent: Dict[asyncio.WriteTransport, None] = {}
        self._most = most

    def came(self, transport: asyncio.WriteTransport) -> None:
        """A connection is there."""
        while len(self._silent) >= self._most:
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.abort()
        self._silent[transport] = None

    def spoke(self, transport: asyncio.WriteTransport) -> None:
        """It has said what it wants, or is gone."""
        self._silent.pop(transport, None)

    def connection_class(self) -> Type[ws_server.ServerConnection]:
        """Connections that are counted here."""
        opening = self

        class Counted(ws_server.ServerConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                opening.came(self.transport)

            def connection_lost(self, error: Optional[Exception]) -> None:
                super().connection_lost(error)
                opening.spoke(self.transport)

        return Counted


class Server:
    """Serves WebSocket clients at /, and the page to browsers."""

    def __init__(self, service: Service, config: ServerConfig, model_name: str) -> None:
        self._service, self._config = service, config
        self._page = Page({**service.facts, "model": model_name})
        self._arrivals, self._opening = Bucket(config.max_new_connections), _Opening(_most_opening(config))
        self.num_active, self.num_served = 0, 0

    async def run(self, stop: asyncio.Event, started: Callable[[int], None]) -> None:
        """Serve until `stop` is set; `started` is told the port once clients can come.

        Raises OSError if the address cannot be had, ValueError for what is none, or a certificate that cannot be used.
        """
        working = asyncio.create_task(self._service.run())
        silent = logging.getLogger(f"{__name__}.websockets")
        silent.setLevel(logging.CRITICAL + 1)  # what clients do wrong is told in sentences of ours
        tls = self._tls()
        try:
            async with ws_server.serve(
                self._handle,
                self._config.host,
                self._config.port,
                process_request=self._answer_request,
                compression=None,
                max_size=self._config.max_message_size,
                max_queue=_MESSAGES_HELD,
                open_timeout=_OPEN_TIMEOUT_SEC,
                close_timeout=_CLOSE_TIMEOUT_SEC,
                # A client that is made to wait is not read from, nor are its answers to pings: it would count as gone.
                # Each wait for a client has a limit of its own.
                ping_interval=None,
                create_connection=self._opening.connection_class(),
                ssl=tls,
                ssl_handshake_timeout=_OPEN_TIMEOUT_SEC if tls else None,
                logger=silent,
            ) as server:
                started(next(iter(server.sockets)).getsockname()[1])
                await stop.wait()
        except socket.gaierror as error:
            raise ValueError(
                f"--host {self._config.host} cannot be found ({error.strerror}); give an address of this machine."
            ) from error
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def _tls(self) -> Optional[ssl.SSLContext]:
        if not self._config.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._config.certificate)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                f"{self._config.certificate}: is no certificate with its key ({error}); give a PEM file with both."
            ) from error
        return context

    def _answer_request(self, connection: Any, request: Request) -> Optional[Response]:
        """The page or a refusal; None lets a WebSocket through."""
        self._opening.spoke(connection.transport)
        answer = self._answer(request)
        if answer is None:
            return None
        return Response(answer.status, answer.status.phrase, Headers(answer.headers), answer.body)

    def _answer(self, request: Request) -> Optional[Answer]:
        if not self._arrivals.take():
            return plain(HTTPStatus.TOO_MANY_REQUESTS, "There were too many connections in a second; come again later.")
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if self._config.is_local and urlsplit(f"//{host}").hostname not in (*_LOCAL_HOSTS, self._config.host):
            return plain(HTTPStatus.FORBIDDEN, "This server is asked for by a name of another machine.")
        if origin is not None and urlsplit(origin).netloc != host:
            return plain(HTTPStatus.FORBIDDEN, "A page of another site may not use this server.")
        if getattr(request, "method", "GET") != "GET":  # releases that do not say take no other
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
        path = request.path.partition("?")[0]
        if "Sec-WebSocket-Key" not in request.headers:
            return self._page.answer(path)
        if path != "/":
            return plain(HTTPStatus.NOT_FOUND, "There is nothing at this address; connect to /.")
        if self.num_active >= self._config.max_active_connections:
            return plain(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{self.num_active} clients are served already; come again later."
            )
        return None

    async def _handle(self, connection: Connection) -> None:
        self.num_active += 1
        self.num_served += 1
        caller = Caller(connection, f"client {self.num_served}", self._config)
        LOG.info("%s: connected; %d of %d", caller.name, self.num_active, self._config.max_active_connections)
        try:
            await self._serve(caller)
        except ConnectionClosed as closed:
            LOG.info(
                "%s: left%s", caller.name, f" ({closed.sent.reason})" if closed.sent and closed.sent.reason else ""
            )
        finally:
            self.num_active -= 1

    async def _serve(self, caller: Caller) -> None:
        try:
            await self._service.serve(caller)
            await caller.leave()
        except Refused as refused:
            await caller.refuse(str(refused))
        except ConnectionClosed:
            raise
        except Exception:  # whatever it is, others are to be served
            LOG.exception("%s: cannot be served", caller.name)
            await caller.refuse("the server failed here; its log says how.")
