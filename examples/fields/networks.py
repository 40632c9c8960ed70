"""One small network for a level: a residual MLP, EDM's preconditioning, denoising score matching.

A level is a vector of n numbers, whatever they mean: training knows of no grid, no wave and no subspace.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from subspace_sde import IsotropicSDE
from subspace_sde.arrays import Score
from subspace_sde.backend import streams
from subspace_sde.losses import denoising_score_matching, edm
from subspace_sde.scores import from_denoiser, precondition

BATCH, RATE = 256, 2e-3


class Block(nn.Module):
    """x + W₂ silu(W₁ silu(norm(x)) + e): the embedding e of the noise level moves what is in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, width) to the same."""
        inner = self.first(nn.functional.silu(self.norm(x))) + embedding
        return x + self.second(nn.functional.silu(inner))  # type: ignore[no-any-return]


class ResidualMLP(nn.Module):
    """From n numbers of about unit variance and c_noise to n numbers."""

    frequencies: Tensor

    def __init__(self, n: int, width: int, blocks: int = 4) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.arange(1, 17) / 8)
        self.embed = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.into, self.out = nn.Linear(n, width), nn.Linear(width, n)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, c_noise: Any) -> Tensor:
        """(batch, n), and c_noise a number or (batch,)."""
        phases = torch.as_tensor(c_noise, dtype=x.dtype)[..., None] * self.frequencies
        embedding = self.embed(torch.cat([phases.sin(), phases.cos()], dim=-1))
        x = self.into(x)
        for block in self.blocks:
            x = block(x, embedding)
        return self.out(nn.functional.silu(x))  # type: ignore[no-any-return]


def network_of(n: int) -> ResidualMLP:
    """The network of a level of n numbers, wider for larger ones."""
    return ResidualMLP(n, width=128 + n // 2)


def score_of(network: nn.Module, sde: IsotropicSDE, sigma_data: float) -> Score:
    """s(x, t) of the raw network."""
    return from_denoiser(precondition(network, sde, sigma_data), sde)


def train(z: Tensor, sde: IsotropicSDE, steps: int, seed: int, progress: bool = False) -> Score:
    """The score of a level from its data z (N, n), float32; the weights are averaged over the last steps.

    Everything random in step i comes from a stream fixed by (seed, i). Noise levels are log-normal about half the
    data's standard deviation (Karras et al. 2022).
    """
    torch.manual_seed(seed)
    n, sigma_data = z.shape[1], float(z.std())
    network = network_of(n)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))  # type: ignore[no-untyped-call]
    score, weighting = score_of(network, sde, sigma_data), edm(sigma_data)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
    for step in tqdm(range(steps), f"train {n}", unit="step", disable=not progress):
        rng = torch.Generator().manual_seed(streams(seed, step, step + 1)[0] % 2**63)
        x0 = z[torch.randint(len(z), (BATCH,), generator=rng)]
        log_noise = math.log(sigma_data / 2) + 1.6 * torch.randn(BATCH, generator=rng)
        t = sde.time_at_log_snr(-2 * log_noise, clip=True)
        loss = denoising_score_matching(score, x0, t, sde, rng, weighting).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
    return score_of(average.module.eval().requires_grad_(False), sde, sigma_data)
