"""What a scheduler's config says of its network: the process, the time label, what is predicted, the range of the data.

The five conventions of diffusers, each an SDE and how the network is asked:

    betas        x = α x(0) + σ ε with α² = Π(1 − β); label: the step i, so that
                 t = (i + 1)/N; predicts ε, x(0) or v
    score, VE    data in [0, 1]; label: σ; the output is the score (Song et al. 2021)
    EDM          label: log(σ)/4; preconditioned by σ_data (Karras et al. 2022)
    consistency  label: 250 log σ; the same, with its boundary condition (Song et al. 2023)
    flow         x = (1 − t) x(0) + t ε; label: N t; predicts ε − x(0)

A field that is not known here is refused by its name.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..arrays import Score, log, over, sqrt
from ..scores import from_denoiser, from_noise, from_v_prediction, from_velocity, precondition
from ..sdes import EDM, VE, IsotropicSDE, RectifiedFlow, Tabulated

Raw: TypeAlias = Callable[..., Any]
"""``raw(x, label, *condition)``: a network as it is, x of shape (*batch, *shape), the label a float or an array."""

_BETAS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
)
_EDM = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
_RENAMED = {"GaussianDDPMScheduler": "DDPMScheduler"}
_OLD_KEYS = {"timesteps": "num_train_timesteps", "clip_predicted_image": "clip_sample"}
_WITHOUT_MEANING = {"tensor_format"}  # of the first versions: numbers came as torch's or as numpy's
_USUAL = {
    "use_flow_sigmas": False,
    "timestep_type": "discrete",
    "rescale_betas_zero_snr": False,
    "invert_sigmas": False,
}
"""Fields that change what a network was trained for, and what a scheduler without them does."""
_PREDICTIONS = {"epsilon": from_noise, "sample": from_denoiser, "v_prediction": from_v_prediction}


@dataclass(frozen=True, eq=False)
class Convention:
    """How a network is asked, as its scheduler's config says.

    Attributes
    ----------
    family: "betas", "score", "EDM", "consistency" or "flow".
    sde: the process under which the network was trained.
    score: makes the score under `sde` of a raw network.
    scale, offset: the network's data are ``scale * pixels + offset``, with pixels in [0, 1].
    unfollowed: sentences on what the scheduler does beside, and a score does not.
    """

    family: str
    sde: IsotropicSDE
    score: Callable[[Raw], Score]
    scale: float = 2.0
    offset: float = -1.0
    unfollowed: tuple[str, ...] = field(default=())


def library() -> Any:
    """diffusers, which takes seconds to import."""
    try:
        import diffusers
    except ImportError:
        raise ImportError('networks of diffusers need it: pip install "subspace-sde[diffusers]"') from None
    return diffusers


def scheduler_from(config: Mapping[str, Any]) -> Any:
    """The scheduler that a JSON config describes, old names and keys included.

    Raises ValueError for a class that is not known here, and for a field that the class does not have.
    """
    name = _RENAMED.get(str(config.get("_class_name")), str(config.get("_class_name")))
    if name not in _FAMILIES:
        raise ValueError(_unknown_scheduler(name))
    kind = getattr(library(), name)
    given = {_OLD_KEYS.get(key, key): value for key, value in config.items() if not key.startswith("_")}
    if "predict_epsilon" in given:  # before there was a prediction_type
        given.setdefault("prediction_type", "epsilon" if given.pop("predict_epsilon") else "sample")
    for key in given.keys() - _fields(kind) - _WITHOUT_MEANING:
        if not _known(key) or given[key] not in (_USUAL.get(key, given[key]), None):
            raise ValueError(
                f"unknown field {key!r} in the config of the scheduler {name}: what it means is not guessed"
            )
    try:
        return kind(**{key: value for key, value in given.items() if key in _fields(kind)})
    except (NotImplementedError, ValueError) as error:
        raise ValueError(f"the config of the scheduler {name} does not fit: {error}") from error


def convention(scheduler: Any) -> Convention:
    """Of a scheduler of diffusers.

    Raises TypeError for what is none, ValueError for a scheduler, a prediction type or another field not known here.
    """
    name = type(scheduler).__name__
    if not hasattr(scheduler, "config"):
        raise TypeError(f"`scheduler` takes a scheduler of diffusers, got {name}")
    if name not in _FAMILIES:
        raise ValueError(_unknown_scheduler(name))
    return _FAMILIES[name](scheduler)


def _betas(scheduler: Any) -> Convention:
    config = scheduler.config
    for key in ("use_flow_sigmas", "timestep_type"):
        if config.get(key) not in (_USUAL[key], None):
            raise ValueError(f"{key}={config[key]!r} of the scheduler is unknown here: known is {_USUAL[key]!r}")
    predicted = config.get("prediction_type", "epsilon")
    if predicted not in _PREDICTIONS:
        raise ValueError(_unknown_prediction(predicted, _PREDICTIONS))
    betas, count = scheduler.betas.double(), len(scheduler.betas)
    if betas[-1] >= 1:  # zero terminal SNR
        warnings.warn(
            f"at the last of its {count} steps the scheduler leaves nothing of the data (zero terminal SNR: "
            "rescale_betas_zero_snr, or a last beta of 1), where a score says nothing and no solver of one can begin: "
            f"the process ends one step below, at T = {(count - 1) / count:g}",
            stacklevel=5,
        )
        table = Tabulated.from_betas(betas[:-1])
        sde = Tabulated(table.times * ((count - 1) / count), table.alphas, table.sigmas)
    else:
        sde = Tabulated.from_betas(betas)

    def score(raw: Raw) -> Score:
        return _PREDICTIONS[predicted](_labelled(raw, lambda t: count * t - 1), sde)

    return Convention("betas", sde, score, unfollowed=_clipped(config))


def _score(scheduler: Any) -> Convention:
    config = scheduler.config
    sde = VE(config.sigma_min, config.sigma_max)
    return Convention("score", sde, lambda raw: _labelled(raw, sde.sigma), scale=1.0, offset=0.0)


def _edm(scheduler: Any) -> Convention:
    config = scheduler.config
    sde, predicted = EDM(config.sigma_min, config.sigma_max), config.prediction_type
    if predicted not in ("epsilon", "v_prediction"):
        raise ValueError(_unknown_prediction(predicted, ("epsilon", "v_prediction")))
    sign = 1.0 if predicted == "epsilon" else -1.0  # diffusers' v has the network's other sign

    def score(raw: Raw) -> Score:
        return from_denoiser(precondition(lambda x, c, *more: sign * raw(x, c, *more), sde, config.sigma_data), sde)

    return Convention("EDM", sde, score, unfollowed=_clipped(config))


def _consistency(scheduler: Any) -> Convention:
    config = scheduler.config
    sde, least, spread = EDM(config.sigma_min, config.sigma_max), config.sigma_min, config.sigma_data

    def score(raw: Raw) -> Score:
        def denoised(x: Any, t: Any, *condition: Any) -> Any:
            def c(coefficient: Any) -> Any:
                return over(coefficient, x, x.ndim - getattr(t, "ndim", 0))

            total, above = t**2 + spread**2, t - least  # above the boundary, where the network gives back x
            out = raw(x * c(1 / sqrt(total)), 250 * log(t), *condition)
            return x * c(spread**2 / (above**2 + spread**2)) + out * c(above * spread / sqrt(total))

        return from_denoiser(denoised, sde)

    told = (
        "a consistency network predicts where the probability flow ends, not the mean E[x(0)|x] that a score is made "
        "of: solvers that follow a score are off by the difference, which vanishes at low noise alone"
    )
    return Convention("consistency", sde, score, unfollowed=(told, *_clipped(config)))


def _flow(scheduler: Any) -> Convention:
    config = scheduler.config
    if config.get("invert_sigmas"):
        raise ValueError("invert_sigmas=True of the scheduler is unknown here: known is False, with the noise at t = 1")
    sde, count = RectifiedFlow(), config.num_train_timesteps

    def score(raw: Raw) -> Score:
        return from_velocity(_labelled(raw, lambda t: count * t), sde)

    return Convention("flow", sde, score)


_FAMILIES: dict[str, Callable[[Any], Convention]] = {
    **dict.fromkeys(_BETAS, _betas),
    **dict.fromkeys(_EDM, _edm),
    "ScoreSdeVeScheduler": _score,
    "CMStochasticIterativeScheduler": _consistency,
    "FlowMatchEulerDiscreteScheduler": _flow,
}


def _labelled(raw: Raw, label: Callable[[Any], Any]) -> Score:
    def network(x: Any, t: Any, *condition: Any) -> Any:
        return raw(x, label(t), *condition)

    return network


def _clipped(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the scheduler does to its estimate of x(0) at each step."""
    found = [key for key in ("clip_sample", "clip_denoised", "thresholding") if config.get(key)]
    if not found:
        return ()
    return (
        f"the scheduler cuts its estimate of x(0) at each step ({' and '.join(f'{key}=True' for key in found)}), which "
        "is not followed: samples are those of the scheduler without it",
    )


def _fields(kind: type) -> set[str]:
    return set(inspect.signature(kind).parameters)


def _known(key: str) -> bool:
    """Whether any scheduler known here has this field: configs keep those of the class that they were made from."""
    return any(key in _fields(getattr(library(), name)) for name in _FAMILIES)


def _unknown_scheduler(name: str) -> str:
    return (
        f"the scheduler {name} is unknown here, and its conventions are not guessed: known are {', '.join(_FAMILIES)}"
    )


def _unknown_prediction(predicted: Any, known: Any) -> str:
    return f"prediction_type={predicted!r} of the scheduler is unknown here: known are {', '.join(known)}"
