"""One network for every level: s_k(z, t) = r s'(r z, t'), against oracles, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import (
    EDM,
    VE,
    VP,
    Basis,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    RectifiedFlow,
    SubspaceSDE,
    SubVP,
    Wavelet,
    sample,
)
from subspace_sde.arrays import over
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.scores import at_level, change_process, shared
from subspace_sde.solvers import Heun

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
SHAPE = (2, 9, 6)
LEVELS = {
    "block means": Downsampling(SHAPE, (3, 2)),
    "odd sizes": LowPass(SHAPE, (7, 5)),
    "one axis": LowPass(SHAPE, 5, axes=(-1,)),
    "a wavelet": Wavelet((1, 6, 8), "db2", axes=(-1,)),
    "a composition": Downsampling(SHAPE, 3, axes=(1,)) @ LowPass((2, 3, 6), (2, 5)),
    "the whole": Identity((2, 3, 3)),
}
by_sde = pytest.mark.parametrize("sde", SDES)
by_level = pytest.mark.parametrize("subspace", LEVELS.values(), ids=LEVELS)


def gaussian(subspace, seed=0):
    """The law of the small arrays y, whose every pixel has a mean of its own; and that of the coordinates c y."""
    n, c, rng = subspace.dim, subspace.coordinate_scale, np.random.default_rng(seed)
    root, mean = rng.standard_normal((n, n)) / 4, rng.uniform(size=subspace.shape)
    covariance = root @ root.T + 0.05 * np.eye(n)
    return Gaussian(mean, covariance), Gaussian(c * mean, c**2 * covariance)


def mixture(subspace):
    pairs = [gaussian(subspace, seed) for seed in (1, 2)]
    return tuple(Mixture([0.3, 0.7], list(parts)) for parts in zip(*pairs))


def first_time(sde, c):
    """Where the small arrays' noise is the least that the network knows, by bisection of log σ/α."""
    low, high = sde.t_min, sde.T
    for _ in range(100):
        middle = (low + high) / 2
        below = sde.sigma(middle) / sde.alpha(middle) / c < sde.sigma(sde.t_min) / sde.alpha(sde.t_min)
        low, high = (middle, high) if below else (low, middle)
    return high


@by_sde
@by_level
@pytest.mark.parametrize("law", [gaussian, mixture])
def test_the_score_of_the_small_arrays_is_that_of_the_level(sde, subspace, law, array, host, eps):
    small, level = law(subspace)
    score, exact = at_level(small.score(sde), sde, subspace), level.score(sde)
    first = first_time(sde, subspace.coordinate_scale)
    times = [first + u * (sde.T - first) for u in (0, 0.1, 0.4, 0.8, 1)]
    tolerance = 1e-10 if eps < 1e-10 else 2e-3
    for t in times:
        x = array(host(level.sample_at(t, sde, 3, rng=3)))
        found, expected = host(score(x, t)), host(exact(x, t))
        assert np.max(np.abs(found - expected)) <= tolerance * (1 + np.max(np.abs(expected)))
    t = array(times[1:4])
    found, expected = host(score(x, t)), host(exact(x, t))
    assert np.max(np.abs(found - expected)) <= tolerance * (1 + np.max(np.abs(expected)))


@by_sde
@by_level
def test_a_network_of_another_range_serves_too(sde, subspace):
    """It has seen 2y − 1, with an offset for each channel besides, and is told so by `change_process`."""
    small, level = gaussian(subspace)
    offset = np.linspace(-1.5, -0.5, subspace.shape[0]).reshape(-1, 1, 1)
    seen = Gaussian(2 * small.mean + offset, 4 * small.covariance)
    network = change_process(seen.score(sde), sde, sde, scale=2, offset=offset)
    score, exact = at_level(network, sde, subspace), level.score(sde)
    high = sde.log_snr(sde.t_min) - 2 * math.log(subspace.coordinate_scale)
    low = sde.log_snr(sde.T) + 2 * math.log(2)  # twice the range is half the noise
    for v in np.linspace(low, high, 5)[1:-1]:
        t = sde.time_at_log_snr(float(v))
        x = level.sample_at(t, sde, 3, rng=3)
        expected = exact(x, t)
        assert np.max(np.abs(score(x, t) - expected)) <= 1e-10 * (1 + np.max(np.abs(expected)))
        tensor = score(torch.tensor(x), torch.full((3,), t, dtype=torch.float64)).numpy()
        assert np.max(np.abs(tensor - expected)) <= 1e-10 * (1 + np.max(np.abs(expected)))


def of_any_size(variance, sde):
    """The score of white pixels of any number."""
    return lambda x, t: -x / over(sde.alpha(t) ** 2 * variance + sde.sigma(t) ** 2, x, x.ndim - getattr(t, "ndim", 0))


def test_shared_scores_sample_every_level():
    """White y of one variance at every size are no data of one law, but each level is sampled as its own."""
    sde, nested = VE(), NestedSubspaces([LowPass((9,), 5, axes=(-1,)), LowPass((5,), 3, axes=(-1,))])
    network = of_any_size(0.1, sde)
    scores = shared(network, sde, nested)
    assert scores[0] is network and len(scores) == 3
    x, t = np.random.default_rng(0).standard_normal((4, 3)), 0.5
    assert np.allclose(scores[2](x, t), -x / (0.1 * 9 / 3 + sde.sigma(t) ** 2), rtol=1e-12)
    process = SubspaceSDE(sde, nested, [0.4, 0.5], [0.1, 0.1])
    direct = [lambda x, t, c=u.coordinate_scale: -x / (0.1 * c**2 + sde.sigma(t) ** 2) for u in nested]
    by_hand = sample(process, direct, 5, Heun(), 30, rng=1).x
    assert np.allclose(sample(process, scores, 5, Heun(), 30, rng=1).x, by_hand, rtol=1e-10, atol=1e-10)


def test_a_condition_is_handed_on():
    toward = lambda x, t, c: c[:, None] - x  # noqa: E731
    level = at_level(toward, VE(), Downsampling((4,), 4, axes=(-1,)))
    x, labels = np.asarray([[1.0], [2.0]]), np.asarray([3.0, 5.0])
    assert np.allclose(level(x, 0.5, labels), (labels[:, None] - x / 2) / 2)


@by_sde
def test_the_first_time_that_a_network_serves(sde):
    c, score = 3.0, at_level(of_any_size(1.0, sde), sde, Downsampling((2, 9, 9), 3))
    first, x = first_time(sde, c), np.ones((2, 2, 3, 3))
    for t in (first + 1e-9, sde.T, np.asarray([first + 1e-9, sde.T])):
        assert np.all(np.isfinite(score(x, t)))
    message = rf"t must lie in \[{first:g}, {sde.T:g}\], got .*: beyond, .* at another noise than it knows"
    below = sde.t_min + 0.9 * (first - sde.t_min)
    for t in (below, np.asarray([below, sde.T])):
        with pytest.raises(ValueError, match=message):
            score(x, t)
    with pytest.raises(ValueError, match="t must lie in"):
        score(x, math.nan)


def test_a_level_that_is_no_smaller_image_is_refused():
    patches = PatchBasis((1, 4, 4), 2, np.full((4, 1), 0.5))
    for subspace in (Basis(np.eye(4)[:, :2]), patches):
        with pytest.raises(ValueError, match=r"has no coordinate_scale.* cannot serve it; train one for it, or take a"):
            at_level(of_any_size(1.0, VE()), VE(), subspace)
    with pytest.raises(ValueError, match="has no coordinate_scale"):
        shared(of_any_size(1.0, VE()), VE(), NestedSubspaces([patches]))


def test_a_size_that_the_network_cannot_halve_is_refused():
    def score(x, t):
        return -x

    score.multiple_of = 4
    at_level(score, VE(), LowPass((3, 32, 30), (20, 16)))
    at_level(score, VE(), LowPass((3, 32, 30), 20, axes=(-2,)))  # what is not shortened the network knows
    with pytest.raises(ValueError, match=r"multiples of 4, its `multiple_of`, and .* has 18: take 16 or 20"):
        at_level(score, VE(), LowPass((3, 32, 32), 18))
    with pytest.raises(ValueError, match=r"has 3: take 4$"):
        at_level(score, VE(), LowPass((3, 32, 32), 3))
    for wrong, error in (((4, 4), TypeError), (0, ValueError), (2.5, TypeError)):
        score.multiple_of = wrong
        with pytest.raises(error, match="multiple_of of the score"):
            at_level(score, VE(), LowPass((3, 32, 32), 16))


def test_what_a_network_raises_for_a_size_is_one_sentence():
    table = torch.zeros(32)

    def score(x, t):
        return x + table

    level = at_level(score, VE(), LowPass((1, 32), 20, axes=(-1,)))
    with pytest.raises(ValueError, match=r"fails on arrays of shape \(1, 20\), the size of this level.*: RuntimeError"):
        level(torch.ones(2, 1, 20), 0.5)
    rounded = at_level(lambda x, t: x[..., :16], VE(), LowPass((1, 32), 20, axes=(-1,)))
    with pytest.raises(ValueError, match=r"the network on arrays of shape \(1, 20\).* returned shape \(2, 1, 16\)"):
        rounded(np.ones((2, 1, 20)), 0.5)


def test_a_level_takes_arrays_of_its_own_size():
    level = at_level(of_any_size(1.0, VE()), VE(), LowPass((1, 32), 20, axes=(-1,)))
    with pytest.raises(ValueError, match=r"`at_level` takes trailing shape \(1, 20\), got \(1, 32\)"):
        level(np.ones((2, 1, 32)), 0.5)


def test_an_offset_broadcasts_over_the_coordinates(array, host, eps):
    """For each channel its own: a network on y + b, and x of shape (*batch, 2, 3)."""
    sde, b = VP(), np.asarray([[0.5], [-1.0]])
    converted = change_process(lambda x, t: -x, sde, sde, offset=array(b))
    x = np.random.default_rng(0).standard_normal((4, 2, 3))
    for t in (0.3, [0.1, 0.2, 0.3, 0.4]):
        alpha = np.reshape(sde.alpha(np.asarray(t)), (-1, 1, 1))
        found = host(converted(array(x), t if t == 0.3 else array(t)))
        assert np.max(np.abs(found + x + alpha * b)) <= 2e3 * eps
    for wrong in (np.ones((3, 1)), np.ones(2), np.ones((5, 4, 2, 3))):
        with pytest.raises(ValueError, match="does not broadcast over coordinates of"):
            change_process(lambda x, t: -x, sde, sde, offset=wrong)(array(x), array([0.1, 0.2, 0.3, 0.4]))
    with pytest.raises(ValueError, match="offset must be finite"):
        change_process(lambda x, t: -x, sde, sde, offset=np.asarray([1.0, math.inf]))


@pytest.mark.parametrize("scale", [np.ones(3), [1.0, 2.0], (2.0,), torch.ones(2, 1, 1)])
def test_a_scale_is_one_number(scale):
    with pytest.raises(TypeError, match="scale is one number for all coordinates: with several, noise that is"):
        change_process(lambda x, t: -x, VE(), VE(), scale=scale)
