"""JAX and torch through this library against the same formulas written by hand: ``python -m benchmarks.libraries``.

`project`, `full_score` of a level, a step of Heun and a loss with its gradient on (16, 3, 64, 64) float32 arrays, one
thread: under ``jax.jit``, and in torch eagerly and compiled. The two of a pair take turns, so that whatever else the
machine does falls on both. Eager torch is measured at 10⁶ numbers a sample too. Then the largest disagreement between
the libraries over all cases of the tests, in float64 and float32, in units of √ε.
"""

from __future__ import annotations

import os
import warnings

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_ENABLE_X64"] = "1"

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import torch
from array_api_compat import array_namespace

from benchmarks.project import processor
from subspace_sde import VP, LowPass, NestedSubspaces, SubspaceSDE
from subspace_sde.backend import backend_of
from subspace_sde.losses import denoising_score_matching
from subspace_sde.solvers import Heun

PAIRS = 20
SDE, T, S, CLEAN = VP(), 0.6, 0.59, 0.3
Operation = Callable[[Any], Any]


def score(x: Any, t: Any) -> Any:
    return -0.9 * x


class Pairs:
    """What is compared: the library's way and the formulas by hand, for arrays like `like`."""

    def __init__(self, like: Any, shape: tuple[int, ...]) -> None:
        backend, self.xp = backend_of(like), array_namespace(like)
        half = LowPass(shape, shape[-1] // 2)
        nested = NestedSubspaces([half])
        self.process = SubspaceSDE(SDE, nested, [0.4], [CLEAN])
        rows, columns = (backend.from_numpy(half.axis_matrices()[axis], like) for axis in (-2, -1))
        self.u, self.v = rows, columns
        self.full = self.process.full_score([score, score], level=1)
        draw = np.random.default_rng(0)
        self.noise = backend.from_numpy(draw.standard_normal((16, *shape)), like)
        self.times = backend.from_numpy(draw.uniform(0.1, 0.9, 16), like)
        self.like, self.half = like, half

    def down(self, x: Any) -> Any:
        return self.xp.matmul(self.xp.matmul(self.xp.matrix_transpose(self.u), x), self.v)

    def up(self, z: Any) -> Any:
        return self.xp.matmul(self.xp.matmul(self.u, z), self.xp.matrix_transpose(self.v))

    def full_by_hand(self, x: Any) -> Any:
        variance = SDE.alpha(T) ** 2 * CLEAN + SDE.sigma(T) ** 2
        z = self.down(x)
        return self.up(score(z, T)) - (x - self.up(z)) / variance

    def heun_by_hand(self, x: Any) -> Any:
        def slope(y: Any, t: float) -> Any:
            return SDE.f(t) * y - (0.5 * SDE.g(t) ** 2) * score(y, t)

        here = slope(x, T)
        return x + (0.5 * (S - T)) * (here + slope(x + (S - T) * here, S))

    def loss(self, x0: Any, rng: Any) -> Any:
        return self.xp.mean(denoising_score_matching(score, x0, self.times, SDE, rng))

    def loss_by_hand(self, x0: Any, rng: Any) -> Any:
        column = self.xp.reshape(self.times, (-1, 1, 1, 1))
        sigma = SDE.sigma(column)
        noise = self.draw(x0, rng)
        error = score(SDE.alpha(column) * x0 + sigma * noise, column) + noise / sigma
        return self.xp.mean(sigma**2 * error * error)

    def draw(self, x: Any, rng: Any) -> Any:
        return torch.randn_like(x) if isinstance(x, torch.Tensor) else jax.random.normal(rng, x.shape, x.dtype)

    def all(self) -> dict[str, tuple[Operation, Operation]]:
        heun, sde = Heun(), SDE
        return {
            "project": (self.half.project, lambda x: self.up(self.down(x))),
            "full_score": (lambda x: self.full(x, T), self.full_by_hand),
            "a Heun step": (lambda x: heun.step(x, T, S, score, sde, lambda: None), self.heun_by_hand),
        }

    def losses(self, way: str) -> tuple[Operation, Operation]:
        """Their gradients by x0; what is compiled is the loss, around which torch differentiates."""
        if not isinstance(self.like, torch.Tensor):
            key = jax.random.key(0)
            ours, by_hand = (jax.jit(jax.grad(loss)) for loss in (self.loss, self.loss_by_hand))
            return lambda x: ours(x, key), lambda x: by_hand(x, key)

        def gradient(loss: Callable[[Any, Any], Any]) -> Operation:
            followed = compiled(loss, self.like) if way == "compiled" else loss

            def of(x: Any) -> Any:
                x = x.detach().requires_grad_()
                return torch.autograd.grad(followed(x, torch.default_generator), x)[0]

            return of

        return gradient(self.loss), gradient(self.loss_by_hand)


def compiled(operation: Callable[..., Any], like: Any) -> Callable[..., Any]:
    if isinstance(like, torch.Tensor):
        return torch.compile(operation, fullgraph=True)
    return jax.jit(operation)


def measure(ours: Operation, by_hand: Operation, x: Any) -> tuple[float, float]:
    """Medians in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for operation in (ours, by_hand, ours, by_hand):
        jax.block_until_ready(operation(x))
    for _ in range(PAIRS):
        for operation, taken in zip((ours, by_hand), times):
            start = perf_counter()
            jax.block_until_ready(operation(x))
            taken.append(1e3 * (perf_counter() - start))
    return median(times[0]), median(times[1])


def compare(name: str, like: Any, shape: tuple[int, ...], way: str) -> None:
    pairs = Pairs(like, shape)
    operations = pairs.all()
    if way == "compiled":
        operations = {what: (compiled(a, like), compiled(b, like)) for what, (a, b) in operations.items()}
    operations["a loss, its gradient"] = pairs.losses(way)
    for what, (ours, by_hand) in operations.items():
        a, b = measure(ours, by_hand, pairs.noise)
        print(f"{name:6} {way:9} {(16, *shape)!s:22} {what:22} {a:8.3f} ms  {b:8.3f} ms  ratio {a / b:.3f}", flush=True)


def _value(case: Any, kind: Any) -> np.ndarray[Any, Any]:
    found = case.run(kind, kind(case.x))
    return found if isinstance(found, np.ndarray) else kind.host(found)


def disagreement() -> None:
    """Over the cases of the tests, with numpy's noise; against numpy in float64."""
    import pytest

    from tests.backends.cases_of_data import GROUPS  # noqa: F401  # fills CASES
    from tests.backends.registry import CASES, Kind, same_noise

    patch, exact = pytest.MonkeyPatch(), np.zeros(())
    same_noise(patch, exact)
    values = [_value(case, Kind(exact)) for case in CASES]
    for name, single, double in (
        ("numpy", np.zeros((), np.float32), exact),
        ("torch", torch.zeros(()), torch.zeros((), dtype=torch.float64)),
        ("jax", jnp.zeros((), "float32"), jnp.zeros((), "float64")),
        ("strict", *(array_api_strict.zeros((), dtype=getattr(array_api_strict, f"float{n}")) for n in (32, 64))),
    ):
        for like in (double, single):
            same_noise(patch, like)
            kind = Kind(like)
            worst = max(
                (float(np.max(np.abs(_value(case, kind) - value)) / max(1.0, np.max(np.abs(value))) / kind.eps**0.5), i)
                for i, (case, value) in enumerate(zip(CASES, values))
                if case.tolerance < 1
            )
            case = CASES[worst[1]]
            print(f"{name:6} {like.dtype!s:14} {worst[0]:.2g} √ε ({case.group}: {case.name})", flush=True)
    patch.undo()


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", r"\s*Dynamo detected a call to a .functools")
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, jax {jax.__version__}")
    print("                                                               this library     by hand")
    small, large = (3, 64, 64), (1, 1000, 1000)
    compare("jax", jnp.zeros((), "float32"), small, "compiled")
    compare("torch", torch.zeros(()), small, "compiled")
    compare("torch", torch.zeros(()), small, "eager")
    compare("torch", torch.zeros(()), large, "eager")
    disagreement()


if __name__ == "__main__":
    main()
