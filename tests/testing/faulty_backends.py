"""Backends with a fault each."""

import contextlib

import numpy as np
import torch

from subspace_sde.backend import backend_of

N64, T64 = np.zeros(()), torch.zeros((), dtype=torch.float64)
DEFAULT_RNG = np.random.default_rng


def broken(like, **methods):
    backend = type(backend_of(like))()
    for name, method in methods.items():
        setattr(backend, name, method)
    return backend


NUMPY, TORCH = backend_of(N64), backend_of(T64)


class Correlated:
    """A generator half of whose variance all seeds share."""

    def __init__(self, seed):
        self.shared, self.own = DEFAULT_RNG(12345), DEFAULT_RNG(seed)

    def draw(self, shape):
        return 0.5**0.5 * (self.shared.standard_normal(shape) + self.own.standard_normal(shape))


def fails(*given):
    raise ZeroDivisionError


def not_implemented(*given):
    raise NotImplementedError("none")


def scaled(factor):
    return lambda g, s, like: NUMPY.normal(g, s, like) * factor


def equal_rows(g, s, like):
    return np.broadcast_to(NUMPY.normal(g, s[-1:], like), s).copy() if len(s) > 1 else NUMPY.normal(g, s, like)


def sign_changes(f, x):
    count = []

    def back(v):
        count.append(1)
        return torch.func.vjp(f, x)[1](v)[0] * (1 if len(count) == 1 else -1)

    return f(x), back


def euler(f, x, a, b, r, q):
    for i in range(200):
        x = x + (b - a) / 200 * f(x, float(a + (b - a) * i / 200))
    return x


def never_fails(f, x, a, b, r, q):
    try:
        return NUMPY.integrate(f, x, a, b, r, q)
    except FloatingPointError:
        return x


BACKEND_FAULTS = {
    "variance 1.02": (N64, dict(normal=scaled(1.02**0.5))),
    "variance 1.01": (N64, dict(normal=scaled(1.01**0.5))),
    "mean 0.02": (N64, dict(normal=lambda g, s, like: NUMPY.normal(g, s, like) + 0.02)),
    "uniform numbers": (N64, dict(normal=lambda g, s, like: (g.random(s) * 2 - 1) * 3**0.5)),
    "Laplace numbers": (N64, dict(normal=lambda g, s, like: g.laplace(size=s) / 2**0.5)),
    "tails cut at 3": (N64, dict(normal=lambda g, s, like: np.clip(NUMPY.normal(g, s, like), -3, 3))),
    "float32 for float64": (N64, dict(normal=lambda g, s, like: g.standard_normal(s, dtype=np.float32))),
    "no numbers without axes": (N64, dict(normal=lambda g, s, like: NUMPY.normal(g, s, like) if s else fails())),
    "no empty draw": (N64, dict(normal=lambda g, s, like: fails() if 0 in s else NUMPY.normal(g, s, like))),
    "the seed ignored": (N64, dict(generator=lambda seed, like: DEFAULT_RNG(0))),
    "no seed": (N64, dict(generator=lambda seed, like: DEFAULT_RNG())),
    "seeds 2k and 2k + 1 alike": (N64, dict(generator=lambda seed, like: DEFAULT_RNG(seed // 2))),
    "streams correlated": (
        N64,
        dict(
            generator=lambda seed, like: Correlated(seed),
            is_generator=lambda rng: isinstance(rng, Correlated),
            normal=lambda g, s, like: g.draw(s),
        ),
    ),
    "a generator that begins again": (N64, dict(normal=lambda g, s, like: DEFAULT_RNG(3).standard_normal(s))),
    "rows of a draw alike": (N64, dict(normal=equal_rows)),
    "one generator for all": (
        N64,
        dict(normals=lambda gs, s, like: np.stack([NUMPY.normal(gs[0], s, like) for _ in gs])),
    ),
    "lists are generators": (
        N64,
        dict(is_generator=lambda rng: isinstance(rng, (np.random.Generator, list, np.ndarray))),
    ),
    "to_numpy shares memory": (N64, dict(to_numpy=lambda x: x)),
    "from_numpy shares memory": (N64, dict(from_numpy=lambda x, like: x.astype(like.dtype, copy=False))),
    "from_numpy keeps integers": (
        N64,
        dict(from_numpy=lambda x, like: np.array(x, dtype=like.dtype if x.dtype.kind == "f" else x.dtype)),
    ),
    "from_numpy fails without axes": (
        N64,
        dict(from_numpy=lambda x, like: NUMPY.from_numpy(x, like) if x.ndim else fails()),
    ),
    "to_numpy fails on booleans": (
        N64,
        dict(to_numpy=lambda x: fails() if np.asarray(x).dtype == bool else np.array(x)),
    ),
    "to_numpy fails on what is recorded": (T64, dict(to_numpy=lambda x: x.numpy().copy())),
    "jvp off by 1e-6": (N64, dict(jvp=lambda f, x, v: (f(x), NUMPY.jvp(f, x, v)[1] * (1 + 1e-6)))),
    "jvp is not implemented": (N64, dict(jvp=not_implemented)),
    "Jᵀv for Jv": (T64, dict(jvp=lambda f, x, v: (f(x), torch.func.vjp(f, x)[1](v)[0]))),
    "no value where v = 0": (
        T64,
        dict(jvp=lambda f, x, v: (f(x) * float(abs(v).max() > 0), torch.func.jvp(f, (x,), (v,))[1])),
    ),
    "Jv for Jᵀv, a conjugated vjp": (T64, dict(vjp=lambda f, x: (f(x), lambda v: torch.func.jvp(f, (x,), (v,))[1]))),
    "vjp of the wrong sign": (T64, dict(vjp=lambda f, x: (f(x), lambda v: -torch.func.vjp(f, x)[1](v)[0]))),
    "vjp changes sign when asked again": (T64, dict(vjp=sign_changes)),
    "integrate ignores the tolerance": (
        N64,
        dict(integrate=lambda f, x, a, b, r, q: NUMPY.integrate(f, x, a, b, 1e-10, 1e-10)),
    ),
    "integrate rounds to float32": (
        N64,
        dict(integrate=lambda f, x, *given: NUMPY.integrate(f, x, *given).astype(np.float32).astype(np.float64)),
    ),
    "integrate by Euler steps": (N64, dict(integrate=euler)),
    "integrate steps beyond the end": (
        N64,
        dict(integrate=lambda f, x, a, b, r, q: 0 * f(x, 2.1) + NUMPY.integrate(f, x, a, b, r, q)),
    ),
    "integrate never fails": (N64, dict(integrate=never_fails)),
    "no_grad does nothing": (T64, dict(no_grad=contextlib.nullcontext)),
    "synchronize raises": (N64, dict(synchronize=fails)),
    "another name": (N64, dict(name="torch")),
    "a piece is missing": (N64, dict(integrate=None)),
    "nothing can be read": (N64, dict(concrete=lambda x: False)),
}
