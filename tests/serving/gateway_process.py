"""`visionthink serve` in a process of its own, and what can be observed from outside (Linux).

with gateway("--upstream", url) as server:
    server.client().chat.completions.create(...)
    assert server.metric("visionthink_requests_running") == 0
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from prometheus_client.parser import text_string_to_metric_families

PATIENCE = 240
"""Seconds until a wait counts as a hang; generous, for busy machines."""


class Gateway:
    """A running server; `stderr` is its standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.stderr = ""
        threading.Thread(target=self._read, daemon=True).start()
        wait_for(lambda: process.poll() is not None or " at http" in self.stderr)
        found = re.search(r"serving .* at (http\S+)", self.stderr)
        assert found, self.stderr
        self.url = found[1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line

    def client(self, **options: Any) -> openai.OpenAI:
        """The unmodified client, without its retries."""
        given = {"api_key": "none", "max_retries": 0, "timeout": PATIENCE} | options
        return openai.OpenAI(base_url=self.url, **given)

    def status(self, path: str) -> int:
        try:
            with self._open(path) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    def metrics(self) -> dict[str, float]:
        """Name, then the values of its labels → value."""
        with self._open("/metrics") as response:
            return read_metrics(response.read().decode())

    def metric(self, name: str) -> float:
        return self.metrics().get(name, 0.0)

    def _open(self, path: str) -> Any:
        return urllib.request.urlopen(self.url.removesuffix("/v1") + path, timeout=PATIENCE)  # noqa: S310

    @property
    def memory(self) -> float:
        """MiB in use."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    @property
    def files(self) -> int:
        """How many files and sockets are open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def gateway(*options: object, files: int | None = None) -> Generator[Gateway]:
    """Serve on a free port until the end of the block; `files`: descriptors it may have open."""
    few = ["prlimit", f"--nofile={files}:{files}"] if files else []
    process = subprocess.Popen(
        [*few, sys.executable, "-m", "visionthink", "serve", "--port", "0", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OPENAI_API_KEY": ""},
    )
    try:
        yield Gateway(process)
    finally:
        process.kill()
        process.wait(30)


def read_metrics(text: str) -> dict[str, float]:
    """Name, then the values of its labels → value, without the buckets of histograms."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def wait_for(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
