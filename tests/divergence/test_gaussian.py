"""D_F of Gaussian data: against eq. 14 with dense matrices, and against the Monte-Carlo estimate of the exact score."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn

from subspace_sde import (
    EDM,
    VE,
    VP,
    Basis,
    Downsampling,
    LowPass,
    PatchBasis,
    RectifiedFlow,
    SubVP,
    Wavelet,
    gaussian_divergence,
    orthogonal_fisher_divergence,
)
from subspace_sde.oracles import DCTGaussian, Gaussian, LowRankGaussian, dct_basis

SHAPE = (2, 4, 8)
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
SUBSPACES = [
    LowPass(SHAPE, (2, 4)),
    LowPass(SHAPE, (3, 5)),
    Downsampling(SHAPE, 2),
    Wavelet(SHAPE, "haar"),
    PatchBasis(SHAPE, 2, np.linalg.qr(np.random.default_rng(3).standard_normal((8, 3)))[0]),
    Basis(np.linalg.qr(np.random.default_rng(4).standard_normal((64, 5)))[0], SHAPE),
]


def dense(seed, mean=1.0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((64, 64)) * 0.9 ** np.arange(64)
    return Gaussian(mean * rng.standard_normal(SHAPE), a @ a.T + 1e-3 * np.eye(64))


def diagonal(seed, mean=1.0):
    rng = np.random.default_rng(seed)
    return DCTGaussian(mean * rng.standard_normal(SHAPE), rng.exponential(size=SHAPE) * 0.9 ** np.arange(8))


def covariance_of(gaussian):
    axes = gaussian.axes.matrix()
    return axes @ np.diag(gaussian.eigenvalues.reshape(-1)) @ axes.T


def eq14(gaussian, sde, t, inner, outer, center):
    """Σ⊥/n⊥ E‖A(s + y/Σ⊥)‖², A = P⊥_{k|j}U_jᵀ, by the mean and covariance of A(s + y/Σ⊥), which is affine in x."""
    a, s2, cov, mean = sde.alpha(t), sde.sigma(t) ** 2, covariance_of(gaussian), gaussian.mean.reshape(-1)
    u = outer.matrix()
    w = u.T @ inner.matrix()
    project = (np.eye(outer.dim) - w @ w.T) @ u.T
    lost = outer.dim - inner.dim
    moment = cov if center else cov + np.outer(mean, mean)
    total = a * a * np.trace(project @ moment @ project.T) / lost + s2
    law = a * a * cov + s2 * np.eye(64)
    slope = project @ (np.eye(64) / total - np.linalg.inv(law))  # of A(s + y/Σ⊥) in x − αμ
    shift = np.zeros(len(project)) if center else a * project @ mean / total
    return total / lost * (np.trace(slope @ law @ slope.T) + shift @ shift)


@pytest.mark.parametrize("sde", SDES)
@pytest.mark.parametrize("make", [dense, diagonal])
@pytest.mark.parametrize("center", [True, False])
def test_it_is_eq14(make, sde, center):
    gaussian = make(0)
    times = [float(t) for t in sde.grid(8)[-2:0:-1]]
    curves = gaussian_divergence(gaussian, sde, SUBSPACES, times, center=center)
    for u, curve in zip(SUBSPACES, curves):
        whole = Basis(np.eye(64), SHAPE)
        expected = [eq14(gaussian, sde, t, u, whole, center) for t in times]
        # the dense side subtracts nearly equal matrices: an error of its largest entries' rounding
        np.testing.assert_allclose(curve.values, expected, rtol=1e-6, atol=1e-12)
        assert curve.times == tuple(times) and curve.sde is sde and curve.stderr is None


@pytest.mark.parametrize("make", [dense, diagonal])
@pytest.mark.parametrize("center", [True, False])
def test_within_and_the_curves_parts_agree_with_eq14(make, center):
    gaussian, sde = make(1), VE(0.05, 20.0)
    outer, inner = LowPass(SHAPE, (3, 6)), LowPass(SHAPE, (2, 3))
    times = (0.2, 0.4, 0.6)
    expected = [eq14(gaussian, sde, t, inner, outer, center) for t in times]
    direct = gaussian_divergence(gaussian, sde, [inner], times, within=outer, center=center)[0]
    np.testing.assert_allclose(direct.values, expected, rtol=1e-8, atol=1e-13)
    both = gaussian_divergence(gaussian, sde, [outer, inner], times, center=center)
    np.testing.assert_allclose(both[1].within(both[0]).values, expected, rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("make", [dense, diagonal])
def test_the_estimate_with_the_exact_score_agrees(make):
    """Only the sample's own variance of the complement differs: fewer than five standard errors."""
    gaussian, sde = make(2), VP()
    x0 = gaussian.sample(20_000, rng=5)
    times = (0.1, 0.3, 0.5)
    exact = gaussian_divergence(gaussian, sde, SUBSPACES, times)
    found = orthogonal_fisher_divergence(gaussian.score(sde), x0, sde, SUBSPACES, times, rng=6)
    for e, f in zip(exact, found):
        assert np.all(np.abs(np.subtract(e.values, f.values)) < 5 * np.asarray(f.stderr))


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_laws(seed, scale):
    """0 for isotropic data; never negative; unchanged if data, σ and basis are all scaled or rotated together."""
    sde = VE(0.1, 10.0)
    isotropic = DCTGaussian(np.zeros(SHAPE), np.full(SHAPE, scale))
    for curve in gaussian_divergence(isotropic, sde, SUBSPACES, [0.2, 0.7]):
        assert max(curve.values) < 1e-25
    gaussian = dense(seed)
    u = LowPass(SHAPE, (2, 5))
    values = gaussian_divergence(gaussian, sde, [u], [0.2, 0.7])[0].values
    assert min(values) >= 0
    scaled = Gaussian(scale * gaussian.mean, scale**2 * gaussian.covariance)
    again = gaussian_divergence(scaled, VE(0.1 * scale, 10.0 * scale), [u], [0.2, 0.7])[0].values
    np.testing.assert_allclose(again, values, rtol=1e-6, atol=1e-14)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((64, 64)))[0]
    turned = Gaussian((turn @ gaussian.mean.reshape(-1)), turn @ gaussian.covariance @ turn.T)
    again = gaussian_divergence(turned, sde, [Basis(turn @ u.matrix())], [0.2, 0.7])[0].values
    np.testing.assert_allclose(again, values, rtol=1e-6, atol=1e-12)


def test_where_data_lie_in_the_subspace_nothing_is_lost():
    u = LowPass(SHAPE, 2)
    z = np.random.default_rng(0).standard_normal((100, *u.shape))
    flat = u.embed(z).reshape(100, -1)
    gaussian = Gaussian(np.zeros(SHAPE), flat.T @ flat / 100)
    assert max(gaussian_divergence(gaussian, VE(), [u])[0].values) < 1e-12


def test_the_default_times_are_inside_and_even_in_the_grid_parameter():
    for sde in SDES:
        times = gaussian_divergence(diagonal(0), sde, [SUBSPACES[0]])[0].times
        assert len(times) == 199 and sde.t_min < times[0] and times[-1] < sde.T
        np.testing.assert_allclose(np.diff([sde.grid_parameter(t) for t in times], n=2), 0, atol=1e-12)


def test_large_images_need_no_matrix():
    """(3, 256, 256): a covariance would take 300 GB. 16 of 256 frequencies hold all but the tail of a power law."""
    frequency = np.sqrt(np.add.outer(np.arange(256.0) ** 2, np.arange(256.0) ** 2))
    power = np.broadcast_to(1e3 / (1 + frequency) ** 2.5, (3, 256, 256))
    gaussian = DCTGaussian(np.zeros((3, 256, 256)), power)
    half, tiny = LowPass((3, 256, 256), 128), LowPass((3, 256, 256), 16)
    curves = gaussian_divergence(gaussian, VE(), [half, tiny, Downsampling((3, 256, 256), 2)], [0.3, 0.5, 0.7])
    high = power.copy()
    high[:, :128, :128] = 0
    v = high.sum() / (3 * 256 * 256 - 3 * 128 * 128)
    s2 = VE().sigma(0.5) ** 2
    tau = power[high > 0] + s2
    expected = (v + s2) / tau.size * np.sum((1 - tau / (v + s2)) ** 2 / tau)
    assert curves[0].values[1] == pytest.approx(expected, rel=1e-9)
    assert curves[0].time_at(1e-2) < curves[1].time_at(1e-2) and curves[0].values[1] < curves[2].values[1]


@pytest.mark.parametrize("u", [*SUBSPACES, LowPass(SHAPE, 3) @ Downsampling((2, 3, 3), 3)])
@pytest.mark.parametrize("make", [dense, diagonal])
def test_captured_is_the_energy_of_each_eigenvector(make, u):
    gaussian = make(0)
    vectors = gaussian.axes.matrix()
    expected = np.sum((u.matrix().T @ vectors) ** 2, axis=0).reshape(gaussian.eigenvalues.shape)
    np.testing.assert_allclose(gaussian.captured(u), expected, atol=1e-13)


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 9), (11,)])
def test_what_all_of_many_subspaces_capture_is_what_dense_algebra_says(shape):
    """Low-passes share one DCT, and one that loses a single frequency of an odd axis must not see its neighbour's."""
    rng, d = np.random.default_rng(0), math.prod(shape)
    a = rng.standard_normal((d, d))
    gaussian = Gaussian(rng.standard_normal(shape), a @ a.T)
    last = {n: LowPass(shape, n, axes=-1) for n in range(1, shape[-1] + 1)}
    others = [
        Basis(np.linalg.qr(rng.standard_normal((d, 4)))[0], shape),
        LowPass(shape, 4, axes=-1) @ Downsampling(last[4].shape, 2, axes=-1),
        LowPass(shape, 2, axes=0) if len(shape) > 2 else Downsampling(shape, shape[-1], axes=-1),
    ]
    subspaces = [*others[:2], *last.values(), *others[2:]]
    vectors = np.linalg.eigh(gaussian.covariance)[1]
    found = gaussian.captured_by(subspaces)
    assert len(found) == len(subspaces)
    for u, kept in zip(subspaces, found):
        np.testing.assert_allclose(kept, np.sum((u.matrix().T @ vectors) ** 2, axis=0), rtol=0, atol=1e-12)
    few = LowRankGaussian(gaussian.mean, a[:, :3], 0.2)
    for u, kept in zip(subspaces, few.captured_by(subspaces)):
        left = np.linalg.svd(a[:, :3], full_matrices=False)[0]
        np.testing.assert_allclose(kept[:3], np.sum((u.matrix().T @ left) ** 2, axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((3, 8, 12), (4, 3)),
        ((3, 6, 4), (2, 4)),
        ((12,), (4,)),
        ((2, 3, 4, 4), (2, 2)),
        ((4, 6, 2), (2, 3, 1)),
        ((2, 525), (7,)),
    ],
)
def test_captured_by_patches_and_by_columns_is_what_every_vector_says(shape, patch):
    numbers = math.prod(shape[: -len(patch)]) * math.prod(patch)
    u = np.linalg.qr(np.random.default_rng(0).standard_normal((numbers, max(1, numbers // 3))))[0]
    patches = PatchBasis(shape, patch, u)
    columns = Basis(np.linalg.qr(np.random.default_rng(1).standard_normal((math.prod(shape), 5)))[0], shape)
    for subspace in (patches, columns):
        for axes in (dct_basis(shape), Basis(dct_basis(shape).matrix(), shape, shape)):
            expected = np.sum((subspace.matrix().T @ axes.matrix()) ** 2, axis=0).reshape(shape)
            np.testing.assert_allclose(subspace.captured(axes), expected, atol=1e-13)


def test_patches_and_a_few_columns_have_their_divergence_at_any_size():
    """At 3 × 1024 × 1024 no vector is tried; constant patches are block means, and a cosine a low-pass."""
    shape = (3, 1024, 1024)
    frequency = np.sqrt(np.add.outer(np.arange(1024.0) ** 2, np.arange(1024.0) ** 2))
    gaussian = DCTGaussian(np.zeros(shape), np.broadcast_to(1e3 / (1 + frequency) ** 2.5, shape))
    constant = np.kron(np.eye(3), np.full((64, 1), 1 / 8))
    lowest = np.broadcast_to(np.kron(np.eye(3), np.full((1024**2, 1), 1 / 1024)).reshape(-1, 3), (math.prod(shape), 3))
    pairs = [
        (PatchBasis(shape, 8, constant), Downsampling(shape, 8)),
        (Basis(lowest, shape), LowPass(shape, 1)),
    ]
    for one, other in pairs:
        found, expected = gaussian_divergence(gaussian, VE(), [one, other], [0.3, 0.6, 0.9])
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-8)


@pytest.mark.parametrize("u", [LowPass(SHAPE, (3, 5)), LowPass(SHAPE, (4, 2)), *SUBSPACES[2:]])
def test_a_restricted_dct_gaussian_has_the_law_of_the_coordinates(u):
    gaussian = diagonal(3)
    found = gaussian.restrict(u)
    np.testing.assert_allclose(covariance_of(found), u.matrix().T @ covariance_of(gaussian) @ u.matrix(), atol=1e-13)
    np.testing.assert_allclose(found.mean, u.restrict(gaussian.mean), atol=1e-13)
    assert isinstance(found, DCTGaussian) == isinstance(u, LowPass)


def test_the_dct_gaussian_is_the_gaussian_of_its_covariance(like, array, host, eps):
    gaussian = diagonal(7)
    equal, sde = Gaussian(gaussian.mean, covariance_of(gaussian)), VP()
    x, t = np.random.default_rng(0).standard_normal((5, *SHAPE)), np.linspace(0.2, 0.9, 5)
    for time in (0.4, array(t)):
        found = host(gaussian.score(sde)(array(x), time))
        expected = equal.score(sde)(x, time if isinstance(time, float) else t)
        np.testing.assert_allclose(found, expected, rtol=0, atol=200 * eps * np.max(np.abs(expected)))
    density = host(gaussian.log_density(array(x), 0.4, sde))
    np.testing.assert_allclose(density, equal.log_density(x, 0.4, sde), rtol=400 * eps)
    draws = host(gaussian.sample(4000, rng=1, like=like))
    coefficients = dctn(draws - gaussian.mean, axes=(1, 2, 3), norm="ortho")
    ratio = np.mean(coefficients**2, axis=0) / gaussian.eigenvalues
    assert np.max(np.abs(ratio - 1)) < 5 * math.sqrt(2 / 4000)  # 64 variances of 4000 draws
    np.testing.assert_allclose(dct_basis(SHAPE).restrict(x), dctn(x, axes=(1, 2, 3), norm="ortho"), atol=1e-13)


def test_refusals():
    gaussian = dense(0)
    with pytest.raises(ValueError, match="different spaces"):
        gaussian_divergence(gaussian, VE(), [LowPass((2, 4, 6), 2)], within=LowPass(SHAPE, 3))
    with pytest.raises(ValueError, match="different spaces"):
        gaussian_divergence(gaussian, VE(), [LowPass((2, 4, 6), 2)])
    with pytest.raises(ValueError, match="not nested"):
        gaussian_divergence(gaussian, VE(), [LowPass(SHAPE, 3)], within=Downsampling(SHAPE, 2))
    with pytest.raises(ValueError, match="keeps all dimensions"):
        gaussian_divergence(gaussian, VE(), [LowPass(SHAPE, (4, 8))])
    with pytest.raises(ValueError, match="increase"):
        gaussian_divergence(gaussian, VE(), SUBSPACES, [0.5, 0.4])
    with pytest.raises(ValueError, match=r"times must increase strictly in \[0, 1\]"):
        gaussian_divergence(gaussian, VE(), SUBSPACES, [0.5, 1.4])
    with pytest.raises(ValueError, match="they must agree"):
        DCTGaussian(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="not positive semi-definite"):
        DCTGaussian(np.zeros(3), [1.0, -1.0, 2.0])
    with pytest.raises(ValueError, match="NaN or infinity"):
        DCTGaussian(np.zeros(3), [1.0, np.nan, 2.0])
    large = DCTGaussian(np.zeros((3, 128, 128)), np.ones((3, 128, 128)))
    patches = PatchBasis((3, 128, 128), 4, np.linalg.qr(np.ones((48, 1)))[0])
    composed = patches @ LowPass(patches.shape, 16)
    with pytest.raises(ValueError, match="no product of maps along the axes, and 49152 dimensions are too many"):
        large.captured(composed)


def test_few_factors_have_the_divergence_of_their_covariance():
    rng, shape = np.random.default_rng(0), (2, 6)
    few = LowRankGaussian(rng.standard_normal(shape), rng.standard_normal((12, 3)), 0.3)
    subspaces = [LowPass(shape, 4, axes=-1), Downsampling(shape, 3, axes=-1)]
    for within in (None, LowPass(shape, 5, axes=-1)):
        inner = subspaces if within is None else subspaces[:1]
        for one, other in zip(*(gaussian_divergence(g, VE(), inner, within=within) for g in (few, few.dense()))):
            np.testing.assert_allclose(one.values, other.values, rtol=1e-9, atol=1e-15)
    with pytest.raises(ValueError, match=r"not one number \(0.1 to 0.2 here\).*`dense\(\)`"):
        gaussian_divergence(
            LowRankGaussian(np.zeros(2), np.ones((2, 1)), [0.1, 0.2]), VE(), [LowPass((2,), 1, axes=-1)]
        )
