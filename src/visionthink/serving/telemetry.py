"""What a server reports: Prometheus metrics, a log line per request, and the console.

Figures always; questions, answers and turns only in a log that is configured to hold them.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from visionthink.core.errors import UsageError
from visionthink.core.types import Episode
from visionthink.runs.records import look_record
from visionthink.serving.chat_response import usage
from visionthink.serving.limits import Admission
from visionthink.serving.pool import Pool

IMAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300)

console = logging.getLogger(__package__)


class RequestLog:
    """A file that gets a JSON line for each request."""

    def __init__(self, path: Path, content: bool) -> None:
        self._content = content
        self._broken = ""
        self._cut = False
        try:
            # Unbuffered: what a full disk refuses is lost, and not tried again with the next line.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"cannot write the log {str(path)!r}: {error.strerror}") from error

    def write(self, facts: Mapping[str, Any], episodes: Sequence[Episode] = ()) -> None:
        """Append `facts`, the cost of the episodes and, where configured, their texts."""
        line = dict(facts)
        choices = [self._choice(episode) for episode in episodes]
        if len(choices) == 1:
            line |= choices[0]
        elif choices:
            line["choices"] = choices
        if episodes:
            line["usage"] = usage(episodes)
        self._append(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def _choice(self, episode: Episode) -> dict[str, Any]:
        line: dict[str, Any] = {"stop_reason": episode.stop_reason.value}
        line["looks"] = [look_record(look) for look in episode.looks]
        if self._content:
            line |= {
                "question": episode.example.question,
                "answer": episode.answer,
                "turns": [turn.text for turn in episode.turns],
            }
        return line

    def _append(self, line: bytes) -> None:
        """Append a line; a full disk costs the line, not the answer or the server."""
        data = b"\n" + line if self._cut else line
        try:
            written = self._file.write(data)
            self._cut = written < len(data)
            broken = "it was cut short" if self._cut else ""
        except OSError as error:
            broken = error.strerror or str(error)
        if broken and broken != self._broken:
            console.error("the log cannot be written: %s", broken)
        self._broken = broken

    def close(self) -> None:
        self._file.close()


def summary(episode: Episode) -> str:
    """An episode in a few words, without its texts."""
    ledger = episode.ledger
    actions = {look.turn: f", {look.action} requested" for look in episode.looks if look.action}
    cost = f"{ledger.processed} of {ledger.vanilla} visual tokens"
    return f"{episode.look}{''.join(actions.values())}, {cost}"


def origin(error: BaseException) -> str:
    """Where an unexpected error was raised, without its message, which may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    return f"{type(error).__name__} at {' > '.join(where)}"


class Metrics:
    """The counters of one server."""

    def __init__(self, pool: Pool, admission: Admission) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(_Now(pool, admission))
        self._requests = Counter(
            "visionthink_requests",
            "Chat requests by how they ended: answered, length, malformed, out_of_turns, refused "
            "(4xx), busy (429), failed (5xx), gone (the client left).",
            ["outcome"],
            registry=registry,
        )
        self._passed = Counter(
            "visionthink_passed",
            "Requests that an upstream got as they came, by status and reason: text (a chat "
            "without an image), vanilla (asked for by name), model (not one of ours), endpoint "
            "(no chat), unsupported (what the profile cannot do).",
            ["reason", "status"],
            registry=registry,
        )
        self._passed.labels("text", "200")
        self._key_requests = Counter(
            "visionthink_key_requests",
            "Requests by the name of the client's key.",
            ["key"],
            registry=registry,
        )
        self._key_visual = Counter(
            "visionthink_key_visual_tokens",
            "Processed visual tokens by the name of the client's key.",
            ["key"],
            registry=registry,
        )
        self._episodes = Counter(
            "visionthink_episodes",
            "Finished episodes by look and by whether the model requested another look.",
            ["look", "requested"],
            registry=registry,
        )
        self._visual = Counter(
            "visionthink_visual_tokens",
            "Visual tokens: of first looks, of requested looks, processed (both), and vanilla "
            "(the originals alone).",
            ["kind"],
            registry=registry,
        )
        self._saved = Gauge(
            "visionthink_visual_tokens_saved",
            "Vanilla minus processed visual tokens so far; negative where looking small costs.",
            registry=registry,
        )
        self._tokens = Counter(
            "visionthink_tokens",
            "Tokens of all turns: prompt, the cached part of it, generated.",
            ["kind"],
            registry=registry,
        )
        self._seconds = Histogram(
            "visionthink_request_seconds",
            "From the arrival of a request to its last byte.",
            buckets=SECONDS,
            registry=registry,
        )
        self._image_seconds = Histogram(
            "visionthink_image_seconds",
            "Time on the images of a request: to fetch, open, halve, and encode for an upstream.",
            ["step"],
            buckets=IMAGE_SECONDS,
            registry=registry,
        )

    def request_ended(self, outcome: str, seconds: float) -> None:
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)

    def request_passed(self, reason: str, status: int) -> None:
        self._passed.labels(reason, str(status)).inc()

    def key_used(self, name: str, visual_tokens: int) -> None:
        self._key_requests.labels(name).inc()
        self._key_visual.labels(name).inc(visual_tokens)

    def images_prepared(self, step: str, seconds: float) -> None:
        self._image_seconds.labels(step).observe(seconds)

    def episode_finished(self, episode: Episode) -> None:
        ledger = episode.ledger
        self._episodes.labels(episode.look, str(episode.requested).lower()).inc()
        for kind in ("first", "requested", "processed", "vanilla"):
            self._visual.labels(kind).inc(getattr(ledger, kind))
        self._saved.inc(ledger.vanilla - ledger.processed)
        for kind in ("prompt", "cached", "completion"):
            self._tokens.labels(kind).inc(getattr(ledger, f"{kind}_tokens"))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


class _Now:
    """Read at each scrape: the queue, and the state of the upstreams."""

    def __init__(self, pool: Pool, admission: Admission) -> None:
        self._pool = pool
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        for name, what in (("running", "in progress"), ("waiting", "waiting for a place")):
            yield GaugeMetricFamily(
                f"visionthink_requests_{name}",
                f"Chat requests {what}.",
                value=getattr(self._admission, name),
            )
        up = GaugeMetricFamily("visionthink_upstream_up", "Reachable.", labels=["upstream"])
        running = GaugeMetricFamily(
            "visionthink_upstream_running", "Episodes in progress.", labels=["upstream"]
        )
        failures = CounterMetricFamily(
            "visionthink_upstream_failures", "Failed replies.", labels=["upstream"]
        )
        for backend in self._pool.backends:
            up.add_metric([backend.name], backend.alive)
            running.add_metric([backend.name], backend.running)
            failures.add_metric([backend.name], backend.failures)
        yield from (up, running, failures)
