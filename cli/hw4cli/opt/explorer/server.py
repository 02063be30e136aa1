"""The server of the explorer: one page and its sockets, for clients on this machine that have the token."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from hw4cli.json_record import json_text

LOOPBACK = "127.0.0.1"
MESSAGE_ROOM = 4_000_000  # bytes of a message besides an uploaded file: data of about 100,000 rows
CLOSE_SECONDS = 1.0
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Receive = Callable[[str | bytes], None]
Send = Callable[[Mapping[str, Any]], None]
Connected = Callable[[Send], tuple[Receive, Callable[[], None]]]


@dataclass(frozen=True)
class Access:
    """Who may connect: the token in the path, and the names of this server that `Host` may hold."""

    token: str
    host: str = LOOPBACK

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused, or None. A name of another server in `Host` is DNS rebinding."""
        host = request.headers.get("Host", "")
        if not self._is_own(urlsplit(f"//{host}").hostname or ""):
            return "the Host is not this server's"
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return "the Origin is another page's"
        path = request.path.partition("?")[0].strip("/").split("/")
        return None if hmac.compare_digest(path[0].encode(), self.token.encode()) else "the token is wrong"

    def _is_own(self, name: str) -> bool:
        if name.lower() in (self.host.lower(), LOOPBACK, "localhost", "::1"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not is_loopback(self.host)  # then any address of the machine may be meant


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to the host."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


class Explorer:
    """A running server; `url` opens the page.

    page         the page's HTML
    connected    called for each window with a function that sends; returns those that receive and close
    max_bytes    of an uploaded file
    """

    def __init__(
        self,
        page: str,
        connected: Connected,
        max_bytes: int,
        host: str = LOOPBACK,
        port: int = 0,
        token: str | None = None,
    ) -> None:
        self._page, self._connected = page.encode(), connected
        self._access = Access(secrets.token_urlsafe(24) if token is None else token, host)
        logger = logging.getLogger("hw4opt.cli.explorer")
        logger.setLevel(logging.CRITICAL)  # closing a window in the middle of a message is not an error
        self._server: Server = serve(
            self._window,
            host,
            port,
            process_request=self._respond,
            compression=None,
            max_size=max_bytes + MESSAGE_ROOM,
            close_timeout=CLOSE_SECONDS,
            server_header=None,
            logger=logger,
        )

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        port, host = self._server.socket.getsockname()[1], self._access.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/{self._access.token}/"

    def run(self) -> None:
        """Serve until interrupted, or until `close` is called in another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Close every window's connection, and stop."""
        self._server.shutdown()

    def _respond(self, connection: ServerConnection, request: Request) -> Response | None:
        """The page; None lets a socket through."""
        if (refusal := self._access.refusal(request)) is not None:
            return connection.respond(HTTPStatus.FORBIDDEN, f"refused: {refusal}\n")
        path = request.path.partition("?")[0].strip("/").split("/")
        if path[1:] == ["socket"]:
            if request.headers.get("Origin") is None:
                return connection.respond(HTTPStatus.FORBIDDEN, "refused: there is no Origin\n")
            return None
        if path[1:]:
            return connection.respond(HTTPStatus.NOT_FOUND, "there is no such page\n")
        headers = Headers(PAGE_HEADERS | {"Content-Length": str(len(self._page)), "Connection": "close"})
        return Response(HTTPStatus.OK.value, "OK", headers, self._page)

    def _window(self, connection: ServerConnection) -> None:
        def send(record: Mapping[str, Any]) -> None:
            with suppress(ConnectionClosed):  # the window was closed meanwhile
                connection.send(json_text(record))

        receive, close = self._connected(send)
        try:
            for message in connection:
                receive(message)
        except ConnectionClosed:
            pass
        finally:
            close()
