"""From lmms-eval's results to a run folder that `visionthink report` reads.

A row has the figures of our own summaries, and two more: `score`, the benchmark's own figure as the
paper prints it (percent; of MME the sum), and `metric`, its name in lmms-eval. Failed requests are
errors: they count in no mean, and leave `score` empty, because lmms-eval counted them as answers.
Tokens, FLOPs and seconds are those of the episodes that our model kept (`run=` in its
--model_args); without these they stay empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visionthink.core.errors import RunError, UsageError
from visionthink.core.intervals import wilson
from visionthink.core.types import Example
from visionthink.evaluation.lmms.preset import Preset, preset_of, presets
from visionthink.evaluation.lmms.results import Results, find_results, is_failed, texts
from visionthink.evaluation.policies import Policy, parse_policy
from visionthink.evaluation.summary import Sample, summarise
from visionthink.runs.environment import describe_environment
from visionthink.runs.folder import RunFolder
from visionthink.runs.records import scored_record

Record = dict[str, Any]

_OF_EPISODES = (
    *("request_rate", "visual_token_ratio", "visual_token_ratio_replaced"),
    *("visual_token_ratio_kept", "flops_ratio", "paper_flops_ratio", "seconds_per_sample"),
    *("prompt_tokens", "completion_tokens"),
)


@dataclass(frozen=True)
class Imported:
    """The rows of a summary, and remarks about them."""

    rows: Sequence[Record]
    notes: Sequence[str]


@dataclass(frozen=True)
class _Kept:
    """The episodes that our model kept of a run, by task and sample; how many ran at once; why
    they are missing.
    """

    episodes: Mapping[tuple[str, str], Record]
    concurrency: int = 1
    missing: str = ""


def import_results(
    places: Sequence[Path],
    out: Path,
    *,
    policies: Sequence[str] = (),
    metrics: Mapping[str, str] | None = None,
    episodes: Path | None = None,
) -> Imported:
    """Write a run folder with the samples and the summary of runs of lmms-eval.

    Args:
        places: files of results, or folders with one each.
        out: the run folder, new or empty.
        policies: name in reports of each of `places`; default: the look or policy of our model, or
            the name of another model.
        metrics: what counts in tasks without a preset, by task; see `preset.preset_of`.
        episodes: where our model kept its episodes, for one place; default: as the results say.

    Raises:
        RunError: results or samples are missing, broken, or do not belong together.
        UsageError: a task is not known, or two results are of one task and policy.
    """
    if policies and len(policies) != len(places):
        raise UsageError(
            f"expected one policy for each of {len(places)} results, got {len(policies)}"
        )
    if episodes is not None and len(places) > 1:
        raise UsageError(
            "--episodes is one folder and goes with one of the results; import them one by one"
        )
    found = [find_results(place) for place in places]
    names = list(policies) or [_policy_name(results) for results in found]
    records: dict[tuple[str, str], list[Record]] = {}
    preset_for: dict[str, Preset] = {}
    notes: list[str] = []
    figures: dict[tuple[str, str], float | None] = {}
    samples: list[Sample] = []
    for results, policy in zip(found, names, strict=True):
        kept = _kept(results, episodes)
        notes += [kept.missing] if kept.missing else []
        for task in results.tasks:
            suite, preset = preset_of(task, metrics)
            if (suite, policy) in records:
                raise UsageError(
                    f"two results are of task {suite} and policy {policy}; name their policies"
                )
            preset_for[suite] = preset
            lines = results.samples(task)
            figures[suite, policy] = preset.result(results.values(task), len(lines))
            records[suite, policy] = [
                _record(line, task, suite, policy, preset, kept) for line in lines
            ]
            samples += [_sample(record, kept.concurrency) for record in records[suite, policy]]
    rows = summarise(
        samples,
        {suite: preset_for[suite].ours for suite in sorted(preset_for, key=_place)},
        [_policy(name) for name in dict.fromkeys(names)],
    )
    for row in rows:
        key = row["suite"], row["policy"]
        notes += _finish(row, preset_for[key[0]], figures[key], records[key])
    run = RunFolder.create(
        out,
        {
            "lmms_eval": [_asked(results) for results in found],
            "policies": list(dict.fromkeys(names)),
        },
        environment=describe_environment(
            results=[[results.path.name, results.held.get("date")] for results in found]
        ),
    )
    for of in records.values():
        for record in of:
            run.append_episode(record)
    run.write_summary(rows)
    return Imported(rows, notes)


def _place(suite: str) -> tuple[int, str]:
    """Tasks with presets first, in their order."""
    known = list(presets())
    return known.index(suite) if suite in known else len(known), suite


def _policy_name(results: Results) -> str:
    if not results.is_ours:
        return results.model
    look, profile = results.model_arg("look") or "auto", results.model_arg("profile")
    return results.model_arg("policy") or (look if profile is None else f"{look}:{profile}")


def _policy(name: str) -> Policy:
    """Policies of other models count as vanilla only if they are called so."""
    try:
        policy = parse_policy(name)
    except UsageError:
        policy = None
    return policy if isinstance(policy, Policy) else Policy(name, "auto")


def _asked(results: Results) -> dict[str, Any]:
    """What the results depend on."""
    config = results.held["config"]
    return {name: config.get(name) for name in ("model", "model_args", "limit", "gen_kwargs")}


def _kept(results: Results, episodes: Path | None) -> _Kept:
    named = results.model_arg("run") if results.is_ours else None
    folder = episodes or (None if named is None else Path(named))
    if folder is None or (episodes is None and not folder.is_dir()):
        why = "the results name none" if folder is None else f"{folder} is not there"
        advice = "give run=DIR in --model_args" if folder is None else "--episodes names it"
        if not results.is_ours:
            return _Kept({})
        return _Kept({}, missing=f"no run folder of episodes ({why}), so no costs: {advice}")
    run = RunFolder.open(folder)
    # The last line counts where a sample was asked again after a failure.
    lines = {(record["suite"], record["id"]): record for record in run.episodes()}
    return _Kept(lines, int(run.config.get("concurrency", 1)))


def _record(
    line: Mapping[str, Any], task: str, suite: str, policy: str, preset: Preset, kept: _Kept
) -> Record:
    """A sample as a line of `episodes.jsonl`."""
    sample = str(line["doc_id"])
    episode = kept.episodes.get((task, sample))
    failed, said = is_failed(line), texts(line)
    if kept.episodes and episode is None:
        raise RunError(f"the run folder of episodes lacks sample {sample} of task {task}")
    if episode is None:
        question = Example((), str(line.get("input", "")), id=sample)
        episode = scored_record(
            question, None, suite=suite, policy=policy, score=None, by=None, error=None, seconds=0
        )
        episode["answer"] = said[0] if said else ""
    elif not failed and said and said[0].strip() != (episode["answer"] or "").strip():
        raise RunError(
            f"sample {sample} of task {task} was answered {said[0]!r}, but {episode['answer']!r} "
            "in the run folder of episodes: that is another run"
        )
    return {
        **episode,
        "suite": suite,
        "policy": policy,
        "answer_expected": line.get("target"),
        "score": None if failed else preset.sample_score(line),
        "by": "lmms-eval",
        "error": (episode["error"] or "the request failed") if failed else None,
        "tokens": line.get("token_counts"),
    }


def _sample(record: Record, concurrency: int) -> Sample:
    """An answer without a score of its own gets 0 here, which `_finish` takes out again."""
    if record["error"] is None and record["score"] is None:
        record = {**record, "score": 0.0}
    if record["ledger"] is not None or record["score"] is None:
        sample = Sample.of(record)
        return replace(sample, seconds=sample.seconds / concurrency)
    named = {key: record[key] for key in ("suite", "policy", "id", "family", "kind", "score")}
    return Sample(**named, truth=str(record["answer_expected"]), answer=record["answer"])


def _interval(share: float | None, n: int) -> tuple[float | None, float | None]:
    return (None if share is None else wilson(share, n)) or (None, None)


def _finish(
    row: Record, preset: Preset, figure: float | None, records: Sequence[Record]
) -> list[str]:
    """Put the benchmark's own figure into a row, and take out what is not known; returns notes."""
    name = f"{row['suite']}, {row['policy']}"
    notes: list[str] = []
    if row["errors"]:
        asked = row["n"] + row["errors"]
        notes.append(
            f"{name}: {row['errors']} of {asked} requests failed; they count in no mean here, and "
            "lmms-eval's own figure, which counts them as answers, is left out"
        )
        figure = None
    row["undecided"] = None
    row["metric"] = " + ".join(preset.metrics) or None
    row["score"] = None if figure is None else figure * preset.printed / preset.full
    answered = [record for record in records if record["error"] is None]
    if any(record["score"] is None for record in answered):
        row["accuracy"] = share = None if figure is None else figure / preset.full
        spread = None if share is None or row["n"] < 2 else share * (1 - share) / (row["n"] - 1)
        row["stderr"] = None if spread is None or spread < 0 else math.sqrt(spread)
        row["ci_low"], row["ci_high"] = _interval(share, row["n"])
        row["vs_high"] = row["contained"] = None
        row.pop("f1", None)
        if share is None and not preset.metrics:
            notes.append(f"{name}: {preset.traps}")
    if not any(record["ledger"] for record in answered):
        row |= dict.fromkeys(_OF_EPISODES)
    return notes
