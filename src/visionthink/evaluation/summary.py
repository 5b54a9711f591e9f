"""The summary of a run: one row for each suite, family and policy, and one for all families.

The `n` samples with a score count; `errors` are in no mean. The row "all" is the mean over samples
(micro); its `macro_accuracy` is the mean over families. What each figure counts:

    accuracy             mean score; `ci_low` to `ci_high` its 95 % interval (`core.intervals`),
                         `stderr` its standard error
    contained            answers that score below one half although they contain the ground truth
    request_rate         share of samples for which a look was delivered after a request
    visual_token_ratio   visual tokens of all looks, summed, over those of the originals, summed
    ..._replaced         the same, as if what was requested replaced the first look
    ..._kept             visual tokens left in the last layer, where pruning removes some on the way
                         (visual_token_ratio then counts their average over the layers)
    seconds_per_sample   wall clock: mean seconds of an episode over the episodes at once
    seconds_alone        wall clock of an episode while no other ran: the means of the direct and of
                         the requested ones that ran alone, weighted by their shares of all
    peak_memory          the most bytes that the policy used; see `engines.memory`
    flops_ratio          prefill FLOPs, vision tower included, over those of the originals alone
    paper_flops_ratio    the same by the paper's formula (§2.2)
    prompt_tokens, completion_tokens    means per sample, all turns
    undecided            samples that count as wrong because the rules or the judge cannot tell
    vs_high              accuracy minus that of the first policy that sees the plain originals, on
                         the samples of both, with its 95 % interval (`core.intervals`)
    f1                   of the answer yes, where the metric is yes_no
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visionthink.core.intervals import paired, wilson
from visionthink.core.means import mean, stderr
from visionthink.core.mentions import mentions
from visionthink.evaluation.derived import Derived
from visionthink.evaluation.metrics import YES_NO, said_yes
from visionthink.evaluation.policies import Policy
from visionthink.evaluation.statistics import f1
from visionthink.evaluation.suites import ALL

RIGHT = 0.5
"""Scores from here up count as right, where a metric gives shares."""


@dataclass(frozen=True)
class Sample:
    """What a summary needs of a line of `episodes.jsonl`.

    Attributes:
        score: None where there is an error.
        truth, others: the ground truth, and further accepted answers.
        tokens: visual tokens: of the first look, requested, vanilla.
        kept: visual tokens left in the last layer.
        texts: prompt and completion tokens.
        flops, paper_flops: prefill and vanilla; None where the model's sizes are not known.
    """

    suite: str
    policy: str
    id: str
    family: str | None
    kind: str | None
    score: float | None
    truth: str = ""
    others: tuple[str, ...] = ()
    answer: str = ""
    requested: bool = False
    tokens: tuple[int, int, int] = (0, 0, 0)
    kept: int = 0
    texts: tuple[int, int] = (0, 0)
    flops: tuple[int, int] | None = None
    paper_flops: tuple[int, int] | None = None
    seconds: float = 0.0
    alone: bool = False
    peak_memory: int | None = None
    error: str | None = None
    decided: bool = True

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Sample:
        named = {key: record[key] for key in ("suite", "policy", "id", "family", "kind", "score")}
        if record["score"] is None:
            return cls(**named, error=record["error"])
        ledger = record["ledger"]
        visual = ledger["visual_tokens"]
        return cls(
            **named,
            truth=record["answer_expected"],
            others=tuple(record.get("answers_expected", ())[1:]),
            answer=record["answer"],
            requested=record["requested"],
            tokens=(visual["first"], visual["requested"], visual["vanilla"]),
            kept=sum(_kept(turn["cost"]) for turn in record["turns"]),
            texts=(ledger["prompt_tokens"], ledger["completion_tokens"]),
            flops=_known(ledger["prefill_flops"], ledger["vanilla_prefill_flops"]),
            paper_flops=_known(
                ledger["paper_prefill_flops"], ledger["vanilla_paper_prefill_flops"]
            ),
            seconds=record["seconds"],
            alone=record.get("alone", False),
            peak_memory=record.get("peak_memory"),
            decided=record.get("decided", True),  # lines of older runs have none
        )

    @property
    def right(self) -> bool:
        return self.score is not None and self.score >= RIGHT

    @property
    def contained(self) -> bool:
        """Whether it is scored as wrong, but contains the ground truth."""
        wrong = self.score is not None and not self.right
        return wrong and mentions((self.truth, *self.others), self.answer)


def _kept(cost: Mapping[str, Any]) -> int:
    kept = cost.get("kept_visual_tokens")
    return cost["visual_tokens"] if kept is None else kept


def _known(spent: int | None, vanilla: int | None) -> tuple[int, int] | None:
    return None if spent is None or vanilla is None else (spent, vanilla)


def summarise(
    samples: Iterable[Sample],
    metrics: Mapping[str, str],
    policies: Sequence[Policy | Derived],
    *,
    concurrency: int = 1,
) -> list[dict[str, Any]]:
    """The rows of `summary.json`.

    Args:
        samples: of all suites, families and policies.
        metrics: the suites, in order, and what scored them.
        policies: in order.
        concurrency: episodes that ran at once.
    """
    found: dict[str, dict[str, list[Sample]]] = {
        suite: {policy.name: [] for policy in policies} for suite in metrics
    }
    for sample in samples:
        found[sample.suite][sample.policy].append(sample)
    high = next((p.name for p in policies if isinstance(p, Policy) and p.is_vanilla), None)
    rows: list[dict[str, Any]] = []
    for suite, of_policy in found.items():
        families = dict.fromkeys(
            sample.family for of in of_policy.values() for sample in of if sample.family is not None
        )
        for family in (*families, ALL):
            baseline = _scores(of_policy[high], family) if high is not None else {}
            for policy, of in of_policy.items():
                if chosen := [s for s in of if family in (ALL, s.family)]:
                    at_once = min(concurrency, sum(not s.alone for s in of) or 1)
                    row = _row(chosen, suite, family, policy, at_once)
                    row["vs_high"] = None
                    if policy != high:
                        row["vs_high"] = _versus(_scores(chosen, family), baseline)
                    if metrics[suite] == YES_NO:
                        row["f1"] = _f1(chosen)
                    if family == ALL and families:
                        parts = [mean(list(_scores(chosen, each).values())) for each in families]
                        row["macro_accuracy"] = mean([part for part in parts if part is not None])
                    rows.append(row)
    return rows


def _row(
    samples: Sequence[Sample], suite: str, family: str, policy: str, at_once: int
) -> dict[str, Any]:
    good = [sample for sample in samples if sample.score is not None]
    scores = [sample.score for sample in good if sample.score is not None]
    kinds = {sample.kind for sample in samples}
    accuracy = mean(scores)
    interval = None if accuracy is None else wilson(accuracy, len(scores))

    def average(of: Callable[[Sample], float]) -> float | None:
        return mean([of(sample) for sample in good])

    together = [sample.seconds for sample in good if not sample.alone]
    seconds = mean(together or [sample.seconds for sample in good])
    return {
        "suite": suite,
        "family": family,
        "kind": kinds.pop() if len(kinds) == 1 else None,
        "policy": policy,
        "n": len(good),
        "errors": len(samples) - len(good),
        "accuracy": accuracy,
        "stderr": stderr(scores),
        "ci_low": None if interval is None else interval[0],
        "ci_high": None if interval is None else interval[1],
        "request_rate": average(lambda sample: sample.requested),
        "visual_token_ratio": _ratio((s.tokens[0] + s.tokens[1], s.tokens[2]) for s in good),
        "seconds_per_sample": None if seconds is None else seconds / at_once,
        "flops_ratio": _ratio(sample.flops for sample in good),
        "visual_token_ratio_replaced": _ratio(
            (s.tokens[1] or s.tokens[0], s.tokens[2]) for s in good
        ),
        "seconds_alone": _seconds_alone(good),
        "peak_memory": max((s.peak_memory for s in good if s.peak_memory), default=None),
        "visual_token_ratio_kept": _ratio((s.kept, s.tokens[2]) for s in good),
        "paper_flops_ratio": _ratio(sample.paper_flops for sample in good),
        "prompt_tokens": average(lambda sample: sample.texts[0]),
        "completion_tokens": average(lambda sample: sample.texts[1]),
        "undecided": sum(not sample.decided for sample in good),
        "contained": sum(sample.contained for sample in good),
    }


def _seconds_alone(samples: Sequence[Sample]) -> float | None:
    """None where no requested or no direct episode ran alone, although there are some."""
    total = 0.0
    for requested in (False, True):
        of = [sample for sample in samples if sample.requested is requested]
        alone = mean([sample.seconds for sample in of if sample.alone])
        if of and alone is None:
            return None
        total += len(of) * (alone or 0.0)
    return total / len(samples) if samples else None


def _ratio(pairs: Iterable[tuple[int, int] | None]) -> float | None:
    """The sum of the first over that of the second; None where one is unknown or there are none."""
    spent, vanilla = 0, 0
    for pair in pairs:
        if pair is None:
            return None
        spent, vanilla = spent + pair[0], vanilla + pair[1]
    return spent / vanilla if vanilla else None


def _scores(samples: Iterable[Sample], family: str) -> dict[str, float]:
    """Scores by the sample's id."""
    return {s.id: s.score for s in samples if s.score is not None and family in (ALL, s.family)}


def _versus(scores: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float] | None:
    return paired([score - baseline[of] for of, score in scores.items() if of in baseline])


def _f1(samples: Iterable[Sample]) -> float | None:
    return f1(
        (said_yes(sample.truth) is True, said_yes(sample.answer))
        for sample in samples
        if sample.score is not None
    )
