"""The server against a bare client that runs the same episodes: `python bench/gateway.py`.

Both ask the same vLLM server (on the CPU, the embedded checkpoint) about the same drawings, half of
which need the original. They alternate, round by round, and vLLM's caches are reset in between.
The bare client is what a careful engineer writes with httpx and Pillow alone.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
from PIL import Image

import gateway_upstream
from gateway_attacks import attack_ratios
from gateway_clients import Answered, BareClient, ServerClient, halve
from ratio import Ratio, save, show
from visionthink.core.concurrency import run_bounded
from visionthink.core.families import QWEN2_5_VL
from visionthink.core.images import half_view, open_picture
from visionthink.mini import CHECKPOINTS
from visionthink.mini.world import make_example

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from real_vllm import vllm_server  # pyright: ignore[reportMissingImports] -- in tests
from serving.gateway_process import Gateway, gateway  # pyright: ignore[reportMissingImports]

MODEL = "mini"
STRONG = ("receipt", "tag", "chart_label", "hatch")
WEAK = ("colour", "shape", "position", "large_print")
WARM_UP = 4
SIZES = ((1120, 1120), (2240, 1680))

MINI = ("--grid", "mini", "--profile", "mini", "--set", "temperature=0")
"""The server asks as the bare client does: greedily."""


@dataclass(frozen=True)
class Question:
    """An image file, a question about it, and the answer."""

    file: bytes
    text: str
    answer: str


def questions(count: int, first: int) -> list[Question]:
    """Drawings of weak and strong families alternately; another `first` gives other drawings."""
    families = [family for pair in zip(WEAK, STRONG, strict=True) for family in pair]
    found: list[Question] = []
    for number in range(count):
        example = make_example(families[number % len(families)], first + number, "test")
        file, _ = example.images[0].encoded()
        assert example.answer is not None
        found.append(Question(file, example.question, example.answer))
    return found


Ask = Callable[[bytes, str], Awaitable[Answered]]


async def all_at(clients: int, ask: Ask, asked: Sequence[Question]) -> tuple[float, list[Answered]]:
    """Seconds for all questions from `clients` clients, and the answers."""
    answers: list[Answered | None] = [None] * len(asked)

    async def one(number: int) -> None:
        answers[number] = await ask(asked[number].file, asked[number].text)

    began = time.perf_counter()
    await run_bounded(clients, range(len(asked)), one)
    return time.perf_counter() - began, [answer for answer in answers if answer is not None]


@contextmanager
def cores_apart(upstream: vllm_server.Server, server: Gateway) -> Generator[None]:
    """vLLM on one half of the cores, clients and server on the other, as if vLLM had a GPU."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    sides = {os.getpid(): cores[half:], server.process.pid: cores[half:]}
    sides |= dict.fromkeys(upstream.processes, cores[:half])
    try:
        for process, own in sides.items():
            pin(process, own)
        yield
    finally:
        for process in sides:
            pin(process, cores)


def pin(process: int, cores: Sequence[int]) -> None:
    for thread in os.listdir(f"/proc/{process}/task"):
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread), cores)


class Match:
    """Both sides in front of one upstream."""

    def __init__(self, upstream: str, model: str, server: Gateway) -> None:
        self.http = httpx2.AsyncClient(timeout=120, limits=httpx2.Limits(max_connections=64))
        self.upstream = upstream
        self.server = server
        self.sides: dict[str, Ask] = {
            "bare": BareClient(self.http, upstream, model).ask,
            "server": ServerClient(self.http, server.url, f"{model}:trace").ask,
        }
        self.hits: list[bool] = []

    async def forget(self) -> None:
        """Reset the caches: neither side may profit from what the other one computed."""
        root = self.upstream.removesuffix("/v1")
        for cache in ("prefix", "mm", "encoder"):
            (await self.http.post(f"{root}/reset_{cache}_cache")).raise_for_status()

    async def throughput(self, clients: int, rounds: int, count: int, cores: str) -> Ratio:
        """Seconds of the bare client over those of the server's."""
        values: list[float] = []
        rates: dict[str, list[float]] = {side: [] for side in self.sides}
        busy: list[float] = []
        for number in range(-1, rounds):  # the first is warm-up
            asked = questions(count, 1000 * (number + 1))
            took: dict[str, float] = {}
            said: dict[str, list[Answered]] = {}
            for side in [*self.sides][:: 1 if number % 2 else -1]:
                await self.forget()
                before = self.server.processor_seconds
                took[side], said[side] = await all_at(clients, self.sides[side], asked)
                if side == "server" and number >= 0:
                    busy.append((self.server.processor_seconds - before) / count)
            compare(asked, said)
            if number < 0:
                continue
            self.hits += [answer.hit for answer in said["server"] if answer.requested]
            values.append(took["bare"] / took["server"])
            for side, seconds in took.items():
                rates[side].append(count / seconds)
            print(
                f"{clients} clients, round {number + 1}/{rounds}: server {took['server']:.2f} s, "
                f"bare {took['bare']:.2f} s",
                file=sys.stderr,
            )
        print(
            f"{clients} clients, {cores}: {statistics.median(rates['bare']):.1f} episodes/s bare, "
            f"{statistics.median(rates['server']):.1f} through the server, which uses "
            f"{1000 * statistics.median(busy):.1f} ms of CPU for each"
        )
        return Ratio(
            f"server / bare, {clients} clients, {cores}",
            tuple(values),
            0.95,
            at_least=True,
        )

    async def latency(self, asked: Sequence[Question], what: str, *, forget: bool) -> Ratio:
        """Milliseconds that the server adds for one client, without image work on either side."""
        added: list[float] = []
        images: list[float] = []
        for number, question in enumerate(asked):
            net: dict[str, float] = {}
            for side in [*self.sides][:: 1 if number % 2 else -1]:
                if forget:
                    await self.forget()
                before = image_seconds(self.server)
                began = time.perf_counter()
                answer = await self.sides[side](question.file, question.text)
                net[side] = time.perf_counter() - began - answer.image_seconds
                if side == "server":
                    spent = image_seconds(self.server) - before
                    net[side] -= spent
                    images.append(1000 * spent)
            added.append(1000 * (net["server"] - net["bare"]))
        quarters = statistics.quantiles(added[WARM_UP:], n=4)
        print(
            f"one client, {what}: the server adds {quarters[1]:.1f} ms a request (quartiles "
            f"{quarters[0]:.1f}, {quarters[2]:.1f}); image work, not counted: "
            f"{statistics.median(images):.1f} ms"
        )
        return Ratio(f"server - bare, ms, {what}", tuple(quarters), 10.0)


def compare(asked: Sequence[Question], said: dict[str, list[Answered]]) -> None:
    """Both sides must have run the same episodes, with right answers."""
    facts = {side: [(a.text, a.requested, a.tokens) for a in of] for side, of in said.items()}
    assert facts["bare"] == facts["server"], "not the same episodes"
    right = sum(answer.text == q.answer for answer, q in zip(said["server"], asked, strict=True))
    assert right >= 0.97 * len(asked), f"{right} of {len(asked)} answers are right"


def image_seconds(server: Gateway) -> float:
    found = server.metrics()
    return sum(v for name, v in found.items() if name.startswith("visionthink_image_seconds_sum"))


def photo(width: int, height: int, kind: str) -> bytes:
    """Smooth noise, which compresses about as well as photographs."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def image_ratios(rounds: int) -> list[Ratio]:
    """Decoding and halving: the time of bare Pillow over ours."""

    def ours(data: bytes) -> None:
        half_view(open_picture(data), QWEN2_5_VL)

    def seconds(action: Callable[[bytes], object], data: bytes) -> float:
        began = time.perf_counter()
        action(data)
        return time.perf_counter() - began

    ratios: list[Ratio] = []
    for kind in ("JPEG", "PNG"):
        for width, height in SIZES:
            data = photo(width, height, kind)
            seconds(ours, data)
            values = tuple(seconds(halve, data) / seconds(ours, data) for _ in range(rounds))
            name = f"ours / Pillow, speed, {kind} {width}x{height}"
            ratios.append(Ratio(name, values, 0.8, at_least=True))
    return ratios


async def vllm_ratios(
    upstream: vllm_server.Server, server: Gateway, options: argparse.Namespace
) -> list[Ratio]:
    match = Match(upstream.url, MODEL, server)
    ratios: list[Ratio] = []
    async with match.http:
        several = len(os.sched_getaffinity(0)) > 1
        apart = {"cores apart": cores_apart(upstream, server)} if several else {}
        for cores, placed in {**apart, "cores shared": nullcontext()}.items():
            with placed:
                for clients in options.clients:
                    measure = match.throughput(clients, options.rounds, options.episodes, cores)
                    ratios.append(await measure)
        asked = questions(options.episodes, 500_000)
        ratios.append(await match.latency(asked, "drawings, vLLM", forget=True))
    share = sum(match.hits) / len(match.hits)
    name = f"prefix hits in {len(match.hits)} second turns"
    return [*ratios, Ratio(name, (share,), 0.99, at_least=True)]


async def instant_ratios(upstream: str, server: Gateway, count: int) -> list[Ratio]:
    """What the server adds for photographs, with an upstream that replies at once."""
    match = Match(upstream, gateway_upstream.MODEL, server)
    ratios: list[Ratio] = []
    async with match.http:
        for width, height in SIZES:
            asked = [Question(photo(width, height, "JPEG"), "What colour?", "red")] * count
            what = f"{width}x{height} JPEG, no model"
            ratios.append(await match.latency(asked, what, forget=False))
    return ratios


def against_instant(count: int) -> list[Ratio]:
    command = [sys.executable, str(Path(gateway_upstream.__file__))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
            with gateway("--upstream", url, *MINI) as server:
                found = asyncio.run(instant_ratios(url, server, count))
            return found + attack_ratios(url)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--episodes", type=int, default=96, help="of each side in a round")
    parser.add_argument("--clients", type=int, nargs="*", default=[8, 16])
    parser.add_argument("--out", type=Path, default=Path("out/bench_gateway.json"))
    options = parser.parse_args()
    ratios = image_ratios(2 * options.rounds) + against_instant(options.episodes)
    if vllm_server.is_installed():
        os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # enables the requests that reset its caches
        with (
            tempfile.TemporaryDirectory() as scratch,
            vllm_server.serve(CHECKPOINTS / MODEL, MODEL, Path(scratch)) as upstream,
            gateway("--upstream", upstream.url, *MINI) as server,
        ):
            ratios += asyncio.run(vllm_ratios(upstream, server, options))
    else:
        print("vLLM is not installed, so only image work is measured: bash scripts/vllm_env.sh")
    show(ratios)
    save(ratios, options.out)


if __name__ == "__main__":
    main()
