"""Exact likelihoods, in stages or in full dimension: log p is carried along the probability flow, d log p = −∇·v dt.

In stages, with x_k followed over [t_k, t_{k+1}] and x⊥_{k|k-1}(t_k) split off on the way,

    log p(x(t_min)) = Σ_{k=0..K} ∫ ∇·v_k dt
                      + Σ_{k=1..K} log N(x⊥_{k|k-1}(t_k); α μ⊥_k, Σ⊥_{k|k-1}(t_k))
                      + log N(x_K(T); 0, σ²(T))

with v_k = f x_k − ½ g² s_k(x_k, t) of eq. 3. With the full score (eq. 11) the same complements stay, as
√Σ⊥ wide as ever, until T: the same model and the same number, from states that are never smaller.

∇·v has large parts that are known. Against the flow of N(0, vI), of variance c(t) = α²v + σ² in every direction,

    ∫ ∇·v_k dt = ½ n_k log(c(t_{k+1})/c(t_k)) − ∫ ½ g² (tr J_k + n_k/c) dt

where the integrand is small; √v is the geometric mean of the least and the largest σ/α. What is left of the volume,
l, joins the state as α l. With α (tr J_k + n_k/c) as one more entry of the score, that is a probability flow like any
other, and every solver of eq. 3 serves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import array_api_compat
import numpy as np

from ..arrays import Score, device, namespace, positive_integer
from ..backend import RNG, Noise, backend_of, check_concrete, seeds, started
from ..border import checked
from ..conditions import Condition
from ..process import SubspaceSDE
from ..progress import Bar
from ..sdes import Spacing
from ..shown import Shown
from ..solvers import Solver
from .bins import Bins
from .flow import Flow, split
from .traces import Hutchinson, Trace, inner

_Numbers = np.ndarray[Any, Any]
_Estimate = Callable[[Any, float], tuple[Any, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Likelihood(Shown):
    """What `log_likelihood` returns: numbers on the host, in float64.

    Attributes
    ----------
    nats: log p(x(t_min)) of every sample, (*batch,); with `Bins` the lower bound on log P of the image.
    stderr: its standard error in nats, (*batch,), from the spread of independent draws: 0 where nothing was drawn, NaN
        where one draw tells nothing of it.
    dim: d, the numbers in a sample.
    evaluations: of s_k, that each sample went through, k = 0 … K (in its chunk; the most, should chunks differ); a
        probe takes one at each time, the exact trace n_k. Two more of each score in each chunk, by which its derivative
        is checked, are not counted.
    seconds: wall time spent on each level.
    estimates: nats of every repeat and probe, (repeats, probes, *batch).
    """

    nats: _Numbers
    stderr: _Numbers
    dim: int
    evaluations: tuple[int, ...]
    seconds: tuple[float, ...]
    estimates: _Numbers = field(repr=False)

    @property
    def bits_per_dimension(self) -> _Numbers:
        """−log₂ p / d: less is better; to be compared with other models' only with `Bins`."""
        bits: _Numbers = -self.nats / (self.dim * math.log(2))
        return bits

    @property
    def bits_stderr(self) -> _Numbers:
        """The standard error of `bits_per_dimension`."""
        bits: _Numbers = self.stderr / (self.dim * math.log(2))
        return bits

    @property
    def mean(self) -> tuple[float, float]:
        """The mean of `nats` over all samples and its standard error, NaN for one sample.

        The error is from the spread of the samples, in which that of the probes is contained.
        """
        return _over_samples(self.nats)

    @property
    def bits_mean(self) -> tuple[float, float]:
        """The mean of `bits_per_dimension` over all samples and its standard error, as of `mean`."""
        return _over_samples(self.bits_per_dimension)


def _over_samples(values: _Numbers) -> tuple[float, float]:
    values = values.reshape(-1)
    return float(np.mean(values)) if values.size else math.nan, float(_standard_error(values))


@checked
def log_likelihood(
    process: SubspaceSDE,
    scores: Sequence[Score],
    x: Any,
    form: Form | None = None,
    solver: Solver | None = None,
    steps: int | Sequence[float] = 1000,
    trace: Trace | None = None,
    rng: RNG = 0,
    bins: Bins | None = None,
    *,
    spacing: Spacing | None = None,
    condition: Condition | None = None,
    chunk: int | None = None,
    progress: bool = False,
) -> Likelihood:
    """The log-density of x under the model that `process` and the scores are, by its probability flow.

    Parameters
    ----------
    process: the subspace diffusion; with K = 0 this is Song et al.'s likelihood in the full space.
    scores: s_0 … s_K, called with t a float. A score with a method ``vjp(x, t, v)``, v times its Jacobian, is not
        differentiated by the backend.
    x: (*batch, *ambient_shape), taken for x(t_min). Of half precision it is followed in float32, and the scores are
        called with half precision: what they round is in the result, what a thousand steps would round is not.
    form: `Staged()` without it, or `FullScore()`.
    solver: any that draws no noise, of `subspace_sde.solvers`: `Heun()` without it, `DPMSolver(3)`, or adaptive steps
        with `DormandPrince(rtol, atol)`. All samples of a batch share these, so that a sample's number depends on its
        neighbours within the tolerance.
    steps, spacing: those of `sample`.
    trace: `Hutchinson()` without it, one Rademacher probe; or `Exact()`.
    rng: an integer, a sequence of one integer a sample, or a backend's generator, for probes and dequantisation.
    bins: where x are images of whole numbers; for their bits per dimension.
    condition: (*batch, ...), or several such arrays, as for `sample`.
    chunk: samples at a time, where all of them do not fit in memory; with seeds the noise does not depend on it.
    progress: show a progress bar (extra ``progress``).

    Raises
    ------
    ValueError: x of another shape, not finite, or outside the range of the bins; scores missing, of another shape than
        x, or not finite; a solver that draws noise; a numpy function to be differentiated in float32; a score whose
        derivative is not that of its values, because ``torch.no_grad()``, ``.detach()`` or numpy inside cut it off.
    TypeError: an object of the wrong kind.

    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> from subspace_sde.solvers import DormandPrince
    >>> from subspace_sde.likelihood import Exact
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.5], [1.0]
    ... )
    >>> normal = lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)  # data N(0, I)
    >>> x, exact = np.ones((1, 4)), {"solver": DormandPrince(), "trace": Exact()}
    >>> found = log_likelihood(process, [normal, normal], x, **exact)
    >>> found.nats.round(2), (-2 - 2 * np.log(2 * np.pi)).round(2)
    (array([-5.68]), np.float64(-5.68))
    """
    check_concrete("x", x, "its log-density goes to the host; call log_likelihood outside of it")
    form, trace = Staged() if form is None else form, Hutchinson() if trace is None else trace
    whole = Flow(process, scores, x, solver, steps, spacing, condition)
    batch, size, dim = tuple(x.shape[: x.ndim - len(process.shape(0))]), whole.size, math.prod(process.shape(0))
    chunk = positive_integer("chunk", max(1, size) if chunk is None else chunk)
    given = namespace(x).reshape(x, (size, *process.shape(0)))
    if bins is not None:
        bins.numbers(given)
    rng = started(rng, given)
    streams = None if backend_of(x).is_generator(rng) else seeds(rng, size)
    starts, repeats = range(0, max(1, size), chunk), 1 if bins is None else bins.repeats
    parts: list[_Numbers] = []
    flows: list[Flow] = []
    with Bar(progress, "likelihood", total=whole.steps * repeats * len(starts)) as bar, backend_of(x).no_grad():
        for rows in (slice(start, min(start + chunk, size)) for start in starts):
            flow, some = whole.showing(bar).part(rows), given[rows, ...]
            wide = flow.flat(some)
            noise = Noise(rng if streams is None else streams[rows], (flow.size,), wide)
            inputs = iter([wide]) if bins is None else bins.dequantised(some, noise)
            parts.append(np.stack([form.estimates(flow, trace, y, noise).T for y in inputs]))
            flows.append(flow)
    found = np.concatenate(parts, axis=-1)
    if bins is not None:
        found = found + dim * math.log(bins.width)
    independent = found[0] if bins is None else found.mean(axis=1)
    certain = bins is None and trace.draws == 0
    stderr = np.zeros(size) if certain else _standard_error(independent)
    return Likelihood(
        found.mean(axis=(0, 1)).reshape(batch),
        stderr.reshape(batch),
        dim,
        tuple(max(counts) for counts in zip(*(flow.evaluations for flow in flows))),
        tuple(sum(spent) for spent in zip(*(flow.seconds for flow in flows))),
        found.reshape(*found.shape[:2], *batch),
    )


class Form(Protocol):
    """A way to the likelihood."""

    def estimates(self, flow: Flow, trace: Trace, x: Any, noise: Noise) -> _Numbers:
        """log p of x, (size, *ambient_shape), by every draw of the trace: (size, max(draws, 1))."""


class Staged(Shown):
    """Level k's flow on x_k alone: above t_1 nothing has the size of x, and no probe sees the complement."""

    def estimates(self, flow: Flow, trace: Trace, x: Any, noise: Noise) -> _Numbers:
        process, total = flow.process, np.zeros((flow.size, 1))
        for k, score in enumerate(flow.scores):
            probes = trace.probes(process.shape(k), noise)
            x, volume = _carried(flow, k, x, trace, lambda y, t: trace.estimate(score, y, t, probes))  # noqa: B023
            total = total + volume
            if k < process.K:
                x, c = split(process, k + 1, x, process.times[k])
                total = total + _complement_density(process, k + 1, c, process.times[k])
        return total + _normal_density(x, process.sde.prior_std**2, math.prod(process.shape(process.K)))


@checked
class FullScore(Shown):
    """Eq. 11 in full dimension, stage by stage; at T the complements have their variances Σ⊥(T).

    Parameters
    ----------
    analytic: take the complements' part of the trace, −Σ_j (n_{j-1} − n_j)/Σ⊥_j, as it is known, with the probes of
        `Staged`; else one probe in full dimension sees them too, as it would in a full score that is a black box.
    """

    def __init__(self, analytic: bool = True) -> None:
        self.analytic = analytic

    def estimates(self, flow: Flow, trace: Trace, x: Any, noise: Noise) -> _Numbers:
        process, total = flow.process, np.zeros((flow.size, 1))
        whole = None if self.analytic else trace.probes(process.shape(0), noise)
        for k in range(process.K + 1):
            if whole is None:
                probes, squares = trace.probes(process.shape(k), noise), _lost(process)[:k]
            else:
                probes, squares = _restricted(process, k, whole)
            x, volume = _carried(flow, k, x, trace, _full_estimate(flow, k, trace, probes, squares))
            total = total + volume
        T = process.sde.T
        for k in range(1, process.K + 1):
            x, c = split(process, k, x, T)
            total = total + _complement_density(process, k, c, T)
        return total + _normal_density(x, process.sde.prior_std**2, math.prod(process.shape(process.K)))


def _full_estimate(flow: Flow, k: int, trace: Trace, probes: Any, squares: Sequence[Any]) -> _Estimate:
    """Eq. 11 on stage k and its trace; `squares` are tr(P_{j-1} − P_j), or what a probe makes of them, j = 1 … k."""
    process, score = flow.process, flow.scores[k]

    def estimate(x: Any, t: float) -> tuple[Any, Any]:
        traces: list[Any] = []

        def network(z: Any, t: float) -> Any:
            s, found = trace.estimate(score, z, t, probes)
            traces.append(found)
            return s

        s = process._stage_score(network, k, x, t)
        gaussian = (square * (-1 / process.complement_variance(j, t)) for j, square in enumerate(squares, start=1))
        return s, sum(gaussian, traces[0])

    return estimate


def _restricted(process: SubspaceSDE, k: int, v: Any) -> tuple[Any, list[Any]]:
    """U_kᵀv of probes v in full dimension, and ‖v⊥_{j|j-1}‖² for j = 1 … k."""
    xp, squares = array_api_compat.array_namespace(v), []
    for step in process.subspaces.steps[:k]:
        coarse = step._restrict(v, xp)
        rest = v - step._embed(coarse, xp)
        squares.append(xp.stack([inner(rest[:, i, ...], rest[:, i, ...]) for i in range(rest.shape[1])], axis=1))
        v = coarse
    return v, squares


def _carried(flow: Flow, k: int, x: Any, trace: Trace, estimate: _Estimate) -> tuple[Any, _Numbers]:
    """x(t_{k+1}) from x(t_k), and ∫ ∇·v dt, the logarithm of what volumes grow by: (size, draws)."""
    sde, (low, high) = flow.process.sde, flow.process.ends(k)
    xp, size, shape = array_api_compat.array_namespace(x), flow.size, tuple(x.shape[1:])
    n = math.prod(shape)
    v = math.exp(-0.5 * (float(sde.log_snr(sde.t_min)) + float(sde.log_snr(sde.T))))

    def c(t: float) -> float:
        return float(sde.alpha(t)) ** 2 * v + float(sde.sigma(t)) ** 2

    def joined(y: Any, t: float) -> Any:
        s, traces = estimate(xp.reshape(y[:, :n], (y.shape[0], *shape)), t)
        return xp.concat([xp.reshape(s, (y.shape[0], n)), float(sde.alpha(t)) * (traces + n / c(t))], axis=1)

    none = xp.zeros((size, max(1, trace.draws)), dtype=x.dtype, device=device(x))
    y = flow.up(k, xp.concat([xp.reshape(x, (size, n)), none], axis=1), joined)
    left = backend_of(y).to_numpy(y[:, n:]).astype(np.float64) / float(sde.alpha(high))
    return xp.reshape(y[:, :n], (size, *shape)), left + 0.5 * n * math.log(c(high) / c(low))


def _lost(process: SubspaceSDE) -> list[int]:
    """n_{j-1} − n_j for j = 1 … K."""
    return [step.ambient_dim - step.dim for step in process.subspaces.steps]


def _complement_density(process: SubspaceSDE, k: int, c: Any, t: float) -> _Numbers:
    """log N(x⊥_{k|k-1}(t); α μ⊥_k, Σ⊥) in n_{k-1} − n_k dimensions, from c of `split`: (size, 1)."""
    n = _lost(process)[k - 1]
    return _normal_density(c, 1.0, n) - 0.5 * n * math.log(process.complement_variance(k, t))


def _normal_density(x: Any, variance: float, n: int) -> _Numbers:
    """log N(x; 0, variance) in n dimensions, (size, 1)."""
    squares = backend_of(x).to_numpy(inner(x, x)).astype(np.float64)[:, None]
    density: _Numbers = -0.5 * (squares / variance + n * math.log(2 * math.pi * variance))
    return density


def _standard_error(independent: _Numbers) -> _Numbers:
    """Of the mean over the first axis; NaN where that has one entry."""
    count = len(independent)
    if count < 2:
        return np.full(independent.shape[1:], np.nan)
    error: _Numbers = np.asarray(np.std(independent, axis=0, ddof=1) / math.sqrt(count))
    return error
