"""What JAX alone has: keys, traced integers, and traces that nothing may outlive."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subspace_sde import VE, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import Noise, backend_of
from subspace_sde.losses import denoising_score_matching
from subspace_sde.scores import guided
from subspace_sde.solvers import Heun
from subspace_sde.statistics import Covariance, PowerSpectrum

LIKE = jnp.zeros((), dtype="float64")
PROCESS = SubspaceSDE(VE(0.01, 10.0), NestedSubspaces([LowPass((6,), 3, axes=(-1,))]), [0.5], [0.3], np.ones(6))


def normal(x, t):
    return -x / (1 + PROCESS.sde.sigma(t) ** 2)


def numbers(rng, batch=(3,)):
    noise = Noise(rng, batch, LIKE)
    return [np.asarray(noise.normal((4,))) for _ in range(3)]


def test_a_seed_keeps_both_halves():
    backend = backend_of(LIKE)
    drawn = [backend.normal(backend.generator(s, LIKE), (50,), LIKE) for s in (1, 1 + 2**32, 1 + 2**63)]
    assert len({float(d[0]) for d in drawn}) == 3
    assert np.max(np.abs(np.corrcoef(np.stack(drawn)) - np.eye(3))) < 0.6


def test_a_key_of_either_style_is_an_rng_and_goes_on():
    found = numbers(jax.random.key(7))
    for one, other in zip(found, numbers(jax.random.PRNGKey(7))):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], numbers(jax.random.key(8))[0])


def test_one_draw_of_all_streams_is_that_of_each():
    """Bitwise: a stream does not know its neighbours."""
    backend = backend_of(LIKE)
    together = [backend.generator(s, LIKE) for s in (3, 5, 2**40)]
    alone = [backend.generator(s, LIKE) for s in (3, 5, 2**40)]
    for shape in ((2,), (3, 4), (2,)):
        whole = backend.normals(together, shape, LIKE)
        for row, generator in zip(whole, alone):
            np.testing.assert_array_equal(row, backend.normal(generator, shape, LIKE))
    mixed = backend.normals([backend.generator(jax.random.key(0), LIKE), together[0]], (2,), LIKE)
    np.testing.assert_array_equal(mixed[1], backend.normal(alone[0], (2,), LIKE))


def test_chunks_of_one_key_are_not_alike():
    x = sample(PROCESS, [normal] * 2, 4, steps=4, rng=jax.random.key(1), like=LIKE, chunk=2).x
    assert np.min(np.abs(x[:2] - x[2:])) > 0


def test_sample_compiles_whole_by_its_key_or_integer():
    def drawn(rng):
        return sample(PROCESS, [normal] * 2, 4, steps=6, rng=rng, like=LIKE).x

    key = jax.random.key(3)
    whole = jax.jit(drawn)
    np.testing.assert_allclose(whole(key), drawn(key), rtol=1e-12)
    assert np.max(np.abs(whole(jax.random.key(4)) - whole(key))) > 0.1
    np.testing.assert_allclose(whole(3), whole(key), rtol=1e-12)  # a traced integer is that key
    several = jax.vmap(drawn)(jax.random.split(key, 2))
    assert several.shape == (2, 4, 6)
    np.testing.assert_allclose(several[1], drawn(jax.random.split(key, 2)[1]), rtol=1e-12)


def test_no_constant_outlives_its_trace():
    for transform in (jax.jit, jax.vmap, jax.grad):
        process = SubspaceSDE(PROCESS.sde, PROCESS.subspaces, PROCESS.times, [0.3], np.ones(6))
        score = process.full_score([normal] * 2, level=1)
        x = jnp.ones((2, 6))
        transform(lambda x: score(x, 0.7) if transform is not jax.grad else jnp.sum(score(x, 0.7)))(x)  # noqa: B023
        assert np.all(np.isfinite(score(x, 0.7)))  # would raise UnexpectedTracerError


def test_a_batch_may_be_mapped_with_its_times():
    score = PROCESS.full_score([normal] * 2)
    x, t = jnp.asarray(np.random.default_rng(0).standard_normal((4, 6))), jnp.asarray([0.1, 0.6, 0.9, 0.5])
    one_by_one = jnp.stack([score(x[i], float(t[i])) for i in range(4)])
    np.testing.assert_allclose(jax.vmap(score)(x, t), one_by_one, rtol=1e-9)


def test_training_compiles():
    def loss(weight, key):
        score = lambda x, t: -weight * x  # noqa: E731
        return jnp.mean(denoising_score_matching(score, jnp.ones((5, 6)), jnp.linspace(0.1, 0.9, 5), VE(), key))

    step = jax.jit(jax.value_and_grad(loss))
    value, slope = step(0.3, jax.random.key(0))
    near = [float(loss(0.3 + h, jax.random.key(0))) for h in (-1e-4, 1e-4)]
    assert np.isclose(value, loss(0.3, jax.random.key(0))) and np.isclose(slope, (near[1] - near[0]) / 2e-4, rtol=1e-5)


def test_a_number_that_is_traced_is_named():
    message = (
        r"`weight` takes a number, got \w+ of float64 and shape \(\), whose value a transformation hides: pass a num"
    )
    with pytest.raises(TypeError, match=message):
        jax.jit(lambda w: guided(normal, w, 0) and w)(2.0)


def test_a_time_that_can_be_read_is_checked_while_tracing():
    with pytest.raises(ValueError, match=re.escape("t must lie in [0, 1], the times of VE")):
        jax.jit(lambda x: Heun().step(x, 1.5, 1.0, normal, PROCESS.sde, None))(jnp.ones((1, 6)))


def test_float32_without_x64_says_so():
    x = np.random.default_rng(0).standard_normal((20, 6))
    with jax.enable_x64(False):
        with pytest.warns(UserWarning, match="jax has no float64 here, so that squares are summed in float32"):
            found = PowerSpectrum((6,)).update(jnp.asarray(x)).result()
        covariance = Covariance((6,)).update(jnp.asarray(x)).result()  # on the host, whatever JAX has
        whole = sample(PROCESS, [normal] * 2, 2, steps=4, rng=5, like=jnp.zeros(())).x
        assert whole.dtype == jnp.float32 and bool(jnp.all(jnp.isfinite(whole)))
    np.testing.assert_allclose(found, PowerSpectrum((6,)).update(x).result(), rtol=1e-5)
    np.testing.assert_allclose(covariance, Covariance((6,)).update(x).result(), atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype):
    like = jnp.zeros((), dtype=dtype)
    x = sample(PROCESS, [lambda x, t: (normal(x, t)).astype(x.dtype)] * 2, 64, steps=40, rng=0, like=like).x
    assert x.dtype == like.dtype and abs(float(np.std(np.asarray(x, dtype=np.float64))) - 1) < 0.2
