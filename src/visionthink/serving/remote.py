"""Images behind URLs: only from hosts that were allowed, and only from public addresses.

A name is resolved once, its addresses are checked, and the connection goes to a checked address:
resolving it again could give another one. Redirects are followed by the same rules.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import h11

from visionthink.serving.options import RemoteImages
from visionthink.serving.refusal import Refusal

PORTS = {"http": 80, "https": 443}
NAT64 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48")))
REDIRECTS = frozenset((301, 302, 303, 307, 308))

Resolve = Callable[[str, int], Awaitable[list[str]]]


class _Trouble(Exception):
    """Why an image is not fetched; told to the client, so it says nothing of the network here."""


@dataclass(frozen=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"


async def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system resolves it."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
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
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class Fetcher:
    """Fetches images by URL.

    Args:
        options: which hosts, how long, how many redirects.
        resolve, public: how names become addresses, and which of these may be reached.
        tls: settings of https; default: the system's, which check certificates.
    """

    def __init__(
        self,
        options: RemoteImages,
        *,
        resolve: Resolve = addresses_of,
        public: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._options = options
        self._resolve = resolve
        self._public = public
        self._tls = tls

    async def fetch(self, url: str, most: int, param: str) -> bytes:
        """The bytes behind `url`, at most `most` of them.

        Raises:
            Refusal: 400; URLs are not fetched, not this one, or it gave no image in time.
        """
        if not self._options.hosts:
            message = "images are not fetched from URLs here; send a data URL"
            raise Refusal(400, message, param=param, code="remote_images_off")
        try:
            async with asyncio.timeout(self._options.seconds):
                return await self._follow(url, most)
        except TimeoutError:
            why = f"it took longer than {self._options.seconds:g} s"
        except _Trouble as trouble:
            why = str(trouble)
        except (OSError, UnicodeError, h11.ProtocolError):
            why = "the connection failed"
        raise Refusal(400, f"the image was not fetched: {why}", param=param, code="image_url")

    async def _follow(self, url: str, most: int) -> bytes:
        for _ in range(self._options.redirects + 1):
            target = self._target(url)
            data, location = await self._get(target, most)
            if location is None:
                return data
            try:
                url = urljoin(url, location)
            except ValueError:
                raise _Trouble("it is redirected to a URL that is not valid") from None
        raise _Trouble("there are too many redirects")

    def _target(self, url: str) -> _Target:
        """The parts of a URL that is allowed."""
        if not all("!" <= char <= "~" for char in url) or "\\" in url:
            raise _Trouble("the URL has characters that must be escaped")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise _Trouble("the URL is not valid") from None
        if parts.scheme not in PORTS or not host or parts.username is not None:
            raise _Trouble("the URL must be http or https, with a host and no user")
        default = PORTS[parts.scheme]
        port = default if port is None else port
        if not any(_matches(allowed, host, port, default) for allowed in self._options.hosts):
            raise _Trouble("the host is not on this server's list")
        path = parts.path or "/"
        return _Target(parts.scheme, host, port, path + (f"?{parts.query}" if parts.query else ""))

    async def _get(self, target: _Target, most: int) -> tuple[bytes, str | None]:
        """The body, or where a redirect leads."""
        addresses = await self._resolve(target.host, target.port)
        if not addresses or not all(map(self._public, addresses)):
            raise _Trouble("the host is not on the public internet")
        tls = None
        if target.scheme == "https":
            tls = self._tls = self._tls or ssl.create_default_context()
        reader, writer = await asyncio.open_connection(
            addresses[0], target.port, ssl=tls, server_hostname=target.host if tls else None
        )
        try:
            return await _exchange(reader, writer, target, most)
        finally:
            writer.transport.abort()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: _Target, most: int
) -> tuple[bytes, str | None]:
    http = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", target.host_header),
        ("User-Agent", "visionthink"),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=target.path, headers=headers)
    writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    body = bytearray()
    while True:
        match http.next_event():
            case h11.NEED_DATA:
                http.receive_data(await reader.read(65_536))
            case h11.Response(status_code=status, headers=given):
                found = {name.lower(): value.decode("latin-1") for name, value in given}
                if status in REDIRECTS and b"location" in found:
                    return b"", found[b"location"]
                if status != 200:
                    raise _Trouble(f"the host answered {status}")
                if found.get(b"content-encoding", "identity") != "identity":
                    raise _Trouble("the host sent it compressed")
            case h11.Data(data=data):
                body += data
                if len(body) > most:
                    raise _Trouble(f"it has more than {most:,} bytes")
            case h11.EndOfMessage():
                return bytes(body), None
            case _:
                pass  # 1xx


def _matches(allowed: str, host: str, port: int, default: int) -> bool:
    """Whether an entry of the list (`host`, `*.host`, either with `:port`) covers a host."""
    name, colon, number = allowed.lower().rpartition(":")
    if not colon or not number.isdigit():
        name, number = allowed.lower(), str(default)
    if str(port) != number:
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
