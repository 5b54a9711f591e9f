"""By which names a server on this machine alone may be asked.

A page in a browser can have its own name resolve to 127.0.0.1 and then talk to whatever listens
there as if it were its own server. Its requests still carry its name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from visionthink.serving.refusal import Refusal, send_refusal


class Hosts:
    """Lets requests through that name this machine: by an address, as localhost, or by `names`.

    Only for a server that listens on loopback; others are meant to be found by any name.
    """

    def __init__(self, app: ASGIApp, host: str, names: Sequence[str]) -> None:
        self._app = app
        self._open = not is_loopback(host)
        self._names = {"localhost", host.lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._open:
            name = _name(dict(scope["headers"]).get(b"host", b"").decode("latin-1"))
            if name not in self._names and not _is_address(name):
                message = "this server is not known by that name; see its option hosts"
                refusal = Refusal(403, message, code="unknown_host")
                await send_refusal(refusal, scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (_is_address(host) and _address(host).is_loopback)


def _name(header: str) -> str:
    """The host of a Host header, without its port, in lower case."""
    name, colon, port = header.lower().rpartition(":")
    name = name if colon and port.isdigit() else header.lower()
    return name.strip("[]")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def _is_address(text: str) -> bool:
    try:
        _address(text)
    except ValueError:
        return False
    return True
