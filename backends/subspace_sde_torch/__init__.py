"""The torch backend of subspace_sde, for the CPU, CUDA and MPS alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch


class TorchBackend:
    """See `subspace_sde.backend.Backend`."""

    name = "torch"

    def generator(self, seed: Any, like: Any) -> torch.Generator:
        if isinstance(seed, torch.Generator):
            return seed
        # manual_seed takes a signed 64-bit number; CUDA uses all its bits, the CPU the low 32 (see `streams`)
        return torch.Generator(device=like.device).manual_seed(seed - 2**64 if seed >= 2**63 else seed)

    def is_generator(self, rng: Any) -> bool:
        return isinstance(rng, torch.Generator)

    def normal(self, generator: torch.Generator, shape: tuple[int, ...], like: Any) -> Any:
        dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
        if torch.compiler.is_compiling():
            if generator is not torch.default_generator:
                raise ValueError("torch.compile follows the default generator alone: pass rng=torch.default_generator")
            return torch.randn(shape, device=like.device, dtype=dtype).to(like.dtype)
        return torch.randn(shape, generator=generator, device=like.device, dtype=dtype).to(like.dtype)

    def normals(self, generators: Sequence[torch.Generator], shape: tuple[int, ...], like: Any) -> Any:
        return torch.stack([self.normal(generator, shape, like) for generator in generators])

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        x = x.detach().cpu()
        array: np.ndarray[Any, Any] = (x.float() if x.dtype == torch.bfloat16 else x).numpy().copy()
        return array

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        with torch.inference_mode(False):  # an array made in inference mode could not take part in training later
            return torch.tensor(x).to(like.dtype).to(like.device)  # a copy, cast on the host: MPS knows no float64

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        value, derivative = torch.func.jvp(function, (x,), (v,))[:2]
        return value, derivative

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        """By plain autograd, which takes all that networks are made of: activation checkpointing, old Functions."""
        if _transformed():  # where plain autograd does not work
            value, pull = torch.func.vjp(function, x)[:2]
            return value, lambda v: pull(v)[0]
        with torch.inference_mode(False), torch.enable_grad():
            leaf = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
            try:
                value = function(leaf.clone())  # which the function may write into
            except RuntimeError as error:
                if not any(cause in str(error) for cause in ("Inference tensors", "call numpy()")):
                    raise
                raise ValueError(
                    "the score cannot be differentiated, because it leaves torch or runs under torch.inference_mode() "
                    f"({error}): write it in torch, or give it a method vjp(x, t, v)"
                ) from error

        def pull_back(v: Any) -> Any:
            if not value.requires_grad:
                return torch.zeros_like(leaf)
            with torch.inference_mode(False):
                v = v.clone() if v.is_inference() else v
                (found,) = torch.autograd.grad(value, leaf, v, retain_graph=True, allow_unused=True)
            return torch.zeros_like(leaf) if found is None else found

        return value.detach(), pull_back

    def cut_off(self, y: Any, x: Any) -> bool:
        if not isinstance(y, torch.Tensor) or not x.requires_grad or y is x:
            return False
        waiting, seen = [y.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                if node is x.grad_fn or getattr(node, "variable", None) is x:
                    return False
                seen.add(node)
                waiting += [before for before, _ in node.next_functions]
        return True

    def integrate(
        self, function: Callable[[Any, float], Any], x: Any, start: float, end: float, rtol: float, atol: float
    ) -> Any:
        try:
            from torchdiffeq import odeint
        except ImportError:
            raise ImportError(
                'adaptive steps on torch arrays need torchdiffeq: pip install "subspace-sde[torch]"'
            ) from None
        if not self.concrete(x):
            raise ValueError(
                "adaptive steps depend on the values of x, which are not there within torch.func's transformations or "
                "torch.compile: call it outside, or take fixed steps, Heun() say"
            )
        if start == end or not x.numel():
            return x
        low, high = min(start, end), max(start, end)
        times = torch.tensor(
            [start, end], device=x.device, dtype=torch.float32 if x.device.type == "mps" else torch.float64
        )

        # torchdiffeq rounds t to the dtype of y, and half precision knows few times and no small error
        wide = torch.promote_types(x.dtype, torch.float32)

        def slope(t: Any, y: Any) -> Any:
            return function(y.to(x.dtype), min(max(float(t), low), high)).to(wide)

        # step_t: stop at the end, never beyond it, where the score may not be known
        options = {"step_t": times[1:], "dtype": times.dtype}
        try:
            path = odeint(slope, x.to(wide), times, rtol=rtol, atol=atol, method="dopri5", options=options)
            return path[-1].to(x.dtype)
        except AssertionError as error:
            if "underflow in dt" not in str(error):
                raise
            raise FloatingPointError(f"the steps vanish ({error}): take a larger rtol and atol") from None

    def concrete(self, x: Any) -> bool:
        if torch.compiler.is_compiling() or x.device.type == "meta":
            return False
        return not torch._C._functorch.is_functorch_wrapped_tensor(x)

    def on_host(self, x: Any) -> bool:
        return bool(x.device.type == "cpu")

    def no_grad(self) -> AbstractContextManager[Any]:
        return nullcontext() if _transformed() else torch.no_grad()  # torch.func.grad would get zeros, and no error

    def synchronize(self, x: Any) -> None:
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        elif x.device.type == "mps":
            torch.mps.synchronize()


def _transformed() -> bool:
    """Whether this runs within torch.func's grad, vjp, jvp or vmap."""
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None
