"""A gateway in front of a scripted upstream, and programs that use it through real clients."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engines.chat_server import ChatServer, Handler
from serving.gateway_process import Gateway, gateway
from serving.gateways import png

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PROGRAMS = Path(__file__).parent / "programs"
MODEL = "Qwen/Qwen3-VL-8B-Instruct"
PATIENCE = 180


@dataclass(frozen=True)
class Setting:
    """What a test needs: the upstream, the gateway, and a picture of 512 x 512 px."""

    upstream: ChatServer
    server: Gateway
    picture: Path

    def run(self, program: str, *arguments: str) -> dict[str, Any]:
        """What a client program prints; it gets the base URL, the model and the picture."""
        path = PROGRAMS / program
        command = ["node", path] if path.suffix == ".mjs" else [PYTHON, path]
        given = {
            **{"PATH": f"{PYTHON.parent}:{os.environ['PATH']}", "HOME": str(self.picture.parent)},
            **{"NODE_PATH": str(ROOT / ".venv-clients" / "node_modules")},
            **{"OPENAI_API_KEY": "none", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        }
        done = subprocess.run(
            [*command, self.server.url, MODEL, self.picture, *arguments],
            env=given,
            cwd=ROOT / ".venv-clients",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Generator[Setting]:
    if not PYTHON.exists():
        pytest.skip("the clients are not installed: run `make test-clients`")
    picture = tmp_path_factory.mktemp("clients") / "red.png"
    picture.write_bytes(png(512, 512))
    with (
        ChatServer(model, models=[MODEL]) as upstream,
        gateway("--upstream", upstream.url, "--profile", "native") as server,
    ):
        yield Setting(upstream, server, picture)


def model(handler: Handler) -> None:
    """A model that knows what each question of the programs is after."""
    body = handler.server.owner.chats[-1].body
    message = reply_to(body)
    if not body.get("stream"):
        usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
        finish = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL}
        handler.send_json(200, {**head, "choices": [choice], "usage": usage})
        return
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    deltas = [{"content": char} for char in message.get("content") or ""]
    calls = message.get("tool_calls", [])
    deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(calls)]
    rows = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    rows.append({"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    for row in rows:
        event = json.dumps({**head, "choices": [row]})
        handler.wfile.write(f"data: {event}\n\n".encode())
    handler.wfile.write(b"data: [DONE]\n\n")


def reply_to(body: dict[str, Any]) -> dict[str, Any]:
    role = "assistant"
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    theirs = [name for name in names if name != "resize_image"]
    asked = str(body["messages"][-1]["content"])
    if body["messages"][-1]["role"] == "tool":
        return {"role": role, "content": f"The tool says {asked}."}
    if "response_format" in body:
        return {"role": role, "content": '{"colour": "red"}'}
    if theirs and body.get("tool_choice") != "none":
        arguments = '{"colour": "red"}'
        call = {"id": "c1", "type": "function"}
        function = {"name": theirs[0], "arguments": arguments}
        return {"role": role, "content": None, "tool_calls": [{**call, "function": function}]}
    return {"role": role, "content": "It is red."}
