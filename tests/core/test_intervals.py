"""Intervals against values worked out by hand, scipy's, and their coverage by enumeration."""

from __future__ import annotations

import math
import statistics

import pytest

from visionthink.core.intervals import Z, fewest, paired, paired_interval, student, wilson


def test_the_quantile_is_that_of_the_normal_distribution():
    assert pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=1e-15) == Z


def test_three_of_three():
    """Its low end is n / (n + z²) = 3 / 6.8415 = 0.4385; that of none right mirrors it."""
    assert wilson(1, 3) == pytest.approx((3 / (3 + Z**2), 1.0), abs=1e-12)
    assert wilson(0, 3) == pytest.approx((0.0, Z**2 / (3 + Z**2)), abs=1e-12)
    assert wilson(1, 1) == pytest.approx((0.2065, 1.0), abs=1e-4)


def test_a_half_of_a_hundred():
    """0.5 ± (z / 2) / sqrt(n + z²) = 0.5 ± 0.0962."""
    assert wilson(0.5, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)


def test_no_samples_have_no_interval():
    assert wilson(0.0, 0) is None
    assert paired([]) is None


def test_wilson_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for n in (1, 2, 3, 10, 77, 5000):
        for right in {0, 1, n // 3, n - 1, n}:
            theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
            assert wilson(right / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
def test_the_share_lies_in_its_interval_which_is_never_empty(n: int):
    for right in range(n + 1):
        low, high = wilson(right / n, n) or (1, 0)
        assert 0 <= low <= right / n <= high <= 1
        assert high - low > 0


def test_equal_scores_do_not_make_a_difference_certain():
    """Three pairs alike: one of each sign is added, 0 ± z sqrt(2 / 5 / 5) = 0 ± 0.5544. Three won:
    mean 3/5, variance 5/5 - 9/25, ± z sqrt(0.64 / 5) = 0.6 ± 0.7012.
    """
    assert paired([0.0] * 3) == pytest.approx(
        {"difference": 0.0, "low": -0.55436, "high": 0.55436}, abs=1e-5
    )
    assert paired([1.0] * 3) == pytest.approx(
        {"difference": 1.0, "low": -0.10122, "high": 1.0}, abs=1e-5
    )


def test_a_large_sample_has_the_normal_interval():
    """900 won and 400 lost of 10,000: 0.05, variance 0.13 - 0.0025, error 0.003571."""
    found = paired([1.0] * 900 + [-1.0] * 400 + [0.0] * 8700)
    assert found == pytest.approx({"difference": 0.05, "low": 0.043, "high": 0.057}, abs=1e-4)


def test_graded_scores_have_an_interval_too():
    found = paired([0.25, -0.5, 0.1])
    assert found is not None
    assert found["low"] < found["difference"] < found["high"]


def covered(n: int, won: float, lost: float) -> float:
    """How often the interval of n pairs holds the difference, over all outcomes."""
    total = 0.0
    for b in range(n + 1):
        for c in range(n - b + 1):
            low, high = paired_interval((b - c) / n, (b + c) / n, n)
            if low - 1e-12 <= won - lost <= high + 1e-12:
                ways = math.comb(n, b) * math.comb(n - b, c)
                total += ways * won**b * lost**c * (1 - won - lost) ** (n - b - c)
    return total


def test_coverage_of_paired_differences():
    """At n = 3 the bootstrap covers 0 of the cases in which no pair differs; this at least 93 %."""
    shares = [(b / 10, c / 10) for b in range(11) for c in range(11 - b)]
    assert min(covered(3, *of) for of in shares) > 0.93
    assert min(covered(10, *of) for of in shares) > 0.88


def test_coverage_of_shares():
    """On average over all true shares 95.6 % at n = 3; the worst is 82.8 %, near 0.06 and 0.94."""

    def at(p: float, n: int = 3) -> float:
        found = [wilson(k / n, n) or (1, 0) for k in range(n + 1)]
        return sum(
            math.comb(n, k) * p**k * (1 - p) ** (n - k)
            for k, (low, high) in enumerate(found)
            if low <= p <= high
        )

    every = [at(i / 500) for i in range(1, 500)]
    assert sum(every) / len(every) == pytest.approx(0.956, abs=0.002)
    assert min(every) == pytest.approx(0.828, abs=0.003)


def test_fewest():
    assert fewest(lambda n: n >= 17) == 17
    assert fewest(lambda n: n >= 17, above=40) == 41
    assert fewest(lambda n: n >= 41, above=40) == 41
    assert fewest(lambda n: False) is None


def test_the_mean_of_three_runs_has_students_interval():
    """1, 2 and 3: standard error 1 / sqrt(3), t of 2 degrees of freedom 4.3027."""
    assert student([1.0, 2.0, 3.0]) == pytest.approx(4.3027 / 3**0.5)
    assert student([0.5, 0.5]) == 0
    assert student([0.5]) is None


def test_the_quantile_of_students_t_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for n in (2, 3, 10, 21, 22, 30, 1000):
        values = [0.0] * (n - 1) + [1.0]
        error = statistics.stdev(values) / n**0.5
        assert student(values) == pytest.approx(stats.t.ppf(0.975, n - 1) * error, rel=2e-4)
