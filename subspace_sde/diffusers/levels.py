"""The levels of a pipeline: from a plan, or from sizes and data; and as the plain JSON that lies beside the networks.

A switch is kept as its log-SNR, which is the network's own and no scheduler's: a scheduler may be replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..arrays import batches, is_floating, namespace
from ..divergence.gaussian import gaussian_divergence
from ..planning.earliest import earliest
from ..planning.plans import Plan
from ..process import SubspaceSDE
from ..scores.process_change import times_of_level
from ..sdes import IsotropicSDE
from ..specification import build, specify
from ..statistics import ComplementMoments, PowerSpectrum
from ..subspaces import LowPass, NestedSubspaces
from .latents import check_pixels
from .loading import Pretrained


def as_json(process: SubspaceSDE) -> dict[str, Any]:
    """What `from_json` reads: the subspaces, the log-SNR of every switch, the complements' variances and mean."""
    described = specify(process)
    return {
        "subspaces": described["subspaces"],
        "log_snrs": [float(process.sde.log_snr(t)) for t in process.times],
        "complement_variances": described["complement_variances"],
        "mean": described.get("mean"),
    }


def from_json(content: dict[str, Any], sde: IsotropicSDE) -> SubspaceSDE:
    """The process under `sde`; a ValueError where that does not reach a switch, or for other content."""
    try:
        subspaces, mean = build(content["subspaces"]), content["mean"]
        log_snrs, variances = content["log_snrs"], content["complement_variances"]
        if not isinstance(subspaces, NestedSubspaces):
            raise ValueError(f"its subspaces are a {type(subspaces).__name__}")
        mean = None if mean is None else build(mean)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"these are no levels of a pipeline: {error!r}") from error
    return SubspaceSDE(sde, subspaces, [sde.time_at_log_snr(v) for v in log_snrs], variances, mean)


def fitted(model: Pretrained, plan: Plan | Sequence[Any], data: Any, threshold: float) -> SubspaceSDE:
    """The process of a plan, or of `LowPass` levels of the given sizes from when on a Gaussian model allows them."""
    if isinstance(plan, Plan):
        if plan.subspaces.ambient_shape != model.shape:
            raise ValueError(
                f"the plan is one of arrays of shape {plan.subspaces.ambient_shape}, the network's are {model.shape}"
            )
        if plan.sde != model.sde:
            raise ValueError(
                f"the plan is one of {plan.sde!r}, the network's process is {model.sde!r}: make the plan with "
                "pretrained(pipe).sde, and from data in the network's range"
            )
        return SubspaceSDE.fit(plan.sde, plan.subspaces, plan.times, _in_range(model, data))
    nested = NestedSubspaces.from_subspaces([LowPass(model.shape, size) for size in plan])
    moments, spectrum = ComplementMoments(nested), PowerSpectrum(model.shape)
    for batch in _in_range(model, data):
        moments.update(batch)
        spectrum.update(batch)
    times: list[float] = []
    for level, curve in zip(nested[1:], gaussian_divergence(spectrum.gaussian(), model.sde, nested[1:])):
        t = earliest(curve, curve, threshold)
        if t is None:
            raise ValueError(
                f"the size {level.shape[1:]} does not meet the threshold {threshold:g}: the smallest D_F of these data "
                f"is {min(curve.values):.3g}; leave it out, or give a larger threshold"
            )
        first = times_of_level(model.sde, level)[0]  # where the network serves it
        t = max(t, first + 1e-6 * (model.sde.T - first))
        if times and t <= times[-1]:
            raise ValueError(
                f"the size {level.shape[1:]} may be used from t = {t:.3g} on, as soon as the one above: leave that out"
            )
        times.append(t)
    return SubspaceSDE.fit(model.sde, nested, times, moments)


def _in_range(model: Pretrained, data: Any) -> Iterator[Any]:
    """The batches of `data` as the network was trained on them."""
    for batch in batches(data):
        namespace(batch)
        if tuple(batch.shape[1:]) != model.shape:
            hint = ": encode images first, subspace_sde.diffusers.encode_images(vae, images)" if model.latent else ""
            raise ValueError(f"the network's data have the shape {model.shape}, got {tuple(batch.shape[1:])}{hint}")
        if model.latent:
            if not is_floating(batch):
                raise ValueError(f"latents are floating-point numbers, got {batch.dtype}")
            yield batch
        else:
            check_pixels(batch)
            yield model.scale * batch + model.offset
