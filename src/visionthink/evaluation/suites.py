"""Suites: what is asked. The embedded world, a YAML file, or a data set as it is.

mini                the mix of weak and strong families, 70 : 30, without the lucky one
mini:receipt,tag    these families, equally often; also mini:weak, mini:strong, mini:lucky
mini:500            at least 500 questions of each family; likewise mini:receipt:500
charts.yaml         options of a data set, and how answers are scored
charts/test.jsonl   a data set with the columns image, question and answer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import field_validator, model_validator

from visionthink.core.errors import DataError, UsageError
from visionthink.data.mini_rows import spread_families
from visionthink.data.source import DataOptions, Rows, load_rows
from visionthink.evaluation.metrics import JUDGE, YES_NO, Scorer, check_metric, said_yes
from visionthink.judges import JUDGES, JudgeOptions
from visionthink.judges.comparisons import COMPARISONS
from visionthink.mini.world import FAMILIES
from visionthink.settings import YAML, apply_sets, checked, did_you_mean, read_yaml

MIX = {"weak": 0.7, "strong": 0.3}
MINI = "mini"
MINI_SIZE = 1000
MINI_SEED = 1
"""Trainings evaluate on the test drawings of seed 0."""
ALL = "all"


class SuiteOptions(DataOptions, extra="forbid", frozen=True):
    """A data set and how answers to it are scored; see `data.data_options` for the other options.

    Attributes:
        name: what results call it; default: the name of its file.
        metric: what scores answers, see `metrics`; default: judge where a judge is given, else
            auto.
        judge: who decides where the metric is judge.
    """

    name: str | None = None
    metric: str | None = None
    judge: JudgeOptions | None = None

    @field_validator("metric")
    @classmethod
    def _is_a_metric(cls, metric: str | None) -> str | None:
        return None if metric is None else check_metric(metric)

    @model_validator(mode="after")
    def _fits(self) -> SuiteOptions:
        if self.judge is not None and self.metric not in (None, JUDGE):
            raise ValueError(
                f"metric {self.metric} does not ask the judge: leave metric or judge out "
                "(judge.metric says what a judge's rules compare)"
            )
        return self

    @property
    def scored_by(self) -> str:
        return self.metric or ("auto" if self.judge is None else JUDGE)


@dataclass(frozen=True)
class Suite:
    """A suite as it is run; the ids of its rows are unique."""

    name: str
    options: SuiteOptions
    rows: Rows
    scorer: Scorer


def with_judging(
    kind: str | None,
    metric: str | None,
    url: str | None,
    model: str | None,
    engine: str | None = None,
) -> dict[str, Any]:
    """The options of suites about scoring, from those of the command line.

    Raises:
        UsageError: they do not go together.
    """
    if metric is not None:
        check_metric(metric)
    if kind is not None and kind not in JUDGES:
        raise UsageError(f"there is no judge {kind!r}{did_you_mean(kind, JUDGES)}")
    if kind not in (None, "rules"):
        judge = {"kind": kind, "base_url": url, "model": model}
        if engine is not None:
            judge["engine"] = engine
        if metric not in (None, JUDGE):
            if kind == "llm" or metric not in COMPARISONS:
                raise UsageError(f"--metric {metric} does not go with --judge {kind}")
            judge["metric"] = metric
        return {"metric": JUDGE, "judge": judge}
    if url is not None or model is not None or engine is not None:
        raise UsageError(
            "--judge-url, --judge-model and --judge-engine go with --judge llm or cascade"
        )
    if metric == JUDGE:
        raise UsageError("--metric judge needs --judge llm or cascade")
    if kind is None and metric is None:
        return {}
    return {"metric": metric or "auto", "judge": None}


def load_suites(
    specs: Sequence[str],
    *,
    sets: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    judging: Mapping[str, Any] | None = None,
) -> list[Suite]:
    """Read the suites; the arguments count for each of them, and override its file.

    Args:
        specs: see the module docstring.
        sets: further options, as `columns.answer=label`.
        limit: how many rows of each suite to read.
        seed: of the drawings of the embedded world.
        judging: see `with_judging`.

    Raises:
        UsageError: there is no such suite, family or metric, or two suites have one name.
        DataError: a data set cannot be used; see `data.source.load_rows`.
    """
    suites: list[Suite] = []
    for spec in specs:
        options = {**_options(spec, seed), **(judging or {})}
        if limit is not None:
            options["limit"] = limit
        suite = _load(spec, checked(SuiteOptions, apply_sets(options, sets), spec))
        if suite.name in [other.name for other in suites]:
            raise UsageError(f"two suites are called {suite.name!r}; rename one in a YAML file")
        suites.append(suite)
    return suites


def _options(spec: str, seed: int) -> dict[str, Any]:
    if spec == MINI or spec.startswith(f"{MINI}:"):
        return {"path": MINI, "split": "test", "seed": MINI_SEED + seed, **_mini(spec)}
    path = Path(spec)
    if path.suffix.lower() in YAML:
        if not path.exists():
            raise UsageError(f"there is no suite {spec!r}: no such file")
        options = read_yaml(path)
        return {"name": path.stem, **options}
    if not path.exists():
        raise UsageError(
            f"there is no suite {spec!r}: neither {MINI} nor {MINI}:FAMILY, a YAML file, nor a "
            "data set; for one of the hub write a YAML file with format: hub"
        )
    return {"name": path.stem if path.is_file() else path.resolve().name, "path": spec}


def _mini(spec: str) -> dict[str, Any]:
    """Name, families and size of a suite of the embedded world."""
    _, *parts = spec.split(":")
    each = int(parts.pop()) if parts and parts[-1].isdecimal() else None
    if len(parts) > 1 or each == 0:
        raise UsageError(
            f"expected {MINI}, {MINI}:FAMILY,…, {MINI}:500 or {MINI}:FAMILY,…:500; got {spec!r}"
        )
    if not parts:
        shares = {
            kind: share / sum(of == kind for of, _ in FAMILIES.values())
            for kind, share in MIX.items()
        }
        weights = {name: shares[kind] for name, (kind, _) in FAMILIES.items() if kind in shares}
    else:
        weights = {name: 1.0 for part in parts[0].split(",") for name in _families(part)}
    size = MINI_SIZE if each is None else _size(weights, each)
    return {"name": ":".join([MINI, *parts]), "families": weights, "size": size}


def _families(name: str) -> list[str]:
    of_kind = [family for family, (kind, _) in FAMILIES.items() if kind == name]
    if not of_kind and name not in FAMILIES:
        kinds = {kind for kind, _ in FAMILIES.values()}
        raise UsageError(
            f"there is no family {name!r} in the embedded world"
            f"{did_you_mean(name, [*FAMILIES, *kinds])}"
        )
    return of_kind or [name]


def _size(weights: dict[str, float], each: int) -> int:
    """The least number of rows in which every family comes `each` times."""
    size = int(each * sum(weights.values()) / min(weights.values()))
    while min(Counter(spread_families(weights, size)).values()) < each:
        size += 1
    return size


def _load(spec: str, options: SuiteOptions) -> Suite:
    read = load_rows(options)
    rows = read.like(tuple(read))  # rows of mini are drawn at each access
    name = options.name or Path(options.path or spec).stem
    if rows.repeated:
        number, first = rows.repeated[0]
        raise DataError(
            f"suite {name!r}: row {number} has the id {first!r} of an earlier row; make ids "
            "unique, because results go by them, or number the rows: --set columns.id=none"
        )
    if any(row.metadata.get("family") == ALL for row in rows):
        raise DataError(
            f"suite {name!r}: a family is called {ALL!r}, the name of all together; rename it"
        )
    if options.scored_by == YES_NO:
        odd = next((row for row in rows if all(said_yes(a) is None for a in row.answers)), None)
        if odd is not None:
            raise DataError(
                f"suite {name!r}: metric yes_no needs the answers yes and no; row {odd.id!r} has "
                f"{odd.answer!r:.40}"
            )
    return Suite(name, options, rows, Scorer(options.scored_by, options.judge))
