"""With K = 0 and the same noise `sample` gives what diffusers' own loop gives, on one network in float64."""

from functools import cache

import diffusers
import numpy as np
import pytest
import torch

from subspace_sde import EDM, VP, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.diffusers import from_scheduler, pretrained
from subspace_sde.scores import change_process, from_noise
from subspace_sde.solvers import DDIM, DPMSolver, Heun, Langevin, PredictorCorrector, ReverseDiffusion
from tests.diffusers.networks import SHAPE, noise, unet

# numpy asks torch's tensors, which diffusers gives it, for an argument that they do not know
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

each_spacing = pytest.mark.parametrize("spacing", ["trailing", "leading"])
PLAIN = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}

network = cache(unet)


@torch.no_grad()
def theirs(net, scheduler, x):
    """x after the last step of diffusers' loop, from x in the scheduler's own coordinates."""
    for t in scheduler.timesteps:
        out = net(scheduler.scale_model_input(x, t), t).sample
        x = scheduler.step(out, t, x).prev_sample
    return x


def ours(score, sde, times, x, solver, denoise=True):
    process = SubspaceSDE(sde.between(times[-1], times[0]), NestedSubspaces([], SHAPE), [], [])
    return sample(process, [score], len(x), solver, times, noise=x, denoise=denoise).x


def difference(a, b):
    return float((a - b).norm() / b.norm())


@each_spacing
@pytest.mark.parametrize("predicts", ["epsilon", "sample", "v_prediction"])
def test_ddim(spacing, predicts):
    scheduler = diffusers.DDIMScheduler(
        clip_sample=False, timestep_spacing=spacing, prediction_type=predicts, set_alpha_to_one=True, **PLAIN
    )
    scheduler.set_timesteps(20)
    model, x = pretrained((network(), scheduler)), noise(2)
    found = ours(model.score, model.sde, from_scheduler(scheduler), x, DDIM())
    assert difference(found, theirs(network(), scheduler, x)) < 1e-4


def test_ddim_that_ends_at_noise():
    """As Stable Diffusion's config has it: one step above, and the last one to the table's first entry."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **PLAIN)
    scheduler.set_timesteps(20)
    model, x, times = pretrained((network(), scheduler)), noise(2), from_scheduler(scheduler)
    assert times[-2:].tolist() == [0.002, 0.001]
    found = ours(model.score, model.sde, times, x, DDIM(), denoise=False)
    assert difference(found, theirs(network(), scheduler, x)) < 1e-4


@each_spacing
def test_dpm_solver(spacing):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_type="heun", lower_order_final=False, timestep_spacing=spacing, **PLAIN
    )
    scheduler.set_timesteps(20)
    model, x = pretrained((network(), scheduler)), noise(2)
    found = ours(model.score, model.sde, from_scheduler(scheduler), x, DPMSolver())
    assert difference(found, theirs(network(), scheduler, x)) < 1e-4


@each_spacing
def test_euler_is_ddim(spacing):
    scheduler = diffusers.EulerDiscreteScheduler(timestep_spacing=spacing, **PLAIN)
    scheduler.set_timesteps(20)
    model, x, times = pretrained((network(), scheduler)), noise(2), from_scheduler(scheduler)
    start = x * scheduler.init_noise_sigma  # of x/α
    found = ours(model.score, model.sde, times, start * model.sde.alpha(times[0]), DDIM())
    assert difference(found, theirs(network(), scheduler, start)) < 1e-4


@each_spacing
def test_heun_under_edm(spacing):
    scheduler = diffusers.HeunDiscreteScheduler(timestep_spacing=spacing, **PLAIN)
    scheduler.set_timesteps(10)
    model, x = pretrained((network(), scheduler)), noise(2)
    times = from_scheduler(scheduler)
    sigmas = [float(model.sde.sigma(t) / model.sde.alpha(t)) for t in times]
    own = [float(s) for s in dict.fromkeys(scheduler.sigmas.tolist()) if s]
    np.testing.assert_allclose(sigmas, own, rtol=1e-3)
    edm = EDM(sigmas[-1], sigmas[0])
    start = x * scheduler.init_noise_sigma
    found = ours(change_process(model.score, model.sde, edm), edm, sigmas, start, Heun())
    assert difference(found, theirs(network(), scheduler, start)) < 1e-4


class Handed:
    """Noise that both are given, call by call."""

    def __init__(self):
        self.drawn = [noise(1, seed) for seed in (5, 6)]

    def __call__(self, *shape, **how):
        self.drawn.append(self.drawn.pop(0))
        return self.drawn[-1]


def test_a_predictor_and_a_corrector_step_of_the_ve_sde(monkeypatch):
    scheduler, net = diffusers.ScoreSdeVeScheduler(sigma_max=348.0), network(time_embedding_type="fourier")
    steps = 50
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    model, x, times = pretrained((net, scheduler)), 30 * noise(1), from_scheduler(scheduler)
    monkeypatch.setattr("diffusers.schedulers.scheduling_sde_ve.randn_tensor", Handed())
    i = 20
    label = scheduler.discrete_sigmas[steps - 1 - i].reshape(1)
    with torch.no_grad():
        out = net(x, label).sample
        predicted = scheduler.step_pred(out, scheduler.timesteps[i], x).prev_sample
        s = model.sde.sigma(times[i + 1])
        corrected = scheduler.step_correct(net(predicted, torch.tensor([s])).sample, predicted).prev_sample
        given = Handed()
        solver = PredictorCorrector(ReverseDiffusion(), Langevin(1, snr=scheduler.config.snr))
        found = ReverseDiffusion().step(x, times[i], times[i + 1], model.score, model.sde, Handed())
        both = solver.step(x, times[i], times[i + 1], model.score, model.sde, given)
    assert difference(found, predicted) < 1e-5
    assert difference(both, corrected) < 1e-5


def test_the_formula_near_the_table_would_not_do():
    scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing", **PLAIN)
    scheduler.set_timesteps(20)
    model, x, near = pretrained((network(), scheduler)), noise(2), VP(0.1, 20.0)
    times, expected = from_scheduler(scheduler), theirs(network(), scheduler, x)

    def predicts_noise(x, t):
        return -model.sde.sigma(t) * model.score(x, t)

    assert difference(ours(from_noise(predicts_noise, near), near, times, x, DDIM()), expected) > 1e-3
