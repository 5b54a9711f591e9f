"""What a judge is: its options, its verdicts, and what they cost."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from visionthink.core.errors import JudgeError
from visionthink.settings import did_you_mean


class JudgeOptions(BaseModel):
    """Options of `open_judge`; those of another kind of judge are ignored.

    Attributes:
        kind: who decides, a name in `JUDGES`. cascade: rules where the case is clear, else the
            model.
        metric: what rules compare, a name in `COMPARISONS`; auto: by the form of the ground truth.
        tolerance: relative difference up to which two numbers count as equal.
        anls_threshold: smallest similarity that the metric anls accepts.
        sentences: rules also read the answer that a sentence or a longer reply ends in.
        engine: what runs the judging model. openai: a server. hf: transformers, in this process.
        base_url: OpenAI-compatible server, up to its /v1.
        model: the name the server has for the judging model; with hf its folder or hub id.
        api_key_env: environment variable that holds the key; a server without keys needs none.
        concurrency: questions in progress at once, per event loop.
        timeout: seconds the server may take for one try.
        retries: further tries after a failed one, and further questions after a reply that is not
            a verdict.
        patience: seconds without any reply after which the model counts as down. Waiting questions
            then fail at once, and only one at a time is sent until a reply arrives.
        max_tokens: length limit of a reply, reasoning included.
        extra_body: further fields of each request to a server, such as {"chat_template_kwargs":
            {"enable_thinking": false}} for Qwen3.
        cache: file that keeps verdicts; several processes may share it. None: memory only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "rules"
    metric: str = "auto"
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    anls_threshold: float = Field(default=0.5, gt=0, le=1)
    sentences: bool = True
    engine: Literal["openai", "hf"] = "openai"
    base_url: str | None = None
    model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = Field(default=16, ge=1)
    timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    retries: int = Field(default=3, ge=0)
    patience: float = Field(default=120.0, ge=0, allow_inf_nan=False)
    max_tokens: int = Field(default=2048, ge=1)
    extra_body: dict[str, Any] = Field(default_factory=dict[str, Any])
    cache: Path | None = None

    @field_validator("kind", "metric")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        from visionthink.judges import JUDGES, comparisons  # which are made from these options

        is_judge = info.field_name == "kind"
        what, known = ("judge", JUDGES) if is_judge else ("metric", comparisons.COMPARISONS)
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}{did_you_mean(name, known)}")
        return name


Score = Literal[0, 1] | None
"""Right, wrong, or the judge cannot tell."""


@dataclass(frozen=True)
class Verdict:
    """Whether a prediction is right, and who decided: "rules", "llm", or another judge's name.

    `score`: 1 right, 0 wrong, None: the judge cannot tell. That is a finding about the pair of
    texts, not a failure: asking again would change nothing, another judge may.

    `cached`: the verdict cost no request, because the model had judged the same question, answer
    and prediction before, or was doing so for another caller at that moment.
    """

    score: Score
    by: str
    cached: bool = False


@dataclass(frozen=True)
class JudgeStats:
    """What verdicts have cost since the judge was opened. Subtract two of them for a span of time.

    Attributes:
        calls: replies that the model was asked for; an engine may try several times for one.
        cached: verdicts of the model that needed no reply.
        retries: replies asked for after the first one for the same verdict.
        unreadable: replies that were not a verdict; their tokens are counted.
        failures: `score` calls that ended in a JudgeError.
        by_rules: verdicts of 0 or 1 by rules.
        by_llm: verdicts by the model, cached ones included.
        undecided: verdicts without a score: the judge cannot tell.
        prompt_tokens: as the engine counts them; 0 from servers that do not.
        completion_tokens: likewise.
    """

    calls: int = 0
    cached: int = 0
    retries: int = 0
    unreadable: int = 0
    failures: int = 0
    by_rules: int = 0
    by_llm: int = 0
    undecided: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def llm_share(self) -> float:
        """Share of the decided verdicts that the model gave; 0 where there are none."""
        decided = self.by_rules + self.by_llm
        return self.by_llm / decided if decided else 0.0

    def plus(self, **counts: int) -> JudgeStats:
        """These counters with `counts` added."""
        return self + JudgeStats(**counts)

    def __add__(self, other: JudgeStats) -> JudgeStats:
        return JudgeStats(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: JudgeStats) -> JudgeStats:
        return JudgeStats(*map(operator.sub, astuple(self), astuple(other)))


class Judge(Protocol):
    """Scores predictions. Implementations are the rows of `JUDGES`."""

    @property
    def name(self) -> str:
        """Who gives the verdicts, for records."""
        ...

    @property
    def stats(self) -> JudgeStats:
        """What all verdicts so far have cost."""
        ...

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Judge `prediction` against the ground truth; of several answers the best match counts.

        A verdict without a score means that the judge cannot tell.

        Safe to call concurrently, and from one event loop after another.

        Raises:
            JudgeError: there is no verdict. That says nothing about the prediction.
        """
        ...

    async def close(self) -> None:
        """Free what the judge holds; it cannot be used afterwards."""
        ...


def accepted(answer: str | Sequence[str]) -> tuple[str, ...]:
    """The answers that count as right, without blank ones.

    Raises:
        JudgeError: all are blank, so nothing can be judged.
    """
    answers = (answer,) if isinstance(answer, str) else answer
    if not (given := tuple(each for each in answers if each.strip())):
        raise JudgeError("there is no ground truth to judge by; give each question an answer")
    return given
