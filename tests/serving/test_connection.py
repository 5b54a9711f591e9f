"""Connections: how many, how long their headers, and clients that do not read or have left."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import attacks
from serving.gateway_process import gateway, wait_for
from serving.gateways import Served, request, served
from serving.test_request_limits import HALF, NOISE, SMALL, Gate, large, scripted, user
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def ask_health(server: Served) -> int:
    return server.call("GET", "/health").status


def closed(client: socket.socket) -> bool:
    """Whether the server has closed a connection; what it sent before is dropped."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


# Clients that do not read


@pytest.mark.parametrize("stream", [False, True])
def test_4_a_client_that_does_not_read_keeps_its_place_and_is_cut(stream: bool):
    """An answer of 12 MB is more than the system's buffers hold."""
    long = ScriptedEngine(lambda _: direct_reply("", "x" * 12_000_000), profile="agent")
    limits = {"running": 1, "send_seconds": 0.5, "tokens": 10**7}
    with served(long, limits=limits) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        body = json.dumps(request(stream=stream)).encode()
        client.sendall(attacks.head(len(body)) + body)
        admission = server.gateway.admission
        wait_for(lambda: admission.running == 1)
        wait_for(lambda: admission.present == 0)
        wait_for(lambda: server.metric('visionthink_requests_total{outcome="gone"}') == 1)
        assert closed(client)
        client.close()


def test_4_a_client_that_reads_slowly_gets_all():
    """Of each MiB, half a second is enough; of all of them it would not be."""
    text = "x" * 6_000_000
    long = ScriptedEngine(lambda _: direct_reply("", text), profile="agent")
    with served(long, limits={"send_seconds": 2.0, "tokens": 10**7}) as server:
        client = attacks.send(server.port, json.dumps(request()).encode())
        got = 0
        while got < len(text):
            got += len(client.recv(2**18))
            time.sleep(0.02)
        client.close()


def test_4_an_answer_after_which_the_connection_closes(caplog: pytest.LogCaptureFixture):
    with served(scripted()) as server:
        for _ in range(20):
            assert server.call("GET", "/health", headers={"Connection": "close"}).status == 200
    assert not caplog.records


# How many


def test_5_a_new_connection_takes_the_place_of_the_longest_idle_one(
    caplog: pytest.LogCaptureFixture,
):
    with served(scripted(), limits={"connections": 8}) as server, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(attacks.connect(server.port)) for _ in range(8)]
        for client in (idle[7], *idle[:4]):  # once the last was answered, all are accepted
            client.sendall(HEALTH)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert ask_health(server) == 200
        assert closed(idle[4])
        idle[0].sendall(HEALTH)
        assert idle[0].recv(4096).startswith(b"HTTP/1.1 200")
    assert "all 8 connections are taken; closed: 1" in caplog.text


def test_5_health_is_answered_while_all_connections_are_busy():
    """Eight uploads that do not end; what is not health must wait."""
    with served(scripted(), limits={"connections": 8}) as server, contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(attacks.connect(server.port)).sendall(HALF)
        wait_for(lambda: server.gateway.admission.present == 8)
        assert ask_health(server) == 200
        assert server.call("GET", "/ready").status == 200
        reply = server.call("GET", "/v1/models")
        assert (reply.status, reply.error["code"]) == (503, "server_busy")
        assert reply.headers["connection"] == "close"


@pytest.mark.slow
def test_5_a_server_with_few_descriptors_says_so_and_answers():
    """Of 300 descriptors, 96 are for the server and 2 for each of 64 requests."""
    with gateway(files=300) as server, contextlib.ExitStack() as stack:
        port = int(server.url.split(":")[2].split("/")[0])
        assert "300 file descriptors allow 76 connections" in server.stderr
        for _ in range(500):
            with contextlib.suppress(OSError):
                stack.enter_context(attacks.connect(port))
        assert server.status("/health") == 200
        assert "all 76 connections are taken" in server.stderr
        assert server.files < 300


# Headers


def test_5_headers_are_bounded_in_bytes():
    with served(scripted(), limits={"header_bytes": 10_000}) as server:
        for many in (b"X: y\r\n" * 5000, b"X: " + b"y" * 20_000, b"X: " + b"y" * 20_000 + b"\r\n"):
            client = attacks.connect(server.port)
            with contextlib.suppress(ConnectionError):
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + many)
            assert attacks.status(client) == 431
        assert server.call("GET", "/health", headers={"X": "y" * 9000}).status == 200
        assert server.call("GET", "/" + "y" * 11_000).status == 431


def test_5_what_follows_a_chunked_body_is_bounded_too():
    """Its trailer, and the extensions of its chunks."""
    start = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    )
    start += b"Content-Type: application/json\r\n\r\n"
    with served(scripted(), limits={"header_bytes": 10_000}) as server:
        for tail in (b"1;" + b"x" * 300_000, b"1\r\n{\r\n0\r\n" + b"x: y\r\n" * 60_000):
            client = attacks.connect(server.port)
            client.sendall(start)
            time.sleep(0.05)
            with contextlib.suppress(ConnectionError):
                client.sendall(tail)
            with contextlib.suppress(ConnectionError):
                assert attacks.status(client) in (0, 400, 431)
            assert closed(client) if client.fileno() >= 0 else True
        wait_for(lambda: server.gateway.admission.present == 0)


def test_5_headers_are_bounded_in_time():
    """Nothing at all, half a request, and line ends after a complete one."""
    with served(scripted(), limits={"header_seconds": 0.3}) as server:
        for start in (b"", b"GET /health HTTP/1.1\r\nHost"):
            client = attacks.connect(server.port)
            client.sendall(start)
            assert attacks.status(client) == 408
        client = attacks.connect(server.port)
        client.sendall(HEALTH)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        client.sendall(b"\r\n")
        assert attacks.status(client) == 408


def test_5_few_requests_may_wait_on_a_connection():
    engine = Gate()
    with served(engine, limits={"connections": 8}) as server:
        body = json.dumps(request()).encode()
        client = attacks.connect(server.port)
        client.sendall(attacks.head(len(body)) + body)
        wait_for(lambda: engine.inside == 1)
        client.sendall(HEALTH * 20)
        assert ask_health(server) == 200
        assert closed(client)
        wait_for(lambda: server.gateway.admission.present == 0)
        client.close()


# Clients that left


def test_6_a_client_that_left_gives_up_its_place_in_the_queue():
    engine = Gate()
    with served(engine, limits={"running": 1}) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.post, request())
        wait_for(lambda: engine.inside == 1)
        admission = server.gateway.admission
        with attacks.send(server.port, json.dumps(request()).encode()):
            wait_for(lambda: admission.waiting == 1)
        wait_for(lambda: admission.waiting == 0)
        engine.opened.set()
        assert first.result().status == 200


def test_6_a_client_that_left_before_its_body_was_read_gives_up_its_place():
    """Bodies of 1.5 MB take 6 MB of the 6.6 for large ones: the second is not read."""
    engine, body = Gate(), json.dumps(request(user("?", large()))).encode()
    with served(engine, limits=SMALL) as server:
        memory, admission = server.gateway.body_memory, server.gateway.admission
        with attacks.connect(server.port) as first:
            first.sendall(attacks.head(len(body)) + body[:-10])
            wait_for(lambda: memory.large.free < 6 * len(NOISE))
            with attacks.connect(server.port) as second:
                second.sendall(attacks.head(len(body)) + body[:200_000])
                wait_for(lambda: memory.waiting)
                assert admission.present == 2
            wait_for(lambda: admission.present == 1 and not memory.waiting)
        wait_for(lambda: admission.present == 0)


def test_6_a_slow_upload_is_cut_while_others_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visionthink.serving.exchange.PATIENCE", 0.2)
    monkeypatch.setattr("visionthink.serving.api_error.DISCARD_SECONDS", 0.2)
    engine = Gate()
    with served(engine, limits={"running": 1}) as server, ThreadPoolExecutor(1) as pool:
        slow = attacks.connect(server.port)
        slow.sendall(HALF)
        wait_for(lambda: server.gateway.admission.present == 1)
        first = pool.submit(server.post, request())
        assert attacks.status(slow) == 408
        engine.opened.set()
        assert first.result().status == 200
