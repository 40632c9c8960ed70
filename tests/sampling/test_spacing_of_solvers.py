"""A solver may state how its steps lie; whoever takes steps asks it, and the caller has the last word."""

import numpy as np
import pytest

from subspace_sde import (
    EDM,
    VE,
    VP,
    LowPass,
    NestedSubspaces,
    RectifiedFlow,
    SubspaceSDE,
    SubVP,
    log_likelihood,
    sample,
)
from subspace_sde.likelihood import decode, encode
from subspace_sde.measurements import Mask
from subspace_sde.oracles import Gaussian
from subspace_sde.posterior import Observation, PiGDM, Replacement, sample_posterior
from subspace_sde.sampling import OwnSpacing, Rho, UniformLogSNR, UniformTime, sampled_law, stage_times
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    PredictorCorrector,
    ReverseDiffusion,
)

LAW = Gaussian(np.zeros(4), 0.3 * np.eye(4))
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
each_sde = pytest.mark.parametrize("sde", SDES, ids=lambda s: type(s).__name__)


class Midway:
    """A solver of a user's own, without an attribute `spacing`: DDIM by another name."""

    def stage(self, x, times, score, sde, noise):
        yield from DDIM().stage(x, times, score, sde, noise)


class Watched:
    """A score of LAW that keeps the times at which it is called."""

    def __init__(self, sde):
        self.sde, self.times = sde, []

    def _variance(self, t):
        return 0.3 * self.sde.alpha(t) ** 2 + self.sde.sigma(t) ** 2

    def __call__(self, x, t):
        self.times.append(t)
        return -x / self._variance(t)

    def vjp(self, x, t, v):
        return -v / self._variance(t)


def process_of(sde, k=1):
    nested = NestedSubspaces([LowPass((4,), 2, axes=(-1,))][:k], ambient_shape=(4,))
    return SubspaceSDE(sde, nested, [float(sde.time_at_log_snr(0.5))][:k], [0.3][:k])


def log_snrs(sde, times):
    return [float(sde.log_snr(t)) for t in times]


@each_sde
def test_dpm_solver_alone_states_one(sde):
    process = process_of(sde)
    own = [times.tolist() for times in stage_times(process, 12)]
    others = (EulerMaruyama(), ReverseDiffusion(), Ancestral(), PredictorCorrector(), DDIM(), Heun(), DormandPrince())
    for solver in (*others, Midway(), None):
        assert [times.tolist() for times in stage_times(process, 12, solver=solver)] == own
    for solver in (DPMSolver(2), DPMSolver(3, eta=0.5)):
        assert solver.spacing == UniformLogSNR()
        for times in stage_times(process, 12, solver=solver):
            gaps = np.diff(log_snrs(sde, times))
            np.testing.assert_allclose(gaps, gaps.mean(), rtol=1e-9)


@each_sde
def test_whoever_takes_steps_asks_the_solver(sde):
    process, x = process_of(sde), LAW.sample(3, rng=0)
    even = [times.tolist() for times in stage_times(process, 12, UniformLogSNR())]
    middle = [t for times in even for t in times[1:-1]]
    seen = Observation(Mask([1, 0, 1, 0], (4,)), np.ones(2), 0.1)
    latent = encode(process, [Watched(sde)] * 2, x, DPMSolver(), 12)
    calls = {
        "sample": lambda s: sample(process, s, 2, DPMSolver(), 12),
        "sampled_law": lambda s: sampled_law(process, s, DPMSolver(), 12),
        "log_likelihood": lambda s: log_likelihood(process, s, x, solver=DPMSolver(), steps=12),
        "encode": lambda s: encode(process, s, x, DPMSolver(), 12),
        "decode": lambda s: decode(process, s, latent, DPMSolver(), 12),
        "guidance": lambda s: sample_posterior(process, s, seen, 2, PiGDM(0.3), DPMSolver(), 12),
        "replacement": lambda s: sample_posterior(process, s, seen, 2, Replacement(), DPMSolver(), 12),
    }
    for name, call in calls.items():
        scores = [Watched(sde), Watched(sde)]
        call(scores)
        visited = {t for s in scores for t in s.times}
        assert set(middle) <= visited, name


@each_sde
def test_the_caller_has_the_last_word(sde):
    process = process_of(sde, 0)

    def times(**how):
        found = sample(process, [Watched(sde)], 1, DPMSolver(), trajectory=True, **how)
        return [t for t, _, _ in found.trajectory]

    assert times(steps=9, spacing=OwnSpacing()) == stage_times(process, 9)[0].tolist()
    assert times(steps=9, spacing=UniformTime()) == stage_times(process, 9, UniformTime())[0].tolist()
    own = [sde.T, 0.3 * sde.T + 0.7 * sde.t_min, sde.t_min]
    assert times(steps=own) == own


def test_a_solver_of_a_users_own_may_state_one():
    class Stating(Midway):
        spacing = Rho(3.0)

    sde = VP()
    process = process_of(sde, 0)
    found = sample(process, [Watched(sde)], 1, Stating(), 7, trajectory=True)
    assert [t for t, _, _ in found.trajectory] == stage_times(process, 7, Rho(3.0))[0].tolist()
    Stating.spacing = "log-SNR"
    with pytest.raises(TypeError, match=r"`spacing` takes an object like Rho\(\), got 'log-SNR'"):
        sample(process, [Watched(sde)], 1, Stating(), 7)


def test_spacings_compare_and_show_what_they_are():
    assert UniformTime() == UniformTime() != UniformLogSNR() and Rho(7) == Rho() != Rho(3)
    assert len({Rho(7), Rho(), Rho(3), OwnSpacing(), OwnSpacing()}) == 3
    assert [repr(s) for s in (UniformLogSNR(), Rho(2.5))] == ["UniformLogSNR()", "Rho(rho=2.5)"]


@pytest.mark.parametrize("steps", [10**30, 10**8])
def test_a_number_of_steps_that_cannot_be_held_is_refused_at_once(steps):
    with pytest.raises(ValueError, match="steps is more than can be held: take at most 10,000,000"):
        sample(process_of(VE()), [Watched(VE())] * 2, 1, steps=steps)


@pytest.mark.parametrize("num", [10**15, 10**30])
def test_a_number_of_samples_that_cannot_be_held_is_refused_at_once(num):
    process, scores = process_of(VE()), [Watched(VE())] * 2
    seen = Observation(Mask([1, 0, 1, 0], (4,)), np.ones(2), 0.1)
    for call in (lambda: sample(process, scores, num, steps=6), lambda: sample_posterior(process, scores, seen, num)):
        with pytest.raises(ValueError, match=r"num is more than can be held: draw at most 1,073,741,824 samples of 4"):
            call()
