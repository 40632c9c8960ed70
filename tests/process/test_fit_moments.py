"""`SubspaceSDE.fit` takes moments for subspaces that are built alike, whichever objects they are."""

import pickle

import numpy as np
import pytest

from subspace_sde import VE, Downsampling, LowPass, NestedSubspaces, Subspace, SubspaceSDE
from subspace_sde.statistics import complement_moments

X = np.random.default_rng(0).standard_normal((30, 1, 8, 8)) + 0.5


def nested(*factors):
    return NestedSubspaces([Downsampling((1, 8, 8), factors[0]), *(Downsampling((1, 4, 4), f) for f in factors[1:])])


class Halves(Subspace):
    """A user's own: the first half of the last axis."""

    def __init__(self):
        super().__init__((8,), (4,))

    def _restrict(self, x, xp):
        return x[..., :4]

    def _embed(self, z, xp):
        return xp.concat([z, xp.zeros_like(z)], axis=-1)


@pytest.mark.parametrize("center", [False, True])
def test_unpickled_and_equal_subspaces(center):
    expected = SubspaceSDE.fit(VE(), nested(2, 2), [0.4, 0.6], X, center=center)
    moments = complement_moments(nested(2, 2), X)
    for given, subspaces in (
        (moments, nested(2, 2)),
        (pickle.loads(pickle.dumps(moments)), nested(2, 2)),
        (moments, pickle.loads(pickle.dumps(moments.subspaces))),
    ):
        found = SubspaceSDE.fit(VE(), subspaces, [0.4, 0.6], given, center=center)
        assert found.complement_variances == expected.complement_variances


def test_other_subspaces_are_refused():
    moments = complement_moments(nested(2), X)
    low = NestedSubspaces([LowPass((1, 8, 8), 4)])  # of the same shapes
    for other in (low, nested(4), nested(2, 2)):
        with pytest.raises(ValueError, match=r"these are the moments of .*, and not of "):
            SubspaceSDE.fit(VE(), other, [0.5] if len(other) == 2 else [0.4, 0.6], moments)
    empty = [NestedSubspaces([], ambient_shape=shape) for shape in ((8,), (4, 2))]
    with pytest.raises(ValueError, match="and not of"):
        SubspaceSDE.fit(VE(), empty[1], [], complement_moments(empty[0], X.reshape(-1, 8)))


def test_a_users_own_class_is_equal_to_itself_alone():
    own, x = Halves(), X.reshape(-1, 8)
    moments = complement_moments(NestedSubspaces([own]), x)
    found = SubspaceSDE.fit(VE(), NestedSubspaces([own]), [0.5], moments)
    assert found.complement_variances[0] == pytest.approx(float(np.mean(x[:, 4:] ** 2)), rel=1e-12)
    with pytest.raises(ValueError, match="and not of"):
        SubspaceSDE.fit(VE(), NestedSubspaces([Halves()]), [0.5], moments)
