"""A process fitted to arrays, batches and moments."""

import numpy as np
import pytest

from subspace_sde import VE, SubspaceSDE
from subspace_sde.statistics import complement_moments
from tests.process.gaussians import NESTED, matrices


@pytest.mark.parametrize("center", [False, True])
def test_fit_takes_arrays_batches_and_moments_alike(like, array, host, eps, center):
    nested = NESTED[1]
    x = np.random.default_rng(15).standard_normal((30, 3, 2)) + 1
    x = array(x)
    plain = SubspaceSDE.fit(VE(), nested, [0.4, 0.6], x, center=center)
    flat = host(x).reshape(30, 6)
    mean = flat.mean(0)
    if center:
        np.testing.assert_allclose(plain.mean.ravel(), mean, atol=1e-14)
    else:
        assert plain.mean is None
    p = matrices(nested)[1]
    for v, a, b in zip(plain.complement_variances, p, p[1:]):
        off = (flat - mean * center) @ (a - b)
        assert v == pytest.approx(np.sum(off**2) / 30 / round(np.trace(a - b)), rel=1e-12)
    for data in ((x[i : i + 7] for i in range(0, 30, 7)), complement_moments(nested, x)):
        other = SubspaceSDE.fit(VE(), nested, [0.4, 0.6], data, center=center)
        np.testing.assert_allclose(other.complement_variances, plain.complement_variances, rtol=1e-13)
    with pytest.raises(ValueError, match="and not of"):
        SubspaceSDE.fit(VE(), NESTED[0], [0.4], complement_moments(nested, x))
