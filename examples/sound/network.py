"""A small denoiser of sound, of convolutions along time: what each frequency keeps of a short-time spectrum."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from subspace_sde import IsotropicSDE

WINDOW, HOP, LATELY, WIDTH = 512, 128, 9, 192


class Block(nn.Module):
    """x + conv(silu((1 + a) norm(conv(x)) + b)), with a and b linear in the embedding of the noise level."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.film, self.norm = nn.Linear(64, 2 * width), nn.GroupNorm(8, width)
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, width, frames) to the same."""
        a, b = self.film(embedding)[..., None].chunk(2, dim=-2)
        inner = (1 + a) * self.norm(self.first(x)) + b
        return x + self.second(nn.functional.silu(inner))  # type: ignore[no-any-return]


class Denoiser(nn.Module):
    """E[x(0) | x(t)] of sound (batch, 1, length), of any length; t is a number or (batch,).

    The spectrum of overlapping windows, times a gain between 0 and 1 for each of its frequencies and frames, and back.
    The gain begins as the Wiener filter of a frequency that is as strong as it has been for some frames, but no
    stronger than one pure tone; a network whose channels are the frequencies, and whose convolutions run along time,
    corrects its log-odds.
    """

    window: Tensor
    frequencies: Tensor

    def __init__(self, sde: IsotropicSDE, sigma_data: float) -> None:
        super().__init__()
        self.sde, self.sigma_data = sde, sigma_data
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("frequencies", 2 * math.pi * torch.arange(1, 17) / 8)
        self.embed = nn.Sequential(nn.Linear(32, 64), nn.SiLU())
        bins = WINDOW // 2 + 1
        self.into, self.out = nn.Conv1d(2 * bins, WIDTH, 1), nn.Conv1d(WIDTH, bins, 1)
        self.blocks = nn.ModuleList(Block(WIDTH, dilation) for dilation in (1, 2, 4, 8))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, t: Any) -> Tensor:
        """(batch, 1, length) to the same."""
        noise = torch.as_tensor(self.sde.sigma(t) / self.sde.alpha(t), dtype=x.dtype)[..., None, None]
        frames: Any = {"n_fft": WINDOW, "hop_length": HOP, "window": self.window}
        spectrum = torch.stft(x[:, 0], **frames, pad_mode="constant", return_complex=True)
        power = spectrum.abs().square() / (self.window.square().sum() * noise**2)
        lately = nn.functional.avg_pool1d(power, LATELY, 1, LATELY // 2, count_include_pad=False)
        loudest = (self.sigma_data / noise) ** 2 * self.window.sum() ** 2 / (2 * self.window.square().sum())
        strength = 1 / (1 / (torch.relu(lately - 1) + 0.05) + 1 / loudest)
        phases = torch.log(noise[..., 0]) / 4 * self.frequencies
        embedding = self.embed(torch.cat([phases.sin(), phases.cos()], dim=-1))
        y = self.into(torch.cat([power, lately], dim=1).log1p() / 4)
        for block in self.blocks:
            y = block(y, embedding)
        gain = torch.sigmoid(torch.log(strength) + self.out(y))
        return torch.istft(gain * spectrum, **frames, length=x.shape[-1])[:, None]
