"""The JAX backend of subspace_sde: keys behind a generator, jax.jvp and jax.vjp, eager or under its transformations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from subspace_sde.generic import GenericBackend


class Generator:
    """A key, and how often was drawn from it: the n-th draw is made with ``fold_in(key, n)``.

    Parameters
    ----------
    key: a JAX key, which may be traced, or two numbers of 32 bits on the host.
    """

    def __init__(self, key: Any) -> None:
        self.key, self.draws = key, 0

    def advance(self) -> int:
        """The number of the next draw."""
        self.draws += 1
        return self.draws - 1


class JaxBackend(GenericBackend):
    """See `subspace_sde.backend.Backend`.

    Where a generator is due a key of JAX does, new or old style, and a traced integer, which becomes one.
    """

    def __init__(self) -> None:
        super().__init__("jax")

    def generator(self, seed: Any, like: Any) -> Generator:
        if isinstance(seed, Generator):
            return seed
        if isinstance(seed, jax.Array):
            if _is_key(seed):
                return Generator(seed)
            return Generator(jax.random.wrap_key_data(seed) if seed.ndim else jax.random.key(seed))
        # both halves: jax.random.key drops the higher one without jax_enable_x64
        return Generator(np.asarray(divmod(seed, 2**32), dtype=np.uint32))

    def is_generator(self, rng: Any) -> bool:
        if isinstance(rng, Generator):
            return True
        if not isinstance(rng, jax.Array):
            return False
        old = rng.shape == (2,) and rng.dtype == jnp.uint32
        traced = rng.ndim == 0 and isinstance(rng, jax.core.Tracer) and jnp.issubdtype(rng.dtype, jnp.integer)
        return bool((_is_key(rng) and rng.ndim == 0) or old or traced)

    def normal(self, generator: Generator, shape: tuple[int, ...], like: Any) -> Any:
        if isinstance(generator.key, np.ndarray):
            return self.normals([generator], shape, like)[0, ...]
        return jax.random.normal(jax.random.fold_in(generator.key, generator.advance()), shape, like.dtype)

    def normals(self, generators: Sequence[Generator], shape: tuple[int, ...], like: Any) -> Any:
        if not all(isinstance(g.key, np.ndarray) for g in generators):
            return super().normals(generators, shape, like)
        keys, numbers = np.stack([g.key for g in generators]), np.asarray([g.advance() for g in generators])
        device = None if isinstance(like, jax.core.Tracer) else like.device
        return _normals(*jax.device_put((keys, numbers.astype(np.uint32)), device), shape, like.dtype)

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        if not self.concrete(x):
            raise ValueError(
                "the values of an array are read here, and under jit, grad or vmap they are not there: "
                "make this call outside of the transformation"
            )
        return np.array(x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x)

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        with jax.ensure_compile_time_eval():  # what is kept must outlive the trace in which it was made
            return jnp.asarray(x, dtype=like.dtype, device=getattr(like, "device", None))

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        value, derivative = jax.jvp(function, (x,), (v,))
        return value, derivative

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        value, pull_back = jax.vjp(function, x)
        return value, lambda v: pull_back(v)[0]

    def integrate(
        self, function: Callable[[Any, float], Any], x: Any, start: float, end: float, rtol: float, atol: float
    ) -> Any:
        if not self.concrete(x):
            raise ValueError(
                "adaptive steps depend on the values of x, which are not there under jit, grad or vmap: "
                "call it outside of the transformation, or take fixed steps, Heun() say"
            )
        return super().integrate(function, x, start, end, rtol, atol)

    def concrete(self, x: Any) -> bool:
        return not isinstance(x, jax.core.Tracer)

    def on_host(self, x: Any) -> bool:
        if isinstance(x, jax.core.Tracer):
            return bool(jax.default_backend() == "cpu")
        return all(device.platform == "cpu" for device in x.devices())

    def synchronize(self, x: Any) -> None:
        if self.concrete(x):
            x.block_until_ready()


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


@partial(jax.jit, static_argnums=(2, 3))
def _normals(keys: Any, numbers: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """One draw of each key's: (len(keys), *shape)."""

    def draw(key: Any, number: Any) -> Any:
        return jax.random.normal(jax.random.fold_in(jax.random.wrap_key_data(key), number), shape, dtype)

    return jax.vmap(draw)(keys, numbers)
