"""What tests of pruned models share: attention by either kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pruning_models import attention_by

from visionthink.engines.hf_checkpoint import Checkpoint


@pytest.fixture(params=["sdpa", "eager"])
def kernel(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Iterator[None]:
    """Of the module's own `checkpoint`."""
    with attention_by(request.param, checkpoint):
        yield
