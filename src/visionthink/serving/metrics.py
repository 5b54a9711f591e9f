"""What Prometheus reads: how requests ended, what was looked at, what that saved, how long."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from visionthink.core.types import Episode
from visionthink.serving.admission import Admission
from visionthink.serving.pool import Pool

IMAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300)


class Metrics:
    """Counts of one server."""

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
        self._episodes = Counter(
            "visionthink_episodes",
            "Finished episodes by look and by whether the original was requested.",
            ["look", "requested"],
            registry=registry,
        )
        self._visual = Counter(
            "visionthink_visual_tokens",
            "Visual tokens: of first looks, of requested originals, processed (both), and vanilla "
            "(what the originals alone would have been).",
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
            "Tokens of all turns: prompt, those of them that were cached, generated.",
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
            "What the images of a request take: to fetch, to open, to halve, and to encode for an "
            "upstream.",
            ["step"],
            buckets=IMAGE_SECONDS,
            registry=registry,
        )

    def ended(self, outcome: str, seconds: float) -> None:
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)

    def prepared(self, step: str, seconds: float) -> None:
        self._image_seconds.labels(step).observe(seconds)

    def finished(self, episode: Episode) -> None:
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
    """Read when asked: the queue, and how the upstreams are."""

    def __init__(self, pool: Pool, admission: Admission) -> None:
        self._pool = pool
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        for name, what in (("running", "are worked on"), ("waiting", "wait for a place")):
            yield GaugeMetricFamily(
                f"visionthink_requests_{name}",
                f"Chat requests that {what}.",
                value=getattr(self._admission, name),
            )
        up = GaugeMetricFamily("visionthink_upstream_up", "Reachable.", labels=["upstream"])
        running = GaugeMetricFamily(
            "visionthink_upstream_running", "Episodes under way.", labels=["upstream"]
        )
        failures = CounterMetricFamily(
            "visionthink_upstream_failures", "Failed replies.", labels=["upstream"]
        )
        for backend in self._pool.backends:
            up.add_metric([backend.name], backend.alive)
            running.add_metric([backend.name], backend.running)
            failures.add_metric([backend.name], backend.failures)
        yield from (up, running, failures)
