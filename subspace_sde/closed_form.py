"""D_F without a network: eq. 14 in closed form where the data is modelled as a Gaussian.

With data mean μ and covariance Σ_j λ_j v_j v_jᵀ the exact score is known, and with p_j = ‖P⊥v_j‖², m = ‖P⊥μ‖²,
τ_j = α²λ_j + σ², v = (Σ_j p_j λ_j + m)/n⊥, Σ⊥ = α²v + σ² and c = 1/Σ⊥

    D_F(t) = Σ⊥/n⊥ · { Σ_j p_j (1 − cτ_j)²/τ_j + c² α² m }

so that every subspace and every t follow from one vector p. The data are no Gaussian, and the divergence of a network
is larger than this; but a plan can be made before anything is trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .divergence import ComplementParts, DivergenceCurve, increasing_times
from .oracles import DCTGaussian, Gaussian
from .sdes import IsotropicSDE
from .subspaces import Identity, Subspace


def gaussian_divergence(
    gaussian: Gaussian | DCTGaussian,
    sde: IsotropicSDE,
    subspaces: Sequence[Subspace],
    times: Sequence[float] | None = None,
    within: Subspace | None = None,
    center: bool = False,
) -> list[DivergenceCurve]:
    """D_F(U_{k|j}; t) of every subspace for Gaussian data, exact and without a single draw.

    Parameters
    ----------
    gaussian: the data's model, from `Covariance.gaussian` where d × d numbers fit, else from `PowerSpectrum.gaussian`.
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
    >>> decaying = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    >>> curves = gaussian_divergence(decaying, VE(), [LowPass((16,), n, axes=(-1,)) for n in (8, 4)])
    >>> [round(curve.time_at(3e-3), 2) for curve in curves]
    [0.35, 0.44]
    """
    grid = increasing_times(sde.grid(200)[-2:0:-1].tolist() if times is None else times, sde)
    base = Identity(gaussian.shape) if within is None else within
    alpha, sigma = (np.asarray([curve(t) for t in grid])[:, None] for curve in (sde.alpha, sde.sigma))
    outside = 1.0 if within is None else gaussian.captured(base)
    mean = base.restrict(gaussian.mean)
    curves = []
    for subspace in subspaces:
        relative = subspace.within(base)
        lost = relative.ambient_dim - relative.dim
        if not lost:
            raise ValueError(f"{subspace!r} keeps all dimensions: it has no complement")
        p = np.maximum(outside - gaussian.captured(subspace), 0.0).reshape(-1)
        chosen = p > 1e-12  # rounding of captured; most of a low-pass's or a PCA's p are 0
        p, eigenvalues = p[chosen], gaussian.eigenvalues.reshape(-1)[chosen]
        m = 0.0 if center else float(np.sum(relative.reject(mean) ** 2))
        energy = float(p @ eigenvalues) + m
        values, squares = [], []
        for a, s in zip(alpha[:, 0], sigma[:, 0]):
            tau, total = a * a * eigenvalues + s * s, a * a * energy / lost + s * s
            values.append(total / lost * (p @ ((1 - tau / total) ** 2 / tau) + (a / total) ** 2 * m))
            squares.append((float(np.sum(p / tau)), -float(np.sum(p)), float(p @ tau) + a * a * m))
        parts = ComplementParts(lost, energy, tuple(zip(*squares)))
        curves.append(DivergenceCurve(grid, tuple(values), None, sde, parts))
    return curves
