"""Conditions of several arrays do, wherever conditions go, what the one array of all their numbers does."""

from collections import namedtuple

import numpy as np
import pytest
import torch

from subspace_sde import VE, Downsampling, LowPass, NestedSubspaces, SubspaceSDE, log_likelihood, sample
from subspace_sde.arrays import over
from subspace_sde.backend import backend_of
from subspace_sde.conditions import each
from subspace_sde.likelihood import Exact, encode
from subspace_sde.losses import denoising_score_matching
from subspace_sde.measurements import Mask
from subspace_sde.posterior import Observation, PiGDM, sample_posterior
from subspace_sde.scores import at_level, change_process, denoiser, from_denoiser, from_noise, guided, precondition
from subspace_sde.solvers import Heun

SDE, SHAPE, NUM = VE(), (2, 4, 6), 5
PROCESS = SubspaceSDE(
    SDE, NestedSubspaces([Downsampling(SHAPE, 2), Downsampling((2, 2, 3), 3, axes=(-1,))]), [0.3, 0.6], [0.4, 0.7]
)
Text = namedtuple("Text", "words summary")
BUILT = {"tuple": tuple, "named tuple": Text._make, "mapping": lambda c: dict(zip(("words", "summary"), c))}
each_way = pytest.mark.parametrize("way", BUILT)


def parts(num=NUM):
    """An integer label and an embedding of each sample, whose numbers fix its mean."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 4, num), rng.standard_normal((num, 2, 3))


def apart(condition):
    return condition.values() if isinstance(condition, dict) else condition


def one(x, t, mean):
    """The score of N(mean, 1) data, on whatever level x is of."""
    return (over(mean, x, x.ndim - 1) - x) / over(1 + SDE.sigma(t) ** 2, x, x.ndim - 1)


def several(x, t, condition):
    labels, words = apart(condition)
    return one(x, t, labels + words.mean((-2, -1)))  # in float64 where the labels make it so: `over` rounds it


def given(way, like, num=NUM):
    """The same condition as one array, and as several of the library of `like`."""
    labels, words = parts(num)
    words = backend_of(like).from_numpy(words, like)
    labels = torch.asarray(labels, device=like.device) if isinstance(like, torch.Tensor) else labels
    return labels + words.mean((-2, -1)), BUILT[way]((labels, words))


@each_way
@pytest.mark.parametrize("chunk", [None, 2])
def test_samples(way, chunk, like, host):
    single, condition = given(way, like)
    run = {"steps": 12, "like": like, "rng": 1, "chunk": chunk, "denoise": True}
    expected = sample(PROCESS, [one] * 3, NUM, condition=single, **run)
    found = sample(PROCESS, [several] * 3, NUM, condition=condition, **run)
    np.testing.assert_array_equal(host(found.x), host(expected.x))
    assert np.ptp(host(found.x).mean((1, 2, 3))) > 0.5


def test_a_named_tuple_keeps_its_names_and_a_mapping_its_keys():
    seen = []

    def score(x, t, condition):
        seen.append((condition, x.shape[0]))
        return -x

    labels, words = parts()
    for way in ("named tuple", "mapping"):
        seen.clear()
        sample(PROCESS, [score] * 3, NUM, steps=3, condition=BUILT[way]((labels, words)), chunk=3)
        for start in (0, 3):
            found = seen[0 if start == 0 else -1][0]
            got = found["summary"] if way == "mapping" else found.summary
            np.testing.assert_array_equal(got, words[start : start + 3])
        assert {type(c) for c, _ in seen} == {dict if way == "mapping" else Text}


@each_way
def test_likelihoods_and_latents_with_leading_axes(way):
    labels, words = parts(6)
    x = np.random.default_rng(1).standard_normal((2, 3, *SHAPE))
    single = (labels + words.mean((-2, -1))).reshape(2, 3)
    condition = BUILT[way]((labels.reshape(2, 3), words.reshape(2, 3, 2, 3)))
    run = {"steps": 9}
    for trace in ({"trace": Exact(at_once=7)}, {}):
        expected = log_likelihood(PROCESS, [one] * 3, x, condition=single, **run, **trace)
        found = log_likelihood(PROCESS, [several] * 3, x, condition=condition, **run, **trace)
        np.testing.assert_array_equal(found.nats, expected.nats)
    np.testing.assert_array_equal(
        encode(PROCESS, [several] * 3, x, condition=condition, **run),
        encode(PROCESS, [one] * 3, x, condition=single, **run),
    )


@each_way
def test_posteriors(way):
    single, condition = given(way, torch.zeros((), dtype=torch.float64))
    seen = Observation(Mask(np.arange(48).reshape(SHAPE) % 3 > 0, SHAPE), torch.zeros(32, dtype=torch.float64), 0.1)
    draw = lambda scores, c: sample_posterior(PROCESS, scores, seen, NUM, PiGDM(), Heun(), 12, condition=c, chunk=3).x  # noqa: E731
    torch.testing.assert_close(draw([several] * 3, condition), draw([one] * 3, single), rtol=0, atol=0)


@each_way
def test_the_full_score_groups_the_entries_with_their_samples(way, like, array, host, eps):
    times = array(np.asarray([0.7, 0.1, 0.4, 0.35, 0.9]))
    x = array(np.random.default_rng(2).standard_normal((NUM, *SHAPE)))
    _, condition = given(way, like)
    score = PROCESS.full_score([several] * 3)
    found = host(score(x, times, condition))
    for i, t in enumerate((0.7, 0.1, 0.4, 0.35, 0.9)):
        alone = host(score(x[i : i + 1], t, each(lambda c, i=i: c[i : i + 1], condition)))
        np.testing.assert_allclose(found[i : i + 1], alone, rtol=0, atol=1e3 * eps)
    k = PROCESS.level(0.4)
    np.testing.assert_array_equal(
        host(PROCESS.full_score([several] * 3, level=k)(x, 0.4, condition)), host(score(x, 0.4, condition))
    )


@each_way
def test_losses(way, like, array, host):
    single, condition = given(way, like)
    x, t = array(np.ones((NUM, 3, 2))), array(np.linspace(0.1, 0.9, NUM))
    level = lambda x, t, c: several(x, 0.5, c)  # noqa: E731
    expected = denoising_score_matching(lambda x, t: one(x, 0.5, single), x, t, SDE, 3)
    np.testing.assert_array_equal(
        host(denoising_score_matching(level, x, t, SDE, 3, condition=condition)), host(expected)
    )


@each_way
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_guidance_has_a_none_for_each_array(way, weight, like, array, host, eps):
    single, condition = given(way, like)
    empty = np.full((1, 2, 3), 0.25)
    for words in (0.25, empty, empty[0], torch.tensor(empty)):
        if isinstance(words, torch.Tensor) and not isinstance(like, torch.Tensor):
            continue
        nothing = BUILT[way]((3, words))
        x = array(np.random.default_rng(3).standard_normal((NUM, *SHAPE)))
        found = host(guided(several, weight, nothing)(x, 0.5, condition))
        free, toward = host(one(x, 0.5, array(np.full(NUM, 3.25)))), host(one(x, 0.5, single))
        np.testing.assert_allclose(found, free + weight * (toward - free), rtol=0, atol=100 * eps)


def test_none_is_built_like_the_condition():
    labels, words = parts()
    x = np.zeros((NUM, *SHAPE))
    for nothing, condition, sentence in (
        ((0, 0.0), labels, "the condition is one array, and what stands for none a tuple of 2"),
        (0, (labels, words), "the condition is a tuple of 2, and what stands for none one array"),
        ({"a": 0}, {"a": labels, "b": words}, "is a mapping of 'a', 'b', and what stands for none a mapping of 'a'"),
        ((0, np.zeros((4, 3))), (labels, words), r"array, \(5, 2, 3\), got one of \(4, 3\)"),
        ((0.5, 0.0), (labels, words), "of int64, got 0.5"),
    ):
        with pytest.raises(ValueError, match=sentence):
            guided(several, 2.0, nothing)(x, 0.5, condition)
    with pytest.raises(ValueError, match="and finite, got nan"):
        guided(several, 2.0, (0, float("nan")))


@each_way
def test_adapters_hand_it_on(way):
    single, condition = given(way, np.zeros(()))
    x = np.random.default_rng(4).standard_normal((NUM, *SHAPE))
    for adapt in (
        lambda s: from_noise(s, SDE),
        lambda s: from_denoiser(denoiser(s, SDE), SDE),
        lambda s: from_denoiser(precondition(lambda x, _, c: s(x, 0.5, c), SDE, 0.5), SDE),
        lambda s: change_process(s, SDE, SDE, 2.0, 0.5, 2.0),
        lambda s: at_level(s, SDE, LowPass((2, 8, 12), (4, 6))),
    ):
        np.testing.assert_array_equal(adapt(several)(x, 0.5, condition), adapt(one)(x, 0.5, single))
