"""A real vLLM server on the CPU, in the environment that `scripts/vllm_env.sh` builds."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.gateway_process import read_metrics

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-vllm"

BLOCK = 32
"""Tokens in a block of the KV cache: the smallest that vLLM has on a CPU. Prefixes are cached in
whole blocks, and by default a block is longer than these tests' prompts."""
START_SECONDS = 600
"""A start takes half a minute on two idle cores; the first one ever takes twice that."""
STOP_SECONDS = 30

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, whole numbers only
}


def is_installed() -> bool:
    return (ENVIRONMENT / "stamp").is_file()


class Server:
    """A server of the checkpoint in `folder`, on one port from start to start."""

    def __init__(self, folder: Path, name: str, scratch: Path, own: str) -> None:
        self._port = free_port()
        self._log = scratch / "server.log"
        self._scratch = scratch
        self._own = own
        self._command = [
            str(ENVIRONMENT / "bin" / "python"),
            *("-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(folder), "--served-model-name", name),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--dtype", "float32", "--enforce-eager"),
            *("--block-size", str(BLOCK), "--enable-prefix-caching"),
            "--enable-prompt-tokens-details",
            *("--limit-mm-per-prompt", '{"image": 8, "video": 0}'),
            *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        ]
        self._process: subprocess.Popen[bytes]

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    @property
    def processes(self) -> list[int]:
        """Its own and its workers'."""
        found = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return [process for process in found if _group(process) == self._process.pid]

    def metric(self, name: str, *labels: str) -> float:
        """The sum of a metric over the labels that are not named."""
        with urllib.request.urlopen(f"{self.root}/metrics", timeout=60) as response:  # noqa: S310
            found = read_metrics(response.read().decode())
        return sum(value for key, value in found.items() if {name, *labels} <= set(key.split()))

    def start(self) -> None:
        paths = {"TMPDIR": self._own, "VLLM_CACHE_ROOT": self._own, "VLLM_CONFIG_ROOT": self._own}
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._scratch,
                env={**os.environ, **SETTINGS, **paths},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its workers can be ended with it, as one group
                preexec_fn=_start_gently,
            )
        wait_until_ready(self._process, f"{self.root}/health", self._log)

    def kill(self) -> None:
        """End it and its workers without a warning, as the kernel does when memory is short."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, give its workers a moment, then end what is left of its group."""
        self._process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            self._process.poll()
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
        self.kill()


@contextmanager
def serve(folder: Path, name: str, scratch: Path) -> Generator[Server]:
    """Serve `folder` until the end of the block; the log is in `scratch`."""
    # vLLM leaves sockets and caches behind. Sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="vllm-") as own:
        server = Server(folder, name, scratch, own)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _start_gently() -> None:
    """In the child: leave the processor to others, and end when the tests are killed (Linux)."""
    os.nice(5)
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


def _group(process: int) -> int:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"vLLM ended with code {server.returncode}:\n{tail(log)}", pytrace=False)
        try:
            with urllib.request.urlopen(health, timeout=5):  # noqa: S310  (our own http URL)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"vLLM was not ready after {START_SECONDS} s:\n{tail(log)}", pytrace=False)


def tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
