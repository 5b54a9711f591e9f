"""Fine ink is exactly what half size cannot hold."""

import numpy as np
import pytest
from PIL import Image

from visionthink.mini.font import glyph, write
from visionthink.mini.ink import balanced, carrier, half_view, halving


@pytest.mark.parametrize("length", [56, 112, 168])
def test_halving_is_pillows_lanczos(length):
    line = np.random.default_rng(length).random((1, length)).astype(np.float32)
    resized = Image.fromarray(line).resize((length // 2, 1), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(np.asarray(resized), line @ halving(length).T, atol=1e-5)


def test_balanced_print_halves_to_nothing():
    ink = np.zeros((56, 112), dtype=np.float32)
    write(ink, "4.73 TEA", 5, 9)
    fine = balanced(ink)
    np.testing.assert_allclose(halving(56) @ fine @ halving(112).T, 0.0, atol=1e-4)
    assert fine[ink == 1].mean() > 0.4


def test_carriers_are_what_they_are_called():
    assert carrier("horizontal", 2, 3).tolist() == [[1, 1, 1], [-1, -1, -1]]
    assert carrier("vertical", 2, 3).tolist() == [[1, -1, 1], [1, -1, 1]]
    assert carrier("checker", 2, 3).tolist() == [[1, -1, 1], [-1, 1, -1]]


def test_half_view_is_at_least_one_token():
    assert half_view(np.zeros((40, 200, 3), dtype=np.uint8)).shape == (28, 100, 3)


def test_glyphs_differ():
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ."
    assert len({glyph(character).tobytes() for character in alphabet}) == len(alphabet)
    with pytest.raises(KeyError, match="no 'a'"):
        glyph("a")
