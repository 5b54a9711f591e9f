"""One server for each checkpoint, one after the other; the tests run against each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import vllm_server

from checkpoints import save_qwen2_5_vl, save_qwen3_vl
from visionthink.core.types import Completion, Message
from visionthink.engines import openai as openai_engine
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_prompt import build_prompt
from visionthink.engines.openai import OpenAIEngine
from visionthink.mini import CHECKPOINTS

RANDOM = {"random-qwen2.5-vl": save_qwen2_5_vl, "random-qwen3-vl": save_qwen3_vl}
EMBEDDED = "mini"


@dataclass(frozen=True)
class Served:
    """One checkpoint in both engines.

    Attributes:
        name: what the server calls the checkpoint.
        local: the checkpoint in transformers.
        remote: the checkpoint in vLLM, at `url`.
        server: that vLLM.
        sent: the bodies of the server's replies to `remote`, newest last.
    """

    name: str
    local: HFEngine
    remote: OpenAIEngine
    server: vllm_server.Server
    sent: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return self.server.url

    def prompt_ids(self, *messages: Message) -> list[int]:
        """The prompt as the hf engine tokenises it, one placeholder for each visual token."""
        return list(build_prompt(messages, self.local.checkpoint).ids)


@pytest.fixture(scope="session", params=[*RANDOM, EMBEDDED])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    if not vllm_server.is_installed():
        pytest.skip("vLLM is not installed: run `make test-vllm`, or scripts/vllm_env.sh first")
    name: str = request.param
    scratch = tmp_path_factory.mktemp(name)
    folder = RANDOM[name](scratch / "checkpoint") if name in RANDOM else CHECKPOINTS / name
    local = HFEngine(folder, device="cpu", dtype="float32")
    with vllm_server.serve(folder, name, scratch) as server, pytest.MonkeyPatch.context() as patch:
        remote = OpenAIEngine(
            server.url,
            name,
            grid=local.about.grid,  # servers do not tell a checkpoint's own pixel limits
            profile="mini",
            extra_body={"return_token_ids": True},
        )
        yield Served(name, local, remote, server, record(patch))


def record(patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keep what servers send to openai engines, token ids above all, as it came."""
    sent: list[dict[str, Any]] = []
    read = openai_engine.read_reply

    def keep_and_read(server: Any, body: bytes, seconds: float) -> Completion:
        sent.append(json.loads(body))
        return read(server, body, seconds)

    patch.setattr(openai_engine, "read_reply", keep_and_read)
    return sent
