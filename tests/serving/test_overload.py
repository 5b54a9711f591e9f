"""Many more clients than places: no answer is lost or crossed, and memory stays flat.

VISIONTHINK_LOAD=50000 makes it a long run.
"""

from __future__ import annotations

import asyncio
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openai
import pytest
from PIL import Image

from serving import seeing_server
from serving.gateway_process import PATIENCE, Gateway, gateway
from serving.gateways import image_part, request, user

pytestmark = pytest.mark.slow

REQUESTS = int(os.environ.get("VISIONTHINK_LOAD", "5000"))
CLIENTS = 64
RUNNING, WAITING = 16, 16
SIZES = ((112, 112), (224, 168), (168, 336))
CORNER = 16


@contextmanager
def seeing() -> Generator[str]:
    """The base URL of an upstream whose answer depends on what it sees."""
    command = [sys.executable, str(Path(seeing_server.__file__))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.kill()


class Album:
    """Images of noise, which no encoding makes small, each with a colour of its own in the corner;
    odd ones are requested."""

    def __init__(self) -> None:
        noise = np.random.default_rng(0)
        self._grounds = [
            noise.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SIZES
        ]

    def image(self, number: int) -> tuple[bytes, str]:
        """The file, and the answer that belongs to it alone."""
        pixels = self._grounds[number % len(SIZES)]
        width, height = SIZES[number % len(SIZES)]
        colour = number.to_bytes(3, "big")
        pixels[:CORNER, :CORNER] = list(colour)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        if number % 2 == 0:
            width, height = width // 2, height // 2
        return file.getvalue(), f"#{colour.hex()} {width}x{height}"


@dataclass
class Load:
    """What many clients got from a server."""

    server: Gateway
    answered: int = 0
    wrong: list[str] = field(default_factory=list[str])
    seconds: list[float] = field(default_factory=list[float])
    memory: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    done: bool = False

    async def run(self, requests: int) -> None:
        """`requests` of the unmodified client, which retries as the server asks."""
        album, numbers = Album(), iter(range(requests))
        limits = {"base_url": self.server.url, "api_key": "none", "timeout": PATIENCE}
        async with openai.AsyncOpenAI(**limits, max_retries=100) as client:

            async def ask() -> None:
                for number in numbers:
                    file, truth = album.image(number)
                    asked = request(user("What colour?", image_part(file)), model="seeing")
                    began = time.perf_counter()
                    reply = await client.chat.completions.create(**asked)
                    self.seconds.append(time.perf_counter() - began)
                    said = reply.choices[0].message.content
                    if said != truth:
                        self.wrong.append(f"{truth}: {said}")
                    self.answered += 1

            watching = asyncio.create_task(self._watch())
            await asyncio.gather(*(ask() for _ in range(CLIENTS)))
            self.done = True
            await watching

    async def _watch(self) -> None:
        while not self.done:
            self.memory.append((self.answered, self.server.memory))
            await asyncio.sleep(0.1)

    def memory_between(self, first: float, last: float) -> list[float]:
        return [m for count, m in self.memory if first * REQUESTS <= count < last * REQUESTS]


def test_64_clients_on_16_places_lose_and_cross_no_answer(capsys: pytest.CaptureFixture[str]):
    """64 clients, 16 places and 16 more to wait at: about 32 are turned away at any time.

    Every answer is that of its own image. The upstream's 503s reach no client. The second half
    needs no more memory than the first, to within 10 MiB of some 110, while it brings 250 MiB of
    images.
    """
    with (
        seeing() as url,
        gateway(
            *("--upstream", url, "--grid", "qwen2.5-vl", "--profile", "mini"),
            *("--set", f"limits.running={RUNNING}", "--set", f"limits.waiting={WAITING}"),
        ) as server,
    ):
        files = server.files
        load = Load(server)
        began = time.perf_counter()
        asyncio.run(load.run(REQUESTS))
        took = time.perf_counter() - began
        found = server.metrics()
        first, second = load.memory_between(0.1, 0.5), load.memory_between(0.5, 1)
        deadline = time.monotonic() + PATIENCE
        while server.files > files + 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    share = statistics.quantiles(load.seconds, n=20)
    with capsys.disabled():
        print(
            f"\n{load.answered} answers in {took:.0f} s, "
            f"p50 {share[9]:.2f} s, p95 {share[18]:.2f} s with waits; "
            f"{found['visionthink_requests_total busy']:.0f} times 429; memory at most "
            f"{max(first):.0f} MiB in the first half, {max(second):.0f} MiB in the second"
        )
    assert load.wrong == []
    assert load.answered == REQUESTS
    assert found["visionthink_requests_total answered"] == REQUESTS
    assert found["visionthink_episodes_total auto true"] == REQUESTS // 2
    assert found["visionthink_requests_total busy"] > 0
    assert "visionthink_requests_total failed" not in found
    failures = -(-REQUESTS // seeing_server.FAILS_EVERY)  # the first image has number 0
    assert found[f"visionthink_upstream_failures_total {url}"] == failures
    assert found["visionthink_requests_running"] == found["visionthink_requests_waiting"] == 0
    assert max(second) < max(first) + 10
