"""Distances between two sets of features, (N, D) and (M, D): Fréchet, kernel, precision and recall."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 3
"""k of precision and recall, as Kynkäänniemi et al. have it."""


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """The Fréchet distance of two Gaussians with the moments of the features (Dowson, Landau 1982).

    ‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½), of Inception's features the FID (Heusel et al. 2017). Too few features
    bias it upwards, so that only sets of one size compare.

    Raises ValueError for D features or fewer, whose covariance is singular.

    >>> x = torch.tensor(
    ...     [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64
    ... )
    >>> round(frechet_distance(x, 3 + x), 6)  # 3² for each feature
    18.0
    """
    if why := too_few(len(x), len(y), x.shape[1]):
        raise ValueError(why)
    return frechet_of_few(x, y)


def too_few(samples: int, images: int, features: int) -> str:
    """Why so many samples and images have no Fréchet distance; empty where they have one."""
    if min(samples, images) > features:
        return ""
    return (
        f"a Fréchet distance of {features} features needs {features + 1} samples and as many held-out images, lest a "
        f"covariance be singular, and there are {samples} and {images}: draw more, or read the kernel distance and the "
        "sliced Wasserstein distance, which need fewer"
    )


def frechet_of_few(x: Tensor, y: Tensor) -> float:
    """`frechet_distance` of any number."""
    u, v = ((z - z.mean(dim=0)) / (len(z) - 1) ** 0.5 for z in (x, y))  # Σ_x = uᵀu
    if len(u) > u.shape[1]:
        u = torch.linalg.qr(u, mode="r").R
    # (Σ_x Σ_y)^½ has the trace of (u Σ_y uᵀ)^½, which is symmetric
    root = torch.linalg.eigvalsh(u @ (v.mT @ v) @ u.mT).clamp(min=0).sqrt().sum()
    means = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    return float(means + u.square().sum() + v.square().sum() - 2 * root)


class Inner(NamedTuple):
    """Inner products of the features: x with x, x with y, y with y, each over D."""

    xx: Tensor
    xy: Tensor
    yy: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, yy: Tensor | None = None) -> Inner:
        """Those of all the pairs; of y with y they may be known."""
        d = x.shape[1]
        return cls(x @ x.mT / d, x @ y.mT / d, y @ y.mT / d if yy is None else yy)

    def part(self, i: Tensor, j: Tensor) -> Inner:
        """Those of the samples i and the images j."""
        return Inner(self.xx[i][:, i], self.xy[i][:, j], self.yy[j][:, j])


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The squared maximum mean discrepancy for the kernel (xᵀy/D + 1)³, of Inception's features the KID.

    Without bias (Bińkowski et al. 2018), so that it may be negative where the two laws are one, and a few hundred
    features do.
    """
    return kernel_from(Inner.of(x, y))


def kernel_from(inner: Inner) -> float:
    """`kernel_distance`, given the inner products."""
    xx, xy, yy = ((g + 1) ** 3 for g in inner)
    within = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    return float(within[0] + within[1] - 2 * xy.mean())


def precision_recall(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The share of x that lies where y is, and the share of y that lies where x is (Kynkäänniemi et al. 2019).

    A set is where the balls about its points are, each of the radius of the third nearest neighbour in the set.
    Precision falls with poor samples, recall with missing variety. Both depend on the number of features.
    """
    return precision_recall_from(Inner.of(x, y))


def precision_recall_from(inner: Inner) -> tuple[float, float]:
    """`precision_recall`, given the inner products."""
    xx, yy = inner.xx.diagonal(), inner.yy.diagonal()
    between = xx[:, None] + yy - 2 * inner.xy  # squared distances, over D
    radius = [
        (d[:, None] + d - 2 * g).fill_diagonal_(torch.inf).kthvalue(NEIGHBOURS, dim=1).values
        for d, g in ((xx, inner.xx), (yy, inner.yy))
    ]
    precision = (between <= radius[1]).any(dim=1).double().mean()
    return float(precision), float((between <= radius[0][:, None]).any(dim=0).double().mean())
