"""Answers questions of lmms-eval's tasks by episodes, and keeps them. Imports no lmms-eval."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from visionthink.core import protocol
from visionthink.core.concurrency import run_bounded
from visionthink.core.engine import Engine
from visionthink.core.episode import DEFAULT_PROFILE, run_episode
from visionthink.core.errors import EngineError, UsageError, VisionThinkError
from visionthink.core.images import Picture, open_picture
from visionthink.core.ledger import Ledger
from visionthink.core.types import Episode, Example, Sampling, StopReason, Usage
from visionthink.evaluation.lmms.model_args import ModelArgs
from visionthink.runs.folder import RunFolder
from visionthink.runs.records import scored_record

FAILED = "[LMMS_EVAL_REQUEST_FAILED]"
"""What lmms-eval's own models give instead of an answer that they did not get."""


@dataclass(frozen=True)
class Ask:
    """One request about the sample `id` of a task; `load` gives its question and images."""

    task: str
    id: str
    load: Callable[[], tuple[str, Sequence[Any]]]
    sampling: Sampling


@dataclass(frozen=True)
class Kept:
    """The outcome of a request; `record` is its line in the run folder."""

    record: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        return self.record["error"] is not None

    @property
    def text(self) -> str:
        """The bare answer, which the parsers of tasks expect."""
        return FAILED if self.failed else self.record["answer"]

    def tokens(self, kind: str) -> int:
        """`prompt_tokens` or `completion_tokens` of all turns; 0 where there was no reply."""
        return (self.record["usage"] or {}).get(kind, 0)


def question_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """The text and the images of a task's chat messages.

    Prompts have one place for all images, before the question. Where a task puts images inside its
    text, `<image 1>` and so on mark their places, as in the texts of MMMU itself.
    """
    pieces = [
        piece if isinstance(piece, Mapping) else {"type": "text", "text": piece}
        for message in messages
        for piece in _content(message)
    ]
    texts = [at for at, piece in enumerate(pieces) if piece["type"] == "text"]
    shown = [at for at, piece in enumerate(pieces) if piece["type"] != "text"]
    amid = any(texts[0] < at < texts[-1] for at in shown) if texts else False
    words: list[str] = []
    for at, piece in enumerate(pieces):
        if piece["type"] != "text":
            words += [f"<image {shown.index(at) + 1}>"] if amid else []
        else:
            after_text = at > 0 and pieces[at - 1]["type"] == "text"
            words.append(f"\n{piece['text']}" if after_text else piece["text"])
    return "".join(words), [pieces[at].get("url") for at in shown]


def _content(message: Mapping[str, Any]) -> Sequence[Any]:
    content = message["content"]
    return [content] if isinstance(content, str) else content


class Asker:
    """Runs the episodes of requests and keeps them.

    Args:
        engine: what replies.
        options: looks, limits, how many at once.
        run: keeps the episodes; what it holds is not asked again. None: they are not kept.
    """

    def __init__(self, engine: Engine, options: ModelArgs, run: RunFolder | None = None) -> None:
        self._policy = options.asked
        self._engine = self._policy.engine(engine)
        self._options, self._run = options, run
        self._kept = {
            record["fingerprint"]: record
            for record in (run.episodes() if run is not None else ())
            if record["error"] is None
        }
        self._shown = Counter[str](r["suite"] for r in self._kept.values() if "images" in r)
        self._failures = 0

    async def all(
        self, asks: Sequence[Ask], done: Callable[[], object] = lambda: None
    ) -> list[Kept]:
        """An answer to each request, in order; `done` is called after each.

        Raises:
            EngineError: every request failed, or `max_failures` in a row did.
            RunError: the run folder cannot be written.
        """
        said: dict[int, Kept] = {}

        async def work(item: tuple[int, Ask]) -> None:
            at, ask = item
            said[at] = Kept(await self._one(ask))
            done()

        await run_bounded(self._options.at_once, enumerate(asks), work)
        if asks and all(each.failed for each in said.values()):
            why = said[len(asks) - 1].record["error"]
            raise EngineError(f"all {len(asks)} requests failed, the last with: {why}")
        return [said[at] for at in range(len(asks))]

    async def _one(self, ask: Ask) -> Mapping[str, Any]:
        """The record of a request, new or from the run that is resumed."""
        began = time.perf_counter()
        question, fingerprint, error = "", None, None
        episode: Episode | None = None
        spoken: str | None = None
        used: Usage | Ledger | None = None
        try:
            question, images = ask.load()
            pictures = _pictures(images)
            fingerprint = _fingerprint(ask, question, pictures)
            if fingerprint in self._kept:
                return self._kept[fingerprint]
            began = time.perf_counter()
            if pictures:
                episode = await run_episode(
                    Example(pictures, question),
                    self._engine,
                    look=self._policy.look,
                    profile=self._policy.profile,
                    max_turns=self._options.max_turns,
                    sampling=ask.sampling,
                )
                used = episode.ledger
            else:
                spoken, used = await self._without_image(question, ask.sampling)
            self._failures = 0
        except Exception as failure:  # tasks run code of their own; one sample must not end the run
            known = isinstance(failure, VisionThinkError)
            error = str(failure) if known else f"{type(failure).__name__}: {failure}"
        record = scored_record(
            Example((), question, id=ask.id),
            episode,
            suite=ask.task,
            policy=self._policy.name,
            score=None,
            by=None,
            error=error,
            seconds=time.perf_counter() - began,
            images=self._shown[ask.task] < self._options.gallery,
        )
        self._shown[ask.task] += "images" in record
        if spoken is not None:
            record["answer"] = spoken
        counted = ("prompt_tokens", "completion_tokens")
        record |= {
            "usage": used and {name: getattr(used, name) for name in counted},
            "sampling": asdict(ask.sampling),
            "fingerprint": fingerprint,
        }
        if self._run is not None:
            self._run.append_episode(record)
        if error is not None:
            self._count_failure(error)
        return record

    async def _without_image(self, question: str, sampling: Sampling) -> tuple[str, Usage]:
        """One reply: without an image there is nothing to request."""
        name = self._policy.profile or self._engine.about.profile or DEFAULT_PROFILE
        profile = protocol.profile_for("high", name)
        messages = protocol.opening(profile, (), question)
        completion = await self._engine.generate(messages, sampling)
        reply = protocol.parse_reply(completion.text, profile)
        return protocol.final_answer(reply), completion.usage

    def _count_failure(self, error: str) -> None:
        self._failures += 1
        if self._failures == self._options.max_failures:
            kept = "" if self._run is None else "; the answers so far are kept for the next run"
            raise EngineError(
                f"{self._failures} requests in a row failed, the last with: {error}{kept}"
            )


def _pictures(images: Sequence[Any]) -> tuple[Picture, ...]:
    for image in images:
        if not isinstance(image, Image.Image):
            raise UsageError(
                f"expected images, got a {type(image).__name__}, which may be a video or a sound; "
                "leave this task out"
            )
    return tuple(open_picture(image) for image in images)


def _fingerprint(ask: Ask, question: str, pictures: Sequence[Picture]) -> str:
    """Equal for equal requests."""
    asked = json.dumps([ask.task, ask.id, question, asdict(ask.sampling)])
    digest = hashlib.sha256(asked.encode())
    for picture in pictures:
        digest.update(f"{picture.size}".encode() + picture.image.tobytes())
    return digest.hexdigest()


def figures(said: Sequence[Kept]) -> dict[str, float]:
    """Figures of all requests: failures, missing answers, request rate and visual tokens."""
    episodes = [each.record for each in said if each.record["ledger"] is not None]
    found: dict[str, float] = {
        "failed": sum(each.failed for each in said),
        "cut_off": sum(record["stop_reason"] == StopReason.LENGTH for record in episodes),
        "unanswered": sum(not each.failed and not each.text for each in said),
    }
    if episodes:
        tokens = [record["ledger"]["visual_tokens"] for record in episodes]
        processed, vanilla = (sum(of[key] for of in tokens) for key in ("processed", "vanilla"))
        found["request_rate"] = sum(record["requested"] for record in episodes) / len(episodes)
        found["visual_token_ratio"] = processed / vanilla
    return found
