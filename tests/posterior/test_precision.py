"""Guidance in half precision and beyond its stable steps, and a start in full dimension."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP, Downsampling, NestedSubspaces, SubspaceSDE
from subspace_sde.measurements import Mask
from subspace_sde.posterior import (
    DPS,
    Observation,
    PiGDM,
    RePaint,
    Replacement,
    View,
    sample_posterior,
)
from subspace_sde.sampling import Start
from subspace_sde.solvers import EulerMaruyama, Heun

V = 0.5
NESTED = NestedSubspaces([Downsampling((4,), 2, axes=(-1,))])


def made(sde):
    process = SubspaceSDE(sde, NESTED, [0.5], [V])

    def normal(x, t):
        return -x / (V * sde.alpha(t) ** 2 + sde.sigma(t) ** 2)

    return process, [normal, normal]


def seen(dtype, noise=0.5):
    return Observation(Mask([1, 0, 1, 0], (4,)), torch.tensor([0.5, -0.625], dtype=dtype), noise)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "method", [PiGDM(V), DPS(), Replacement(PiGDM(V)), RePaint(2, 2, PiGDM(V))], ids=lambda m: type(m).__name__
)
@pytest.mark.parametrize(("dtype", "eps"), [(torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)], ids=str)
def test_a_posterior_in_half_precision_is_that_of_float64(dtype, eps, method, full):
    process, scores = made(VP())
    exact = 0.5 * V / (V + 0.25), -0.625 * V / (V + 0.25)
    found = sample_posterior(process, scores, seen(dtype), 2000, method, Heun(), steps=40, full=full)
    assert found.x.dtype == dtype
    same = sample_posterior(process, scores, seen(torch.float64), 2000, method, Heun(), steps=40, full=full).x
    # other noise; the state is of half precision, and every step rounds it
    error = 5 * float(same.std()) * math.sqrt(2 / 2000) + 40 * eps
    assert float((found.x.double().mean(0) - same.mean(0)).abs().max()) < error
    if isinstance(method, PiGDM):
        assert found.x.double().mean(0)[[0, 2]].numpy() == pytest.approx(exact, abs=error)


@pytest.mark.parametrize("kind", [np.float16, torch.bfloat16], ids=str)
def test_what_a_view_finds_is_as_wide_as_float32(kind):
    process, _ = made(VE())
    y = np.asarray([0.5, -0.625])
    narrow = y.astype(kind) if kind is np.float16 else torch.tensor(y, dtype=kind)
    wide = View(process, Observation(Mask([1, 0, 1, 0], (4,)), y, 1e-3), 1)
    half = View(process, Observation(Mask([1, 0, 1, 0], (4,)), narrow, 1e-3), 1)
    clean = np.asarray([[0.25, -0.5]])
    given = clean.astype(kind) if kind is np.float16 else torch.tensor(clean, dtype=kind)
    for a, b in ((half, wide), (half.reduced(0.1), wide.reduced(0.1))):
        np.testing.assert_allclose(
            np.asarray(a.pull(given, 0.3, slice(0, 1))), b.pull(clean, 0.3, slice(0, 1)), rtol=1e-4
        )


@pytest.mark.parametrize("sde", [VE(), VP()])
@pytest.mark.parametrize("solver", [EulerMaruyama(), Heun()])
def test_dps_is_refused_where_its_steps_are_too_large(sde, solver):
    process, scores = made(sde)
    for noise, stable in ((0.5, True), (0.1, True), (0.005, False)):
        observation = seen(torch.float64, noise)
        if not stable:
            with pytest.raises(ValueError, match=r"not finite on level 0 at t = .*or the steps are too large"):
                sample_posterior(process, scores, observation, 20, DPS(), solver, steps=1000)
            continue
        x = sample_posterior(process, scores, observation, 20, DPS(), solver, steps=1000).x
        assert float((x[:, [0, 2]] - observation.y).abs().max()) < 4 * noise


def test_an_observation_of_nothing_does_not_trip_the_bound():
    process, scores = made(VE())
    observation = Observation(Mask([1, 0, 1, 0], (4,)), torch.zeros(2, dtype=torch.float64), 0.05)
    x = sample_posterior(process, scores, observation, 50, DPS(), steps=1000).x
    assert float(x[:, [0, 2]].std()) < 0.05


@pytest.mark.parametrize("t", [0.3, 0.5, 0.7])
def test_a_start_keeps_what_it_knows_in_full_dimension(t):
    sde = VE()
    nested = NestedSubspaces([Downsampling((8,), 2, axes=(-1,)), Downsampling((4,), 2, axes=(-1,))])
    process = SubspaceSDE(sde, nested, [0.3, 0.5], [0.04, 0.09])
    x = 100 * torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64)  # its complement in level 2 is large
    scores = [lambda y, s: -y / (1 + sde.sigma(s) ** 2)] * 3
    observation = Observation(Mask([1, 0, 0, 0, 0, 0, 0, 0], (8,)), torch.zeros(1, dtype=torch.float64), 1e3)
    found = sample_posterior(
        process, scores, observation, 4000, steps=6, full=True, start=Start(x, level=1, t=t), trajectory=True
    )
    states = found.trajectory[0][2]
    sigma = sde.sigma(t)
    known, error = nested[1].restrict(states), sigma * 5 / math.sqrt(4000)
    assert float((known.mean(0) - x).abs().max()) < error
    assert float(known.std(0).mean()) == pytest.approx(sigma, rel=0.05)
    drawn = nested[1].reject(states)
    assert float(drawn.mean(0).abs().max()) < 5 * math.sqrt((0.04 + sigma**2) / 4000)
    assert float((drawn**2).sum(-1).mean() / 4) == pytest.approx(0.04 + sigma**2, rel=0.05)


def test_a_negative_size_of_systems_is_refused():
    process, scores = made(VE())
    with pytest.raises(ValueError, match="largest is a number of coordinates, and not negative, got -1"):
        sample_posterior(process, scores, seen(torch.float64), 2, steps=4, largest=-1)
