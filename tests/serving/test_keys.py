"""Keys with names: what each may use, and its use in the metrics and the log."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import yaml

from engines.chat_server import ChatServer, says
from serving.gateway_process import gateway, wait_for
from serving.gateways import Served, request, served, user
from visionthink.core.errors import UsageError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.keys import Allowance, Keys
from visionthink.serving.serve_options import ServeOptions

DIRECT, ASKS = direct_reply("", "red"), request_reply("")
ANN, BOB = "sk-ann-0123456789", "sk-bob-0123456789"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", ANN)
    monkeypatch.setenv("BOB", BOB)


def keys(**limits: int) -> Keys:
    """Ann's has limits, Bob's has none."""
    named = {"ann": {"env": "ANN", **limits}, "bob": {"env": "BOB"}}
    return Keys.of(ServeOptions.model_validate({"keys": named}))


def ask(server: Served, key: str) -> int:
    return server.post(request(), Authorization=f"Bearer {key}").status


def test_each_key_has_its_requests_a_minute():
    with served(
        ScriptedEngine([DIRECT] * 9, profile="agent"), keys=keys(requests_per_minute=2)
    ) as s:
        assert [ask(s, ANN) for _ in range(3)] == [200, 200, 429]
        reply = s.post(request(), Authorization=f"Bearer {ANN}")
        assert reply.error["code"] == "rate_limit_exceeded"
        assert "'ann'" in reply.error["message"]
        assert 1 <= int(reply.headers["retry-after"]) <= 30
        assert [ask(s, BOB) for _ in range(3)] == [200] * 3
        assert ask(s, "sk-eve-0123456789") == 401


def test_each_key_has_its_visual_tokens_a_minute():
    """An episode processes 9 + 36 tokens; the second exceeds 50, so the third must wait."""
    engine = ScriptedEngine([ASKS, DIRECT] * 9, profile="agent")
    with served(engine, keys=keys(visual_tokens_per_minute=50)) as server:
        assert [ask(server, ANN) for _ in range(3)] == [200, 200, 429]
        assert ask(server, BOB) == 200


def test_use_is_counted_by_name(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    engine = ScriptedEngine([DIRECT] * 9, profile="agent")
    with served(engine, keys=keys(), log=str(path)) as server:
        assert [ask(server, key) for key in (ANN, ANN, BOB)] == [200] * 3
        assert server.metric('visionthink_key_requests_total{key="ann"}') == 2
        assert server.metric('visionthink_key_visual_tokens_total{key="ann"}') == 18
        assert server.metric('visionthink_key_visual_tokens_total{key="bob"}') == 9
    text = path.read_text()
    assert [json.loads(line)["key"] for line in text.splitlines()] == ["ann", "ann", "bob"]
    assert ANN not in text


def test_an_allowance_is_refilled_steadily(monkeypatch: pytest.MonkeyPatch):
    """60 a minute are one a second; what was used beyond it is paid back first."""
    now = [100.0]
    monkeypatch.setattr("visionthink.serving.keys.time.monotonic", lambda: now[0])
    allowance = Allowance(60)
    allowance.use(65)
    assert allowance.wait(1) == 6
    now[0] += 6
    assert allowance.wait(1) == 0
    now[0] += 1000
    assert (allowance.wait(60), allowance.wait(61)) == (0, 1)


def test_two_names_need_two_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BOB", ANN)
    with pytest.raises(UsageError, match="two of the keys are the same"):
        keys()
    monkeypatch.setenv("BOB", "a,b")
    with pytest.raises(UsageError, match="expected one key in BOB, got 2"):
        keys()
    monkeypatch.delenv("BOB")
    with pytest.raises(UsageError, match="BOB holds no API key"):
        keys()


def test_new_keys_keep_what_was_used():
    old, new = keys(requests_per_minute=5), keys(requests_per_minute=3)
    for _ in range(3):
        old.keys[0].admit()
    old.replace(new)
    assert old.keys[0].requests is not None
    assert old.keys[0].requests.wait(1) > 0


def test_sighup_reads_the_keys_again(tmp_path: Path):
    """Bob's key is added to the config, and a broken config changes nothing."""
    config = tmp_path / "serve.yaml"
    body = request(user("Why?"), model="qwen2.5-vl")

    def write(*names: str) -> None:
        named = {name: {"env": name.upper()} for name in names}
        config.write_text(yaml.safe_dump({"keys": named}))

    with ChatServer(says("Because.")) as vllm:
        write("ann")
        with gateway("--config", config, "--upstream", vllm.url) as server:

            def status(key: str) -> int:
                raw = server.client(api_key=key).chat.completions.with_raw_response
                try:
                    return raw.create(**body).status_code
                except Exception as error:
                    return error.status_code  # type: ignore[attr-defined]

            assert (status(ANN), status(BOB)) == (200, 401)
            write("ann", "bob")
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "was reloaded: 2 keys" in server.stderr)
            assert (status(ANN), status(BOB)) == (200, 200)
            write("eve")
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "was not reloaded: the environment variable EVE" in server.stderr)
            assert (status(ANN), status(BOB)) == (200, 200)
