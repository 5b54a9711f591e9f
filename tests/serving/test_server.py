"""The gateway that options describe."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from engines.chat_server import ChatServer
from visionthink.core.families import QWEN3_VL
from visionthink.mini import CHECKPOINTS
from visionthink.serving.serve_options import ServeOptions
from visionthink.serving.server import listen, open_gateway


def gateway_name(**options: object) -> str:
    return open_gateway(ServeOptions.model_validate(options)).name


def test_an_upstreams_model_keeps_its_name():
    """So that a client which asked it directly changes nothing but the URL."""
    with ChatServer(models=["Qwen/Qwen2.5-VL-7B-Instruct"]) as vllm:
        assert gateway_name(upstream={"urls": [vllm.url]}) == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert gateway_name(upstream={"urls": ["http://h/v1"], "model": "a/b"}) == "a/b"
    assert gateway_name(upstream={"urls": ["http://h/v1"], "model": "a/b"}, name="eyes") == "eyes"


def test_a_model_in_a_folder_is_called_by_the_folder(tmp_path: Path):
    shutil.copytree(CHECKPOINTS / "mini", tmp_path / "eyes")
    assert gateway_name(model=str(tmp_path / "eyes"), device="cpu") == "eyes"
    assert gateway_name(device="cpu") == "mini"


def test_upstream_options_reach_the_pool_and_its_engines():
    settings = {"urls": ["http://a/v1", "http://b/v1/"], "model": "m", "retries": 5}
    options = {"upstream": settings, "grid": "qwen3-vl", "profile": "native"}
    gateway = open_gateway(ServeOptions.model_validate(options))
    assert [backend.name for backend in gateway.pool.backends] == settings["urls"]
    assert [backend.alive for backend in gateway.pool.backends] == [False, False]
    assert gateway.pool.retries == 5
    for backend in gateway.pool.backends:
        assert (backend.engine.about.grid, backend.engine.about.profile) == (QWEN3_VL, "native")


def test_a_listening_socket_has_tcp_nodelay():
    """TCP_NODELAY: without it the body of a response waits for its head to be acknowledged."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
