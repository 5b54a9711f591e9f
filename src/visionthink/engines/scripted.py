"""An engine without a model, for tests, docs and demos: its replies are a queue or a function.

Tokens are counted by a simple rule that can be checked by hand: every word (a run of letters,
digits and underscores) and every other visible character is one token, and an image is as many as
`grid` makes of it. `<b>two words</b>` is 9 tokens: `<` `b` `>` `two` `words` `<` `/` `b` `>`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.errors import EngineError
from visionthink.core.families import QWEN2_5_VL
from visionthink.core.images import Grid
from visionthink.core.ledger import ModelShape
from visionthink.core.types import Completion, Message, Part, Sampling, Usage

Replies = Iterable[str] | Callable[[Sequence[Message]], str]

_TOKEN = re.compile(r"\w+|[^\w\s]")


def count_tokens(text: str) -> int:
    """Tokens of `text` by the rule of this module; chat templates add none."""
    return sum(1 for _ in _TOKEN.finditer(text))


class ScriptedEngine(Engine):
    """Replies with the next of `replies`, or with what the function `replies` returns for a
    conversation.

    Attributes:
        calls: the requests so far, each as (messages, sampling).
    """

    def __init__(
        self,
        replies: Replies,
        *,
        model: str = "scripted",
        grid: Grid = QWEN2_5_VL,
        shape: ModelShape | None = None,
        profile: str | None = None,
    ) -> None:
        if isinstance(replies, str):
            replies = (replies,)  # not its characters
        self._compute = replies if callable(replies) else None
        self._queue: Iterator[str] = iter(()) if callable(replies) else iter(replies)
        self._about = EngineInfo(model, grid, shape, profile)
        self._closed = False
        self.calls: list[tuple[tuple[Message, ...], Sampling]] = []

    @property
    def about(self) -> EngineInfo:
        return self._about

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """The next reply, cut after `sampling.max_tokens` tokens; usage by the module's rule.

        Raises:
            EngineError: all queued replies were given, or the engine was closed. What the function
                raises passes through.
        """
        if self._closed:
            raise EngineError("the scripted engine was used after close(); make a new one")
        self.calls.append((tuple(messages), sampling))
        text = self._next(messages)
        ends = [match.end() for match in _TOKEN.finditer(text)]
        cut = len(ends) > sampling.max_tokens
        if cut:
            text = text[: ends[sampling.max_tokens - 1]]
        usage = Usage(
            prompt_tokens=sum(self._tokens(part) for message in messages for part in message.parts),
            completion_tokens=count_tokens(text),
        )
        return Completion(text, "length" if cut else "stop", usage)

    async def close(self) -> None:
        self._closed = True

    def _next(self, messages: Sequence[Message]) -> str:
        if self._compute is not None:
            return self._compute(messages)
        try:
            return next(self._queue)
        except StopIteration:
            given = len(self.calls) - 1
            raise EngineError(
                f"the scripted engine was asked for reply {given + 1} but was given {given}; "
                "queue more replies or pass a function"
            ) from None

    def _tokens(self, part: Part) -> int:
        if isinstance(part, str):
            return count_tokens(part)
        return math.prod(part.cells(self._about.grid))
