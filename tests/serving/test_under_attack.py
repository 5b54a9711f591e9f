"""All attacks on one server: it answers others meanwhile, refuses cleanly, and gives all back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import attacks
from serving.gateway_process import gateway, wait_for
from serving.gateways import QUESTION, request, served
from serving.health_watch import watching
from serving.test_request_limits import scripted

LIMITS = {"pixels": 1_000_000, "body": 8_000_000, "memory": 180_000_000, "send_seconds": 5.0}


def all_attacks(size: int, width: int, height: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, make in attacks.BODIES.items():
        yield name, lambda make=make: make(size)
    for name, make in attacks.LONG_HEADERS.items():
        yield name, lambda make=make: attacks.asking(make(size))
    for name, make_image in attacks.MANY_PIXELS.items():
        yield name, lambda make=make_image: attacks.asking(make(width, height))


def test_10_attacks_are_answered_or_refused_while_others_are_served():
    """Scaled down: none makes the server fail, none keeps a place, memory or a connection."""
    bodies = [make() for _, make in all_attacks(1_000_000, 900, 700)]
    with served(scripted(), limits=LIMITS) as server, ThreadPoolExecutor(4) as pool:
        with watching(server.port) as watch:
            found = pool.map(lambda body: attacks.status(attacks.send(server.port, body)), bodies)
            statuses = list(found)
            assert server.post(request(QUESTION)).status == 200
        gateway = server.gateway
        budgets = [
            budget
            for memory in (gateway.body_memory, gateway.image_memory)
            for budget in (memory.small, memory.large)
        ]
        wait_for(lambda: gateway.admission.present == 0)
        assert [budget.free for budget in budgets] == [budget.total for budget in budgets]
    assert set(statuses) <= {200, 400}
    assert statuses.count(400) >= len(attacks.BODIES)
    assert watch.count > 10


@pytest.mark.slow
def test_10_health_is_answered_during_attacks_at_full_size():
    """Four clients at once with each attack; the figures are in `bench/gateway.py`."""
    with gateway("--set", "playground=false") as server, ThreadPoolExecutor(4) as pool:
        port = int(re.findall(r":(\d+)/", server.url)[0])
        for name, make in all_attacks(4 * attacks.MIB, 4000, 4000):
            body = make()
            with watching(port) as watch:
                statuses = list(
                    pool.map(lambda each: attacks.status(attacks.send(port, each)), [body] * 4)
                )
            assert set(statuses) <= {200, 400, 404}, name
            assert watch.count > 0, name
        assert server.client().models.list().data
        assert server.memory < 4 * 1024 + 500
