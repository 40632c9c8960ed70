"""Bytes to floats, and batches of them."""

from fractions import Fraction

import numpy as np
import pytest

from subspace_sde.images import to_unit, unit_batches


def test_to_unit_is_the_float32_next_to_each_fraction_of_255():
    unit = to_unit(np.arange(256, dtype=np.uint8))
    assert unit.dtype == np.float32 and unit[0] == 0 and unit[255] == 1
    for k, u in enumerate(unit):
        assert abs(Fraction(float(u)) - Fraction(k, 255)) <= Fraction(float(np.spacing(u))) / 2


@pytest.mark.parametrize("dtype", ["float32", "int64", "int8"])
def test_to_unit_refuses_what_is_not_uint8(dtype):
    with pytest.raises(ValueError, match=f"must be uint8, got {dtype}"):
        to_unit(np.zeros(3, dtype=dtype))


@pytest.mark.parametrize("size", [1, 5, 23, 1024])
def test_unit_batches_are_the_images_in_order(pixels, size):
    batches = list(unit_batches(pixels, size))
    assert [len(b) for b in batches] == [min(size, 23 - i) for i in range(0, 23, size)]
    np.testing.assert_array_equal(np.concatenate(batches), to_unit(pixels))


def test_unit_batches_refuse_at_the_call():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        unit_batches(np.zeros((2, 3, 4, 4), dtype=np.uint8), 0)
