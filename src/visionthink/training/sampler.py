"""The order in which prompts are drawn, the same for a run that was resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from trl.trainer.utils import RepeatSampler


class EpochOrder(RepeatSampler):
    """TRL's order of rows, found again in any epoch.

    TRL's own sampler takes each epoch's permutation from where the last one left its generator: a
    run resumed in the second epoch would go through the first one's order again.

    Args:
        epoch: tells which epoch begins, from 0.
        options: of `RepeatSampler`.
    """

    def __init__(self, epoch: Callable[[], int], **options: Any) -> None:
        super().__init__(**options)
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle and self.seed is not None:
            self.generator.manual_seed(self.seed)
            for _ in range(self._epoch()):
                torch.randperm(self.num_samples, generator=self.generator)
        return super().__iter__()
