"""Networks of diffusers as ``raw(x, label, *condition)``, x of shape (*batch, *shape) in any floating dtype.

The label is always handed on as a floating-point tensor with one entry a sample: `UNet2DModel.forward` makes whole
numbers of a Python float, so that a time of 949.9 would be 949, and a σ below 1 none at all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from math import prod
from typing import Any

from ..arrays import is_integer
from ..backend import readable

_HALVING = 2


class Network(ABC):
    """A network of diffusers, asked with any leading axes and in its own dtype; a subclass knows its inputs.

    Attributes
    ----------
    module: the network.
    shape: (channels, height, width) of what it was trained on.
    multiple_of: which heights and widths it takes.
    classes: how many class labels it knows; None for a network without.
    latent: whether it knows the latents of an autoencoder.
    """

    classes: int | None = None
    latent = False

    def __init__(self, module: Any, size: Any, channels: int, multiple_of: int) -> None:
        if size is None:
            raise ValueError("sample_size of the network is None: its config must say for which images it was made")
        height, width = (size, size) if is_integer(size) else size
        self.module, self.multiple_of = module, multiple_of
        self.shape = (int(channels), int(height), int(width))

    def __call__(self, x: Any, label: Any, *condition: Any) -> Any:
        import torch

        if not isinstance(x, torch.Tensor):
            raise TypeError(
                f"the network takes torch tensors, got {type(x).__name__}: sample(..., like=torch.zeros(()))"
            )
        channels, height, width = x.shape[-3:] if x.ndim >= 3 else (0, 0, 0)
        if channels != self.shape[0]:
            raise ValueError(self._other_channels(channels, tuple(x.shape)))
        _check_halvable(self.multiple_of, height, width)
        batch, dtype = tuple(x.shape[:-3]), _dtype(self.module, x)
        flat = x.reshape(-1, channels, height, width)
        given = self._given(condition, batch, x, dtype)
        out = self._asked(flat.to(dtype), _label(label, x, batch, flat.shape[0]), given)
        return out[:, :channels].to(x.dtype).reshape(x.shape)  # what may follow is a learned variance

    @abstractmethod
    def _other_channels(self, channels: int, shape: tuple[int, ...]) -> str:
        """What is said of x of that shape, which has other channels."""

    @abstractmethod
    def _given(self, condition: tuple[Any, ...], batch: tuple[int, ...], x: Any, dtype: Any) -> dict[str, Any]:
        """The condition, checked, by the names of the network's arguments: an entry for each element of the batch."""

    @abstractmethod
    def _asked(self, x: Any, label: Any, given: dict[str, Any]) -> Any:
        """What the network says, of x (size, channels, height, width) in its own dtype and label (size,)."""


class UNet2D(Network):
    """A `UNet2DModel`."""

    def __init__(self, module: Any, family: str, learned_variance: bool | None = None, latent: bool = False) -> None:
        config = module.config
        if config.class_embed_type is not None:
            raise ValueError(
                f"class_embed_type={config.class_embed_type!r} of the network is unknown here: known is None"
            )
        embedding, expected = config.time_embedding_type, "fourier" if family == "score" else "positional"
        if embedding != expected:
            raise ValueError(
                f"time_embedding_type={embedding!r} of the network does not go with its scheduler, which asks for "
                f"{expected!r}"
            )
        multiple_of = _HALVING ** (len(config.block_out_channels) - 1)
        super().__init__(module, config.sample_size, config.in_channels, multiple_of)
        self.classes, self.latent = config.num_class_embeds, latent
        split = config.out_channels == 2 * config.in_channels and learned_variance is not False
        if not split and config.out_channels != config.in_channels:
            raise ValueError(
                f"out_channels={config.out_channels} of the network does not fit its in_channels={config.in_channels}: "
                "known are as many, and twice as many with a learned variance_type of the scheduler"
            )

    def _other_channels(self, channels: int, shape: tuple[int, ...]) -> str:
        hint = ": it knows latents, encode pixels with its autoencoder first" if self.latent else ""
        return f"the network takes (*batch, {self.shape[0]}, height, width), got {shape}{hint}"

    def _asked(self, x: Any, label: Any, given: dict[str, Any]) -> Any:
        return self.module(x, label, **given).sample

    def _given(self, condition: tuple[Any, ...], batch: tuple[int, ...], x: Any, dtype: Any) -> dict[str, Any]:
        import torch

        if self.classes is None:
            if condition:
                raise ValueError("the network knows no class labels: leave the condition out")
            return {}
        if not condition or condition[0] is None:
            raise ValueError(f"the network takes class labels, 0 to {self.classes - 1}, one a sample: give a condition")
        labels, size = torch.as_tensor(condition[0], device=x.device), prod(batch)
        if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
            raise ValueError(f"class labels are whole numbers, got {labels.dtype}")
        if tuple(labels.reshape(-1).shape) != (size,):
            raise ValueError(f"one class label a sample, {size} of them, got shape {tuple(labels.shape)}")
        if readable(labels) and not bool(((labels >= 0) & (labels < self.classes)).all()):
            raise ValueError(
                f"class labels must lie in 0 to {self.classes - 1}, got {int(labels.min())} to {int(labels.max())}"
            )
        return {"class_labels": labels.reshape(-1).long()}


def plain(network: Any) -> Any:
    """The network itself where `torch.compile` has wrapped it."""
    return getattr(network, "_orig_mod", network)


def _dtype(module: Any, x: Any) -> Any:
    """What the network computes in; a ValueError where it computes elsewhere than where x lies.

    Both are what diffusers says: weights may be kept in a narrower dtype, or on another device, until they are used.
    """
    place, own = module.device, x.device
    apart = place.type != own.type or (None not in (place.index, own.index) and place.index != own.index)
    if apart and not hasattr(module, "_hf_hook"):  # which brings it there when it is called
        raise ValueError(f"x lies on {own}, the network on {place}: move one to the other")
    return module.dtype


def _label(label: Any, x: Any, batch: Any, count: int) -> Any:
    """(count,), in float32 or, where x is of it, float64."""
    import torch

    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if isinstance(label, (int, float)):
        return torch.full((count,), label, dtype=dtype, device=x.device)
    if not isinstance(label, torch.Tensor):
        raise TypeError(f"t is a number or, as x is, a torch tensor, got {type(label).__name__}")
    return label.to(dtype).expand(batch).reshape(-1)


def _check_halvable(multiple_of: int, height: int, width: int) -> None:
    for name, n in (("height", height), ("width", width)):
        if n % multiple_of:
            near = [k for k in (n - n % multiple_of, n - n % multiple_of + multiple_of) if k]
            raise ValueError(
                f"the network halves its input {int(math.log2(multiple_of))} times, so that its height and width are "
                f"multiples of {multiple_of}, got a {name} of {n}: take {' or '.join(map(str, near))}"
            )
