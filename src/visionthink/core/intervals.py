"""95 % intervals that hold for few samples, too: of a mean of scores, and of paired differences.

Both are closed forms that never have width 0. The percentile interval of a bootstrap and mean ± 2
standard errors do: three right answers of three give 100 % ± 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Z = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
MOST_SAMPLES = 10**9

Interval = tuple[float, float]


def wilson(share: float, n: int) -> Interval | None:
    """The score interval of a share of n samples (Wilson 1927); None for none.

        (share + z²/2n ± z sqrt(share (1 - share) / n + z²/4n²)) / (1 + z²/n)

    `share` may be the mean of any scores from 0 to 1, such as ANLS: no scores with that mean vary
    more than zeros and ones do (Bhatia and Davis 2000), so that it is rather too wide then.
    """
    if n < 1:
        return None
    share = min(max(share, 0.0), 1.0)
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2)
    low, high = ((middle + side) / (1 + Z**2 / n) for side in (-half, half))
    return min(max(low, 0.0), share), max(min(high, 1.0), share)  # rounding left the share outside


def paired(differences: Sequence[float]) -> dict[str, float] | None:
    """The mean of paired differences from -1 to 1, and its interval; None for none.

    That of Bonett and Price (2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data"): one sample is added on which only the first is right and one
    on which only the second is, then mean ± z sqrt(variance / (n + 2)) of these n + 2.
    """
    n = len(differences)
    if not n:
        return None
    middle = math.fsum(differences) / n
    low, high = paired_interval(middle, math.fsum(d * d for d in differences) / n, n)
    return {"difference": middle, "low": low, "high": high}


def paired_interval(mean: float, square: float, n: int) -> Interval:
    """`paired` from the mean of n differences and the mean of their squares."""
    middle, spread = mean * n / (n + 2), (square * n + 2) / (n + 2)
    half = Z * math.sqrt(max(0.0, spread - middle**2) / (n + 2))
    return max(-1.0, min(middle - half, mean)), min(1.0, max(middle + half, mean))


def student(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of a mean of few values, such as one a run: t · standard
    error with n - 1 degrees of freedom; None below two values.
    """
    n = len(values)
    if n < 2:
        return None
    middle = math.fsum(values) / n
    error = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1) / n)
    return _t(n - 1) * error


_T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
)
"""The 97.5 % quantile of Student's t with 1 to 20 degrees of freedom."""


def _t(degrees: int) -> float:
    """From 21 on by the first terms of Fisher's expansion, exact to 3 digits."""
    if degrees <= len(_T):
        return _T[degrees - 1]
    return Z + (Z**3 + Z) / (4 * degrees) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * degrees**2)


def fewest(enough: Callable[[int], bool], above: int = 0) -> int | None:
    """The smallest n > `above` that is enough, where every larger one is, too; None if even
    `MOST_SAMPLES` are not.
    """
    low, high = above, max(1, above + 1)
    while not enough(high):
        if high >= MOST_SAMPLES:
            return None
        low, high = high, min(2 * high, MOST_SAMPLES)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
