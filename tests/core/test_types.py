"""Small values of the core."""

from __future__ import annotations

from visionthink.core.types import seed_of


def test_a_seed_is_31_bits_of_the_names_digest():
    """SHA-256 of "0/a" begins with d3216b8d; half of 0xd3216b8d is 1,771,091,398."""
    assert seed_of(0, "a") == 0xD3216B8D // 2 == 1_771_091_398
    assert seed_of(1, "a") != seed_of(0, "a") != seed_of(0, "b")
