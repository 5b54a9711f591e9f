"""`serve` as a user runs it: a process of its own, asked by the openai client, ended by signals."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from cli.outcome import Run
from engines.chat_server import ChatServer, Handler, hangs, says, status
from serving.gateways import QUESTION, image_part, request, user
from visionthink.core.protocol import direct_reply
from visionthink.mini import CHECKPOINTS

RED = says(direct_reply("", "red"))


class Process:
    """A running `visionthink serve`; `stderr` is its standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.stderr = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line

    @property
    def url(self) -> str:
        deadline = time.monotonic() + 240
        while not (found := re.search(r"serving .* at (http\S+)", self.stderr)):
            assert self.process.poll() is None, self.stderr
            assert time.monotonic() < deadline, self.stderr
            time.sleep(0.05)
        return found[1]

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=240)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(120)
        self._reader.join(10)
        return code


@contextmanager
def serving(*options: object, **environment: str) -> Generator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "visionthink", "serve", "--port", "0", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield Process(process)
    finally:
        process.kill()
        process.wait(30)


def test_the_embedded_model_in_one_command():
    samples = CHECKPOINTS.parent / "samples"
    row = next(
        row
        for row in json.loads((samples / "samples.json").read_text())
        if row["file"] == "colour.png"
    )
    part = image_part((samples / row["file"]).read_bytes())
    with serving() as server:
        client = server.client()
        asked = request(user(row["question"], part), model="mini")
        reply = client.chat.completions.create(**asked)
        assert reply.choices[0].message.content == row["answer"]
        assert server.end() == 0
    assert server.url.startswith("http://127.0.0.1:")
    assert (
        "knows only its own drawn world; name a real model with --model or --upstream"
        in server.stderr
    )
    assert re.search(r"200 auto, \d+ of \d+ visual tokens", server.stderr)
    assert row["question"] not in server.stderr
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_progress_is_answered_before_the_exit(number: int):
    """The signal comes while the upstream thinks; new clients are turned away, this one is not."""
    with (
        ChatServer(says(direct_reply("", "red"), delay=2)) as vllm,
        serving("--upstream", vllm.url, "--profile", "agent") as server,
        ThreadPoolExecutor(1) as pool,
    ):
        client = server.client()
        asked: Any = request(QUESTION, model="qwen2.5-vl")
        reply = pool.submit(client.chat.completions.create, **asked)
        while not vllm.chats:
            time.sleep(0.02)
        assert server.end(number) == 0
        assert reply.result().choices[0].message.content == "red"
        with pytest.raises(openai.APIConnectionError):
            server.client().models.list()
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("second_signal", [False, True], ids=["drain is over", "second Ctrl-C"])
def test_a_forced_drain_prints_no_traceback(second_signal: bool):
    """A request that is still in progress then gets 503; a stream that has begun gets an error."""

    def behave(handler: Handler) -> None:
        row = {"choices": [{"index": 0, "delta": {"content": "<think>Hm"}, "finish_reason": None}]}
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(b"data: %s\n\n" % json.dumps(row).encode())
        handler.wfile.flush()
        hangs(handler)

    drain = "drain_seconds=60" if second_signal else "drain_seconds=1"
    with (
        ChatServer(behave, hangs) as vllm,
        serving("--upstream", vllm.url, "--profile", "agent", "--set", drain) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        asked: Any = request(QUESTION, model="qwen2.5-vl")
        stream = iter(server.client().chat.completions.create(**asked, stream=True))
        assert next(stream).choices[0].delta.role == "assistant"
        reply = pool.submit(server.client().chat.completions.create, **asked)
        while len(vllm.chats) < 2:
            time.sleep(0.02)
        server.process.send_signal(signal.SIGINT)
        if second_signal:
            time.sleep(0.3)  # uvicorn looks ten times a second
            server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        vllm.stopped.set()
        with pytest.raises(openai.InternalServerError, match="shutting down") as caught:
            reply.result()
        assert (caught.value.status_code, caught.value.code) == (503, "shutting_down")
        with pytest.raises(openai.APIError, match="shutting down"):
            list(stream)
    assert server.stderr.count("503 shutting_down") == 2
    assert "Traceback" not in server.stderr


def test_an_upstream_with_keys_and_a_config_file(tmp_path: Path):
    config = tmp_path / "serve.yaml"
    log = tmp_path / "requests.jsonl"
    with ChatServer(RED) as vllm:
        config.write_text(
            f"name: eyes\nprofile: agent\nlog: {log}\napi_key_env: CLIENT_KEYS\n"
            f"upstream: {{urls: [{vllm.url}], model: qwen2.5-vl, key_env: THEIR_KEY}}\n"
            "limits: {tokens: 100}\n"
        )
        options = ("--config", config, "--look", "low", "--set", "limits.default_tokens=7")
        with serving(*options, CLIENT_KEYS="ours", THEIR_KEY="theirs-123") as server:
            with pytest.raises(openai.AuthenticationError):
                server.client("theirs-123").models.list()
            asked = request(QUESTION, model="eyes")
            reply = server.client("ours").chat.completions.create(**asked)
            assert reply.choices[0].message.content == "red"
            assert server.end() == 0
        (chat,) = vllm.chats
    assert chat.headers["authorization"] == "Bearer theirs-123"
    assert (chat.body["model"], chat.body["max_tokens"]) == ("qwen2.5-vl", 7)
    (line,) = map(json.loads, log.read_text().splitlines())
    assert (line["look"], line["model"], line["outcome"]) == ("low", "eyes", "answered")


def test_a_server_starts_before_its_upstream_if_it_knows_the_name():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with serving("--upstream", url, "--upstream-model", "m", "--grid", "qwen3-vl") as server:
        with pytest.raises(openai.InternalServerError, match="cannot be reached"):
            server.client().chat.completions.create(**request())
        assert server.end() == 0
    assert f"upstream {url}: " in server.stderr


# What cannot be started


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--set", "limits.image=3"], 2, "limits.image: is not an option; did you mean limits.i"),
        (["--set", "limits.running=0"], 2, "limits.running: input should be greater than or equal"),
        (["--set", "log_content=perhaps"], 2, "log_content: "),
        (["--profile", "native"], 2, "profile 'native' uses the tool format of a server"),
        (["--profile", "general"], 2, "cannot request another look, which look 'auto' needs"),
        (["--api-key-env", "NO_SUCH_KEYS"], 2, "NO_SUCH_KEYS holds no API key"),
        (["--host", "no.such.host.invalid"], 2, "cannot listen on no.such.host.invalid port 0"),
        (["--config", "missing.yaml"], 2, "cannot read config 'missing.yaml'"),
        (["--upstream", "127.0.0.1:8001"], 2, "must start with http:// or https://"),
        (["--upstream", "http://h/v1", "--model", "x"], 2, "for a model in this process"),
        (["--model", "/no/such/folder"], 1, "/no/such/folder"),
        (["--port", "70000"], 2, "port"),
        (["--allow-remote-images", "https://a.example"], 2, "hosts"),
    ],
)
def test_bad_options(run: Run, options: list[str], code: int, said: str):
    outcome = run("serve", "--port", "0", *options)
    assert outcome.code == code
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_config_that_is_wrong(run: Run, tmp_path: Path):
    config = tmp_path / "serve.yaml"
    config.write_text("upstream: http://127.0.0.1:8001/v1\n")
    outcome = run("serve", "--config", config, "--upstream", "http://127.0.0.1:8002/v1")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "upstream: " in outcome.err


def test_a_port_that_is_taken(run: Run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = run("serve", "--port", taken.getsockname()[1])
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "choose another" in outcome.err
    assert logging.getLogger("visionthink.serving").handlers == []  # the console's is gone again


def test_an_upstream_that_names_no_model(run: Run):
    with ChatServer(RED, models=["a", "b"]) as vllm:
        outcome = run("serve", "--port", 0, "--upstream", vllm.url)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "serves 2 models; name the one to use: a, b" in outcome.err
    with ChatServer(RED, list_models=status(404)) as vllm:
        outcome = run("serve", "--port", 0, "--upstream", vllm.url)
        assert outcome.code == 1
