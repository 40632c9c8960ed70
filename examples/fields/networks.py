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

BATCH, RATE = 256, 4e-3


class Block(nn.Module):
    """x + W₂ silu(W₁ ((1 + a) norm(x) + b)), with a and b linear in the embedding of the noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.film = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, 2 * width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, width) to the same."""
        a, b = self.film(embedding).chunk(2, dim=-1)
        inner = self.first((1 + a) * self.norm(x) + b)
        return x + self.second(nn.functional.silu(inner))  # type: ignore[no-any-return]


class ResidualMLP(nn.Module):
    """From n numbers of about unit variance and c_noise to n numbers.

    Nothing nonlinear lies between the first layer and the last but gates, which depend on the noise alone: without its
    blocks the network is V diag(w(σ)) U, and so holds the Wiener filter, the denoiser of Gaussian data. Fields whose
    scales span four decades in energy are learned in far fewer steps with that.
    """

    frequencies: Tensor

    def __init__(self, n: int, width: int, blocks: int = 3) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.arange(1, 17) / 8)
        self.embed = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.into, self.gates, self.out = nn.Linear(n, width), nn.Linear(width, width), nn.Linear(width, n)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        nn.init.orthogonal_(self.into.weight)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, c_noise: Any) -> Tensor:
        """(batch, n), and c_noise a number or (batch,)."""
        phases = torch.as_tensor(c_noise, dtype=x.dtype)[..., None] * self.frequencies
        embedding = self.embed(torch.cat([phases.sin(), phases.cos()], dim=-1))
        x = self.into(x)
        for block in self.blocks:
            x = block(x, embedding)
        return self.out((1 + self.gates(embedding)) * x)  # type: ignore[no-any-return]


def network_of(n: int) -> ResidualMLP:
    """The network of a level of n numbers, wider for larger ones."""
    return ResidualMLP(n, width=192 + n // 4)


def score_of(network: nn.Module, sde: IsotropicSDE, sigma_data: float) -> Score:
    """s(x, t) of the raw network."""
    return from_denoiser(precondition(network, sde, sigma_data), sde)


def train(z: Tensor, sde: IsotropicSDE, steps: int, seed: int, progress: bool = False) -> Score:
    """The score of a level from its data z (N, n), float32; the weights are averaged over the last steps.

    Everything random in step i comes from a stream fixed by (seed, i). The times lie evenly in log σ/α over all
    of (t_min, T), for every level.
    """
    torch.manual_seed(seed)
    n, sigma_data = z.shape[1], float(z.std())
    first, last = sde.log_snr(sde.T), sde.log_snr(sde.t_min)
    network = network_of(n)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))  # type: ignore[no-untyped-call]
    score, weighting = score_of(network, sde, sigma_data), edm(sigma_data)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
    for step in tqdm(range(steps), f"train {n}", unit="step", disable=not progress):
        rng = torch.Generator().manual_seed(streams(seed, step, step + 1)[0] % 2**63)
        x0 = z[torch.randint(len(z), (BATCH,), generator=rng)]
        t = sde.time_at_log_snr(first + (last - first) * torch.rand(BATCH, generator=rng), clip=True)
        loss = denoising_score_matching(score, x0, t, sde, rng, weighting).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
    return score_of(average.module.eval().requires_grad_(False), sde, sigma_data)
