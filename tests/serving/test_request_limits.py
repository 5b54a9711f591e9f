"""Limits through the server: one request, many requests, and clients that leave."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from engines.chat_server import ChatServer, hangs, says
from serving import attacks
from serving.gateway_process import wait_for
from serving.gateways import QUESTION, Served, image_part, png, request, served, upstream, user
from visionthink.core.protocol import direct_reply
from visionthink.core.types import Completion, Message, Sampling
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.serve_options import ServeLimits

RED = direct_reply("", "red")
HALF = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
)


class Gate(ScriptedEngine):
    """Replies only when the gate opens; counts those that wait."""

    def __init__(self) -> None:
        super().__init__(lambda _: RED, profile="agent")
        self.opened = threading.Event()
        self.inside = 0
        self.cancelled = 0

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.inside += 1
        try:
            while not self.opened.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
        return await super().generate(messages, sampling)


def scripted() -> ScriptedEngine:
    return ScriptedEngine(lambda _: RED, profile="agent")


# One request


@pytest.mark.parametrize(
    ("limits", "messages", "code", "said"),
    [
        ({"images": 1}, [user("Which?", *[image_part(png())] * 2)], "too_many_images", "2 images"),
        ({"characters": 10}, [user("Which of them?")], "text_too_long", "14 characters of text"),
        ({"image_bytes": 50}, [QUESTION], "invalid_image", "more than 50 bytes"),
        ({"pixels": 28_223}, [QUESTION], "invalid_image", "168 x 168 pixels, more than 28,223"),
        (
            {"pixels": 28_224 + 28_223},
            [user("?", image_part(png()), image_part(png(colour="blue")))],
            "invalid_image",
            "more than 28,223",
        ),
    ],
)
def test_limits_on_images_characters_bytes_and_pixels(
    limits: dict[str, int], messages: list[Any], code: str, said: str
):
    """168 x 168 = 28,224 pixels; all images of a request share the limit."""
    with served(scripted(), limits=limits) as server:
        error = server.post(request(*messages)).error
        assert error["code"] == code
        assert said in error["message"]
        fits = {name: value + 28_224 for name, value in limits.items()}
    with served(scripted(), limits=fits) as server:
        assert server.post(request(*messages)).status == 200


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded():
    """A PNG of one colour: 64 million pixels in some hundred kB."""
    bomb = png(8001, 8000)
    with served(scripted()) as server:
        error = server.post(request(user("?", image_part(bomb)))).error
    assert (error["code"], len(bomb) < 1_000_000) == ("invalid_image", True)
    assert "8,001 x 8,000 pixels, more than 64,000,000" in error["message"]


def test_a_body_that_is_too_large():
    """By its length, or as it arrives; the client receives the error."""
    with served(scripted(), limits={"body": 100_000}) as server:
        reply = server.post(b" " * 100_001)
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        pieces = (b" " * 1000 for _ in range(150))
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", pieces, headers, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()
        assert server.post(request()).status == 200


def test_a_body_that_comes_too_slowly():
    with (
        served(scripted(), limits={"upload_seconds": 0.3}) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(HALF)
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_an_answer_that_takes_too_long():
    engine = Gate()
    with served(engine, limits={"request_seconds": 0.3}) as server:
        reply = server.post(request())
        assert (reply.status, reply.error["code"]) == (504, "request_timeout")
        wait_for(lambda: engine.cancelled == 1)
        with pytest.raises(openai.InternalServerError, match="took too long"):
            server.client().chat.completions.create(**request(stream=True))


def test_an_upstream_that_is_silent():
    with (
        ChatServer(hangs) as vllm,
        served(upstream(vllm.url, timeout=0.3), retries=2) as server,
    ):
        reply = server.post(request())
        assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
        assert len(vllm.chats) == 1  # a model that is slow once is not asked to be slow again


# Many requests


def ask_all(server: Served, pool: ThreadPoolExecutor, count: int) -> list[Any]:
    return [pool.submit(server.post, request()) for _ in range(count)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_place_is_free_before_its_client_has_the_end_of_the_answer(stream: bool):
    """A client that asks again and again takes the only place each time, and every ask counts."""
    with served(scripted(), limits={"running": 1, "waiting": 0}) as server:
        body = json.dumps(request(stream=stream)).encode()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for number in range(1, 31):
            connection.request(
                "POST", "/v1/chat/completions", body, {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            assert (response.status, len(response.read()) > 0) == (200, True)
            assert server.metric('visionthink_requests_total{outcome="answered"}') == number
        connection.close()


SMALL = {"pixels": 400_000, "body": 1_600_000, "memory": 35_000_000, "running": 4}
"""Limits of a server that has memory for two images of 400,000 pixels."""


def large() -> dict[str, Any]:
    """An image of 800 x 490 pixels, for which 9 MB and more are set aside."""
    return image_part(NOISE)


NOISE = attacks.noise(800, 490)


def test_6_a_request_waits_until_enough_memory_is_free():
    """Of 26 MB for images, a quarter is for small ones. The third large image waits for the others,
    without a place. An image that is refused gives its memory back too.
    """
    engine = Gate()
    with served(engine, limits=SMALL) as server, ThreadPoolExecutor(4) as pool:
        damaged = image_part(NOISE[:-20_000])
        assert server.post(request(user("?", damaged))).status == 400
        admission, memory = server.gateway.admission, server.gateway.image_memory
        before = memory.small.free, memory.large.free
        asked = [pool.submit(server.post, request(user("?", large()))) for _ in range(3)]
        wait_for(lambda: (admission.present, engine.inside, memory.waiting) == (3, 2, True))
        assert admission.running == 2
        engine.opened.set()
        assert [each.result().status for each in asked] == [200, 200, 200]
        assert (memory.small.free, memory.large.free) == before


def test_6_large_images_do_not_make_text_and_small_images_wait():
    engine = Gate()
    with served(engine, limits=SMALL) as server, ThreadPoolExecutor(8) as pool:
        memory = server.gateway.image_memory
        asked = [pool.submit(server.post, request(user("?", large()))) for _ in range(3)]
        wait_for(lambda: engine.inside == 2 and memory.waiting)
        asked += [pool.submit(server.post, request(user("Hello?")))]
        wait_for(lambda: engine.inside == 3)
        asked += [pool.submit(server.post, request(QUESTION))]
        wait_for(lambda: engine.inside == 4)
        assert memory.waiting
        engine.opened.set()
        assert [each.result().status for each in asked] == [200] * 5


def test_6_the_bytes_of_bodies_are_counted():
    """A body of 1.5 MB takes four times as much; of 9 MB, a quarter is for small ones."""
    body = request(user("?", large()))
    half = json.dumps(body).encode()[:-10]
    with served(scripted(), limits=SMALL) as server:
        memory = server.gateway.body_memory
        free = memory.large.free
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(attacks.head(len(half) + 10) + half)
            wait_for(lambda: memory.large.free == free - 4 * (len(half) + 10))
        wait_for(lambda: memory.large.free == free)


def test_memory_below_that_of_one_request_is_an_error():
    with pytest.raises(ValueError, match="memory must be at least 3,754,666,666 bytes for pixels="):
        ServeLimits(memory=5)


def test_requests_beyond_running_and_waiting_get_429():
    engine = Gate()
    with (
        served(engine, limits={"running": 2, "waiting": 3}) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        first = ask_all(server, pool, 5)
        admission = server.gateway.admission
        wait_for(lambda: (admission.running, admission.waiting) == (2, 3))
        wait_for(lambda: engine.inside == 2)
        assert server.metric("visionthink_requests_running") == 2
        assert server.metric("visionthink_requests_waiting") == 3
        refused = server.post(request())
        assert refused.status == 429
        assert refused.error["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        with pytest.raises(openai.RateLimitError):
            server.client().chat.completions.create(**request())
        engine.opened.set()
        assert [each.result().status for each in first] == [200] * 5
        assert server.metric('visionthink_requests_total{outcome="busy"}') == 2
        assert (admission.running, admission.waiting) == (0, 0)


def test_a_large_request_beyond_the_queue_receives_the_429():
    engine = Gate()
    with (
        served(engine, limits={"running": 1, "waiting": 0}) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(server.post, request())
        wait_for(lambda: engine.inside == 1)
        assert server.post(b" " * 10_000_000).status == 429
        engine.opened.set()
        assert first.result().status == 200


def test_each_of_100_requests_gets_the_answer_to_its_own_image():
    """The scripted model answers with the colour of the first pixel it is shown."""

    def colour(messages: Sequence[Message]) -> str:
        return direct_reply("", str(messages[1].images[0].image.getpixel((0, 0))))

    def ask(server: Served, red: int) -> bool:
        part = image_part(png(colour=(red, 0, 0)))
        reply = server.post(request(user("?", part), stream=red % 2 == 1))
        return f"({red}, 0, 0)" in reply.body.decode()

    with (
        served(ScriptedEngine(colour, profile="agent"), limits={"running": 4}) as server,
        ThreadPoolExecutor(16) as pool,
    ):
        assert all(pool.map(lambda red: ask(server, red), range(100)))


# Clients that leave


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_work(stream: bool):
    engine = Gate()
    with served(engine, limits={"running": 1}) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        body = json.dumps(request(stream=stream)).encode()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        wait_for(lambda: engine.inside == 1)
        connection.close()
        wait_for(lambda: engine.cancelled == 1)
        engine.opened.set()
        assert server.post(request()).status == 200
        wait_for(lambda: server.metric('visionthink_requests_total{outcome="gone"}') == 1)


def test_a_client_that_leaves_closes_the_connection_to_the_upstream():
    closed = threading.Event()

    def behave(handler: Any) -> None:
        handler.close_connection = True
        handler.connection.settimeout(30)
        if handler.rfile.read(1) == b"":
            closed.set()

    with ChatServer(behave, says(RED)) as vllm, served(upstream(vllm.url)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        body = json.dumps(request()).encode()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        wait_for(lambda: vllm.chats)
        connection.close()
        assert closed.wait(30)
        assert server.post(request()).status == 200


def test_a_client_that_leaves_during_its_upload_frees_its_place():
    with served(scripted(), limits={"running": 1}) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(HALF)
            wait_for(lambda: server.gateway.admission.present == 1)
        wait_for(lambda: server.gateway.admission.present == 0)
        assert server.post(request()).status == 200
