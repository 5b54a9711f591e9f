"""Asks a server for /health again and again, in a process that does nothing else.

with watching(port) as watch:
    ...
watch.longest  # seconds that an answer took, at most
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.002
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Watch:
    """`longest`: seconds, after the end of the block; `count`: answers."""

    longest: float = 0.0
    count: int = 0


@contextmanager
def watching(port: int) -> Generator[Watch]:
    command = [sys.executable, str(Path(__file__)), str(port)]
    watch = Watch()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        try:
            yield watch
        finally:
            out, _ = process.communicate("end\n", timeout=120)
            longest, count = out.split()
            watch.longest, watch.count = float(longest), int(count)


def ask(port: int, ended: threading.Event) -> tuple[float, int]:
    longest, count = 0.0, 0
    client: socket.socket | None = None
    while not ended.is_set():
        began = time.perf_counter()
        try:
            client = client or socket.create_connection(("127.0.0.1", port), timeout=60)
            client.sendall(REQUEST)
            answer = client.recv(4096)
            if b" 200 " not in answer[:20]:
                raise OSError("closed")
        except OSError:
            client = None  # an idle connection may be closed; the time counts all the same
            answer = b""
        longest = max(longest, time.perf_counter() - began)
        count += bool(answer)
        time.sleep(PAUSE)
    return longest, count


if __name__ == "__main__":
    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()
    print("begun", flush=True)
    print(*ask(int(sys.argv[1]), end))
