"""Measurements: the laws of each kind on every library, what each computes against another computation, refusals."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from subspace_sde import Downsampling
from subspace_sde.measurements import Blur, Dense, FourierMask, Mask, Mixing, Pooling, check_measurement
from tests.measurements.kinds import (
    KINDS,
    SEEN,
    SHAPE,
    Shifted,
    Squares,
    WrongAdjoint,
    WrongGram,
    WrongScale,
    WrongShape,
    matrix,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_obeys_the_laws(kind, like):
    check_measurement(KINDS[kind], like)


@pytest.mark.parametrize("kind", ["mask", "Fourier", "odd Fourier", "Fourier of all axes", "mask of every channel"])
def test_rows_are_orthonormal_where_gram_says_so(kind):
    a = matrix(KINDS[kind])
    np.testing.assert_allclose(a @ a.T, np.eye(len(a)), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_multiple_of_the_identity_is_known_for_one(kind):
    a = matrix(KINDS[kind])
    square, known = a @ a.T, KINDS[kind].gram_scale
    of_one = np.allclose(square, square[0, 0] * np.eye(len(square)))
    # of compositions it is not known
    assert (known is not None) == of_one or (known is None and " @ " in repr(KINDS[kind]))
    assert known is None or known == pytest.approx(square[0, 0])


def test_each_kind_computes_what_it_says():
    x = np.random.default_rng(2).standard_normal((2, *SHAPE))
    np.testing.assert_array_equal(KINDS["mask"].apply(x), x[..., SEEN == 1].reshape(2, -1))
    for kind in ("pooling", "pooling, the last axis first"):
        np.testing.assert_allclose(KINDS[kind].apply(x), x.reshape(2, 3, 2, 2, 2, 3).mean((3, 5)))
    blurred = convolve1d(convolve1d(x, [0.1, 0.6, 0.3], -1, mode="reflect"), [0.1, 0.6, 0.3], -2, mode="reflect")
    np.testing.assert_allclose(KINDS["blur"].apply(x), blurred, atol=1e-14)
    blurred = convolve1d(convolve1d(x, [0.1, 0.6, 0.3], -1, mode="reflect"), [0.1, 0.6, 0.3], 1, mode="reflect")
    np.testing.assert_allclose(KINDS["blur of the channels"].apply(x), blurred, atol=1e-14)
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 0.8) ** 2)  # four standard deviations do not fit into six entries
    blurred = convolve1d(x, weights / weights.sum(), -1, mode="reflect")
    np.testing.assert_allclose(KINDS["Gaussian blur"].apply(x), blurred, atol=1e-14)
    grey = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    np.testing.assert_allclose(KINDS["grey"].apply(x), grey)


def test_a_fourier_mask_measures_the_frequencies_it_names():
    # an x whose other frequencies are taken away measures the same; one with these alone taken away measures nothing
    x = np.random.default_rng(3).standard_normal(SHAPE)
    opposite = np.roll(np.flip(SEEN), (1, 1), (0, 1))
    kept = np.fft.fft2(x) * ((SEEN + opposite) > 0)
    low = np.fft.ifft2(kept).real
    measurement = KINDS["Fourier"]
    np.testing.assert_allclose(measurement.apply(low), measurement.apply(x), atol=1e-13)
    np.testing.assert_allclose(measurement.adjoint(measurement.apply(x)), low, atol=1e-13)
    assert measurement.shape == (3, int(((SEEN + opposite) > 0).sum()))  # as many numbers as frequencies, ± counted


def test_measurements_compose_with_each_other_and_with_subspaces():
    pooled, blur, level = Pooling(SHAPE, 2), Blur(SHAPE, [0.25, 0.5, 0.25]), Downsampling(SHAPE, 2)
    np.testing.assert_allclose(matrix(pooled @ blur), matrix(pooled) @ matrix(blur), atol=1e-14)
    np.testing.assert_allclose(matrix(pooled @ level), matrix(pooled) @ level.matrix(), atol=1e-14)
    np.testing.assert_allclose(matrix(pooled @ level), np.eye(18) / 2, atol=1e-14)  # block means of block means
    with pytest.raises(ValueError, match=r"do not chain: the outer one takes arrays of shape \(3, 4, 6\)"):
        pooled @ Pooling((3, 8, 6), 2)
    with pytest.raises(TypeError):
        pooled @ [1.0]


@pytest.mark.parametrize(
    "kind, law",
    [
        (Squares, "A is linear"),
        (Shifted, "A is linear"),
        (WrongAdjoint, "adjointness"),
        (WrongGram, "gram is AAᵀ"),
        (WrongScale, "AAᵀ is 2 I, as gram_scale says"),
        (WrongShape, "apply gives"),
    ],
)
def test_the_check_names_the_law_that_fails(kind, law, like):
    with pytest.raises(AssertionError, match=law):
        check_measurement(kind((3,), (3,)), like)


def test_refusals():
    for mask in ([1, 1], np.ones((3, 4)), np.ones((1, 3, 4, 6)), 1):
        with pytest.raises(ValueError, match=r"a mask has the shape \(3, 4, 6\) of the arrays, or of their last axes"):
            Mask(mask, SHAPE)
        with pytest.raises(ValueError, match="a mask has the shape"):
            FourierMask(mask, SHAPE)
    for wrong in (0.5, 2, -1, np.nan):
        with pytest.raises(ValueError, match="a mask holds 1 where something was measured and 0 elsewhere, got"):
            Mask(np.where(SEEN, 1.0, wrong), SHAPE)
    with pytest.raises(ValueError, match="a mask of zeros measures nothing"):
        Mask(np.zeros((4, 6)), SHAPE)
    with pytest.raises(ValueError, match="does not divide axis -1 of length 6"):
        Pooling(SHAPE, 4)
    for kernel in ([0.5, 0.5], np.ones((3, 3)), np.ones(5)):
        with pytest.raises(ValueError, match="an odd number of weights that fits into the axes"):
            Blur(SHAPE, kernel)
    with pytest.raises(ValueError, match="the kernel holds NaN"):
        Blur(SHAPE, [0, np.nan, 0])
    with pytest.raises(ValueError, match="standard deviation of a blur must be positive, got 0"):
        Blur.gaussian(SHAPE, 0)
    with pytest.raises(ValueError, match=r"mixes 3 channels is finite and has as many columns, got shape \(1, 2\)"):
        Mixing.greyscale(SHAPE, (0.5, 0.5))
    with pytest.raises(ValueError, match="the matrix takes 4 numbers"):
        Dense(np.ones((2, 4)), (5,))
    with pytest.raises(ValueError, match="finite and has two axes"):
        Dense(np.ones(4))
    with pytest.raises(ValueError, match=r"`apply` takes trailing shape \(3, 4, 6\), got \(4, 6\)"):
        KINDS["blur"].apply(np.ones((4, 6)))
    with pytest.raises(ValueError, match=r"`adjoint` takes trailing shape \(3, 2, 2\), got \(3, 4, 6\)"):
        KINDS["pooling"].adjoint(np.ones(SHAPE))
    with pytest.raises(ValueError, match="`gram` takes floating-point numbers, got int64"):
        KINDS["pooling"].gram(np.ones((3, 2, 2), dtype=int))
