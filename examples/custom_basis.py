"""A basis of your own, from end to end: smooth fields on a road map. ``python -m examples.custom_basis --help``.

The roads of a town run around a bay. Heat spreads along them and never across the water, so that no cosine suits its
fields; the smoothest eigenvectors of the map's Laplacian do. They become a `Subspace`, are checked, planned with and
sampled with. All scores are exact: your networks go where ``law.restrict`` stands.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.spatial import Delaunay

from subspace_sde import (
    VE,
    NestedSubspaces,
    Plan,
    Subspace,
    SubspaceSDE,
    gaussian_divergence,
    orthogonal_fisher_divergence,
    plan,
    sample,
)
from subspace_sde.arrays import device
from subspace_sde.backend import Constant
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.statistics import Covariance, accumulate
from subspace_sde.testing import check_subspace

Matrix: TypeAlias = np.ndarray[Any, Any]


class Smooth(Subspace):
    """Fields on the nodes of a graph: the span of the first n of its Laplacian's eigenvectors (d, d), smoothest first.

    A class and no `Basis.spanning`, because it knows how it nests: one within another is a choice of coordinates.
    """

    def __init__(self, eigenvectors: Matrix, n: int) -> None:
        super().__init__(ambient_shape=(len(eigenvectors),), shape=(n,))
        self.eigenvectors, self._u = eigenvectors, Constant(eigenvectors[:, :n])

    def _restrict(self, x: Any, xp: Any) -> Any:
        return xp.matmul(x, self._u.like(x))

    def _embed(self, z: Any, xp: Any) -> Any:
        return xp.matmul(z, xp.matrix_transpose(self._u.like(z)))

    def _within(self, outer: Subspace) -> Subspace:
        alike = isinstance(outer, Smooth) and outer.eigenvectors is self.eigenvectors
        return First(outer.dim, self.dim) if alike else super()._within(outer)


class First(Subspace):
    """The first n of d coordinates."""

    def __init__(self, d: int, n: int) -> None:
        super().__init__(ambient_shape=(d,), shape=(n,))

    def _restrict(self, x: Any, xp: Any) -> Any:
        return x[..., : self.dim]

    def _embed(self, z: Any, xp: Any) -> Any:
        rest = (*z.shape[:-1], self.ambient_dim - self.dim)
        return xp.concat([z, xp.zeros(rest, dtype=z.dtype, device=device(z))], axis=-1)


def road_map(nodes: int, seed: int) -> tuple[Matrix, Matrix]:
    """Crossings (nodes, 2) spread evenly around a bay, and the triangles of roads between them, three nodes each.

    Raises ValueError for fewer than 60 nodes, which leave no bay.
    """
    if nodes < 60:
        raise ValueError(f"a map with a bay needs at least 60 nodes, got {nodes}")
    jitter = 0.8 / np.sqrt(nodes) * np.random.default_rng(seed).random((nodes, 2))
    along, across = ((np.arange(nodes)[:, None] * [0.75487767, 0.56984029] + jitter) % 1).T  # Roberts's R2 sequence
    radius, angle = np.sqrt(0.1 + 0.9 * across), np.pi * (0.15 + 1.7 * along)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    triangles = Delaunay(points).simplices
    return points, triangles[np.ptp(angle[triangles], axis=1) < 0.8]  # the wider ones lie across the water


def laplacian(points: Matrix, triangles: Matrix) -> Matrix:
    """D − W, a road weighing the median length over its own. Thousands of nodes are for scipy.sparse and eigsh."""
    a, b = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).T
    lengths = np.linalg.norm(points[a] - points[b], axis=1)
    weights = np.zeros((len(points), len(points)))
    weights[a, b] = weights[b, a] = np.median(lengths) / lengths
    result: Matrix = np.diag(weights.sum(axis=1)) - weights
    return result


def weather(points: Matrix, eigenvalues: Matrix, eigenvectors: Matrix) -> Mixture:
    """Fields of a known law: a warm quarter at one end of the roads or at the other, and the day's weather over all.

    The weather's covariance is a function of the Laplacian, smoother with the heat at the second end.
    """
    around = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    rates = len(points) * eigenvalues  # of cooling; they hardly depend on how many nodes there are
    laws = []
    for end, roughness in ((np.argmin(around), 60.0), (np.argmax(around), 15.0)):
        heat = eigenvectors @ (np.exp(-0.02 * rates) * eigenvectors[end])  # what one hot node sends along the roads
        power = (1 + rates / roughness) ** -2
        power = 0.6**2 * len(points) * power / power.sum()  # a standard deviation of 0.6 at a node
        laws.append(Gaussian(2 * heat / heat.max(), (eigenvectors * power) @ eigenvectors.T))
    return Mixture([0.5, 0.5], laws)


def run(nodes: int, threshold: float, num: int, seed: int, out: Path | None) -> tuple[Plan, dict[str, Matrix]]:
    """All of it in order, with a report; gives the plan and the `statistics` of the samples.

    Raises ValueError for settings that cannot be used.
    """
    if num < 1:
        raise ValueError(f"give at least one sample, got {num}")
    points, triangles = road_map(nodes, seed)
    eigenvalues, eigenvectors = np.linalg.eigh(laplacian(points, triangles))
    candidates = [Smooth(eigenvectors, n) for n in np.unique(np.geomspace(4, 0.9 * nodes, 30).astype(int)).tolist()]
    for dtype in (np.float32, np.float64):
        for candidate in candidates[::6]:
            check_subspace(candidate, like=np.zeros((), dtype), outer=candidates[-1])
            check_subspace(candidate.within(candidates[-1]), like=np.zeros((), dtype))

    # from here on nothing is special: a subspace of your own is like any other
    sde, law = VE(), weather(points, eigenvalues, eigenvectors)
    data = law.sample(4000, rng=seed)  # one seed for each: equal seeds are equal noise
    gaussian = accumulate(Covariance, data).gaussian()
    curves = gaussian_divergence(gaussian, sde, candidates, center=True)
    best = plan(candidates, curves, threshold, max_levels=2)
    levels, score = best.subspaces[1:], law.score(sde)
    true = orthogonal_fisher_divergence(score, data[:500], sde, levels, best.times, seed + 1, center=True)
    print(f"the plan, from the data's covariance alone: {best.cost:.0%} of the full space's cost")
    print("dimensions   used from t on      D_F   of the injection   by the true score")
    for level, t, error, injection, curve in zip(levels, best.times, best.divergences, best.injections or (), true):
        print(f"{level.dim:10}{t:17.3f}{error:9.4f}{injection:19.4f}{curve.at(t):20.4f}")

    processes = {
        "full": SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(nodes,)), [], []),
        "staged": SubspaceSDE.fit(sde, best.subspaces, best.times, data, center=True),
    }
    ends = [0, *sorted(level.dim for level in best.subspaces)]
    bands = [slice(a, b) for a, b in zip(ends, ends[1:])]  # sampled from T on, injected at t_2, injected at t_1
    errors = [0.5 / np.sqrt(num), *(np.sqrt(2 / num / (band.stop - band.start)) for band in bands)]
    print("\nshare of the first law, and variance / exact variance in bands of eigenvectors")
    print(f"{'':30}{'share':>14}" + "".join(f"{f'{band.start + 1}-{band.stop}':>16}" for band in bands))
    found, fields = {}, {"data": data}
    for name, process in processes.items():
        scores = [law.restrict(level).score(sde) for level in process.subspaces]  # networks, with other data
        samples = sample(process, scores, num, steps=200, rng=seed + 2, like=np.zeros((), np.float32))
        found[name], fields[f"{name} diffusion"] = statistics(samples.x, law, sde, eigenvectors, bands), samples.x
        used = sum(calls * level.dim for calls, level in zip(samples.evaluations, process.subspaces))
        print(f"{f'{name}, {used} node evaluations':30}", *(f"{v:7.3f} ± {e:.3f}" for v, e in zip(found[name], errors)))
    if out is not None:
        draw(out / "custom_basis.png", points, triangles, fields, eigenvectors)
    return best, found


def statistics(x: Matrix, law: Mixture, sde: VE, eigenvectors: Matrix, bands: Sequence[slice]) -> Matrix:
    """Of samples x at t_min: the share of the first component, and the variance in each band over the exact one.

    Each x is standardised by the component it came from, beyond doubt at t_min: z is N(0, I) if all went well.
    """
    x, z = x.astype(np.float64), np.empty(x.shape)
    which = np.argmax([c.log_density(x, sde.t_min, sde) for c in law.components], axis=0)
    for i, c in enumerate(law.components):
        variances = np.sum(eigenvectors * (c.covariance @ eigenvectors), axis=0) + sde.sigma(sde.t_min) ** 2
        z[which == i] = (x[which == i] - c.mean) @ eigenvectors / np.sqrt(variances)
    return np.asarray([np.mean(which == 0), *(np.mean(z[:, band] ** 2) for band in bands)])


def draw(path: Path, points: Matrix, triangles: Matrix, fields: dict[str, Matrix], eigenvectors: Matrix) -> None:
    """Write the picture: a typical field of either end from each set, and the eigenvectors 2 to 7."""
    from matplotlib.figure import Figure  # the only need of matplotlib

    figure = Figure(figsize=(12.8, 6.4), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(3, 1.55))
    large, small = halves[0].subplots(2, len(fields)), halves[1].subplots(3, 2)
    for axes, (name, x) in zip(large.T, fields.items()):
        order = np.argsort(x @ eigenvectors[:, 1])  # which tells the two ends apart
        for ax, i in zip(axes, order[[len(x) // 4, 3 * len(x) // 4]]):
            image = ax.tripcolor(*points.T, triangles, x[i], shading="gouraud", cmap="magma", vmin=-1.5, vmax=2.5)
        axes[0].set_title(name)
    halves[0].colorbar(image, ax=large, location="bottom", shrink=0.4, aspect=40, label="temperature")
    for j, ax in enumerate(small.flat, start=1):
        v = eigenvectors[:, j] / np.abs(eigenvectors[:, j]).max()
        ax.tripcolor(*points.T, triangles, v, shading="gouraud", cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set_title(f"eigenvector {j + 1}", fontsize=10)
    for ax in [*large.flat, *small.flat]:
        ax.triplot(*points.T, triangles, color="black", linewidth=0.3, alpha=0.35)
        ax.set_aspect("equal")
        ax.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.custom_basis",
        description="A basis of your own, from end to end: smooth fields on a road map, planned and sampled in stages.",
    )
    for name, default, text in (
        ("nodes", 500, "crossings on the map, at least 60"),
        ("threshold", 3e-3, "the D_F from which on a subspace may be used"),
        ("num", 500, "samples in each set"),
        ("seed", 0, "fixes the map, the data and all noise"),
    ):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{text}; {default} without it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for custom_basis.png, which needs matplotlib")
    try:
        run(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
