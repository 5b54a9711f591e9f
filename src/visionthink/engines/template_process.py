"""A checkpoint's chat template in a process of its own.

A template is a program that comes with the weights. The sandbox of Jinja keeps it from files and
the network, but not from looping for hours or filling the memory, for all prompts or for some only.
As a program, this module renders templates for `TemplateProcess`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from visionthink.core.errors import PromptError
from visionthink.core.memory_limit import limit_memory

SECONDS = 10.0
"""That rendering a prompt may take; usually it is less than a millisecond."""
MEMORY = 512 * 2**20
"""Bytes that it may take beyond what the process has mapped when it starts."""


class TemplateProcess:
    """Renders the chat template of a tokenizer; to be called from one thread at a time.

    Args:
        seconds, memory: of one prompt.
    """

    def __init__(self, tokenizer: Any, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.template: str = tokenizer.get_chat_template()
        self._fixed = {
            "variables": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
            "memory": memory,
        }
        self._memory = memory
        self.seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt, as `apply_chat_template` renders it with a prompt for generation.

        Raises:
            PromptError: the template fails, or takes too much time or memory.
        """
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        job = {**self._fixed, "template": self.template, "messages": messages}
        clock = threading.Timer(self.seconds, process.kill)
        clock.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(job).encode())
                process.stdin.write(b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            clock.cancel()
        if not line.endswith(b"\n"):
            self.close()
            raise PromptError(f"the chat template took longer than {self.seconds:g} s")
        answer = json.loads(line)
        if "memory" in answer:
            raise PromptError(f"the chat template took more than {self._memory // 2**20} MiB")
        if "error" in answer:
            raise PromptError(f"the chat template cannot express this: {answer['error']}")
        return answer["prompt"]

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        keep = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "HOME")
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "USE_TORCH": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "visionthink.engines.template_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdout.readline()  # it is ready: loading takes longer than any prompt
        return self._process


def main() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    answer: dict[str, Any] = {"ready": True}
    while True:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        job = json.loads(line)
        limit_memory(job["memory"])
        try:
            prompts, _ = render_jinja_template(
                [job["messages"]],
                chat_template=job["template"],
                add_generation_prompt=True,
                **job["variables"],
            )
            answer = {"prompt": prompts[0]}
        except MemoryError:
            answer = {"memory": True}
        except Exception as error:  # a template can raise anything
            answer = {"error": (str(error) or type(error).__name__)[:200]}


if __name__ == "__main__":
    main()
