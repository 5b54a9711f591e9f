"""The runner: asks every question of every suite under every policy, and keeps each episode.

One line for each suite, policy and sample is appended to the run folder once it is finished. If the
run is killed, those lines survive, and resuming asks only what is missing. Policies run in turn, so
that their seconds can be compared; the first samples of each run alone, one at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from visionthink.core.concurrency import run_bounded
from visionthink.core.engine import Engine
from visionthink.core.episode import run_episode
from visionthink.core.errors import (
    EngineError,
    ImageError,
    JudgeError,
    RunError,
    UsageError,
    VisionThinkError,
)
from visionthink.core.types import Episode, Example, Sampling, seed_of
from visionthink.data.rows import Row
from visionthink.engines.memory import PeakMemory
from visionthink.evaluation.derived import Derived, derive
from visionthink.evaluation.metrics import Score
from visionthink.evaluation.policies import Policy
from visionthink.evaluation.suites import Suite
from visionthink.runs.folder import EPISODES_FILE, RunFolder
from visionthink.runs.records import scored_record

Key = tuple[str, str, str]
"""Suite, policy, id of the sample."""


@dataclass(frozen=True)
class Settings:
    """How episodes are run; see `run_episode` and `Sampling`.

    Attributes:
        seed: of sampling and of `random:p`.
        concurrency: episodes at once.
        max_turns: replies of an episode; None: as many as the profile says.
        alone: how many first samples of each suite are asked one at a time.
        gallery: of how many first samples of each suite and family the images are kept.
        max_failures: how many episodes in a row without a reply or verdict end the run; 0: never.
    """

    max_turns: int | None = None
    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0
    concurrency: int = 16
    alone: int = 0
    gallery: int = 2
    max_failures: int = 5

    def __post_init__(self) -> None:
        self.sampling("")  # reports bad values before the wait for a model

    def sampling(self, sample: str) -> Sampling:
        """Each sample has a seed of its own, which does not depend on what else is asked."""
        return Sampling(
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=seed_of(self.seed, sample),
        )


@dataclass
class Work:
    """What is left to do; `finished` has its line in the run folder."""

    run: RunFolder
    suites: Sequence[Suite]
    policies: Sequence[Policy | Derived]
    finished: set[Key]

    @classmethod
    def of(
        cls, run: RunFolder, suites: Sequence[Suite], policies: Sequence[Policy | Derived]
    ) -> Work:
        """The work that a run folder lacks.

        Raises:
            RunError: it holds a line that is not of these suites and policies, or one twice.
        """
        known = {(suite.name, row.id): row for suite in suites for row in suite.rows}
        names = {policy.name for policy in policies}
        finished: set[Key] = set()
        for number, record in enumerate(run.episodes(), 1):
            key = _key(record)
            row = known.get((key[0], key[2]))
            asked_then = (record.get("question"), record.get("answer_expected"))
            where = f"line {number} of {run.path / EPISODES_FILE}"
            if row is None or key[1] not in names or asked_then != (row.question, row.answer):
                raise RunError(
                    f"{where} belongs to a question that is not asked now (suite {key[0]}, policy "
                    f"{key[1]}, id {key[2]}): the data has changed; choose a new folder"
                )
            if key in finished:
                raise RunError(f"{where} repeats suite {key[0]}, policy {key[1]}, id {key[2]}")
            finished.add(key)
        return cls(run, suites, policies, finished)

    def missing(self, suite: Suite, policy: Policy | Derived) -> list[Row]:
        """The rows of a suite that have no line under a policy."""
        return [r for r in suite.rows if (suite.name, policy.name, r.id) not in self.finished]

    @property
    def total(self) -> int:
        """How many episodes are left; derived policies need none."""
        asked = [policy for policy in self.policies if isinstance(policy, Policy)]
        return sum(len(self.missing(suite, policy)) for suite in self.suites for policy in asked)


def _key(record: dict[str, Any]) -> Key:
    return str(record.get("suite")), str(record.get("policy")), str(record.get("id"))


async def evaluate(
    work: Work,
    engine: Engine,
    settings: Settings,
    done: Callable[[], None] = lambda: None,
    *,
    warm_up: bool = False,
) -> None:
    """Do what is left; `done` is called after each episode. Closes the engine and the judges.

    A sample whose image, episode or verdict fails gets a line with the reason and no score. With
    `warm_up` each policy first asks one sample and discards it, because first replies take longer.

    Raises:
        EngineError, JudgeError: `max_failures` in a row failed, so the model or the judge must be
            down. They get no line, and are asked again when the run is resumed.
        RunError: the run folder cannot be written.
    """
    try:
        for suite in work.suites:
            for policy in work.policies:
                if isinstance(policy, Policy) and (rows := work.missing(suite, policy)):
                    asked = _Round(work.run, suite, policy, policy.engine(engine), settings)
                    if warm_up:
                        await asked.one(rows[0], alone=True)
                    asked.memory.restart()
                    await asked.all(rows, done)
            _derive(work, suite, settings.seed)
    finally:
        await engine.close()
        for suite in work.suites:
            await suite.scorer.close()


class _Round:
    """The rows of one suite under one policy."""

    def __init__(
        self,
        run: RunFolder,
        suite: Suite,
        policy: Policy,
        engine: Engine,
        settings: Settings,
    ) -> None:
        self._run, self._suite, self._policy = run, suite, policy
        self._engine, self._settings = engine, settings
        self._shown = first_of_families(suite.rows, settings.gallery)
        self._alone = {row.id for row in suite.rows[: settings.alone]}
        self.memory = PeakMemory(engine)
        self._held: list[dict[str, Any]] = []

    async def all(self, rows: Sequence[Row], done: Callable[[], None]) -> None:
        first = [row for row in rows if row.id in self._alone]
        rest = [row for row in rows if row.id not in self._alone]
        await self._together(first, 1, done)
        await self._together(rest, self._settings.concurrency, done)
        self._release()

    async def _together(
        self, rows: Iterable[Row], concurrency: int, done: Callable[[], None]
    ) -> None:
        async def work(row: Row) -> None:
            self._keep(*await self.one(row, alone=concurrency == 1))
            done()

        await run_bounded(concurrency, rows, work)

    async def one(self, row: Row, *, alone: bool) -> tuple[dict[str, Any], VisionThinkError | None]:
        """The record of a row, and its error if there is one."""
        began = time.perf_counter()
        episode: Episode | None = None
        score: Score | None = None
        error: VisionThinkError | None = None
        seconds = 0.0
        try:
            example = await asyncio.to_thread(row.open)
            began = time.perf_counter()
            episode = await run_episode(
                example,
                self._engine,
                look=self._policy.look,
                profile=self._policy.profile,
                max_turns=self._settings.max_turns,
                sampling=self._settings.sampling(row.id),
            )
            seconds = time.perf_counter() - began
            score = await self._suite.scorer.score(row.question, row.answers, episode.answer)
        except (ImageError, EngineError, JudgeError, UsageError) as failure:
            seconds = seconds or time.perf_counter() - began
            error = failure
        record = scored_record(
            Example((), row.question, row.answer, row.id, row.metadata),
            episode,
            suite=self._suite.name,
            policy=self._policy.name,
            score=None if score is None else score.value,
            by=None if score is None else score.by,
            decided=score is None or score.decided,
            error=None if error is None else str(error),
            seconds=seconds,
            alone=alone,
            peak_memory=self.memory.peak(),
            images=row.id in self._shown,
        )
        return record, error

    def _keep(self, record: dict[str, Any], error: VisionThinkError | None) -> None:
        """Write a finished line. Failures wait until something succeeds: it may be an outage."""
        if not isinstance(error, EngineError | JudgeError):
            if error is None:
                self._release()
            self._run.append_episode(record)
            return
        self._held.append(record)
        if len(self._held) == self._settings.max_failures:
            raise type(error)(
                f"{len(self._held)} episodes in a row failed (suite {self._suite.name}, policy "
                f"{self._policy.name}), the last: {error}; fix that and --resume, or continue in "
                "spite of failures with --max-failures 0"
            ) from error

    def _release(self) -> None:
        for record in self._held:
            self._run.append_episode(record)
        self._held.clear()


def first_of_families(rows: Iterable[Row], count: int) -> set[str]:
    """The ids of the first `count` rows of each family."""
    seen: Counter[object] = Counter()
    ids: set[str] = set()
    for row in rows:
        family = row.metadata.get("family")
        if seen[family] < count:
            ids.add(row.id)
        seen[family] += 1
    return ids


def _derive(work: Work, suite: Suite, seed: int) -> None:
    """Append the lines of the policies that are made of `low` and `high`."""
    derived = [policy for policy in work.policies if isinstance(policy, Derived)]
    missing = [(policy, row.id) for policy in derived for row in work.missing(suite, policy)]
    if not missing:
        return
    found = {
        _key(record): record
        for record in work.run.episodes()
        if record["suite"] == suite.name and record["policy"] in ("low", "high")
    }
    pairs = {
        row.id: (found[suite.name, "low", row.id], found[suite.name, "high", row.id])
        for row in suite.rows
    }
    requests = {policy.name: policy.requests(pairs, seed) for policy in derived}
    for policy, sample in missing:
        asks = sample in requests[policy.name]
        work.run.append_episode(derive(policy, *pairs[sample], asks))
