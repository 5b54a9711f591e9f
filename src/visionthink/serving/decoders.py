"""Decoding for a server: how many images at once, in which process, with how much memory and time.

The decoders of JPEG and PNG let other threads run, and what they take is known. All others hold the
interpreter for seconds on a large image, and their libraries (libwebp, libtiff) have a history of
faults: they run in processes of their own, which are limited to the memory that is charged for the
image, and killed after some seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from PIL import Image

from visionthink.core.image_files import Decoded, ImageFile, Refusal, decoded
from visionthink.core.images import Picture, decode_image

HERE = frozenset(("JPEG", "PNG"))
"""Formats that are decoded in this process."""
SECONDS = 20.0
"""That decoding an image may take; one of 64 million pixels takes about 5."""
ROOM = 1.3
"""How much more memory a process may map than is charged for the image."""
STRIP = 2**16  # pixels
ADVICE = "save it as a PNG or JPEG"


class Decoders:
    """Decodes `count` images at once; processes start when they are first needed."""

    def __init__(self, count: int = 2, seconds: float = SECONDS) -> None:
        self.threads = ThreadPoolExecutor(count, "decode")
        self.seconds = seconds
        self._idle: list[_Process] = []

    def decode(self, file: ImageFile) -> Picture:
        """The picture of a file. Blocks: to be called in one of `threads`.

        Raises:
            ImageError: it is damaged, or takes too much time or memory.
        """
        return decode_image(file, decoded if file.header.format in HERE else self._apart)

    def close(self) -> None:
        self.threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _apart(self, file: ImageFile) -> Generator[Decoded]:
        process = self._idle.pop() if self._idle else _Process()
        try:
            yield process.decode(file, self.seconds)
        except BaseException:
            process.close()
            raise
        if process.is_free:
            self._idle.append(process)
        else:
            process.close()


class _Process:
    """A running `decode_process`."""

    def __init__(self) -> None:
        keep = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": str(2**20),  # so that what is freed goes back
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "visionthink.serving.decode_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C is for the server, which then ends this
        )
        self.is_free = False
        self._late = False
        self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # noqa: S101
            with suppress(OSError):
                pipe.close()

    def decode(self, file: ImageFile, seconds: float) -> Decoded:
        """Its strips must be read to the end before the next file."""
        self.is_free = False
        header = file.header
        job = {"format": header.format, "size": header.size, "white": header.white}
        job |= {"working": header.working, "mode_bytes": header.mode_bytes}
        job |= {"length": len(header.data), "memory": int(ROOM * file.decoding_bytes)}
        clock = threading.Timer(seconds, self._too_late)
        clock.start()
        try:
            pipe = self._process.stdin
            assert pipe is not None  # noqa: S101
            with suppress(BrokenPipeError):  # what it said last tells why
                pipe.write(json.dumps(job).encode() + b"\n")
                pipe.write(header.data)
                pipe.flush()
            answer = self._answer()
            width, height = answer["size"]
        except BaseException:
            clock.cancel()
            raise
        return Decoded((width, height), answer["plain"], self._strips(width, height, clock))

    def _answer(self) -> dict[str, Any]:
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101
        line = pipe.readline(100_000)
        if not line.endswith(b"\n"):
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            self.is_free = True
            raise Refusal(*answer["refused"])
        if "memory" in answer:
            raise MemoryError
        if "error" in answer:
            self.is_free = True
            raise ValueError(answer["error"])
        return answer

    def _strips(self, width: int, height: int, clock: threading.Timer) -> Iterator[Image.Image]:
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101
        rows = max(STRIP // width, 1)
        try:
            for top in range(0, height, rows):
                size = width, min(rows, height - top)
                data = pipe.read(3 * size[0] * size[1])
                if len(data) < 3 * size[0] * size[1]:
                    raise self._ended()
                yield Image.frombytes("RGB", size, data)
            self.is_free = True
        finally:
            clock.cancel()

    def _too_late(self) -> None:
        self._late = True
        self._process.kill()

    def _ended(self) -> Refusal:
        if self._late:
            return Refusal("decoding it takes too long", ADVICE)
        return Refusal("its decoder ended unexpectedly", ADVICE)
