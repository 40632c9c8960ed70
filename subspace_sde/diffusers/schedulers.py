"""The times at which a scheduler of diffusers takes its steps, as those of a process here."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..border import checked
from ..sdes import IsotropicSDE
from .conventions import convention


@checked
def from_scheduler(scheduler: Any) -> np.ndarray[Any, Any]:
    """The times of a scheduler after its ``set_timesteps``, decreasing, for ``sample(..., steps=times)``.

    They are those of the process of `pretrained`, of which such a grid takes a part: the process to sample is
    ``sde.between(times[-1], times[0])``. A scheduler's last step usually ends at clean data, σ = 0, and is then no time
    here but ``denoise=True``; where it ends at noise (``set_alpha_to_one=False``, ``final_sigmas_type="sigma_min"``),
    that noise is the last time, and ``denoise=False``. The shift of a flow is in its times already.

    Raises ValueError for a scheduler that `pretrained` does not know, one without times, and one whose steps do not
    lead from each of its times to the next.

    >>> import diffusers
    >>> scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing")
    >>> scheduler.set_timesteps(4)
    >>> from_scheduler(scheduler).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """
    told, name = convention(scheduler), type(scheduler).__name__
    times: np.ndarray[Any, Any]
    if getattr(scheduler, "num_inference_steps", None) is None and told.family != "score":  # which has some at once
        raise ValueError(f"the {name} has no times yet: call its set_timesteps(steps) first")
    sde = told.sde
    if told.family == "flow":
        sigmas = scheduler.sigmas.double().numpy()
        times = np.asarray(list(dict.fromkeys(np.clip(sigmas[sigmas > 0], sde.t_min, sde.T))))
    elif told.family == "score":
        steps = len(scheduler.timesteps)
        if len(scheduler.discrete_sigmas) != steps:
            raise ValueError(
                f"the {name} has {steps} times and {len(scheduler.discrete_sigmas)} σ: call set_sigmas({steps})"
            )
        times = np.linspace(sde.T, sde.t_min, steps)
    elif hasattr(scheduler, "sigmas"):
        sigmas = scheduler.sigmas.double().numpy()  # of σ/α
        levels = list(dict.fromkeys(sigmas[sigmas > 0]))  # Heun names each twice
        times = np.asarray([sde.time_at_log_snr(-2 * float(np.log(level)), clip=True) for level in levels])
    else:
        times = _of_steps(scheduler, sde)
    if len(times) > 1 and not np.all(np.diff(times) < 0):
        raise ValueError(f"the times of the {name} do not decrease: {times.tolist()}")
    return times


def ends_at_noise(scheduler: Any) -> bool:
    """Whether the last step of a scheduler, after its ``set_timesteps``, leaves noise: the last of its times."""
    if hasattr(scheduler, "final_alpha_cumprod"):
        return bool(scheduler.final_alpha_cumprod < 1)
    # the last step of ScoreSdeVeScheduler gives its mean, and DDPM knows no end but the data
    return not hasattr(scheduler, "discrete_sigmas") and hasattr(scheduler, "sigmas") and bool(scheduler.sigmas[-1] > 0)


def _of_steps(scheduler: Any, sde: IsotropicSDE) -> np.ndarray[Any, Any]:
    """Of DDPM, DDIM and PNDM, which know the numbers of their steps alone."""
    config, name = scheduler.config, type(scheduler).__name__
    count = len(scheduler.betas)
    steps = list(dict.fromkeys(int(i) for i in scheduler.timesteps))
    if hasattr(scheduler, "final_alpha_cumprod"):
        stride = count // scheduler.num_inference_steps
        if not config.get("skip_prk_steps", True):
            raise ValueError(
                f"skip_prk_steps=False of the {name}: its first steps are Runge-Kutta's, and no times here"
            )
        if any(a - b != stride for a, b in zip(steps, steps[1:])):
            raise ValueError(
                f"the {name} goes {stride} steps down from each of its times, whatever the next one is: with the "
                f"spacing {config.timestep_spacing!r} take a number of steps that divides {count}"
            )
        if scheduler.final_alpha_cumprod < 1 and steps[-1] > 0:
            steps.append(0)
    return np.minimum((np.asarray(steps) + 1.0) / count, sde.T)
