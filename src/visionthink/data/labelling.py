"""Which rows need the original image, by rollouts at both looks (§3.5 of the paper).

A base model answers each question n times from the half-size view and n times from the original,
and cannot request. Always right at both: the small image is enough. Right `gap` times more often
from the original: the row needs the original. Otherwise it is undecided.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, Protocol

from visionthink.core.concurrency import run_bounded
from visionthink.core.engine import Engine
from visionthink.core.episode import run_episode
from visionthink.core.errors import EngineError, ImageError, JudgeError, UsageError
from visionthink.core.mentions import mentions
from visionthink.core.types import LookMode, Sampling, seed_of
from visionthink.data.rows import Row

Label = Literal["low", "high", "undecided", "failed"]
LABELS: tuple[Label, ...] = ("low", "high", "undecided", "failed")
LABEL_LOOKS: tuple[LookMode, ...] = ("low", "high")


class Scored(Protocol):
    """A verdict: 1 for right, 0 for wrong, None if the judge cannot tell."""

    @property
    def score(self) -> int | None: ...


Score = Callable[[str, str | Sequence[str], str], Awaitable[Scored]]
"""A judge's `score` of question, accepted answer or answers, and prediction; raises JudgeError."""


@dataclass(frozen=True)
class LabelRule:
    """When a row counts as decided.

    Attributes:
        n: rollouts at each look.
        enough: with at least this many right answers at both looks the small image is enough.
        gap: with at least this many more right answers from the original, it is needed.
    """

    n: int = 8
    enough: int = 8
    gap: int = 6

    @classmethod
    def of(cls, n: int = 8, enough: int | None = None, gap: int | None = None) -> LabelRule:
        """The paper's rule for n rollouts: enough is n, gap three quarters of n, rounded up."""
        return cls(n, n if enough is None else enough, math.ceil(0.75 * n) if gap is None else gap)

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 1000:
            raise UsageError(f"n must be 1 to 1000 rollouts at each look; got {self.n}")
        if not 1 <= self.enough <= self.n:
            raise UsageError(f"enough must be 1 to n = {self.n}; got {self.enough}")
        if not self.n - self.enough < self.gap <= self.n:
            raise UsageError(
                f"gap must be above n - enough = {self.n - self.enough}, or a row could be both, "
                f"and at most n = {self.n}; got {self.gap}"
            )


PAPER_RULE = LabelRule()


def label_of(correct_low: int, correct_high: int, rule: LabelRule = PAPER_RULE) -> Label:
    """The label of a row from its right answers at each look."""
    if min(correct_low, correct_high) >= rule.enough:
        return "low"
    if correct_high - correct_low >= rule.gap:
        return "high"
    return "undecided"


@dataclass(frozen=True)
class RolloutOptions:
    """How rows are rolled out; see `run_episode` and `Sampling`."""

    rule: LabelRule = PAPER_RULE
    profile: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int = 0

    def sampling(self, row_id: str, look: LookMode, rollout: int) -> Sampling:
        """Each rollout has a seed of its own, which does not depend on what else is labelled."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=seed_of(self.seed, row_id, look, rollout),
        )


@dataclass(frozen=True)
class Labelled:
    """A label, the right answers at each look (None where rollouts failed), and why.

    `cannot_tell`: answers that the judge cannot tell, at both looks; they count as wrong.
    `contained` counts the answers, of both looks, that are wrong but contain the ground truth.
    """

    label: Label
    low: int | None
    high: int | None
    reason: str
    cannot_tell: int = 0
    contained: int = 0


class _Failure(Exception):
    """A rollout without an answer or without a verdict."""


async def label_rows(
    rows: Iterable[Row],
    engine: Engine,
    score: Score,
    rollouts: RolloutOptions,
    keep: Callable[[Row, Labelled], None],
    *,
    concurrency: int = 32,
) -> None:
    """Label each row, and pass it to `keep` as soon as it is finished, so not in order.

    Args:
        rows: taken one by one, a few ahead.
        engine: answers.
        score: says whether an answer is right.
        rollouts: how each row is rolled out.
        keep: takes the finished rows.
        concurrency: episodes at once, over all rows.
    """
    if concurrency < 1:
        raise UsageError(f"concurrency must be at least 1; got {concurrency}")
    slots = asyncio.Semaphore(concurrency)

    async def work(row: Row) -> None:
        keep(row, await label_row(row, engine, score, rollouts, slots))

    # One more row than the slots need, so that they stay full while a row waits for its last.
    await run_bounded(concurrency // (2 * rollouts.rule.n) + 2, rows, work)


async def label_row(
    row: Row, engine: Engine, score: Score, rollouts: RolloutOptions, slots: asyncio.Semaphore
) -> Labelled:
    """Label one row. The first failed rollout ends it: the others could not decide anything."""
    rule = rollouts.rule
    try:
        example = await asyncio.to_thread(row.open)
    except ImageError as error:
        return Labelled("failed", None, None, str(error))
    answers = row.answers if len(row.answers) > 1 else row.answer
    right = dict.fromkeys(LABEL_LOOKS, 0)
    cannot_tell = contained = 0

    async def rollout(item: tuple[int, LookMode]) -> None:
        nonlocal cannot_tell, contained
        number, look = item
        sampling = rollouts.sampling(row.id, look, number)
        async with slots:
            try:
                episode = await run_episode(
                    example,
                    engine,
                    look=look,
                    profile=rollouts.profile,
                    max_turns=1,
                    sampling=sampling,
                )
                if episode.answer:  # an empty one is wrong without a judge
                    verdict = await score(row.question, answers, episode.answer)
                    right[look] += verdict.score or 0
                    cannot_tell += verdict.score is None
                    contained += not verdict.score and mentions(row.answers, episode.answer)
            except (EngineError, JudgeError, UsageError) as error:
                raise _Failure(f"look {look}, rollout {number}: {error}") from error

    try:
        await run_bounded(2 * rule.n, product(range(rule.n), LABEL_LOOKS), rollout)
    except _Failure as failure:
        return Labelled("failed", None, None, str(failure))
    low, high = right["low"], right["high"]
    reason = _reason(low, high, cannot_tell, rule)
    return Labelled(label_of(low, high, rule), low, high, reason, cannot_tell, contained)


def _reason(low: int, high: int, cannot_tell: int, rule: LabelRule) -> str:
    counts = f"{low}/{rule.n} right at low, {high}/{rule.n} at high"
    if cannot_tell:
        counts += f" ({cannot_tell} that the judge cannot tell counted as wrong)"
    match label_of(low, high, rule):
        case "low":
            return f"{counts}: at least {rule.enough} at both"
        case "high":
            return f"{counts}: at least {rule.gap} more at high"
        case _:
            return f"{counts}: neither {rule.enough} at both nor {rule.gap} more at high"
