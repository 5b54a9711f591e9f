"""Attacks on `visionthink serve`: the longest stall of its event loop, and its peak memory.

The loop's longest stall is the longest time that a process of its own waits for /health, which it
asks every 2 ms. Memory is that of the server and of its decoding processes together.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ratio import Ratio
from serving import attacks  # pyright: ignore[reportMissingImports] -- in tests
from serving.gateway_process import Gateway, gateway  # pyright: ignore[reportMissingImports]
from serving.health_watch import watching  # pyright: ignore[reportMissingImports]
from visionthink.serving.serve_options import ServeLimits

MIB = 2**20
AT_ONCE = 4
SIDE = 8000, 7990
"""Just below the 64 million pixels that a request may have."""


@dataclass(frozen=True)
class Seen:
    """What an attack did: seconds of the longest stall, bytes of memory at the peak."""

    name: str
    stall: float
    memory: int


def bodies() -> Iterator[tuple[str, bytes]]:
    for name, make in attacks.BODIES.items():
        yield name, make(16 * MIB)
    for name, make in attacks.LONG_HEADERS.items():
        yield name, attacks.asking(make(19 * MIB))
    for name, make in attacks.MANY_PIXELS.items():
        yield name, attacks.asking(make(*SIDE))


def ask(port: int, body: bytes) -> None:
    with contextlib.suppress(OSError):
        attacks.status(attacks.send(port, body))


def unread(port: int, body: bytes) -> None:
    """Ask for the pictures of the looks and read none of the answer."""
    with contextlib.suppress(OSError), attacks.send(port, body):
        time.sleep(5)


def flood(port: int) -> None:
    """More connections than there may be, half of them with half a header."""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        for number in range(2000):
            client = stack.enter_context(attacks.connect(port, 5))
            if number % 2:
                client.sendall(b"GET / HTTP/1.1\r\nX: ")
        time.sleep(2)


def long_headers(port: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 120 * MIB)


def at_once(count: int, action: Callable[[], None]) -> None:
    threads = [threading.Thread(target=action) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Attacked:
    """A server under attack."""

    def __init__(self, server: Gateway) -> None:
        self._server = server
        self._port = int(server.url.split(":")[2].split("/")[0])
        ask(self._port, attacks.asking(attacks.webp(64, 64)))  # starts what it needs
        self.idle = memory_of(server.process.pid)
        self.seen: list[Seen] = []

    def run(self, name: str, action: Callable[[int], None]) -> None:
        done = threading.Event()
        peak = 0

        def measure() -> None:
            nonlocal peak
            while not done.wait(0.02):
                peak = max(peak, memory_of(self._server.process.pid))

        measuring = threading.Thread(target=measure)
        measuring.start()
        with watching(self._port) as watch:
            at_once(AT_ONCE, lambda: action(self._port))
        done.set()
        measuring.join()
        self.seen.append(Seen(name, watch.longest, peak))
        print(f"{name}: stall {1000 * watch.longest:.0f} ms, {peak / MIB:.0f} MiB", flush=True)


def memory_of(process: int) -> int:
    """Bytes of a process and of those that it started."""
    total = 0
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/status").read_text()
        total = int(status.split("VmRSS:")[1].split()[0]) * 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(memory_of(int(each)) for each in (task / "children").read_text().split())
    return total


def attack_ratios(upstream: str) -> list[Ratio]:
    """The longest stall over 250 ms, and peak memory over the documented figure."""
    with gateway("--upstream", upstream, "--profile", "mini", "--name", "m") as server:
        attacked = Attacked(server)
        attacked.run("nothing, for 5 s", lambda _: time.sleep(5))
        for name, body in bodies():
            attacked.run(name, lambda port, body=body: ask(port, body))
        views = attacks.asking(attacks.noise(2400, 2400), visionthink={"views": True})
        attacked.run("answers that nobody reads", lambda port: unread(port, views))
        attacked.run("headers of 120 MB", long_headers)
        attacked.run("2,000 connections", flood)
        assert server.status("/health") == 200
    documented = attacked.idle + ServeLimits().memory
    print(f"idle {attacked.idle / MIB:.0f} MiB, documented {documented / MIB:.0f} MiB")
    stalls = tuple(seen.stall for seen in attacked.seen)
    peaks = tuple(seen.memory / documented for seen in attacked.seen)
    return [
        Ratio("longest event-loop stall under attacks, s", (max(stalls),), 0.25, at_least=False),
        Ratio("peak memory under attacks / documented", (max(peaks),), 1.0, at_least=False),
    ]
