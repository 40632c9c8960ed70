"""The law of what Algorithm 1 returns for Gaussian data, with exact scores and a perfect solver.

Level k's data are N(m, C), so that on the way down from t to s the components of x − α m along the eigenvectors of C,
of variances c = α²λ + σ², know nothing of each other. Between the probability-flow ODE (eq. 3, η = 0) and the reverse
SDE (eq. 2, η = 1) lie

    dx = [f x − ½(1 + η) g² s] dt + √η g dw̄

which all keep c. With c' = 2f c + g² a component y obeys dy = y d(½(1 + η) log c − η log α) + noise, so that it is
multiplied by

    a = √(c_s/c_t) · ((α_t/α_s) √(c_s/c_t))^η,  and noise of variance c_s − a² c_t is added.

At t_k, injection makes U C Uᵀ + Σ⊥_{k|k-1}(t_k)(I − UUᵀ) of a covariance C and U m + α(t_k) μ⊥_k of a mean m. What then
differs from the data's law is the model's doing, the isotropic and independent complement, and the start from
N(0, σ(T)²I); what differs from this law in samples is the solver's, and the networks'.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..border import checked
from ..oracles.dct import DCTGaussian
from ..oracles.gaussian import Diagonalised, Gaussian, Normal, symmetric
from ..process import SubspaceSDE
from ..subspaces import Subspace

_Numbers = np.ndarray[Any, Any]


@checked
def law_of_samples(process: SubspaceSDE, data: Normal, eta: float = 0.0, level: int = 0) -> Gaussian | DCTGaussian:
    """The exact law of Algorithm 1's output for Gaussian data: each level has the data's own score, no step any error.

    Parameters
    ----------
    process: the subspace diffusion; its complement variances, and its mean, need not be the data's.
    data: the law of x(0). With a `DCTGaussian` on `LowPass` levels no matrix is built; else they are dense.
    eta: η, the variance of the noise relative to the reverse SDE's: 0 for solvers of the ODE, 1 for those of the SDE.
        It is `DPMSolver`'s η; that of `DDIM` is √η.
    level: k, for the law of x_k(t_k) at the end of stage k; 0 is the law of the samples, at t_min.

    Raises ValueError for data of another shape than the process, η < 0, or levels that are too large for a matrix;
    TypeError for data that are no Gaussian.

    >>> from subspace_sde import VE, LowPass, NestedSubspaces, SubspaceSDE
    >>> data = DCTGaussian(np.zeros(4), [4.0, 2.0, 0.2, 0.1])
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([LowPass((4,), 2, axes=(-1,))]), [0.6], [0.15]
    ... )
    >>> # 0.2 and 0.1 were taken for 0.15 above t_1
    >>> law_of_samples(process, data).eigenvalues.round(3)
    array([3.994, 1.999, 0.197, 0.102])
    """
    if not 0 <= eta < np.inf:
        raise ValueError(f"eta is 0 for the ODE, 1 for the reverse SDE, and not negative, got {eta}")
    if not 0 <= level <= process.K:
        raise ValueError(f"level must lie in 0 ... {process.K}, got {level}")
    sde = process.sde
    laws: list[Any] = [data.restrict(subspace) for subspace in process.subspaces[level:]]
    form: _Form = _Power()
    if not all(isinstance(law, DCTGaussian) for law in laws):
        laws, form = [law.dense() for law in laws], _Covariance()
    mean = np.zeros(laws[-1].shape)
    spread = form.white(laws[-1], sde.prior_std**2)
    for k in reversed(range(level, process.K + 1)):
        law = laws[k - level]
        if k < process.K:
            t, step = process.times[k], process.subspaces.steps[k]
            spread = form.injected(spread, step, process.complement_variance(k + 1, t))
            mean = step.embed(mean)
            if process.mean is not None:
                mean = mean + sde.alpha(t) * step.reject(process.subspaces[k].restrict(process.mean))
        end, start = process.ends(k)
        ratio = float(sde.alpha(end) / sde.alpha(start))
        before, after = (float(sde.alpha(t)) ** 2 * law.eigenvalues + float(sde.sigma(t)) ** 2 for t in (start, end))
        shrinking = after / (ratio**2 * before)  # <= 1: the variance, relative to α², falls
        factor = np.sqrt(after / before) * shrinking ** (eta / 2)
        fresh = -after * np.expm1(eta * np.log(shrinking))
        spread = form.carried(spread, law, factor, fresh)
        deviation = law.axes.restrict(mean - float(sde.alpha(start)) * law.mean)
        mean = float(sde.alpha(end)) * law.mean + law.axes.embed(factor * deviation)
    return form.law(mean, spread)


class _Form(Protocol):
    """How the spread of a Gaussian is written down: its covariance, or the variances of its DCT."""

    def white(self, law: Diagonalised, variance: float) -> _Numbers:
        """White noise of the shape of `law`."""

    def injected(self, spread: _Numbers, step: Subspace, variance: float) -> _Numbers:
        """U C Uᵀ + variance (I − UUᵀ)."""

    def carried(self, spread: _Numbers, law: Diagonalised, factor: _Numbers, fresh: _Numbers) -> _Numbers:
        """A C A + V diag(fresh) Vᵀ with A = V diag(factor) Vᵀ, V the axes of `law`."""

    def law(self, mean: _Numbers, spread: _Numbers) -> Gaussian | DCTGaussian:
        """The Gaussian."""


class _Covariance:
    def white(self, law: Diagonalised, variance: float) -> _Numbers:
        return variance * np.eye(law.mean.size)

    def injected(self, spread: _Numbers, step: Subspace, variance: float) -> _Numbers:
        u = step.matrix()
        found: _Numbers = u @ (spread - variance * np.eye(step.dim)) @ u.T + variance * np.eye(step.ambient_dim)
        return found

    def carried(self, spread: _Numbers, law: Diagonalised, factor: _Numbers, fresh: _Numbers) -> _Numbers:
        v, factor = law.axes.matrix(), factor.reshape(-1)
        inner = factor[:, None] * (v.T @ spread @ v) * factor
        found: _Numbers = v @ (inner + np.diag(fresh.reshape(-1))) @ v.T
        return found

    def law(self, mean: _Numbers, spread: _Numbers) -> Gaussian:
        return Gaussian(mean, symmetric(spread))


class _Power:
    def white(self, law: Diagonalised, variance: float) -> _Numbers:
        return np.full(law.shape, variance)

    def injected(self, spread: _Numbers, step: Subspace, variance: float) -> _Numbers:
        # the DCT of the coordinates are the lowest of the array's: the data's law would not be diagonal there otherwise
        found = np.full(step.ambient_shape, variance)
        found[tuple(slice(n) for n in step.shape)] = spread
        return found

    def carried(self, spread: _Numbers, law: Diagonalised, factor: _Numbers, fresh: _Numbers) -> _Numbers:
        found: _Numbers = factor**2 * spread + fresh
        return found

    def law(self, mean: _Numbers, spread: _Numbers) -> DCTGaussian:
        return DCTGaussian(mean, spread)
