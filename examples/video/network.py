"""A small U-Net of three-dimensional convolutions, which takes videos with any number of frames."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from subspace_sde import IsotropicSDE
from subspace_sde.scores import precondition

NARROW, WIDE = 32, 64


class Block(nn.Module):
    """x + conv(silu((1 + a) norm(conv(x)) + b)), with a and b linear in the embedding of the noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.film, self.norm = nn.Linear(64, 2 * width), nn.GroupNorm(8, width)
        self.first, self.second = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, width, frames, height, width) to the same."""
        a, b = self.film(embedding)[..., None, None, None].chunk(2, dim=-4)
        inner = (1 + a) * self.norm(self.first(nn.functional.silu(x))) + b
        return x + self.second(nn.functional.silu(inner))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """From videos (batch, 1, frames, 16, 16) of about unit variance, and c_noise, a number or (batch,), to videos.

    Pictures are halved twice, time never: all it asks of the number of frames is that there is one.
    """

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.arange(1, 17) / 8)
        self.embed = nn.Sequential(nn.Linear(32, 64), nn.SiLU())
        halve: Any = {"kernel_size": (1, 4, 4), "stride": (1, 2, 2), "padding": (0, 1, 1)}
        self.into, self.down = nn.Conv3d(1, NARROW, **halve), nn.Conv3d(NARROW, WIDE, **halve)
        self.up, self.out = nn.ConvTranspose3d(WIDE, NARROW, **halve), nn.ConvTranspose3d(NARROW, 1, **halve)
        self.descent, self.ascent = Block(NARROW), Block(NARROW)
        self.bottom = nn.ModuleList(Block(WIDE) for _ in range(3))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, c_noise: Any) -> Tensor:
        """Pictures of 16 × 16 to 8 × 8 and 4 × 4, and back."""
        phases = torch.as_tensor(c_noise, dtype=x.dtype)[..., None] * self.frequencies
        embedding = self.embed(torch.cat([phases.sin(), phases.cos()], dim=-1))
        near = self.descent(self.into(x), embedding)
        far = self.down(near)
        for block in self.bottom:
            far = block(far, embedding)
        return self.out(self.ascent(near + self.up(far), embedding))  # type: ignore[no-any-return]


class Denoiser(nn.Module):
    """E[x(0) | x(t)] by the `UNet` in the preconditioning of EDM; t is a number or (batch,)."""

    def __init__(self, sde: IsotropicSDE, sigma_data: float) -> None:
        super().__init__()
        self.network = UNet()
        self.denoised = precondition(self.network, sde, sigma_data)

    def forward(self, x: Tensor, t: Any) -> Tensor:
        """(batch, 1, frames, 16, 16) to the same."""
        return self.denoised(x, t)  # type: ignore[no-any-return]
