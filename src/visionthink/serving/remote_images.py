"""Images by URL: only from hosts on the server's list, and only from public addresses.

The check is part of connecting. A name is resolved once for each connection, a private address
among its addresses refuses it, and no socket is made for an address that is not public, so that a
name that resolves differently a moment later (DNS rebinding) leads nowhere. Redirects are followed
by the same rules.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from visionthink.serving.api_error import ApiError
from visionthink.serving.serve_options import RemoteImageOptions

PORTS = {"http": 80, "https": 443}
NAT64 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48")))
REDIRECTS = frozenset((301, 302, 303, 307, 308))
HEADERS = {"User-Agent": "visionthink", "Accept": "image/*", "Accept-Encoding": "identity"}

Resolve = Callable[[str, int], Awaitable[list[str]]]


class _FetchError(Exception):
    """Why an image is not fetched. Clients see it, so it reveals nothing of the network here."""


async def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system resolves it."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an address belongs to the internet, not to this machine or a network around it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour or ip.teredo or any(ip in network for network in NAT64):
            return False  # they lead to an IPv4 address that is not checked
        if ip.is_site_local:
            return False  # fec0::/10, deprecated but still routed inside some networks
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class Fetcher:
    """Fetches images by URL.

    Args:
        options: allowed hosts, seconds, redirects.
        resolve: name and port → addresses.
        public: which addresses may be connected to.
    """

    def __init__(
        self,
        options: RemoteImageOptions,
        *,
        resolve: Resolve = addresses_of,
        public: Callable[[str], bool] = is_public,
    ) -> None:
        self._options = options
        self._resolve = resolve
        self._public = public

    async def fetch(self, url: str, limit: int, param: str) -> bytes:
        """The bytes behind `url`, at most `limit` of them.

        Raises:
            ApiError: 400; URLs are not fetched, not this one, or it gave no image in time.
        """
        if not self._options.hosts:
            message = "images are not fetched from URLs here; send a data URL"
            raise ApiError(400, message, param=param, code="remote_images_off")
        try:
            async with asyncio.timeout(self._options.seconds):
                return await self._follow(url, limit)
        except TimeoutError:
            why = f"it took longer than {self._options.seconds:g} s"
        except _FetchError as error:
            why = str(error)
        except (OSError, UnicodeError, ClientError):
            why = "the connection failed"
        raise ApiError(400, f"the image was not fetched: {why}", param=param, code="image_url")

    async def _follow(self, url: str, limit: int) -> bytes:
        connector = TCPConnector(
            resolver=_CheckedResolver(self._resolve, self._check),
            use_dns_cache=False,
            happy_eyeballs_delay=None,
            socket_factory=self._socket,
            force_close=True,
        )
        async with ClientSession(
            connector=connector,
            headers=HEADERS,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            timeout=ClientTimeout(total=None),
        ) as session:
            for _ in range(self._options.redirects + 1):
                data, location = await _get(session, self._allowed(url), limit)
                if location is None:
                    return data
                try:
                    url = urljoin(url, location)
                except ValueError:
                    raise _FetchError("it redirects to a URL that is not valid") from None
        raise _FetchError("there are too many redirects")

    def _allowed(self, url: str) -> URL:
        """The URL, if its host is on the list; built from the very parts that were checked."""
        if not all("!" <= char <= "~" for char in url) or "\\" in url:
            raise _FetchError("the URL has characters that must be escaped")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise _FetchError("the URL is not valid") from None
        if parts.scheme not in PORTS or not host or parts.username is not None:
            raise _FetchError("the URL must be http or https, with a host and no user")
        default = PORTS[parts.scheme]
        port = default if port is None else port
        if not any(_matches(allowed, host, port, default) for allowed in self._options.hosts):
            raise _FetchError("the host is not on this server's list")
        return URL.build(
            scheme=parts.scheme,
            host=f"[{host}]" if ":" in host else host,
            port=port,
            path=parts.path or "/",
            query_string=parts.query,
            encoded=True,
        )

    def _check(self, address: str) -> None:
        if not self._public(address):
            raise _FetchError("the host is not on the public internet")

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for an address that is about to be connected to: the last check."""
        family, kind, protocol, _, address = info
        self._check(str(address[0]))
        return socket.socket(family, kind, protocol)


class _CheckedResolver(AbstractResolver):
    """Resolves names of which every address passes the check."""

    def __init__(self, resolve: Resolve, check: Callable[[str], None]) -> None:
        self._resolve = resolve
        self._check = check

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        addresses = await self._resolve(host, port)
        for address in addresses or [""]:
            self._check(address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def _get(session: ClientSession, url: URL, limit: int) -> tuple[bytes, str | None]:
    """The body, or where a redirect leads."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status in REDIRECTS and "Location" in response.headers:
            return b"", response.headers["Location"]
        if response.status != 200:
            raise _FetchError(f"the host answered {response.status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _FetchError("the host sent it compressed")
        body = bytearray()
        async for data in response.content.iter_any():
            body += data
            if len(body) > limit:
                raise _FetchError(f"it has more than {limit:,} bytes")
        return bytes(body), None


def _matches(allowed: str, host: str, port: int, default: int) -> bool:
    """Whether an entry of the list (`host`, `*.host`, either with `:port`) covers a host."""
    name, colon, number = allowed.lower().rpartition(":")
    if not colon or not number.isdigit():
        name, number = allowed.lower(), str(default)
    if str(port) != number:
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
