"""What y says on the levels: one matrix for all of them, against dense algebra; and it is found once."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subspace_sde import VE, LowPass, NestedSubspaces, SubspaceSDE
from subspace_sde.backend import backend_of
from subspace_sde.measurements import Blur, Mask, Mixing, Pooling
from subspace_sde.posterior import Observation, PiGDM, Replacement, View, sample_posterior
from subspace_sde.posterior.information import Information
from subspace_sde.solvers import Heun
from tests.measurements.kinds import matrix
from tests.posterior.gaussians import NESTED, SEEN, observed, uneven

SHAPE = (2, 9)
LEVELS = NestedSubspaces([LowPass(SHAPE, 7, axes=-1), LowPass((2, 7), 5, axes=-1), LowPass((2, 5), 2, axes=-1)])
KINDS = {
    "mask": Mask(np.arange(18).reshape(SHAPE) % 5 > 1, SHAPE),
    "pooling": Pooling(SHAPE, 3, axes=-1),
    "blur": Blur(SHAPE, [0.2, 0.6, 0.2], axes=-1),
    "grey": Mixing(SHAPE, [[0.3, 0.7]], axis=-2),
    "uneven colours": Mixing(SHAPE, [[1.0, 0.5], [0.0, 2.0]], axis=-2),
}
VARIANCES = (0.1, 0.3, 0.2)


def dense(a, k, floor, weights, variance):
    """S and A U_k."""
    u = [level.matrix() for level in LEVELS]
    spread = variance * u[k] @ u[k].T
    for j in range(1, k + 1):
        spread = spread + weights[j - 1] * (u[j - 1] @ u[j - 1].T - u[j] @ u[j].T)
    return floor * np.eye(len(a)) + a @ spread @ a.T, a @ u[k]


@pytest.mark.parametrize("floor", [0.0, 0.04])
@pytest.mark.parametrize("kind", KINDS)
def test_one_matrix_serves_all_levels_and_variances(kind, floor, like, array, host, eps):
    measurement, process = KINDS[kind], SubspaceSDE(VE(), LEVELS, [0.3, 0.4, 0.5], VARIANCES)
    a, wide = matrix(measurement), max(eps, 1e-9)  # a singular system has its tolerance
    y = a @ np.random.default_rng(1).standard_normal((18, 3))  # three that some x gives
    for base in (1, 2, 3):
        known = Information(measurement, 100, process, base, floor, VARIANCES, array(np.zeros(())))
        for k in range(base, 4):
            for variance in (0.02, VARIANCES[base - 1], 1.5):
                s, b = dense(a, k, floor, VARIANCES, variance)
                expected = b.T @ np.linalg.pinv(s, 1e-12, hermitian=True) @ b
                values, vectors = (host(found) for found in known.on(k, variance))
                scale = np.max(np.abs(expected))
                np.testing.assert_allclose((vectors * values) @ vectors.T, expected, rtol=0, atol=3000 * wide * scale)
                expected = (b.T @ np.linalg.pinv(s, 1e-12, hermitian=True) @ y).T
                found = host(known.of(array(y.T.reshape(3, *measurement.shape)), k, variance))
                scale = np.max(np.abs(expected))
                np.testing.assert_allclose(found, expected, rtol=0, atol=3000 * wide * scale)


def test_without_float64_the_algebra_is_on_the_host():
    """A level of 2 with little variance beside that of 4: 1 + (r² − v) G leaves nothing of float32."""
    levels = NestedSubspaces([LowPass((2, 8), 4, axes=-1), LowPass((2, 4), 2, axes=-1)])
    process, a = SubspaceSDE(VE(), levels, [0.3, 0.5], [1e-6, 0.1]), Mixing((2, 8), [[1.0, 1.0]], axis=-2)
    y, clean = np.random.default_rng(0).standard_normal((2, 1, 1, 8))
    clean = np.concatenate([clean, 2 * clean], axis=-2)[..., :2]

    def pulled(as_array):
        view = View(process, Observation(a, as_array(y), 1e-3), 2, largest=100)
        return np.asarray(view.reduced(0.2).pull(as_array(clean), 0.6, slice(0, 1)), dtype=np.float64)

    expected = pulled(np.asarray)
    with jax.enable_x64(False):
        found = pulled(lambda x: jnp.asarray(x, dtype="float32"))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.max(np.abs(expected)))


def test_nothing_is_known_where_y_and_the_complement_are_exact():
    with pytest.raises(ValueError, match="y has no noise and the complement no variance"):
        Information(
            KINDS["grey"],
            100,
            SubspaceSDE(VE(), LEVELS, [0.3, 0.4, 0.5], [0.0, 0.1, 0.1]),
            1,
            0.0,
            [0.0, 0.1, 0.1],
            np.zeros(()),
        )


class Counting(Mask):
    """How many arrays went through A."""

    def __init__(self, mask, shape):
        super().__init__(mask, shape)
        self.seen = 0

    def _apply(self, x, xp):
        self.seen += math.prod(x.shape[: x.ndim - len(self.ambient_shape)])
        return super()._apply(x, xp)


@pytest.mark.parametrize("method", [PiGDM(0.5), Replacement(PiGDM(0.5))], ids=lambda m: type(m).__name__)
def test_what_was_found_for_a_process_is_kept(method):
    process, law, scores = uneven(NESTED["low-pass"], VE())
    measurement = Counting(SEEN["mask"].mask, (8,))
    truth = measurement.apply(law.mean)

    def run(process, observation):
        before = measurement.seen
        found = sample_posterior(process, scores, observation, 2, method, Heun(), steps=8)
        return found.x, measurement.seen - before

    fresh, kept = (Observation(measurement, truth, 0.1) for _ in range(2))
    first, cost = run(process, kept)
    again, less = run(process, kept)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(run(process, fresh)[0], first)
    assert cost - less >= process.subspaces[1].dim
    # an equal process is the same one; another is not, and is found anew
    equal = SubspaceSDE(process.sde, process.subspaces, process.times, process.complement_variances)
    assert run(equal, kept)[1] == less
    other = SubspaceSDE(process.sde, process.subspaces, process.times, (0.2, 0.5))
    changed, whole = run(other, kept)
    assert whole == cost and np.max(np.abs(changed - first)) > 1e-3
    np.testing.assert_array_equal(changed, run(other, Observation(measurement, truth, 0.1))[0])


def test_levels_too_large_for_a_matrix_leave_it_to_the_first_that_is_not(like, array, host, eps):
    process, law, _ = uneven(NESTED["low-pass"], VE())
    observation = Observation(SEEN["blur"], array(observed(SEEN["blur"], law, 0.3).y[0]), 0.3)
    clean = array(np.random.default_rng(0).standard_normal((2, 3)))
    small, large = (View(process, observation, 2, largest=most).reduced(0.1) for most in (3, 8))
    for variance in (0.1, 0.7):
        a, b = (host(level.pull(clean, variance, slice(0, 2))) for level in (small, large))
        np.testing.assert_allclose(a, b, rtol=0, atol=2e4 * max(eps, 1e-13))


def test_an_observation_does_not_change():
    observation = Observation(SEEN["mask"], np.zeros(5), 0.1)
    for name in ("y", "noise", "measurement", "iterations"):
        with pytest.raises(AttributeError, match=f"an Observation does not change: make another with a {name}"):
            setattr(observation, name, 0.2)


@pytest.mark.parametrize("kind", ["mask", "pooling", "grey"])
def test_where_aat_is_a_multiple_of_i_nothing_is_iterated(kind, monkeypatch, like, array, host, eps):
    def refuse(*_):
        raise AssertionError("conjugate gradients")

    for room in ("information", "observation"):
        monkeypatch.setattr(f"subspace_sde.posterior.{room}.conjugate_gradients", refuse)
    measurement, process = KINDS[kind], SubspaceSDE(VE(), LEVELS, [0.3, 0.4, 0.5], VARIANCES)
    y = np.random.default_rng(0).standard_normal((2, *measurement.shape))
    observation, a = Observation(measurement, array(y)), matrix(measurement)
    expected = y.reshape(2, -1) @ np.linalg.pinv(a).T
    np.testing.assert_allclose(host(observation.pseudo_inverse(array(y))).reshape(2, -1), expected, atol=50 * eps)
    whole = View(process, observation, 0)
    expected = y.reshape(2, -1) @ np.linalg.inv(0.7 * a @ a.T)
    np.testing.assert_allclose(host(whole.solve(array(y), 0.7)).reshape(2, -1), expected, atol=2000 * eps)
    assert backend_of(like) is backend_of(View(process, observation, 1).reduced(0.2)._b)
