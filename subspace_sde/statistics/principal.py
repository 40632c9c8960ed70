"""Principal components as subspaces: of whole samples (`pca`), or of their patches (`patch_pca`), from one pass.

Both are linear subspaces; `center` says whether the directions are those of the covariance (about the data's mean) or
of the second moment (about the origin).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import batches, namespace, sizes
from ..backend import backend_of, host, seed_of
from ..border import checked
from ..subspaces import Basis, PatchBasis
from ..subspaces.patches import edges_of
from .moments import Covariance, Moments, PatchCovariance, accumulate

_PASSES = 1000  # over the data, at most: far fewer are enough


@checked
def pca(data: Any, n_components: int, center: bool = True) -> Basis:
    """The span of the leading principal components of the data, exact.

    By way of the covariance, (d, d); or of the samples themselves where they are an array of at most d/2 of them.

    Parameters
    ----------
    data: (N, *shape) of numpy, torch or Dask, any iterable of batches (read once), or a `Covariance` of them.
    n_components: n, the dimension of the subspace.
    center: the directions of the covariance (about the data's mean) or, without it, of the second moment.

    Returns
    -------
    A `Basis` of the arrays of that shape; coordinates (n,), the leading component first.

    Ranks of one `Covariance` nest in each other. Directions of float32 data given as such are found in float32, in
    half the time: those of neighbouring eigenvalues mix.

    Raises ValueError where the data determine fewer than n directions: too few samples, or constant ones.

    >>> x = np.asarray([[0.0, 1.0], [0.0, 3.0], [0.1, 2.0]])
    >>> abs(pca(x, 1).matrix()).round(2)[:, 0] + 0.0
    array([0., 1.])
    """
    if _is_short(data):
        return Basis(_of_few(data, n_components, center), tuple(data.shape[1:]))
    moments = data if isinstance(data, Covariance) else accumulate(Covariance, data)
    quick = moments is not data and moments.single and center
    return Basis(_leading(moments, n_components, center, quick), moments.shape)


@checked
def patch_pca(data: Any, patch: int | Sequence[int], n_components: int, center: bool = True) -> PatchBasis:
    """The principal components of the data's patches, one set for all of them (Patch-PCA of the paper's section 4.1).

    Parameters
    ----------
    data: (N, *shape) of numpy, torch or Dask, any iterable of batches (read once), or a `PatchCovariance` of them.
    patch: edge of a patch, one number for the last two axes or one for each of the last axes, as in `PatchBasis`.
    n_components: m, the components kept of each patch.
    center: about the mean of all patches, or about the origin.

    Raises ValueError as `pca` does.

    >>> x = np.random.default_rng(0).standard_normal((100, 3, 8, 8))
    >>> patch_pca(x, 2, n_components=3).shape
    (3, 4, 4)
    """
    moments = data if isinstance(data, PatchCovariance) else accumulate(partial(PatchCovariance, patch=patch), data)
    if moments.patch != edges_of(patch, len(moments.shape)):
        raise ValueError(f"these are statistics of patches of {moments.patch}, not of {patch}")
    return PatchBasis(moments.shape, moments.patch, _leading(moments, n_components, center))


@checked
def randomised_pca(
    data: Any, n_components: int, center: bool = True, oversampling: int = 10, passes: int = 4, rng: int = 0
) -> Basis:
    """`pca` without the covariance, for n ≪ d: randomised subspace iteration (Halko, Martinsson and Tropp 2011).

    Every pass multiplies the covariance with d × (n + oversampling) numbers, batch by batch; that is all the memory
    it needs. What is captured falls short of `pca` by little after a few passes, least where the spectrum decays fast.

    Parameters
    ----------
    data: (N, *shape), or a collection of batches that can be read several times.
    n_components, center: as in `pca`.
    oversampling: further directions that are followed and dropped at the end.
    passes: over the data, 2 to 1000, beside one for their number and mean.
    rng: seed of the first directions.

    >>> x = np.random.default_rng(0).standard_normal((200, 30)) * 0.5 ** np.arange(30)
    >>> exact, fast = pca(x, 3), randomised_pca(x, 3)
    >>> bool(np.max(np.abs(exact.project(x) - fast.project(x))) < 1e-6)
    True
    """
    if not 2 <= passes <= _PASSES:
        limit = "at least 2" if passes < 2 else f"at most {_PASSES}"
        raise ValueError(f"randomised PCA makes {limit} passes over the data, got {passes}")
    if oversampling < 0:
        raise ValueError(f"oversampling must not be negative, got {oversampling}")
    if isinstance(data, Iterator):
        raise ValueError("randomised PCA reads the data several times: give an array or a list of batches, no iterator")
    first = accumulate(_Mean, data)
    shape, count, d, n = first.shape, first.count, prod(first.shape), _count(n_components)
    mean = first.mean if center else np.zeros(shape)
    _check_determined(n, d, count, center)
    directions = np.random.default_rng(seed_of(rng)).standard_normal((d, min(d, n + oversampling)))
    for _ in range(passes):
        directions = np.linalg.qr(directions)[0]
        product = np.zeros_like(directions)
        for batch in batches(data):
            xp, backend = namespace(batch), backend_of(batch)
            rows = xp.reshape(batch - backend.from_numpy(mean, batch), (-1, d))
            follow = xp.matmul(rows, backend.from_numpy(directions, rows))
            product += host(xp.matmul(xp.matrix_transpose(rows), follow))
        last, directions = directions, product
    # Rayleigh-Ritz on the last product: Q(QᵀCQ)Qᵀ stands for C
    values, rotation = np.linalg.eigh(last.T @ directions / count)
    _check_rank(values[::-1], n, center, count * float(np.sum(first.mean**2)))
    return Basis(_signed(last @ rotation[:, ::-1][:, :n]), shape)


class _Mean(Moments):
    """The mean alone."""

    def _squares(self, y: Any, xp: Any) -> Any:
        return xp.zeros(())


def _leading(moments: Covariance, n_components: int, center: bool, quick: bool = False) -> np.ndarray[Any, Any]:
    """The n leading eigenvectors (d, n) of what was accumulated."""
    from scipy.linalg import eigh

    d, n = moments.mean.size, _count(n_components)
    _check_determined(n, d, moments.count, center)
    solve = partial(
        eigh, lower=True, subset_by_index=[d - n, d - 1], driver="evr", overwrite_a=True, check_finite=False
    )
    if quick:
        values, vectors = solve(moments.lower(center).astype(np.float32))
    if not quick or values[0] < 16 * np.finfo(np.float32).eps * values[-1]:
        values, vectors = solve(moments.lower(center))
    _check_rank(values[::-1], n, center, moments.count * float(np.sum(moments.mean**2)))
    return _signed(vectors[:, ::-1])


def _is_short(data: Any) -> bool:
    """An array of so few samples that their singular vectors take less than the eigenvectors of their covariance."""
    if not array_api_compat.is_array_api_obj(data) or array_api_compat.is_dask_array(data) or data.ndim < 2:
        return False
    samples, *shape = map(int, data.shape)
    return 0 < 2 * samples <= prod(shape)


def _of_few(data: Any, n_components: int, center: bool) -> np.ndarray[Any, Any]:
    """The n leading right singular vectors of the samples, (d, n)."""
    first, n = accumulate(_Mean, data), _count(n_components)
    _check_determined(n, prod(first.shape), first.count, center)
    rows = np.reshape(host(data), (first.count, -1)) - (first.mean.reshape(-1) if center else 0.0)
    _, sizes, vectors = np.linalg.svd(rows, full_matrices=False)
    _check_rank(sizes**2 / first.count, n, center, first.count * float(np.sum(first.mean**2)))
    return _signed(vectors[:n].T)


def _count(n_components: int) -> int:
    return sizes("n_components", (n_components,))[0]


def _check_determined(n: int, d: int, count: int, center: bool) -> None:
    if n > d:
        raise ValueError(f"{n} components of data that have {d} dimensions: give at most {d}")
    most = count - 1 if center else count
    if n > most:
        what = "about their mean" if center else "about the origin"
        raise ValueError(f"{count} samples determine at most {most} directions {what}, not {n}: give more samples")


def _check_rank(values: np.ndarray[Any, Any], n: int, center: bool, energy: float) -> None:
    """`values` the eigenvalues, the largest first, `energy` Σ‖mean‖²: below the rounding of both there is nothing."""
    eps = 8 * float(np.finfo(np.float64).eps)
    rank = int(np.sum(values[:n] > max(eps * values[0], eps**2 * energy, 0.0)))
    if rank < n:
        what = "vary in" if center else "fill"
        raise ValueError(f"the data {what} {rank} directions alone, not {n}")


def _signed(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Each column with its largest entry positive, so that a sign is never left to chance."""
    largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=0)[None], axis=0)
    signed: np.ndarray[Any, Any] = vectors * np.sign(largest)
    return signed
