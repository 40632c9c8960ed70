"""The checks of a subspace and of a nesting name the law that is broken."""

import re

import numpy as np
import pytest

from subspace_sde.subspaces import Basis, Separable, Subspace
from subspace_sde.testing import check_subspace


class Broken(Subspace):
    """A subspace whose every method can be replaced."""

    def __init__(self, shape=(2,), **methods):
        super().__init__((4,), shape)
        for name, method in methods.items():
            setattr(self, name, method)

    def _restrict(self, x, xp):
        return x[..., :2]

    def _embed(self, z, xp):
        return xp.concat([z, 0 * z], axis=-1)


class InPlace(Broken):
    def _restrict(self, x, xp):
        x[..., 0] = 1.0
        return x[..., :2]


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Broken(_embed=lambda z, xp: 2 * xp.concat([z, 0 * z], axis=-1)), "UᵀU = I"),
        (Broken(_embed=lambda z, xp: xp.concat([z, z], axis=-1)), "adjointness"),
        (Broken(_project=lambda x, xp: 2 * x), "P = UUᵀ"),
        (Broken(_reject=lambda x, xp: 0 * x), "project + reject = identity"),
        (Broken(_restrict=lambda x, xp: x[..., :2] + x[..., :2] ** 3 * 1e-3), "UᵀU = I"),
        (Broken(shape=(3,)), "restrict gives (*batch, *shape)"),
        (Broken(_restrict=lambda x, xp: np.float64(1) * x[..., :2]), "same library, dtype and device"),
        (Broken(matrix=lambda: np.zeros((4, 2))), "matrix()"),
        (Broken(axis_matrices=lambda: (np.eye(4)[:, 1:3],)), "Kronecker product of axis_matrices()"),
        (
            Broken(axis_matrices=lambda: (np.eye(4),)),
            "one matrix (n_a, m_a) for each axis: does not hold: got [(4, 4)]",
        ),
        (
            Broken(_restrict=lambda x, xp: x[..., 7]),
            "restrict gives (*batch, *shape): does not hold: raises IndexError",
        ),
        (
            Broken(_restrict=lambda x, xp: xp.astype(x[..., :2], xp.float64)),
            "restrict gives (*batch, *shape), in the same",
        ),
        (Broken(_reject=lambda x, xp: x.nothing), "reject gives the shape of x: does not hold: raises AttributeError"),
        (InPlace(), "the input is left as it was"),
    ],
)
def test_check_subspace_names_the_broken_law(broken, law):
    like = np.zeros((), dtype=np.float32)
    with pytest.raises(AssertionError, match=re.escape(law)) as failure:
        check_subspace(broken, like)
    assert "default_rng" in str(failure.value)


def test_check_subspace_passes_what_is_right():
    check_subspace(Broken())
    check_subspace(Broken(axis_matrices=lambda: (np.eye(4)[:, :2],)), outer=Basis(np.eye(4)[:, [2, 0, 1]]))


def swapped(step):
    return Separable((3,), {0: step[:, ::-1]})


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Broken(_within=lambda outer: swapped(np.eye(3)[:, :2])), "nesting, U_j U_{k|j} z = U_k z"),
        (Broken(_within=lambda outer: Basis(np.eye(4)[:, :2])), "the step embeds into the coordinates of outer"),
        (
            Broken(
                _embed=lambda z, xp: xp.concat([0 * z, z], axis=-1),
                _restrict=lambda x, xp: x[..., 2:],
            ),
            "within(outer): does not hold: raises ValueError: the subspaces are not nested",
        ),
    ],
)
def test_check_subspace_names_the_broken_nesting(broken, law):
    check_subspace(broken)  # an isometry, and so are the steps
    with pytest.raises(AssertionError, match=re.escape(law)):
        check_subspace(broken, outer=Basis(np.eye(4)[:, :3]))


def test_check_subspace_takes_subspaces():
    with pytest.raises(TypeError, match=r"`subspace` takes an object like LowPass.*, got 3"):
        check_subspace(3)
