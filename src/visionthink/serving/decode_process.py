"""A process that decodes images for a server, one after the other: `python -m` this module.

It reads a line of JSON and a file from its input, and writes a line of JSON and RGB strips, from
top to bottom. Before each file it limits its own memory to what the server has set aside for it.
It knows no keys and opens no files.
"""

from __future__ import annotations

import json
import sys
from itertools import chain
from typing import Any

from visionthink.core.image_files import ImageFile, Refusal, decoded
from visionthink.core.image_headers import Header
from visionthink.core.memory_limit import limit_memory

SLACK = 32 * 2**20
"""Bytes beyond what decoding takes: for the interpreter's own work."""


def main() -> None:
    source, target = sys.stdin.buffer, sys.stdout.buffer
    _say(target, {"ready": True})
    while line := source.readline():
        job = json.loads(line)
        data = source.read(job.pop("length"))
        job["size"] = tuple(job["size"])
        limit_memory(job.pop("memory") + SLACK)
        try:
            with decoded(ImageFile(data, Header(data=data, **job))) as found:
                first = next(found.strips)
                _say(target, {"size": found.size, "plain": found.plain})
                for strip in chain((first,), found.strips):
                    target.write(strip.tobytes())
        except Refusal as error:
            _say(target, {"refused": error.args})
        except MemoryError:
            _say(target, {"memory": True})
        except Exception as error:  # on junk, Pillow's decoders raise nearly anything
            _say(target, {"error": str(error) or type(error).__name__})
        target.flush()


def _say(target: Any, value: dict[str, Any]) -> None:
    target.write(json.dumps(value).encode() + b"\n")
    target.flush()


if __name__ == "__main__":
    main()
