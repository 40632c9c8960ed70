"""The law of Algorithm 1's samples: against the equations of its moments, the solvers' own steps, and closed forms."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from subspace_sde import EDM, VE, VP, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP, sample
from subspace_sde.oracles import DCTGaussian, Gaussian, LowRankGaussian, Mixture, dct_basis
from subspace_sde.sampling import law_of_samples, stage_times
from subspace_sde.solvers import EulerMaruyama, Heun

NESTED = [
    NestedSubspaces([], ambient_shape=(5,)),
    NestedSubspaces([LowPass((5,), 3, axes=(-1,))]),
    NestedSubspaces([Downsampling((2, 3), 2, axes=(0,)), LowPass((1, 3), 2, axes=(-1,))]),
]
SDES = [VE(0.02, 20.0), VP(), SubVP(), EDM(0.01, 20.0), RectifiedFlow(1e-2, 0.98)]
each_nested = pytest.mark.parametrize("nested", NESTED, ids=lambda n: f"K={len(n) - 1}")
each_sde = pytest.mark.parametrize("sde", SDES)
each_mean = pytest.mark.parametrize("with_mean", [False, True])


def make(sde, nested, with_mean=False):
    """Early switches, and variances and a mean that are not the data's."""
    k = len(nested) - 1
    mean = np.random.default_rng(1).standard_normal(nested.ambient_shape) if with_mean else None
    return SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (1.5, -0.5)[:k]], (0.4, 0.7)[:k], mean)


def any_gaussian(shape, seed=0):
    """Its complements are neither isotropic nor independent of the levels."""
    d, rng = math.prod(shape), np.random.default_rng(seed)
    root = rng.standard_normal((d, d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(shape), root @ root.T + 0.05 * np.eye(d))


def injected(process, k, mean, covariance):
    """x_k(t_k) to x_{k-1}(t_k), with matrices."""
    outer, inner, t = process.subspaces[k - 1].matrix(), process.subspaces[k].matrix(), process.times[k - 1]
    step = outer.T @ inner
    complement = np.eye(len(step)) - step @ step.T
    variance = process.sde.alpha(t) ** 2 * process.complement_variances[k - 1] + process.sde.sigma(t) ** 2
    mean = step @ mean
    if process.mean is not None:
        mean = mean + process.sde.alpha(t) * complement @ outer.T @ process.mean.ravel()
    return mean, step @ covariance @ step.T + variance * complement


def run(process, stage):
    """Mean and covariance of x_k(t_k) for every level; ``stage(k, mean, covariance)`` carries them to stage k's end."""
    n = process.subspaces[-1].dim
    mean, covariance = np.zeros(n), process.sde.sigma(process.sde.T) ** 2 * np.eye(n)
    laws = {}
    for k in reversed(range(process.K + 1)):
        if k < process.K:
            mean, covariance = injected(process, k + 1, mean, covariance)
        laws[k] = mean, covariance = stage(k, mean, covariance)
    return laws


def by_moment_equations(process, law, eta):
    """dm = [f m + ½(1+η)g² M⁻¹(m − αm_k)] dt and dP = [A P + P Aᵀ − ηg²] dt with M = α²C_k + σ²: numerical."""
    sde = process.sde

    def stage(k, mean, covariance):
        u = process.subspaces[k].matrix()
        target, spread, n = u.T @ law.mean.ravel(), u.T @ law.covariance @ u, u.shape[1]

        def slope(t, y):
            m, p = y[:n], y[n:].reshape(n, n)
            pull = (
                0.5
                * (1 + eta)
                * sde.g(t) ** 2
                * np.linalg.inv(sde.alpha(t) ** 2 * spread + sde.sigma(t) ** 2 * np.eye(n))
            )
            a = sde.f(t) * np.eye(n) + pull
            noise = eta * sde.g(t) ** 2 * np.eye(n)
            return np.concatenate(
                [sde.f(t) * m + pull @ (m - sde.alpha(t) * target), (a @ p + p @ a.T - noise).ravel()]
            )

        low, high = process.ends(k)
        start = np.concatenate([mean, covariance.ravel()])
        y = solve_ivp(slope, (high, low), start, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        return y[:n], y[n:].reshape(n, n)

    return run(process, stage)


def by_steps(process, law, solver, steps):
    """A solver's own steps, which are affine for Gaussian scores, read off unit vectors."""
    grids = stage_times(process, steps)

    def stage(k, mean, covariance):
        level = law.restrict(process.subspaces[k])
        score, d, shape = level.score(process.sde), level.mean.size, level.shape
        unit, zero = np.concatenate([np.zeros((1, d)), np.eye(d)]).reshape(-1, *shape), np.zeros((d + 1, *shape))
        for t, s in zip(grids[k].tolist(), grids[k].tolist()[1:]):
            moved = solver.step(unit, t, s, score, process.sde, lambda: zero).reshape(d + 1, d)
            shaken = solver.step(zero, t, s, score, process.sde, lambda: unit).reshape(d + 1, d)
            a, noise = (moved[1:] - moved[0]).T, (shaken[1:] - shaken[0]).T
            mean, covariance = a @ mean + moved[0], a @ covariance @ a.T + noise @ noise.T
        return mean, covariance

    return run(process, stage)


@each_mean
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0, 2.0])
@each_sde
@each_nested
def test_it_solves_the_equations_of_the_moments(nested, sde, eta, with_mean):
    process = make(sde, nested, with_mean)
    law = any_gaussian(nested.ambient_shape)
    for k, (mean, covariance) in by_moment_equations(process, law, eta).items():
        found = law_of_samples(process, law, eta, level=k)
        assert found.shape == nested[k].shape
        np.testing.assert_allclose(found.mean.ravel(), mean, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-7 * np.max(covariance))


@each_mean
@pytest.mark.parametrize(
    "solver, eta, order, counts",
    [(Heun(), 0.0, 2, (100, 200)), (EulerMaruyama(), 1.0, 1, (400, 800))],
    ids=["Heun", "Euler-Maruyama"],
)
@pytest.mark.parametrize("sde", [VP(), EDM(0.01, 20.0)])
@each_nested
def test_solvers_converge_to_it_at_their_order(nested, sde, solver, eta, order, counts, with_mean):
    process = make(sde, nested, with_mean)
    law = any_gaussian(nested.ambient_shape)
    limit, errors, gaps = law_of_samples(process, law, eta), [], []
    for n in counts:
        mean, covariance = by_steps(process, law, solver, n)[0]
        errors.append(np.linalg.norm(covariance - limit.covariance) / np.linalg.norm(limit.covariance))
        gaps.append(np.linalg.norm(mean - limit.mean.ravel()))
    assert errors[-1] < (2e-3 if order == 2 else 3e-2) and gaps[-1] < 1e-2, (errors, gaps)
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15), errors
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(order, abs=0.15), gaps
    # and the complement that was not isotropic shows: the limit is not the data's law
    if process.K:
        assert np.linalg.norm(limit.covariance - law.covariance) > 0.05 * np.linalg.norm(law.covariance)


def test_samples_have_this_law():
    process, num = make(VP(), NESTED[2], with_mean=True), 3000
    law = any_gaussian((2, 3))
    expected = law_of_samples(process, law)
    x = sample(process, [law.restrict(u).score(process.sde) for u in process.subspaces], num, Heun(), 150, rng=3).x
    x, c = x.reshape(num, 6), expected.covariance
    diagonal = np.diag(c)
    assert np.all(np.abs(x.mean(0) - expected.mean.ravel()) < 5 * np.sqrt(diagonal / num))
    assert np.all(np.abs(np.cov(x.T) - c) < 5 * np.sqrt((np.outer(diagonal, diagonal) + c**2) / num))


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def matching_gaussian(process):
    """The complements are isotropic and independent, with the process's variances; and the process's mean."""
    u = [level.matrix() for level in process.subspaces]
    covariance = u[-1] @ any_gaussian((process.subspaces[-1].dim,)).covariance @ u[-1].T
    for v, outer, inner in zip(process.complement_variances, u, u[1:]):
        covariance = covariance + v * (outer @ outer.T - inner @ inner.T)
    mean = np.zeros(process.subspaces.ambient_shape) if process.mean is None else process.mean
    return Gaussian(mean, (covariance + covariance.T) / 2)


@each_mean
@pytest.mark.parametrize("eta", [0.0, 1.0])
@each_sde
@each_nested
def test_where_the_model_is_right_only_the_start_is_not(nested, sde, eta, with_mean):
    # the data's law at t_min, but for level K's start from N(0, σ(T)²) instead of its marginal
    process = make(sde, nested, with_mean)
    law, low, high = matching_gaussian(process), sde.t_min, sde.T
    u = nested[-1].matrix()
    inner = u.T @ law.covariance @ u
    before, after = (sde.alpha(t) ** 2 * inner + sde.sigma(t) ** 2 * np.eye(len(inner)) for t in (high, low))
    flow = power(after, 0.5) @ power(before, -0.5)
    if eta:
        flow = sde.alpha(high) / sde.alpha(low) * after @ np.linalg.inv(before)
    wrong = sde.sigma(high) ** 2 * np.eye(len(inner)) - before
    mean = sde.alpha(low) * law.mean.ravel() - u @ flow @ u.T @ law.mean.ravel() * sde.alpha(high)
    covariance = sde.alpha(low) ** 2 * law.covariance + sde.sigma(low) ** 2 * np.eye(len(u))
    found = law_of_samples(process, law, eta)
    np.testing.assert_allclose(found.mean.ravel(), mean, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance + u @ flow @ wrong @ flow.T @ u.T, atol=1e-12)


@pytest.mark.parametrize("sde", SDES)
def test_k_0_is_the_textbooks(sde):
    # one number: x(t) − α(t)μ scales as √(α²λ + σ²) in the ODE; the SDE keeps α_T c_0/(α_0 c_T) of it
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(1,)), [], [])
    low, high, mu, lam = sde.t_min, sde.T, 1.5, 0.7
    c_0, c_T = (sde.alpha(t) ** 2 * lam + sde.sigma(t) ** 2 for t in (low, high))
    law = Gaussian([mu], [[lam]])
    ode, sde_law = law_of_samples(process, law), law_of_samples(process, law, eta=1.0)
    assert ode.covariance[0, 0] == pytest.approx(sde.sigma(high) ** 2 * c_0 / c_T, rel=1e-12)
    assert ode.mean[0] == pytest.approx(sde.alpha(low) * mu - math.sqrt(c_0 / c_T) * sde.alpha(high) * mu, rel=1e-12)
    kept = sde.alpha(high) * c_0 / (sde.alpha(low) * c_T)
    expected = kept**2 * sde.sigma(high) ** 2 + c_0 - kept**2 * c_T
    assert sde_law.covariance[0, 0] == pytest.approx(expected, rel=1e-12)
    assert sde_law.mean[0] == pytest.approx(sde.alpha(low) * mu - kept * sde.alpha(high) * mu, rel=1e-12)


SHAPE = (2, 5, 7)
LEVELS = NestedSubspaces([LowPass(SHAPE, (4, 5)), LowPass((2, 4, 5), (2, 3))])


@each_mean
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@each_sde
def test_dct_and_dense_agree(sde, eta, with_mean):
    process, rng = make(sde, LEVELS, with_mean), np.random.default_rng(2)
    diagonal = DCTGaussian(rng.standard_normal(SHAPE), rng.exponential(size=SHAPE))
    for k in (0, 1, 2):
        found, dense = law_of_samples(process, diagonal, eta, k), law_of_samples(process, diagonal.dense(), eta, k)
        assert isinstance(found, DCTGaussian) and isinstance(dense, Gaussian)
        np.testing.assert_allclose(found.mean, dense.mean, atol=1e-12)
        np.testing.assert_allclose(found.dense().covariance, dense.covariance, atol=1e-12)


def test_other_forms_of_a_gaussian_are_taken_for_what_they_are():
    # means over blocks of a longer axis: not diagonal in the DCT
    process = make(VP(), NestedSubspaces([Downsampling((2, 6), 2, axes=(1,)), LowPass((2, 3), 2, axes=(1,))]), True)
    rng = np.random.default_rng(3)
    diagonal = DCTGaussian(rng.standard_normal((2, 6)), rng.exponential(size=(2, 6)))
    few = LowRankGaussian(rng.standard_normal((2, 6)), rng.standard_normal((12, 2)), rng.random((2, 6)))
    for law in (diagonal, few):
        found, expected = law_of_samples(process, law, 0.5), law_of_samples(process, law.dense(), 0.5)
        np.testing.assert_allclose(found.mean, expected.mean, atol=1e-13)
        np.testing.assert_allclose(found.covariance, expected.covariance, atol=1e-13)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_large_images_need_no_matrix(eta):
    """(3, 256, 256), coefficient by coefficient: each starts as noise on the level where it first appears."""
    shape, sde = (3, 256, 256), VE()
    frequency = np.sqrt(np.add.outer(np.arange(256.0) ** 2, np.arange(256.0) ** 2))
    data = DCTGaussian(np.full(shape, 0.5), np.broadcast_to(1e3 / (1 + frequency) ** 2.5, shape))
    nested = NestedSubspaces([LowPass(shape, 100), LowPass((3, 100, 100), 32)])
    process = SubspaceSDE(sde, nested, [0.4, 0.6], [0.02, 0.3], mean=np.full(shape, 0.5))
    found = law_of_samples(process, data, eta)
    for size, above, t, start in (
        (32, 0, sde.T, sde.sigma(sde.T) ** 2),
        (100, 32, 0.6, 0.3 + sde.sigma(0.6) ** 2),
        (256, 100, 0.4, 0.02 + sde.sigma(0.4) ** 2),
    ):
        new = np.zeros(shape, dtype=bool)
        new[:, :size, :size] = True
        new[:, :above, :above] = False
        c_t, c_0 = (data.eigenvalues[new] + sde.sigma(s) ** 2 for s in (t, sde.t_min))
        kept = (c_0 / c_t) ** (1 + eta)  # of the variance
        expected = kept * start + (c_0 - kept * c_t)
        np.testing.assert_allclose(found.eigenvalues[new], expected, rtol=1e-9)
    # of the mean all but level 2's start is there: the constant alone is in it
    c_T, c_0 = (data.eigenvalues[:, 0, 0] + sde.sigma(s) ** 2 for s in (sde.T, sde.t_min))
    lost = dct_basis(shape).restrict(data.mean - found.mean)
    expected = np.zeros(shape)
    expected[0, 0, 0] = (c_0 / c_T)[0] ** ((1 + eta) / 2) * 0.5 * math.sqrt(3 * 256 * 256)
    np.testing.assert_allclose(lost, expected, atol=1e-9)


def test_refusals():
    process, law = make(VP(), NESTED[1]), any_gaussian((5,))
    for eta in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="eta is 0 for the ODE, 1 for the reverse SDE, and not negative, got"):
            law_of_samples(process, law, eta)
    for level in (-1, 2):
        with pytest.raises(ValueError, match=r"level must lie in 0 \.\.\. 1, got"):
            law_of_samples(process, law, level=level)
    with pytest.raises(ValueError, match="trailing shape"):
        law_of_samples(process, any_gaussian((4,)))
    with pytest.raises(TypeError, match=r"`data` takes an object like Gaussian.*, got Mixture"):
        law_of_samples(process, Mixture([1.0], [law]))
    shape = (3, 64, 64)
    eighths = SubspaceSDE(VE(), NestedSubspaces([Downsampling(shape, 8)]), [0.5], [0.1])
    with pytest.raises(ValueError, match="these 12288 coordinates needs a matrix, and they are too many"):
        law_of_samples(eighths, DCTGaussian(np.zeros(shape), np.ones(shape)))
