"""API keys, the Host header, and security headers."""

from __future__ import annotations

import openai
import pytest

from serving.gateways import KEY, Served, request, served
from visionthink.core.errors import UsageError
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.guards import HEADERS, is_loopback, keys_in


def scripted() -> ScriptedEngine:
    return ScriptedEngine(lambda _: direct_reply("", "red"), profile="agent")


# Keys


def test_a_key_is_required_where_keys_are_configured():
    with served(scripted(), keys=[KEY, "second"]) as server:
        for key in (KEY, "second"):
            assert server.client(key).chat.completions.create(**request()).choices
        for key in ("wrong", KEY[:-1], KEY + "x"):
            with pytest.raises(openai.AuthenticationError, match="Missing or invalid API key"):
                server.client(key).models.list()


@pytest.mark.parametrize(
    "header", ["", KEY, "Bearer", "Bearer ", f"Basic {KEY}", "Bearer \xff", f"Bearer {KEY},second"]
)
def test_other_credentials_are_refused(header: str):
    with served(scripted(), keys=[KEY]) as server:
        reply = server.post(request(), Authorization=header)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert reply.headers["www-authenticate"] == "Bearer"
        assert server.call("GET", "/v1/nothing").status == 401


def test_a_large_request_without_a_key_receives_the_401():
    with served(scripted(), keys=[KEY]) as server:
        assert server.post(b" " * 10_000_000).status == 401


def test_health_and_metrics_need_no_key():
    with served(scripted(), keys=[KEY]) as server:
        assert server.call("GET", "/health").json == {"status": "ok"}
        assert server.call("GET", "/ready").json == {"status": "ready", "alive": 1, "of": 1}
        assert server.call("GET", "/metrics").status == 200


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEYS", f" {KEY},second ,")
    assert keys_in("KEYS") == (KEY, "second")
    assert keys_in(None) == ()


@pytest.mark.parametrize("value", [None, "", " , "])
def test_a_configured_variable_without_keys_is_an_error(
    value: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("KEYS", raising=False)
    if value is not None:
        monkeypatch.setenv("KEYS", value)
    with pytest.raises(UsageError, match="KEYS holds no API key"):
        keys_in("KEYS")


def test_a_key_with_characters_outside_ascii_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEYS", "sk-é")
    with pytest.raises(UsageError, match="characters that no key has"):
        keys_in("KEYS")


# Names


def ask_as(server: Served, name: str) -> int:
    return server.call("GET", "/v1/models", headers={"Host": name}).status


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("10.1.2.3", 200),
        ("gateway.internal", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:8000", 403),
        ("", 403),
    ],
)
def test_a_server_on_loopback_accepts_only_its_own_host_names(name: str, status: int):
    """A page whose name was made to resolve to 127.0.0.1 sends that name."""
    with served(scripted(), hosts=["Gateway.internal"]) as server:
        assert ask_as(server, name) == status


def test_a_server_on_another_address_accepts_any_host_name():
    with served(scripted(), host="0.0.0.0") as server:  # noqa: S104 -- it listens on 127.0.0.1
        assert ask_as(server, "visionthink.example") == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.0.5", False),
        ("box.example", False),
    ],
)
def test_is_loopback(host: str, loopback: bool):
    assert is_loopback(host) == loopback


# Headers


def test_every_response_has_the_security_headers():
    with served(scripted(), keys=[KEY]) as server:
        replies = [
            server.call("GET", "/health"),
            server.call("GET", "/nothing"),
            server.call("GET", "/v1/models"),
            server.post(request(), Authorization=f"Bearer {KEY}"),
            server.post(request(stream=True), Authorization=f"Bearer {KEY}"),
            server.post({}, Authorization=f"Bearer {KEY}"),
            server.call("GET", "/health", headers={"Host": "evil.example"}),
        ]
    assert [reply.status for reply in replies] == [200, 404, 401, 200, 200, 400, 403]
    for reply in replies:
        for name, value in HEADERS:
            assert reply.headers[name.decode()] == value.decode()
        assert "access-control-allow-origin" not in reply.headers


def test_cors_preflight_requests_are_refused():
    with served(scripted()) as server:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        reply = server.call("OPTIONS", "/v1/chat/completions", headers=asked)
    assert reply.status == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]
