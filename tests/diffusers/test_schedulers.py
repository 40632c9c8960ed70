"""The times of schedulers, and their noise, against the schedulers' own numbers."""

import diffusers
import numpy as np
import pytest
import torch

from subspace_sde import VE, RectifiedFlow
from subspace_sde.diffusers import from_scheduler
from subspace_sde.diffusers.schedulers import ends_at_noise
from subspace_sde.sdes import Tabulated

# numpy asks torch's tensors, which diffusers gives it, for an argument that they do not know
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


SCHEDULERS_WITHOUT_TIMES = [
    diffusers.DDIMScheduler,
    diffusers.EulerDiscreteScheduler,
    diffusers.PNDMScheduler,
    diffusers.FlowMatchEulerDiscreteScheduler,  # which holds those that it was trained at
]


def made(scheduler, *steps, **how):
    scheduler.set_timesteps(*steps, **how)
    return scheduler, from_scheduler(scheduler)


def noise_over_data(scheduler, times):
    sde = Tabulated.from_betas(scheduler.betas.double())
    return [float(sde.sigma(t) / sde.alpha(t)) for t in times]


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler"])
def test_numbers_of_steps(kind, spacing):
    scheduler = getattr(diffusers, kind)(timestep_spacing=spacing)
    if (kind, spacing) == ("DDIMScheduler", "linspace"):
        with pytest.raises(
            ValueError, match="goes 50 steps down from each of its times, whatever the next one is: with"
        ):
            made(scheduler, 20)
        return
    scheduler, times = made(scheduler, 20)
    np.testing.assert_allclose(times, (scheduler.timesteps.numpy() + 1) / 1000, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("EulerDiscreteScheduler", {}),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        ("EulerDiscreteScheduler", {"use_exponential_sigmas": True, "timestep_spacing": "trailing"}),
        ("EulerAncestralDiscreteScheduler", {}),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),  # which rounds its labels, not its noise
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True, "timestep_spacing": "leading"}),
        ("DPMSolverSinglestepScheduler", {}),
        ("HeunDiscreteScheduler", {"use_karras_sigmas": True}),
    ],
)
def test_noise(kind, config):
    scheduler, times = made(getattr(diffusers, kind)(**config), 12)
    own = [s for s in dict.fromkeys(scheduler.sigmas.tolist()) if s]
    assert len(times) == 12 and scheduler.sigmas[-1] == 0
    np.testing.assert_allclose(noise_over_data(scheduler, times), own, rtol=5e-4)  # their ᾱ is of float32


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_a_last_step_to_noise_is_a_time(kind):
    _, times = made(getattr(diffusers, kind)(final_sigmas_type="sigma_min", timestep_spacing="trailing"), 10)
    assert len(times) == 11 and times[-1] == pytest.approx(1e-3, abs=1e-6)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("EulerDiscreteScheduler", {"final_sigmas_type": "sigma_min"}),
        ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}),
        ("DDIMScheduler", {"set_alpha_to_one": False}),
        ("PNDMScheduler", {"set_alpha_to_one": False, "skip_prk_steps": True}),
    ],
)
def test_a_scheduler_that_ends_at_noise_says_so_though_its_last_time_was_one_already(kind, config, spacing):
    for ends, given in ((True, config), (False, dict.fromkeys(config.keys() & {"skip_prk_steps"}, True))):
        given = {**given, **({} if ends or "set_alpha_to_one" not in config else {"set_alpha_to_one": True})}
        scheduler = getattr(diffusers, kind)(timestep_spacing=spacing, **given)
        scheduler.set_timesteps(10)
        assert ends_at_noise(scheduler) is ends


@pytest.mark.parametrize("kind", ["DDPMScheduler", "ScoreSdeVeScheduler", "EDMEulerScheduler"])
def test_others_end_at_clean_data(kind):
    scheduler = getattr(diffusers, kind)()
    scheduler.set_timesteps(10)
    assert ends_at_noise(scheduler) is False


def test_pndm():
    config = {"set_alpha_to_one": False, "steps_offset": 1, "skip_prk_steps": True}  # of Stable Diffusion
    scheduler, times = made(diffusers.PNDMScheduler(**config), 10)
    assert len(scheduler.timesteps) == 11  # one of them twice
    np.testing.assert_allclose(times, [*np.arange(902, 1, -100) / 1000, 0.001], rtol=1e-12)
    with pytest.raises(ValueError, match="skip_prk_steps=False of the PNDMScheduler"):
        made(diffusers.PNDMScheduler(), 10)


def test_the_ve_sde():
    scheduler = diffusers.ScoreSdeVeScheduler()
    scheduler.set_timesteps(50)
    with pytest.raises(ValueError, match=r"has 50 times and 2000 σ: call set_sigmas\(50\)"):
        from_scheduler(scheduler)
    scheduler.set_sigmas(50)
    times = from_scheduler(scheduler)
    own = scheduler.discrete_sigmas.flip(0).numpy()
    np.testing.assert_allclose([VE(0.01, 1348.0).sigma(t) for t in times], own, rtol=1e-5)


@pytest.mark.parametrize("kind", [diffusers.EDMEulerScheduler, diffusers.EDMDPMSolverMultistepScheduler])
def test_edm(kind):
    scheduler, times = made(kind(), 9)
    np.testing.assert_allclose(times, scheduler.sigmas[:-1], rtol=1e-6)


def test_consistency():
    scheduler, times = made(diffusers.CMStochasticIterativeScheduler(clip_denoised=False), 4)
    np.testing.assert_allclose(times, scheduler.sigmas, rtol=1e-6)


@pytest.mark.parametrize(("config", "how"), [({"shift": 3.0}, {}), ({"use_dynamic_shifting": True}, {"mu": 0.8})])
def test_the_shift_of_a_flow_is_in_its_times(config, how):
    scheduler, times = made(diffusers.FlowMatchEulerDiscreteScheduler(**config), 8, **how)
    np.testing.assert_allclose(times[1:], scheduler.sigmas[1:-1], rtol=1e-6)
    assert times[0] == RectifiedFlow().T  # theirs begins at 1, where a score says nothing
    if not how:
        even = torch.linspace(1.0, scheduler.sigma_min, 8).double()
        np.testing.assert_allclose(times[1:], (3 * even / (1 + 2 * even))[1:], rtol=1e-5)


@pytest.mark.parametrize(("shift", "steps"), [(12.0, 100), (3.0, 1000)])
def test_times_of_a_flow_beyond_its_last_are_one(shift, steps):
    scheduler, times = made(diffusers.FlowMatchEulerDiscreteScheduler(shift=shift), steps)
    own = scheduler.sigmas[:-1].double().numpy()
    assert (own > 0.999).sum() > 1 and times[0] == 0.999
    np.testing.assert_array_equal(times[1:], own[own < 0.999])


def test_zero_terminal_snr_begins_one_step_below():
    scheduler = diffusers.DDIMScheduler(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    scheduler.set_timesteps(4)
    with pytest.warns(UserWarning, match="zero terminal SNR"):
        assert from_scheduler(scheduler).tolist() == [0.999, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("kind", SCHEDULERS_WITHOUT_TIMES)
def test_without_times(kind):
    with pytest.raises(ValueError, match=f"the {kind.__name__} has no times yet: call its set_timesteps"):
        from_scheduler(kind())


def test_another_thing():
    with pytest.raises(ValueError, match="the scheduler LCMScheduler is unknown here"):
        from_scheduler(diffusers.LCMScheduler())
    with pytest.raises(TypeError, match="`scheduler` takes a scheduler of diffusers, got float"):
        from_scheduler(0.5)
