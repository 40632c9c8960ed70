"""What is no subspace, and arrays of the wrong kind, are refused with one clear sentence."""

import re

import numpy as np
import pytest
import torch

from subspace_sde.subspaces import Basis, Downsampling, Identity, LowPass, NestedSubspaces, Separable

U = np.eye(4)[:, :2]
NAN = U.copy()
NAN[0, 0] = np.nan
HALVES = Downsampling((4,), 2, axes=-1)
TILTED = Basis(np.asarray([[0.6], [0.0], [0.8], [0.0]]))
REFUSALS = {
    "no size": (lambda: Identity((3, 0)), "ambient_shape must hold positive integers, got (3, 0)"),
    "negative size": (lambda: LowPass((4, -4), 2), "shape must hold positive integers, got (4, -4)"),
    "factor 0": (lambda: Downsampling((4, 4), 0), "factor must hold positive integers, got (0, 0)"),
    "size 0": (lambda: LowPass((4, 4), (2, 0)), "size must hold positive integers, got (2, 0)"),
    "factor that does not divide": (
        lambda: Downsampling((3, 8, 9), 2),
        "the factor 2 does not divide axis -1 of length 9: LowPass takes any size",
    ),
    "size too large": (lambda: LowPass((8, 9), 9), "size 9 is larger than axis -2, which has length 8"),
    "axes that are not there": (lambda: LowPass((8,), 3), "axes (-2, -1) do not exist in an array of 1 axes"),
    "an axis twice": (
        lambda: Downsampling((8, 8), 2, axes=(1, -1)),
        "axes must name at least one axis, each once, got (1, -1)",
    ),
    "no axes": (lambda: LowPass((8, 8), 2, axes=()), "axes must name at least one axis, each once, got ()"),
    "factors for other axes": (
        lambda: Downsampling((8, 8), (2, 2, 2)),
        "factor must be one number or one for each of the axes (-2, -1), got (2, 2, 2)",
    ),
    "columns too long": (
        lambda: Basis(U * 1.001),
        "the columns are not orthonormal: UᵀU differs from the identity by 2.0e-03; Basis.spanning(vectors)",
    ),
    "columns not orthogonal": (
        lambda: Basis(np.asarray([[1.0, 0.6], [0.0, 0.8]])),
        "the columns are not orthonormal: UᵀU differs from the identity by 6.0e-01",
    ),
    "float32 columns too long": (
        lambda: Basis(torch.asarray(U * 1.001).to(torch.float32)),
        "the columns are not orthonormal: UᵀU differs from the identity by 2.0e-03",
    ),
    "more columns than rows": (
        lambda: Basis(np.ones((2, 3))),
        "a subspace cannot have more dimensions (3) than the space it lies in (2)",
    ),
    "NaN in a basis": (lambda: Basis(NAN), "the basis holds NaN or infinity"),
    "infinity in vectors": (lambda: Basis.spanning(U + np.inf), "the basis holds NaN or infinity"),
    "integers in a basis": (
        lambda: Basis(np.eye(3, dtype=np.int64)),
        "a basis holds real floating-point numbers, got int64",
    ),
    "complex basis": (lambda: Basis(np.eye(3, dtype=complex)), "a basis holds real floating-point numbers"),
    "a vector for a matrix": (
        lambda: Basis(np.ones(4) / 2),
        "a basis is a matrix (d, n) with n >= 1 columns, got shape (4,)",
    ),
    "no columns": (lambda: Basis(np.ones((4, 0))), "a basis is a matrix (d, n) with n >= 1 columns, got shape (4, 0)"),
    "a basis of another shape": (
        lambda: Basis(U, ambient_shape=(2, 3)),
        "a matrix of shape (4, 2) does not fit ambient_shape (2, 3) (6 numbers) and shape (2,) (2 numbers)",
    ),
    "a separable matrix too long": (
        lambda: Separable((2, 4), {1: U * 1.001}),
        "the columns of the matrix of axis -1 are not orthonormal: UᵀU differs from the identity by 2.0e-03; "
        "Basis.spanning(vectors) or np.linalg.qr makes them so",
    ),
    "a separable matrix of another length": (
        lambda: Separable((5, 4), {0: U}),
        "the matrix of axis -2 has 4 rows, but the axis has length 5",
    ),
    "a separable matrix with more columns than rows": (
        lambda: Separable((5, 2), {-1: U.T}),
        "the columns of the matrix of axis -1 cannot be orthonormal: they are 4 vectors of length 2",
    ),
    "no separable matrices": (lambda: Separable((5, 2), {}), "axes must name at least one axis, each once, got ()"),
    "two matrices for an axis": (
        lambda: Separable((5, 4), {1: U, -1: U}),
        "axes must name at least one axis, each once, got (1, -1)",
    ),
    "a matrix for no axis": (lambda: Separable((4,), {-2: U}), "axes (-2,) do not exist in an array of 1 axes"),
    "NaN in a separable matrix": (lambda: Separable((4,), {-1: NAN}), "the basis holds NaN or infinity"),
    "dependent vectors": (
        lambda: Basis.spanning(np.asarray([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])),
        "the vectors are not linearly independent",
    ),
    "a vector of zeros": (lambda: Basis.spanning(U * [1.0, 0.0]), "the vectors are not linearly independent"),
    "more vectors than dimensions": (
        lambda: Basis.spanning(np.ones((2, 3)) + np.eye(3)[:2]),
        "the vectors are not linearly independent",
    ),
    "a product that does not chain": (
        lambda: Downsampling((8, 8), 2) @ LowPass((8, 8), 2),
        "these steps do not chain: the outer one has coordinates of shape (4, 4), the inner one lies in arrays of "
        "shape (8, 8)",
    ),
    "a product with an identity that does not chain": (lambda: Identity((3,)) @ HALVES, "these steps do not chain"),
    "within another space": (
        lambda: HALVES.within(Identity((5,))),
        "the two subspaces lie in different spaces: arrays of shape (4,) and (5,)",
    ),
    # blocks average (0.6, 0, 0.8, 0) to (0.3, 0.3, 0.4, 0.4), so it is off by a vector of length √½
    "not nested": (
        lambda: TILTED.within(HALVES),
        "the subspaces are not nested: the one with 1 dimensions sticks out of the one with 2 by 7.1e-01 of its length",
    ),
    "not nested, in a list": (
        lambda: NestedSubspaces.from_subspaces([HALVES, TILTED]),
        "the subspaces are not nested: the one with 1 dimensions sticks out of the one with 2 by 7.1e-01",
    ),
    "blocks of 6 in blocks of 4": (
        lambda: Downsampling((12,), 6, axes=-1).within(Downsampling((12,), 4, axes=-1)),
        "the subspaces are not nested: the one with 2 dimensions sticks out of the one with 3",
    ),
    "the larger one last": (
        lambda: NestedSubspaces.from_subspaces([LowPass((8,), 3, axes=-1), LowPass((8,), 5, axes=-1)]),
        "the subspaces are not nested: the one with 5 dimensions sticks out of the one with 3",
    ),
    "the same twice": (
        lambda: NestedSubspaces.from_subspaces([HALVES, HALVES]),
        "each step must lose dimensions, but one keeps all 2: leave it out",
    ),
    "an identity for a step": (lambda: NestedSubspaces([Identity((4,))]), "each step must lose dimensions"),
    "no steps": (lambda: NestedSubspaces([]), "no steps: for the full space alone give NestedSubspaces([], ambient"),
    "no subspaces": (lambda: NestedSubspaces.from_subspaces([]), "no subspaces: for the full space alone give"),
    "steps that do not chain": (
        lambda: NestedSubspaces([Downsampling((8, 8), 2), Downsampling((8, 8), 4)]),
        "the steps do not chain: step 1 has coordinates of shape (4, 4), step 2 lies in arrays of shape (8, 8); "
        "for subspaces of one space use from_subspaces",
    ),
    "steps in another space": (
        lambda: NestedSubspaces([HALVES], ambient_shape=(5,)),
        "step 1 lies in arrays of shape (4,), not (5,)",
    ),
    "between, backwards": (
        lambda: NestedSubspaces([HALVES]).between(1, 0),
        "U_k|j needs 0 <= j <= k <= 1, got j = 1, k = 0",
    ),
    "between, too far": (
        lambda: NestedSubspaces([HALVES]).between(0, 2),
        "U_k|j needs 0 <= j <= k <= 1, got j = 0, k = 2",
    ),
}


NO_SIZES = {
    "a float for a size": (lambda: Identity(2.5), "`ambient_shape` takes a whole number or a sequence of", "2.5"),
    "a bool for a size": (lambda: Identity((True,)), "`ambient_shape` takes a whole number or a", "tuple of 1 bool"),
    "a float for a factor": (lambda: Downsampling((4, 4), 2.0), "`factor` takes a whole number or a sequence", "2.0"),
    "half an axis": (lambda: LowPass((8, 8), 3, axes=(-1.5,)), "`axes` takes a whole number or a", "tuple of 1 float"),
}


@pytest.mark.parametrize("call, sentence, got", NO_SIZES.values(), ids=NO_SIZES)
def test_what_is_no_size_is_refused(call, sentence, got):
    with pytest.raises(TypeError, match=f"{re.escape(sentence)}.*, got {re.escape(got)}"):
        call()


@pytest.mark.parametrize("call, message", REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_what_is_no_subspace_is_refused():
    with pytest.raises(
        TypeError, match=r"`steps` takes a sequence of objects like LowPass\(.*\), got list of 1 ndarray"
    ):
        NestedSubspaces([U])
    with pytest.raises(TypeError, match="unsupported operand"):
        HALVES @ 3
    with pytest.raises(TypeError, match="`matrices` takes a mapping of whole numbers, got ndarray"):
        Separable((4,), U)
    with pytest.raises(TypeError, match=re.escape("expected an array (numpy, torch, ...), got list")):
        HALVES.restrict([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("method", "other", "good", "swapped"),
    [
        ("restrict", "embed", (3, 8, 8), (3, 4, 4)),
        ("embed", "restrict", (3, 4, 4), (3, 8, 8)),
        ("project", "embed", (3, 8, 8), (3, 4, 4)),
        ("reject", "embed", (3, 8, 8), (3, 4, 4)),
    ],
)
def test_wrong_arrays_are_refused(like, array, xp, method, other, good, swapped):
    apply = getattr(Downsampling((3, 8, 8), 2), method)
    message = f"`{method}` takes trailing shape {good}, got {swapped}: did you mean `{other}`?"
    with pytest.raises(ValueError, match=re.escape(message)):
        apply(array(np.zeros((5, *swapped))))
    with pytest.raises(ValueError, match=re.escape(f"`{method}` takes trailing shape {good}, got (3, 5, 5)") + "$"):
        apply(array(np.zeros((2, 3, 5, 5))))
    with pytest.raises(ValueError, match=re.escape(f"`{method}` takes trailing shape {good}, got (8,)") + "$"):
        apply(array(np.zeros(8)))
    for dtype in ("uint8", "int64", "bool"):
        with pytest.raises(ValueError, match=f"`{method}` takes floating-point numbers, got .*{dtype}: convert first"):
            apply(xp.astype(array(np.zeros(good)), getattr(xp, dtype)))
