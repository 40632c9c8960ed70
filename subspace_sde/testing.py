"""The laws, as assertions that anybody's subspace, SDE or backend can be put to.

Each check draws its input from a fixed seed, and an AssertionError says which law failed, on what input, and by how
much. Nothing but numpy is needed: the checks work under any test runner, or none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import Array
from .backend import Backend, library
from .border import checked
from .comparison import Comparison
from .sdes import IsotropicSDE
from .subspaces import Subspace

_BATCHES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 1, 2), (0,))


@checked
def check_subspace(
    subspace: Subspace, like: Array | None = None, tolerance: float | None = None, outer: Subspace | None = None
) -> None:
    """The laws of an isometry: UᵀU = I, adjointness, P² = P = Pᵀ, P + P⊥ = I, linearity, on any leading axes.

    Where there are `axis_matrices`, U must be their product; where there is a `coordinate_scale` c, a constant array
    has coordinates that are c times as large; and with `outer` the step U_{k|j} that `within` gives must lead to the
    same place, U_j U_{k|j} = U_k.

    Parameters
    ----------
    subspace: the one to be checked.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    tolerance: the largest error allowed, relative to the largest number compared or to 1, the input's standard
        deviation; without it the square root of the dtype's machine epsilon.
    outer: U_j, another subspace of the same space, in which this one lies.

    Raises
    ------
    AssertionError: a law does not hold, or an operation raises; which, on what input and by how much.

    >>> from subspace_sde import LowPass
    >>> check_subspace(LowPass((3, 9, 8), 5), outer=LowPass((3, 9, 8), 7))
    """
    like = np.zeros(()) if like is None else like
    law = Comparison(repr(subspace), like, tolerance)
    for seed, batch in enumerate(_BATCHES):
        law.input = f"standard normal x of shape {(*batch, *subspace.ambient_shape)} and z of shape "
        law.input += f"{(*batch, *subspace.shape)} from numpy's default_rng({seed}), {like.dtype} of {library(like)}"
        draw = np.random.default_rng(seed).standard_normal
        x, y = (law.array(draw((*batch, *subspace.ambient_shape))) for _ in range(2))
        z, w = (law.array(draw((*batch, *subspace.shape))) for _ in range(2))
        before = law.host(x), law.host(z)
        down = law.gives("restrict gives (*batch, *shape)", z, subspace.restrict, x)
        up = law.gives("embed gives (*batch, *ambient_shape)", x, subspace.embed, z)
        projected = law.gives("project gives the shape of x", x, subspace.project, x)
        rejected = law.gives("reject gives the shape of x", x, subspace.reject, x)
        law.equal("the input is left as it was", x, before[0])
        law.equal("the input is left as it was", z, before[1])

        law.equal("UᵀU = I", subspace.restrict(up), z)
        law.products_equal("adjointness, <Uᵀx, z> = <x, Uz>", (down, z), (x, up))
        law.equal("P = UUᵀ", projected, subspace.embed(down))
        law.equal("P² = P", subspace.project(projected), projected)
        law.products_equal("P is symmetric, <Px, y> = <x, Py>", (projected, y), (x, subspace.project(y)))
        law.equal("project + reject = identity", projected + rejected, x)
        law.equal("reject is orthogonal to the subspace, Uᵀ(x − Px) = 0", subspace.restrict(rejected), 0 * z)
        law.equal("restrict is linear", subspace.restrict(2 * x - 3 * y), 2 * down - 3 * subspace.restrict(y))
        law.equal("embed is linear", subspace.embed(2 * z - 3 * w), 2 * up - 3 * subspace.embed(w))
        if batch and 0 not in batch:
            first = (*(0,) * len(batch), ...)
            law.equal("restrict treats the elements of a batch alike", subspace.restrict(x[first]), down[first])
            law.equal("embed treats the elements of a batch alike", subspace.embed(z[first]), up[first])
        if subspace.dim * subspace.ambient_dim <= 10**6:
            columns = law.host(z).reshape(-1, subspace.dim) @ law.works("matrix()", subspace.matrix).T
            law.equal("embed is the product with matrix()", up, columns.reshape(up.shape))
        matrices = law.works("axis_matrices()", subspace.axis_matrices)
        if matrices is not None:
            found, expected = [u.shape for u in matrices], list(zip(subspace.ambient_shape, subspace.shape))
            law.holds("axis_matrices() has one matrix (n_a, m_a) for each axis", found == expected, f"got {found}")
            law.equal("embed is the Kronecker product of axis_matrices()", up, _kronecker(matrices, law.host(z)))
        scale = law.works("coordinate_scale", lambda: subspace.coordinate_scale)
        if scale is not None:
            ones = law.array(np.ones((*batch, *subspace.ambient_shape)))
            law.equal("restrict takes ones to coordinate_scale", subspace.restrict(ones), 0 * z + scale)
        if outer is not None:
            step = law.works("within(outer)", subspace.within, outer)
            inside = law.gives("the step embeds into the coordinates of outer", outer.restrict(x), step.embed, z)
            law.equal("nesting, U_j U_{k|j} z = U_k z", outer.embed(inside), up)
            back = law.gives("the step restricts from them", z, step.restrict, outer.restrict(x))
            law.equal("nesting, U_{k|j}ᵀ U_jᵀ x = U_kᵀ x", back, down)


def _kronecker(matrices: Sequence[np.ndarray[Any, Any]], z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Their product, applied axis by axis to the trailing axes of z."""
    for axis, u in enumerate(matrices, start=z.ndim - len(matrices)):
        z = np.moveaxis(np.tensordot(z, u, axes=(axis, 1)), -1, axis)
    return z


@checked
def check_sde(sde: IsotropicSDE, like: Array | None = None) -> None:
    """The laws of a pair of curves: f = α'/α, g² = (σ²)' − 2fσ², and of what is read off them.

    The derivatives are differences of eighth order in float64. Then: α(T) is not 0 and f and g are finite at the ends,
    where solvers begin and stop; log_snr strictly decreasing, finite, refused
    outside [t_min, T], and inverted by time_at_log_snr; the grid n + 1 long with exact ends; floats and arrays agree.

    Parameters
    ----------
    sde: the one to be checked.
    like: an array whose library, device and dtype are used for the last; numpy float64 without it.

    Raises
    ------
    AssertionError: a law does not hold; which, at what time and by how much.

    >>> from subspace_sde import RectifiedFlow
    >>> check_sde(RectifiedFlow())
    """
    like = np.zeros(()) if like is None else like
    law = Comparison(repr(sde), like, None)
    law.input = f"T = {sde.T!r} and t_min = {sde.t_min!r}"
    law.works("α(T) is not 0, so that a solver can begin", sde.check_terminal)
    for name in ("f", "g"):
        ends = [float(law.works(f"{name} at the ends", getattr(sde, name), t)) for t in (sde.T, sde.t_min)]
        law.holds(f"{name} is finite at the ends", all(math.isfinite(v) for v in ends), f"got {ends}")

    span = sde.T - sde.t_min
    times = [float(t) for t in sde.grid(40)]

    for t in times[1:-1]:
        law.input = f"t = {t!r}"
        step = min(t - sde.t_min, sde.T - t) / 2**14  # short: a table has a kink in its slope at each point
        f, variance, g_squared = float(sde.f(t)), float(sde.sigma(t)) ** 2, float(sde.g(t)) ** 2
        rate = _derivative(lambda s: math.log(sde.alpha(s)), t, step)
        law.equal("f = α'/α", f, rate, scale=abs(f) + 1 / span, tolerance=1e-7)
        growth = _derivative(lambda s: float(sde.sigma(s)) ** 2, t, step)
        found = growth - 2 * f * variance
        law.equal("g² = (σ²)' − 2fσ²", g_squared, found, scale=g_squared + abs(growth), tolerance=1e-7)

    law.input = f"the times {times[-1]:g} … {times[0]:g} of grid(40)"
    values = [sde.log_snr(t) for t in reversed(times)]
    law.holds("log_snr is finite", all(math.isfinite(v) for v in values), f"got {values}")
    law.holds("log_snr decreases strictly", all(a > b for a, b in zip(values, values[1:])), f"got {values}")
    expected = [2 * math.log(sde.alpha(t) / sde.sigma(t)) for t in reversed(times)]
    law.equal("log_snr = log(α²/σ²)", values, expected, tolerance=1e-12)
    back = [sde.time_at_log_snr(v) for v in values]
    law.holds("time_at_log_snr lies in [t_min, T]", all(sde.t_min <= t <= sde.T for t in back), f"got {back}")
    law.equal("time_at_log_snr inverts log_snr", [sde.log_snr(t) for t in back], values, tolerance=1e-11)
    law.equal("prior_std = σ(T)", sde.prior_std, sde.sigma(sde.T), tolerance=0.0)
    beyond = values[0] + 1.0, values[-1] - 1.0
    for v, end in zip(beyond, (sde.t_min, sde.T)):
        law.refuses("time_at_log_snr beyond the ends is a ValueError", sde.time_at_log_snr, v)
        law.equal("clip takes the end", sde.time_at_log_snr(v, clip=True), end, tolerance=1e-11)
    for t in (sde.t_min - 0.1 * span, sde.T + 0.1 * span, math.nan):
        law.refuses("log_snr outside [t_min, T] is a ValueError", sde.log_snr, t)

    for n in (1, 2, 7, 64):
        law.input = f"grid({n})"
        grid = sde.grid(n)
        law.holds("a grid of n steps has n + 1 times", grid.shape == (n + 1,), f"got {grid.shape}")
        law.holds("a grid ends exactly", (grid[0], grid[-1]) == (sde.T, sde.t_min), f"got {grid[0]!r}, {grid[-1]!r}")
        law.holds("a grid decreases strictly", bool(np.all(np.diff(grid) < 0)), f"got {grid}")
        again = [sde.from_grid_parameter(sde.grid_parameter(float(t))) for t in grid]
        law.equal("from_grid_parameter inverts grid_parameter", again, grid, tolerance=1e-12)

    law.input = f"the times of grid(40), {like.dtype} of {library(like)}"
    array = law.array(np.asarray(times[1:-1]).reshape(3, 13))
    rounded = [float(t) for t in law.host(array).astype(np.float64).reshape(-1)]
    for name in ("alpha", "sigma", "f", "g", "log_snr", "grid_parameter"):
        curve: Callable[[Any], Any] = getattr(sde, name)
        found = curve(array)
        law.kind(f"{name} of an array has its shape and kind", found, array)
        exact = np.asarray([curve(t) for t in rounded]).reshape(3, 13)
        size = np.abs(exact) + (1.0 if name == "log_snr" else 0.0)  # it crosses zero
        law.equal(f"{name} of an array agrees with floats", found, exact, scale=size)
    inverse = sde.time_at_log_snr(sde.log_snr(array))
    law.kind("time_at_log_snr of an array has its shape and kind", inverse, array)
    law.equal("time_at_log_snr inverts log_snr on arrays", inverse, array, scale=np.abs(law.host(array)))


@checked
def check_backend(backend: Backend, like: Array) -> None:
    """What the rest of the package relies on: repeatable normals, the way to numpy and back, derivatives, contexts.

    Parameters
    ----------
    backend: the one to be checked.
    like: an array of its library; its device and dtype are used. Derivatives may be refused by a ValueError.

    Raises
    ------
    AssertionError: something does not hold; what and by how much.

    >>> from subspace_sde.backend import backend_of
    >>> check_backend(backend_of(np.zeros(())), np.zeros(()))
    """
    law = Comparison(f"the backend {backend.name}", like, None)
    law.input = f"{like.dtype} of {library(like)}"
    law.holds("its name is that of the library", backend.name == library(like), f"{backend.name!r}, {library(like)!r}")

    def normal(seed: int, shape: tuple[int, ...]) -> Any:
        return backend.normal(backend.generator(seed, like), shape, like)

    seeds = (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
    draws = [normal(seed, (3, 5)) for seed in seeds]
    for seed, draw in zip(seeds, draws):
        law.kind("normal has the shape asked for, and is like `like`", draw, law.array(np.zeros((3, 5))))
        law.equal(f"one seed, the same numbers (seed {seed})", draw, normal(seed, (3, 5)), tolerance=0.0)
    generator = backend.generator(0, like)
    law.holds("is_generator knows its own", backend.is_generator(generator), f"got False for {generator!r}")
    law.holds("is_generator knows an integer", not backend.is_generator(0), "got True for 0")
    law.equal("a generator begins as its seed says", backend.normal(generator, (3, 5), like), draws[0], tolerance=0.0)
    again = law.host(backend.normal(generator, (3, 5), like))
    law.holds("a generator goes on", not np.array_equal(again, law.host(draws[0])), "it gave the same numbers twice")
    many = law.host(normal(3, (20000,))).astype(np.float64)
    for what, value, deviation in (
        ("mean 0", many.mean(), 1.0),
        ("variance 1", (many**2).mean() - 1, math.sqrt(2)),
        ("skewness 0", (many**3).mean(), math.sqrt(15)),
    ):
        error = abs(float(value)) / (deviation / math.sqrt(len(many)))
        law.holds(f"20000 normals have {what}", error < 5, f"off by {error:.1f} standard errors")

    values = np.arange(6.0).reshape(2, 3)
    x = backend.from_numpy(values, like)
    copy = backend.to_numpy(x)
    law.equal("to_numpy(from_numpy(x)) = x", copy, values, tolerance=0.0)
    copy[...] = 7.0
    law.equal("to_numpy gives a copy", x, values, tolerance=0.0)
    law.holds("concrete says that these values can be read", backend.concrete(x) is True, backend.concrete(x))

    x, v = (law.array(np.random.default_rng(seed).standard_normal((2, 3))) for seed in (0, 1))
    for name, direction in (("jvp", v), ("vjp", v), ("jvp", 0 * v)):
        try:
            if name == "jvp":
                value, product = backend.jvp(lambda y: y * y * y + y, x, direction)
            else:
                value, pull_back = backend.vjp(lambda y: y * y * y + y, x)
                product = pull_back(direction)
                law.equal("vjp's products may be asked for again", pull_back(2 * direction), 2 * product)
        except ValueError:
            continue
        law.equal(f"{name} gives the value", value, x * x * x + x)
        law.equal(f"{name} gives the derivative product", product, (3 * x * x + 1) * direction)

    law.input = f"dx/dt = -x/t from t = 2 down to 0.5, then up again, {like.dtype} of {library(like)}"
    times: list[float] = []

    def slope(y: Any, t: float) -> Any:
        times.append(t)
        return -y / t

    end = backend.integrate(slope, x, 2.0, 0.5, 1e-5, 1e-5)
    law.kind("integrate gives x, like x", end, x)
    law.equal("integrate solves the equation", end, 4 * x, tolerance=1e-3)
    law.equal("integrate goes forwards too", backend.integrate(slope, end, 0.5, 2.0, 1e-5, 1e-5), x, tolerance=1e-3)
    inside = all(type(t) is float and 0.5 <= t <= 2.0 for t in times)
    law.holds("integrate calls with t a float, and never beyond the ends", inside, f"got {min(times)} to {max(times)}")
    with backend.no_grad():
        backend.synchronize(x)


def _derivative(curve: Callable[[float], float], t: float, step: float) -> float:
    """The central difference of eighth order."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (curve(t + i * step) - curve(t - i * step)) for i, w in enumerate(weights, start=1)) / step
