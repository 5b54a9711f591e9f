"""Images by URL: which are fetched, and how all others are refused.

A real HTTP server on loopback stands for the internet: the test resolves names to it, and declares
loopback public where it must be.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from serving.gateways import image_part, png, request, served, user
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.api_error import ApiError
from visionthink.serving.remote_images import Fetcher, is_public
from visionthink.serving.serve_options import RemoteImageOptions

PNG = png()
MOST = 100_000
HOST = "images.example"


class Site:
    """A web server whose paths are functions; keeps the headers of its requests."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.seen: list[dict[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append({**dict(self.headers.items()), "path": self.path})
                site.pages[self.path.partition("?")[0]](self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"

    def fetcher(self, *hosts: str, **options: Any) -> Fetcher:
        """A fetcher for which loopback is public and every name is this site."""
        settings = {"hosts": hosts or (f"{HOST}:{self.port}",), **options}
        chosen = RemoteImageOptions.model_validate(settings)
        return Fetcher(chosen, resolve=local, public=lambda _: True)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


async def local(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def sends(body: bytes, status: int = 200, **headers: str) -> Callable[[Any], None]:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return page


@pytest.fixture
def site() -> Generator[Site]:
    running = Site()
    running.pages["/a.png"] = sends(PNG, content_type="image/png")
    yield running
    running.close()


def fetch(fetcher: Fetcher, url: str, most: int = MOST) -> bytes:
    return asyncio.run(fetcher.fetch(url, most, "where"))


def refused(fetcher: Fetcher, url: str, most: int = MOST) -> str:
    with pytest.raises(ApiError) as caught:
        fetch(fetcher, url, most)
    assert (caught.value.status, caught.value.param) == (400, "where")
    assert "127.0.0.1" not in caught.value.message
    return caught.value.message


# What is fetched


def test_an_image_is_fetched(site: Site):
    assert fetch(site.fetcher(), site.url("/a.png?size=1#x")) == PNG
    (seen,) = site.seen
    assert seen["path"] == "/a.png?size=1"
    assert seen["Host"] == f"{HOST}:{site.port}"
    assert "Authorization" not in seen


def test_a_redirect_is_followed(site: Site):
    site.pages["/old"] = sends(b"", 302, location="/a.png")
    assert fetch(site.fetcher(), site.url("/old")) == PNG


def test_a_name_is_resolved_once_for_each_connection(site: Site):
    """A name is resolved once for each request: it cannot be another address the second time."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    options = RemoteImageOptions(hosts=(f"{HOST}:{site.port}",))
    assert fetch(Fetcher(options, resolve=resolve, public=lambda _: True), site.url("/a.png"))
    assert asked == [HOST]


def test_the_server_fetches_each_url_once_and_refuses_other_hosts(site: Site):
    engine = ScriptedEngine([direct_reply("", "red")], profile="agent")
    with served(engine, fetcher=site.fetcher()) as server:
        url = site.url("/a.png")
        reply = server.post(request(user("Both?", image_part(url), image_part(url))))
        assert reply.status == 200
        assert len(site.seen) == 1
        bad = server.post(request(user("?", image_part(site.url("/a.png", "other.example")))))
        assert (bad.status, bad.error["param"]) == (400, "messages[0].content[1].image_url")
        assert "not on this server's list" in bad.error["message"]


def test_all_fetched_images_of_a_request_share_its_byte_limit(site: Site):
    """Two PNGs of a kilobyte or more, and 500 bytes more than one of them."""
    noise = io.BytesIO()
    Image.effect_noise((56, 56), 100).save(noise, "PNG")
    for path in ("/c.png", "/d.png"):
        site.pages[path] = sends(noise.getvalue())
    parts = [image_part(site.url(path)) for path in ("/c.png", "/d.png")]
    most = len(noise.getvalue()) + 500
    with served(ScriptedEngine([]), fetcher=site.fetcher(), limits={"body": most}) as server:
        error = server.post(request(user("Both?", *parts))).error
        assert "more than 500 bytes" in error["message"]


# What is refused


@pytest.mark.parametrize(
    ("allowed", "host", "ok"),
    [
        ("images.example", "images.example", True),
        ("Images.Example", "IMAGES.example.", True),
        ("*.example", "images.example", True),
        ("*.example", "a.b.example", True),
        ("*.example", "example", False),
        ("*.example", "evilexample", False),
        ("images.example", "a.images.example", False),
        ("images.example", "images.example.evil", False),
        ("images.example", "xn--images-example", False),
        ("127.0.0.1", "2130706433", False),
        ("127.0.0.1", "0x7f.1", False),
    ],
)
def test_only_hosts_of_the_list(site: Site, allowed: str, host: str, ok: bool):
    fetcher = site.fetcher(f"{allowed}:{site.port}")
    if ok:
        assert fetch(fetcher, site.url("/a.png", host)) == PNG
    else:
        assert "not on this server's list" in refused(fetcher, site.url("/a.png", host))
        assert site.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[fec0::1]", "10.0.0.1"])
def test_an_address_in_the_url_is_checked_as_the_address_of_a_name_is(host: str, site: Site):
    """A list cannot name IPv6 addresses; here it does, so that only the address is at fault."""
    url = site.url("/a.png", host)
    fetcher = Fetcher(
        RemoteImageOptions.model_construct(hosts=(f"{host.strip('[]')}:{site.port}",))
    )
    assert "not on the public internet" in refused(fetcher, url)
    assert site.seen == []


def test_no_socket_is_made_for_an_address_that_is_not_public(site: Site):
    """The last check, at the connection itself, whatever the resolver said a moment before."""
    answers = iter([True, False])
    options = RemoteImageOptions(hosts=(f"{HOST}:{site.port}",))
    fetcher = Fetcher(options, resolve=local, public=lambda _: next(answers))
    assert "not on the public internet" in refused(fetcher, site.url("/a.png"))
    assert site.seen == []


def test_a_second_address_is_tried_where_the_first_does_not_answer(site: Site):
    """The site listens on 127.0.0.1 only."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    options = RemoteImageOptions(hosts=(f"{HOST}:{site.port}",))
    fetcher = Fetcher(options, resolve=resolve, public=lambda _: True)
    assert fetch(fetcher, site.url("/a.png")) == PNG


def test_without_a_list_nothing_is_fetched(site: Site):
    fetcher = Fetcher(RemoteImageOptions(), resolve=local, public=lambda _: True)
    assert "not fetched from URLs here" in refused(fetcher, site.url("/a.png"))
    assert site.seen == []


def test_other_ports_must_be_allowed_too(site: Site):
    assert "not on this server's list" in refused(site.fetcher(HOST), site.url("/a.png"))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),  # noqa: S104
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"),
        *("64:ff9b:1::a00:1", "2001:0:7f00:1::", "2001:db8::1", "::127.0.0.1", "fec0::1"),
        *("feff::1", "2130706433", "0177.0.0.1", "not an address", ""),
    ],
)
def test_addresses_that_are_not_public(address: str, site: Site):
    assert not is_public(address)

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", address]

    fetcher = Fetcher(RemoteImageOptions(hosts=(f"{HOST}:{site.port}",)), resolve=resolve)
    assert "not on the public internet" in refused(fetcher, site.url("/a.png"))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address: str):
    assert is_public(address)


def test_localhost_is_refused_with_the_real_resolver(site: Site):
    """With the real resolver: localhost may be on the list, and still is not public."""
    fetcher = Fetcher(
        RemoteImageOptions(hosts=(f"localhost:{site.port}", f"127.0.0.1:{site.port}"))
    )
    for host in ("localhost", "127.0.0.1"):
        assert "not on the public internet" in refused(fetcher, site.url("/a.png", host))
    assert site.seen == []


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://evil.example/a.png", "not on this server's list"),
        ("file:///etc/passwd", "must be http or https"),
        ("//evil.example/", "not on this server's list"),
        ("/loop", "too many redirects"),
        ("http://[::1", "not valid"),
    ],
)
def test_redirects_obey_the_same_rules(site: Site, location: str, said: str):
    site.pages["/loop"] = sends(b"", 302, location=location)
    assert said in refused(site.fetcher(), site.url("/loop"))
    assert len(site.seen) == (4 if location == "/loop" else 1)


def test_a_redirect_to_an_allowed_name_with_a_private_address(site: Site):
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == HOST else ["10.0.0.1"]

    site.pages["/away"] = sends(b"", 307, location=f"http://inner.example:{site.port}/")
    hosts = (f"{HOST}:{site.port}", f"inner.example:{site.port}")
    fetcher = Fetcher(
        RemoteImageOptions(hosts=hosts),
        resolve=resolve,
        public=lambda address: address == "127.0.0.1",
    )
    assert "not on the public internet" in refused(fetcher, site.url("/away"))


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///a.png",
        "http://user:password@images.example/a.png",
        "http://images.example:99999/",
        "http://images.example:x/",
        "http://images.example\\@evil.example/",
        "http://images.example/a b",
        "http://images.example/\r\nHost: evil.example",
        "http://ímages.example/",
        "http://images.example/\x00",
    ],
)
def test_invalid_urls_are_refused(url: str):
    fetcher = Fetcher(RemoteImageOptions(hosts=("images.example",)), resolve=local)
    assert "URL" in refused(fetcher, url)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (sends(b"x" * (MOST + 1)), "more than 100,000 bytes"),
        (sends(b"no", 404), "the host answered 404"),
        (sends(b"", 302), "the host answered 302"),
        (sends(PNG, content_encoding="gzip"), "compressed"),
        (sends(b"short", content_length="100"), "the connection failed"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n"), "the connection failed"),
        (lambda handler: None, "the connection failed"),
    ],
)
def test_bad_responses_are_refused(site: Site, page: Callable[[Any], None], said: str):
    site.pages["/x"] = page
    assert said in refused(site.fetcher(), site.url("/x"))


def test_a_site_that_sends_for_ever_is_given_up(site: Site):
    stopped = threading.Event()

    def drips(handler: BaseHTTPRequestHandler) -> None:
        while not stopped.wait(0.02):
            try:
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:
                return

    site.pages["/x"] = drips
    assert "longer than 0.3 s" in refused(site.fetcher(seconds=0.3), site.url("/x"))
    stopped.set()


def test_a_host_that_does_not_resolve():
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    fetcher = Fetcher(RemoteImageOptions(hosts=("images.example",)), resolve=resolve)
    assert "the connection failed" in refused(fetcher, "http://images.example/")


def test_https_checks_certificates(site: Site):
    """The site speaks no TLS at all: the handshake fails, and nothing is sent in the clear."""
    url = site.url("/a.png").replace("http://", "https://")
    assert "the connection failed" in refused(site.fetcher(), url)
    assert site.seen == []
    assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED
