"""The watchdog: notices when a policy has stopped deciding.

A policy that requests always or never, or whose groups all agree, gets no gradient from the control
penalty any more: nothing will bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Watchdog:
    """Counts steps in a row at which the request rate or its variance inside groups is pinned.

    Attributes:
        steps: how many such steps make a collapse.
        margin: how near 0 or 1 the request rate counts as pinned; the variance counts as pinned
            below margin · (1 - margin), what groups at the edge of that margin would have.
    """

    steps: int = 20
    margin: float = 0.02
    pinned: int = 0

    def observe(self, request_rate: float, request_variance: float) -> str | None:
        """One step's figures; returns what is wrong once it has lasted `steps` steps, then again
        after as many.
        """
        low, high = request_rate <= self.margin, request_rate >= 1 - self.margin
        agreed = request_variance < self.margin * (1 - self.margin)
        self.pinned = self.pinned + 1 if low or high or agreed else 0
        if not self.pinned or self.pinned % self.steps:
            return None
        if low:
            what = "never requests the original"
        elif high:
            what = "always requests the original"
        else:
            what = "decides alike within every group, so that the control penalty teaches nothing"
        return (
            f"for {self.pinned} steps the policy {what} "
            f"(request rate {request_rate:.2f}, variance within groups {request_variance:.3f})"
        )
