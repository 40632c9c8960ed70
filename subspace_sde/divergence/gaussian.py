"""D_F without a network: eq. 14 in closed form where the data is modelled as a Gaussian.

With data mean μ and covariance Σ_j λ_j v_j v_jᵀ the exact score is known, and with p_j = ‖P⊥v_j‖², m = ‖P⊥μ‖²,
τ_j = α²λ_j + σ², v = (Σ_j p_j λ_j + m)/n⊥, Σ⊥ = α²v + σ² and c = 1/Σ⊥

    D_F(t) = Σ⊥/n⊥ · { Σ_j p_j (1 − cτ_j)²/τ_j + c² α² m }

so that every subspace and every t follow from one vector p. Data are no Gaussian, and a network's divergence is larger
than that of the Gaussian with their covariance (one with their power spectrum alone may overstate it); but a plan can
be made before anything is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..border import checked
from ..oracles.gaussian import Normal
from ..sdes import IsotropicSDE
from ..subspaces import Identity, Subspace
from .estimate import ComplementParts, DivergenceCurve, increasing_times

_Numbers: TypeAlias = np.ndarray[Any, Any]

_NUMBERS = 2**24  # of p in memory, 134 MB


@checked
def gaussian_divergence(
    gaussian: Normal,
    sde: IsotropicSDE,
    subspaces: Sequence[Subspace],
    times: Sequence[float] | None = None,
    within: Subspace | None = None,
    center: bool = False,
) -> list[DivergenceCurve]:
    """D_F(U_{k|j}; t) of every subspace for Gaussian data, exact and without a single draw.

    Parameters
    ----------
    gaussian: the data's model, from `Covariance.gaussian` where d × d numbers fit, else from `PowerSpectrum.gaussian`;
        or a `LowRankGaussian` whose diagonal is one number.
    sde: the process.
    subspaces: U_1, U_2, … of the full space; they need not be nested in each other.
    times: increasing, in [t_min, T], without it 199 times, even in the SDE's own grid parameter.
    within: U_j, for D_F(U_{k|j}; t); the full space without it.
    center: model the complement about the data's mean.

    Returns
    -------
    One `DivergenceCurve` a subspace.

    Raises ValueError for subspaces of another shape, or that do not lie in `within`.

    >>> from subspace_sde import VE, LowPass
    >>> from subspace_sde.oracles import DCTGaussian
    >>> decaying = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    >>> curves = gaussian_divergence(
    ...     decaying, VE(), [LowPass((16,), n, axes=(-1,)) for n in (8, 4)]
    ... )
    >>> [round(curve.time_at(3e-3), 2) for curve in curves]
    [0.35, 0.44]
    """
    grid = increasing_times(sde.grid(200)[-2:0:-1].tolist() if times is None else times, sde)
    base = Identity(gaussian.shape) if within is None else within
    alpha, sigma = (np.asarray([curve(t) for t in grid]) for curve in (sde.alpha, sde.sigma))
    outside = gaussian.captured(base)
    mean = base.restrict(gaussian.mean)
    eigenvalues = gaussian.eigenvalues.reshape(-1)
    curves: list[DivergenceCurve] = []
    some = max(1, _NUMBERS // len(eigenvalues))  # subspaces at a time: their p are what takes memory
    for start in range(0, len(subspaces), some):
        group = subspaces[start : start + some]
        relative = [subspace.within(base) for subspace in group]
        for subspace, u in zip(group, relative):
            if u.dim == u.ambient_dim:
                raise ValueError(f"{subspace!r} keeps all dimensions: it has no complement")
        p = np.stack([np.maximum(outside - kept, 0.0).reshape(-1) for kept in gaussian.captured_by(group)])
        p[p <= 1e-12] = 0.0  # rounding of captured; most of a low-pass's or a PCA's p are 0
        lost = np.asarray([u.ambient_dim - u.dim for u in relative])
        m = np.asarray([0.0 if center else np.sum(u.reject(mean) ** 2) for u in relative])
        energy = p @ eigenvalues + m
        inverse, gaps = _sums(p, eigenvalues, energy / lost, alpha, sigma)
        for k in range(len(relative)):
            total = alpha**2 * energy[k] / lost[k] + sigma**2
            values = alpha**2 / (lost[k] * total) * (alpha**2 * gaps[k] + m[k])  # 1 - cτ is α²c(v - λ)
            whole = float(np.sum(p[k]))
            squares = (inverse[k], np.full(len(grid), -whole), alpha**2 * energy[k] + sigma**2 * whole)
            parts = ComplementParts(int(lost[k]), float(energy[k]), tuple(tuple(q.tolist()) for q in squares))
            curves.append(DivergenceCurve(grid, tuple(values.tolist()), None, sde, parts))
    return curves


def _sums(
    p: _Numbers, eigenvalues: _Numbers, variances: _Numbers, alpha: _Numbers, sigma: _Numbers
) -> tuple[_Numbers, _Numbers]:
    """Σ_j p_j/τ_j and Σ_j p_j (v − λ_j)²/τ_j of every subspace, (subspaces, times) each, some eigenvalues at a time."""
    inverse, gaps = np.zeros((2, len(p), len(alpha)))
    for start in range(0, len(eigenvalues), 2**14):
        each, weights = eigenvalues[start : start + 2**14], p[:, start : start + 2**14]
        reciprocal = 1 / (np.multiply.outer(each, alpha**2) + sigma**2)
        inverse += weights @ reciprocal
        gaps += (weights * (variances[:, None] - each) ** 2) @ reciprocal
    return inverse, gaps
