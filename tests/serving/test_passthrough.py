"""What is not a question about an image reaches the upstream byte for byte, and so does its reply.

The upstream records what each request became.
"""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from typing import Any

import pytest

from engines.chat_server import ChatServer, Handler, closes_mid_body, hangs, says, sends, status
from serving.gateway_process import wait_for
from serving.gateways import KEY, QUESTION, RED, request, served, upstream, user
from serving.test_stream import events, spell, streams
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine

MODEL = "qwen2.5-vl"
TEXT = user("What is the capital of France?")
ODD = (
    b'{ "model":"qwen2.5-vl",\n "messages" : [{"role":"user","content":"caf\\u00e9 \xc3\xa9"}],'
    b' "temperature": 1.0, "top_k":-1, "logit_bias":{}, "x_of_tomorrow":null,"stop":[ ] }'
)
"""A body that comes out differently wherever it is read and written again."""


def test_a_chat_without_an_image_is_passed_on_byte_for_byte():
    reply = b'{"choices": [{"message": {"content": "Paris"}}],  "x": 1e3}'
    with (
        ChatServer(sends(reply, 200, "application/json; charset=utf-8", X="y")) as vllm,
        served(upstream(vllm.url), name=MODEL) as server,
    ):
        came = server.post(ODD, Accept="text/x-odd", **{"X-Mine": "1"})
        assert server.metric('visionthink_passed_total{reason="text",status="200"}') == 1
        assert server.metric('visionthink_requests_total{outcome="answered"}') == 0
    (seen,) = vllm.chats
    assert seen.raw == ODD
    assert (seen.headers["accept"], seen.headers["x-mine"]) == ("text/x-odd", "1")
    assert came.body == reply
    assert (came.headers["content-type"], came.headers["x"]) == (
        "application/json; charset=utf-8",
        "y",
    )


@pytest.mark.parametrize("name", ["m", "m:low", "m:high", "m:trace", "m:vanilla"])
def test_only_a_name_that_the_upstream_does_not_know_is_replaced(name: str):
    asked = {**request(TEXT, model=name), "visionthink": {"look": "low"}, "seed": 7}
    with ChatServer(says("Paris")) as vllm, served(upstream(vllm.url)) as server:
        assert server.post(asked).json["choices"][0]["message"]["content"] == "Paris"
    assert vllm.chats[0].body == {"model": MODEL, "messages": [TEXT], "seed": 7}


def test_a_model_that_is_not_ours_is_the_upstreams_affair():
    with ChatServer(status(404, "no such model")) as vllm, served(upstream(vllm.url)) as server:
        for asked in (request(TEXT, model="lora-7"), request(QUESTION, model="lora-7")):
            body = json.dumps(asked).encode()
            reply = server.post(body)
            assert (reply.status, reply.json["error"]["message"]) == (404, "no such model")
            assert vllm.chats[-1].raw == body
        assert server.metric('visionthink_passed_total{reason="model",status="404"}') == 1


def test_vanilla_sends_the_clients_request_untouched():
    asked = request(user("What colour?", RED), model="m:vanilla", top_k=5, n=2)
    with ChatServer(says("red")) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(asked)
        assert server.metric('visionthink_passed_total{reason="vanilla",status="200"}') == 1
    assert vllm.chats[0].body == {**asked, "model": MODEL}
    assert set(reply.json) == {"id", "object", "choices"}


def test_vanilla_of_a_model_in_this_process_has_no_words_of_ours():
    engine = ScriptedEngine(["It is red."], profile="agent")
    with served(engine) as server:
        reply = server.post(request(model="m:vanilla"))
    assert reply.json["choices"][0]["message"]["content"] == "It is red."
    (message,) = engine.calls[0][0]
    assert (message.role, message.text.strip()) == ("user", "What colour?")
    assert message.images[0].size == (168, 168)


def test_streams_are_passed_on_byte_for_byte_as_they_come():
    """The gate opens only when the first half of the stream has arrived here."""
    gate = threading.Event()
    parts = events(*spell("Paris"))
    with (
        ChatServer(streams(*parts, gate=gate, held=3)) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        said = ""
        for chunk in server.client().chat.completions.create(**request(TEXT, stream=True)):
            said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if said == "Par":
                gate.set()
        assert said == "Paris"
        assert server.post(request(TEXT, stream=True)).body == b"".join(parts)


def test_a_compressed_reply_stays_compressed():
    body = gzip.compress(b'{"choices": []}')
    headers: Any = {"Content-Encoding": "gzip"}
    compressed = sends(body, **headers)
    with ChatServer(compressed) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(TEXT), **{"Accept-Encoding": "gzip"})
    assert (reply.body, reply.headers["content-encoding"]) == (body, "gzip")
    assert vllm.chats[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", "/v1/completions", b'{"model":"qwen2.5-vl", "prompt":[1,2]}', "application/json"),
        ("POST", "/v1/embeddings?a=%2Fb&c", b'{"input": "x"}', "application/json"),
        ("POST", "/v1/responses", b'{"input": [], "model": "o"}', "application/json"),
        ("POST", "/v1/audio/transcriptions", b"--b\r\n\x00\xff", "multipart/form-data; boundary=b"),
        ("POST", "/v1/files", b"--b--", "multipart/form-data; boundary=b"),
        ("GET", "/v1/files/file%2D1/content", b"", None),
        ("DELETE", "/v1/files/file-1", b"", None),
        ("GET", "/v1/batches?limit=2", b"", None),
        ("POST", "/v1/not/json", b"{broken", "application/json"),
    ],
)
def test_other_endpoints_are_passed_on_byte_for_byte(
    method: str, path: str, body: bytes, kind: str | None
):
    answer = sends(b"\x00binary", 201, "audio/mpeg")
    with ChatServer(other=answer) as vllm, served(upstream(vllm.url), name=MODEL) as server:
        reply = server.call(method, path, body or None, {"Content-Type": kind} if kind else None)
        assert server.metric('visionthink_passed_total{reason="endpoint",status="201"}') == 1
    (seen,) = vllm.others
    assert (seen.method, seen.path, seen.raw) == (method, path, body)
    assert seen.headers.get("content-type") == kind
    assert (reply.status, reply.body, reply.headers["content-type"]) == (
        *(201, b"\x00binary"),
        "audio/mpeg",
    )


def test_an_other_endpoint_gets_our_models_name_at_the_upstream():
    with ChatServer(other=sends(b"{}")) as vllm, served(upstream(vllm.url)) as server:
        body = b'{"model": "m", "prompt": "Hi", "echo": true}'
        server.call("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    assert json.loads(vllm.others[0].raw) == {"model": MODEL, "prompt": "Hi", "echo": True}


def test_the_list_of_models_has_the_upstreams_too():
    models = [MODEL, {"id": "embedder", "root": "/w", "object": "model"}]
    with ChatServer(models=models) as vllm, served(upstream(vllm.url), name=MODEL) as server:
        listed = [each.id for each in server.client().models.list()]
        names = [MODEL, *(f"{MODEL}:{suffix}" for suffix in ("low", "high", "trace", "vanilla"))]
        assert listed == [*names, "embedder"]
        assert server.call("GET", "/v1/models/embedder").json["root"] == "/w"
        assert server.call("GET", "/v1/models/other").status == 404


def test_without_passthrough_it_is_refused():
    with (
        ChatServer(other=sends(b"{}")) as vllm,
        served(upstream(vllm.url), passthrough=False) as server,
    ):
        text = server.post(request(TEXT))
        assert (text.status, text.error["code"]) == (400, "passthrough_off")
        vanilla = server.post(request(model="m:vanilla"))
        assert (vanilla.status, vanilla.error["code"]) == (400, "passthrough_off")
        other = server.call("POST", "/v1/completions", b"{}", {"Content-Type": "application/json"})
        assert (other.status, other.error["code"]) == (404, "unknown_url")
        unknown = server.post(request(QUESTION, model="lora-7"))
        assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert (vllm.chats, vllm.others) == ([], [])


# Keys


@pytest.mark.parametrize(
    ("own_keys", "upstream_key", "sent", "seen"),
    [
        (False, None, KEY, f"Bearer {KEY}"),
        (False, "sk-up", KEY, "Bearer sk-up"),
        (True, None, KEY, None),
        (True, "sk-up", KEY, "Bearer sk-up"),
    ],
)
def test_the_key_that_an_upstream_gets(
    own_keys: bool, upstream_key: str | None, sent: str, seen: str | None
):
    """A client's own key is passed on only where this server has no keys and was given none."""
    options: dict[str, Any] = {"api_key_env": "KEYS"} if own_keys else {}
    with (
        ChatServer(says("Paris")) as vllm,
        served(
            upstream(vllm.url, api_key=upstream_key or ""),
            keys=[KEY] if own_keys else [],
            **options,
        ) as server,
    ):
        assert server.post(request(TEXT), Authorization=f"Bearer {sent}").status == 200
    assert vllm.chats[0].headers.get("authorization") == seen


def test_a_web_page_of_another_site_cannot_send_forms():
    """Types of body that browsers send without asking first must not come from another site."""
    with ChatServer(other=sends(b"{}")) as vllm, served(upstream(vllm.url)) as server:
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        reply = server.call("POST", "/v1/files", b"--b--", form | {"Origin": "http://evil.example"})
        assert (reply.status, reply.error["code"]) == (403, "origin")
        own = {"Origin": f"http://127.0.0.1:{server.port}"}
        assert server.call("POST", "/v1/files", b"--b--", form | own).status == 200
    assert len(vllm.others) == 1


def test_a_path_cannot_leave_the_api():
    with ChatServer(other=sends(b"{}")) as vllm, served(upstream(vllm.url)) as server:
        for path in ("/v1/../admin", "/v1/%2e%2e/admin", "/v1/x/..%2Fadmin"):
            assert server.call("GET", path).status == 404
    assert vllm.others == []


# What goes wrong


def test_an_error_of_the_upstream_is_passed_on():
    with ChatServer(status(429, "slow down")) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(TEXT))
    assert (reply.status, reply.json["error"]["message"]) == (429, "slow down")


def test_a_dead_upstream_is_left_for_a_living_one():
    with (
        ChatServer(says("Paris")) as alive,
        ChatServer(says("Paris")) as dead,
        served(upstream(dead.url), upstream(alive.url), check_seconds=60) as server,
    ):
        dead.__exit__()
        assert [server.post(request(TEXT)).status for _ in range(4)] == [200] * 4
    assert len(alive.chats) == 4


def test_no_upstream_at_all():
    with served(upstream("http://127.0.0.1:9/v1")) as server:
        reply = server.post(request(TEXT))
        assert (reply.status, reply.error["code"]) == (503, "upstream_unreachable")


def test_a_silent_upstream_is_a_timeout():
    with ChatServer(hangs) as vllm:
        limits = {"urls": [vllm.url], "timeout": 0.2}
        with served(upstream(vllm.url), upstream=limits) as server:
            reply = server.post(request(TEXT))
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")


def test_a_reply_that_breaks_off_breaks_off_here_too():
    """A reply that ended properly would look complete."""
    with ChatServer(closes_mid_body) as vllm, served(upstream(vllm.url)) as server:
        with pytest.raises(http.client.IncompleteRead):
            server.post(request(TEXT))
        wait_for(lambda: server.metric('visionthink_passed_total{reason="text",status="502"}') == 1)


def test_a_client_that_leaves_frees_the_upstream():
    hung_up = threading.Event()

    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            for part in events(*spell("on and on " * 500)):
                handler.wfile.write(part)
                if handler.server.owner.stopped.wait(0.02):
                    break
        except OSError:
            hung_up.set()

    with ChatServer(behave) as vllm, served(upstream(vllm.url)) as server:
        chunks = server.client().chat.completions.create(**request(TEXT, stream=True))
        assert len([next(chunks) for _ in range(3)]) == 3
        chunks.close()
        assert hung_up.wait(30)
        wait_for(lambda: server.gateway.admission.running == 0)
        wait_for(lambda: server.metric('visionthink_passed_total{reason="text",status="499"}') == 1)


def test_text_does_not_wait_for_the_memory_of_images():
    """All of it is taken, so a question about a large image would wait for ever."""
    with ChatServer(says(direct_reply("", "Paris"))) as vllm, served(upstream(vllm.url)) as server:
        for budget in (server.gateway.image_memory.small, server.gateway.image_memory.large):
            budget.free = 0
        assert server.post(request(TEXT)).status == 200
