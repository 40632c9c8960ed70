"""The latents of an autoencoder, in the units of the network that knows them, and where those of small images lie.

An autoencoder is not linear: the latents u of a small image are not the small image y of the latents, but about
a y + b. `change_process` takes one gain a, since noise is isotropic, and an offset b for each channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array, batches, is_floating, namespace
from ..backend import host
from ..border import checked
from ..shown import Shown
from ..subspaces import LowPass, Subspace

_IMAGES_AT_ONCE = 8


@checked
def encode_images(vae: Any, images: Array) -> Any:
    """Images as latents in the network's units, (z − shift_factor) scaling_factor, z the mode of what `vae` says.

    Parameters
    ----------
    vae: an autoencoder of diffusers: `AutoencoderKL`, `VQModel`, ….
    images: (N, 3, H, W) in [0, 1], an array of numpy or torch.

    Returns
    -------
    (N, channels, H/f, W/f), of torch, on the device of `vae` and in the dtype of the images, float32 at least.

    Raises ValueError for images of another shape or range, and for whole numbers.

    >>> from diffusers import AutoencoderKL
    >>> vae = AutoencoderKL(norm_num_groups=2, block_out_channels=(4,))
    >>> encode_images(vae, np.full((2, 3, 8, 6), 0.5)).shape
    torch.Size([2, 4, 8, 6])
    """
    _check_autoencoder(vae)
    check_pixels(images)
    return _through(lambda x: _encoded(vae, x), vae, images)


@checked
def decode_latents(vae: Any, latents: Array) -> Any:
    """The images, cut to [0, 1], of latents in the network's units, (N, channels, h, w), as `encode_images` gives them.

    >>> from diffusers import AutoencoderKL
    >>> vae = AutoencoderKL(norm_num_groups=2, block_out_channels=(4,))
    >>> decode_latents(vae, np.zeros((2, 4, 8, 6))).shape
    torch.Size([2, 3, 8, 6])
    """
    _check_autoencoder(vae)
    if latents.ndim != 4 or not is_floating(latents) or 0 in latents.shape:
        raise ValueError(
            f"latents are floats (N, channels, h, w), got {latents.dtype} and shape {tuple(latents.shape)}"
        )
    scale, shift = units(vae.config)
    return _through(lambda z: (vae.decode(z / scale + shift).sample / 2 + 0.5).clamp(0, 1), vae, latents)


def units(config: Any) -> tuple[float, float]:
    """scaling_factor and shift_factor of an autoencoder's config; a ValueError for one that scales each channel."""
    if config.get("latents_mean") is not None or config.get("latents_std") is not None:
        raise ValueError(
            "latents_mean and latents_std of the autoencoder are unknown here: one scale for all channels is"
        )
    return float(config.get("scaling_factor") or 1.0), float(config.get("shift_factor") or 0.0)


def check_pixels(images: Any) -> None:
    """A ValueError for what are no images (N, channels, H, W) in [0, 1]."""
    xp = namespace(images)
    if images.ndim != 4 or not is_floating(images):
        raise ValueError(
            f"images are floats (N, channels, H, W) in [0, 1], got {images.dtype} and shape {tuple(images.shape)}"
        )
    if 0 in images.shape:
        raise ValueError("no images were given")
    low, high = float(xp.min(images)), float(xp.max(images))
    if not (-1e-3 <= low and high <= 1 + 1e-3):
        raise ValueError(f"images lie in [0, 1], got values from {low:.3g} to {high:.3g}")


@dataclass(frozen=True, eq=False, repr=False)
class SmallLatents(Shown):
    """What `levels_of` found: for ``change_process(score, sde, sde, gain, offset, coordinate_scale)``.

    Attributes
    ----------
    gain: a, one for all channels: the latents of small images are a y + b, with coordinate_scale · y the level's.
    offset: b, (channels, 1, 1), in the network's units.
    coordinate_scale: of the subspace.
    residual: the root mean square of what a y + b leaves, per number, in the network's units.
    spread: the standard deviation of the latents of small images about their channels' means.
    gains: of each channel by itself; what they differ by is in the residual.
    """

    gain: float
    offset: np.ndarray[Any, Any] = field(repr=False)
    coordinate_scale: float
    residual: float
    spread: float
    gains: tuple[float, ...]

    @property
    def noise(self) -> float:
        """σ/α of the level at which its noise is as large as the residual, in the level's coordinates."""
        return self.coordinate_scale * self.residual / self.gain

    @property
    def sentence(self) -> str:
        """What the residual means."""
        return (
            f"the latents of small images are {self.gain:.3g} times the small latents, to an rms of "
            f"{self.residual:.3g}, {self.residual / self.spread:.0%} of their spread (the channels' own gains run from "
            f"{min(self.gains):.3g} to {max(self.gains):.3g}): the level may be used where its noise hides that, σ/α "
            f"well above {self.noise:.3g}, and no t_k may be earlier"
        )


@checked
def levels_of(vae: Any, images: Any, subspace: Subspace) -> SmallLatents:
    """How far the latents of small images are from a subspace of the latents: a gain, an offset a channel, a residual.

    Parameters
    ----------
    vae: an autoencoder of diffusers.
    images: (N, 3, H, W) in [0, 1], or an iterable of such batches.
    subspace: of the latents, with a `coordinate_scale`.

    Each image is encoded as it is, and as the smaller image that `LowPass` makes of it; a and b are those of least
    squares. ``print(found.sentence)`` says what the residual means for the times of the plan.

    Raises
    ------
    ValueError: a subspace without a `coordinate_scale`, or of other latents than the images have; images that are all
        alike; latents of small images that do not go with those of large ones.
    """
    c = subspace.coordinate_scale
    if c is None:
        raise ValueError(
            f"{subspace!r} has no coordinate_scale: its coordinates are no smaller latents, those of no smaller image"
        )
    sums, count = np.zeros((5, subspace.shape[0])), 0
    for batch in batches(images, _IMAGES_AT_ONCE):
        large = encode_images(vae, batch)
        if tuple(large.shape[1:]) != subspace.ambient_shape:
            raise ValueError(
                f"these images have latents of shape {tuple(large.shape[1:])}, the subspace is one of arrays of "
                f"{subspace.ambient_shape}"
            )
        edges = [n * pixels // m for n, m, pixels in zip(subspace.shape[1:], large.shape[2:], batch.shape[2:])]
        smaller = LowPass(tuple(batch.shape[1:]), tuple(edges))
        assert smaller.coordinate_scale is not None
        small = smaller.restrict(batch) / smaller.coordinate_scale
        u = host(_through(lambda x: _encoded(vae, x), vae, small))
        y = host(subspace.restrict(large)) / c
        if u.shape != y.shape:
            raise ValueError(
                f"small images have latents of shape {u.shape[1:]}, the level {y.shape[1:]}: take another size"
            )
        sums += [part.sum(axis=(0, 2, 3)) for part in (y, u, y * y, y * u, u * u)]
        count += y[:, 0].size
    if not count:
        raise ValueError("no images were given")
    y, u, yy, yu, uu = sums / count
    of_y, both, of_u = yy - y * y, yu - y * u, uu - u * u
    if not of_y.sum() > 1e-12 * yy.sum():
        raise ValueError("the latents of these images are all alike: a gain cannot be read off them")
    gain = float(both.sum() / of_y.sum())
    if not gain > 0:
        raise ValueError(
            f"the latents of small images do not go with those of large ones (a gain of {gain:.3g}): a network of them "
            "cannot stand in for the level"
        )
    left = np.maximum(of_u - 2 * gain * both + gain**2 * of_y, 0).mean()
    gains = tuple(float(g) for g in both / np.where(of_y > 0, of_y, np.inf))
    offset = (u - gain * y).reshape(-1, 1, 1)
    return SmallLatents(gain, offset, float(c), float(np.sqrt(left)), float(np.sqrt(of_u.mean())), gains)


def _check_autoencoder(vae: Any) -> None:
    if not all(hasattr(vae, name) for name in ("encode", "decode", "config")):
        raise TypeError(f"`vae` takes an autoencoder of diffusers, got {type(vae).__name__}")


def _encoded(vae: Any, x: Any) -> Any:
    said, (scale, shift) = vae.encode(2 * x - 1), units(vae.config)
    return ((said.latent_dist.mode() if hasattr(said, "latent_dist") else said.latents) - shift) * scale


def _through(function: Callable[[Any], Any], vae: Any, x: Any) -> Any:
    """`function` of some of x at a time, in the dtype and on the device of `vae`; the result is as wide as x."""
    import torch

    given = torch.as_tensor(x)
    wide = torch.promote_types(given.dtype, torch.float32)
    # one that is offloaded lies elsewhere until it is called
    place = getattr(getattr(vae, "_hf_hook", None), "execution_device", None) or vae.device
    with torch.no_grad():
        parts = [function(part.to(place, vae.dtype)).to(wide) for part in batches(given, _IMAGES_AT_ONCE)]
    return torch.cat(parts)
