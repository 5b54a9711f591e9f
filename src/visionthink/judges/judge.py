"""The seam between whatever needs verdicts and what gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from visionthink.core.errors import JudgeError


@dataclass(frozen=True)
class Verdict:
    """Whether a prediction is right, and who said so.

    `cached`: the model had judged the same question, answer and prediction before, or another
    caller was asking it at that moment; either way this verdict cost no request.
    """

    score: Literal[0, 1]
    by: Literal["rules", "llm"]
    cached: bool = False


@dataclass(frozen=True)
class JudgeStats:
    """What verdicts took since the judge was opened. Subtract two of them for a span of time.

    Attributes:
        calls: requests sent to the server, retries included.
        cached: verdicts of the model that took no request.
        retries: requests after the first one for the same verdict.
        unreadable: replies of the server that were not a verdict; their tokens are counted.
        failures: `score` calls that ended in a JudgeError.
        by_rules: verdicts that rules gave.
        by_llm: verdicts that the model gave, cached ones included.
        prompt_tokens: as the server counts them; 0 from servers that do not.
        completion_tokens: likewise.
    """

    calls: int = 0
    cached: int = 0
    retries: int = 0
    unreadable: int = 0
    failures: int = 0
    by_rules: int = 0
    by_llm: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def llm_share(self) -> float:
        """Share of all verdicts that the model gave; 0 where there are none."""
        verdicts = self.by_rules + self.by_llm
        return self.by_llm / verdicts if verdicts else 0.0

    def plus(self, **counts: int) -> JudgeStats:
        """These counters with `counts` added."""
        return self + JudgeStats(**counts)

    def __add__(self, other: JudgeStats) -> JudgeStats:
        mine, more = asdict(self), asdict(other)
        return JudgeStats(**{name: mine[name] + more[name] for name in mine})

    def __sub__(self, other: JudgeStats) -> JudgeStats:
        mine, less = asdict(self), asdict(other)
        return JudgeStats(**{name: mine[name] - less[name] for name in mine})


class Judge(Protocol):
    """Scores predictions. Implemented by `RulesJudge`, `LlmJudge` and `CascadeJudge`."""

    @property
    def name(self) -> str:
        """What gives the verdicts, for records."""
        ...

    @property
    def stats(self) -> JudgeStats:
        """What all verdicts so far took."""
        ...

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Judge `prediction` against the ground truth; of several answers the best one counts.

        Safe to call concurrently, and from one event loop after another.

        Raises:
            JudgeError: there is no verdict. That says nothing about the prediction.
        """
        ...

    async def close(self) -> None:
        """Free what the judge holds; it cannot be used afterwards."""
        ...


def accepted(answer: str | Sequence[str]) -> tuple[str, ...]:
    """The answers that count as right; blank ones are dropped.

    Raises:
        JudgeError: none is left, so nothing can be judged.
    """
    answers = (answer,) if isinstance(answer, str) else answer
    if not (given := tuple(each for each in answers if each.strip())):
        raise JudgeError("there is no ground truth to judge by; give each question an answer")
    return given
