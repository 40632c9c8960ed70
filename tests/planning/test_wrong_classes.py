"""An object of another class in the place of an argument of `plan` is a TypeError in one sentence."""

import numpy as np
import pytest

from subspace_sde import VE, DivergenceCurve, LowPass, plan

LEVEL = LowPass((16,), 4, axes=(-1,))
CURVE = DivergenceCurve((0.3, 0.5, 0.7), (1e-1, 1e-2, 1e-3), sde=VE())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subspaces": LEVEL}, "`subspaces` takes an object like .*, got LowPass"),
        ({"subspaces": 3}, "`subspaces` takes an object like"),
        ({"subspaces": [3]}, "the candidates are Subspaces, got int"),
        ({"curves": CURVE}, "`curves` takes an object like .*, got DivergenceCurve"),
        ({"curves": [3]}, "curves holds one DivergenceCurve for each subspace"),
        ({"threshold": "3e-3"}, "`threshold` takes an object like 3e-3, got str"),
        ({"threshold": None}, "`threshold` takes an object like 3e-3, got NoneType"),
        ({"price": "0.1"}, "`price` takes a number, got str"),
        ({"cost": 3.0}, "`cost` takes an object like pixels, got float"),
        ({"max_levels": 1.5}, "max_levels is a whole number, got 1.5"),
    ],
)
def test_it_is_a_type_error(changes, message):
    with pytest.raises(TypeError, match=message):
        plan(**{"subspaces": [LEVEL], "curves": [CURVE], "threshold": 3e-3, **changes})


def test_numbers_of_numpy_are_numbers():
    plain = plan([LEVEL], [CURVE], 5e-3)
    assert plan([LEVEL], [CURVE], np.float64(5e-3), price=np.float32(0.0)) == plain
