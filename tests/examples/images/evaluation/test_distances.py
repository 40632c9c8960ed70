"""Distances of features against closed forms, other libraries, and sets whose answer is known."""

import numpy as np
import ot
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from examples.images.evaluation import frechet_distance, kernel_distance, precision_recall
from examples.images.evaluation.distances import Inner, frechet_of_few, kernel_from, precision_recall_from


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class AsTheyAre(torch.nn.Module):
    """For torchmetrics, a network that features are images of."""

    def __init__(self, features):
        super().__init__()
        self.num_features = features

    def forward(self, x):
        return x


def by_torchmetrics(metric, x, y):
    metric.update(y, real=True)
    metric.update(x, real=False)
    return metric.compute()


def whitened(x):
    """The same, with mean 0 and covariance I exactly."""
    x = x - x.mean(dim=0)
    factor = torch.linalg.cholesky(x.mT @ x / (len(x) - 1))
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT


def test_frechet_distance_of_two_gaussians_has_its_closed_form():
    scales, shift = torch.linspace(0.2, 3, 7, dtype=torch.float64), torch.arange(7.0, dtype=torch.float64)
    x, y = whitened(normal(50, 7)), whitened(normal(31, 7, seed=1))
    expected = (shift**2).sum() + ((scales - 1) ** 2).sum()
    assert frechet_distance(x, shift + scales * y) == pytest.approx(float(expected), rel=1e-10)


def test_frechet_distance_of_covariances_that_do_not_commute():
    mix, other = normal(7, 7, seed=2), normal(7, 7, seed=3)
    x, y = normal(90, 7) @ mix, 1 + normal(40, 7, seed=1) @ other
    moments = [(z.mean(dim=0).numpy(), np.cov(z.T.numpy())) for z in (x, y)]
    (a, ca), (b, cb) = moments
    assert frechet_distance(x, y) == pytest.approx(ot.gaussian.bures_wasserstein_distance(a, b, ca, cb) ** 2, rel=1e-8)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert abs(frechet_distance(x, x.flip(0))) < 1e-6
    # fewer than features, as halves may have: the trace of the root is a sum of singular values
    few = x[:5]
    u, v = ((z - z.mean(dim=0)).numpy() / np.sqrt(len(z) - 1) for z in (few, y))
    traces = (u**2).sum() + (v**2).sum() - 2 * np.linalg.norm(u @ v.T, "nuc")
    expected = float((few.mean(dim=0) - y.mean(dim=0)).square().sum()) + traces
    assert frechet_of_few(few, y) == pytest.approx(expected, rel=1e-6)
    assert frechet_of_few(y, few) == pytest.approx(frechet_of_few(few, y), rel=1e-6)


def test_frechet_distance_of_too_few_is_refused():
    with pytest.raises(
        ValueError, match=r"7 features needs 8 samples .* there are 7 and 50: draw more, or read the ker"
    ):
        frechet_distance(normal(7, 7), normal(50, 7))
    frechet_distance(normal(8, 7), normal(8, 7))


def test_kernel_distance_is_the_unbiased_mean_over_pairs():
    x, y = normal(23, 5), 0.5 + normal(31, 5, seed=1)
    xx, xy, yy = (polynomial_kernel(a, b, degree=3) for a, b in ((x, x), (x, y), (y, y)))
    within = sum(k[~np.eye(len(k), dtype=bool)].mean() for k in (xx, yy))
    assert kernel_distance(x, y) == pytest.approx(within - 2 * xy.mean(), rel=1e-12)
    found = [kernel_distance(normal(20, 5, seed=2 * s + 7), normal(30, 5, seed=2 * s + 8)) for s in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20  # of one law its mean is 0, however few


@pytest.mark.parametrize(("n", "m", "d"), [(300, 500, 7), (64, 64, 40)])
def test_distances_are_those_of_torchmetrics(n, m, d):
    mix = normal(d, d, seed=2)
    x, y = normal(n, d), 0.3 + normal(m, d, seed=1) @ mix / d**0.5
    found = by_torchmetrics(FrechetInceptionDistance(AsTheyAre(d)), x, y)
    assert frechet_distance(x, y) == pytest.approx(float(found), rel=1e-6)  # it returns a float32
    size = min(n, m)  # without subsets it takes as many of both
    with pytest.warns(UserWarning, match="will save all extracted features"):
        kernel = KernelInceptionDistance(AsTheyAre(d), subsets=1, subset_size=size).set_dtype(torch.float64)
    assert kernel_distance(x[:size], y[:size]) == pytest.approx(float(by_torchmetrics(kernel, x[:size], y[:size])[0]))


def test_precision_and_recall_of_sets_with_a_known_answer():
    grid = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0)).double()  # radius of the third neighbour: 1 to √2
    assert precision_recall(grid, grid) == (1, 1)
    assert precision_recall(grid, 100 + grid) == (0, 0)
    half = grid[grid[:, 0] < 3]
    assert precision_recall(half, grid) == (1, 24 / 36)  # the balls reach one column further
    assert precision_recall(grid, half) == (24 / 36, 1)
    copies = grid[:1].repeat(20, 1)
    assert precision_recall(copies, grid)[0] == 1 and precision_recall(copies, grid)[1] == 1 / 36


def test_a_part_of_the_inner_products_is_that_of_the_part():
    x, y = normal(20, 5), normal(30, 5, seed=1)
    i, j = torch.tensor([3, 1, 19, 7, 8]), torch.tensor([2, 29, 0, 5, 11, 6])
    part = Inner.of(x, y).part(i, j)
    assert kernel_from(part) == pytest.approx(kernel_distance(x[i], y[j]))
    assert precision_recall_from(part) == precision_recall(x[i], y[j])
