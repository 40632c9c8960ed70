"""How far samples are from held-out images, by every figure, each with its error bar.

The error of a figure is its standard deviation over random halves, drawn without replacement: half of the samples
against half of the images. A mean over a half varies about that over the whole by σ²(1/(n/2) − 1/n) = σ²/n, its own
variance, and so does, to first order, any figure. Where the two laws are one the first order vanishes, and the error
is too large, by about 2. The bootstrap draws an image several times, which inflates the Fréchet distance and its
spread (by 3, of 200 images and 128 features), counts an image as its own pair in kernel distances, and gives it
neighbours at distance zero. A figure is that of the whole, never a mean over halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import ot
import torch
from tqdm import tqdm

from subspace_sde.images import to_unit

from ..quality import BANDS, compare
from .distances import Inner, frechet_of_few, kernel_from, precision_recall_from, too_few
from .networks import Features, as_bytes

FEWEST = 16
"""Samples, and images, below which halves of them say nothing."""
MOST = 5000
"""Samples, and images, of which the figures of pairs take all pairs: the kernel distance, precision and recall."""


def check_images(images: Any) -> None:
    """A ValueError for too few held-out images, or too small ones, before any work."""
    if len(images) < FEWEST:
        raise ValueError(f"{len(images)} held-out images are left, and {FEWEST} is the least: give data of more images")
    if min(images.shape[-2:]) <= BANDS:
        raise ValueError(f"images of 9 x 9 or more have all the bands of frequency, got {images.shape[-2:]}")


def check_number(samples: int) -> None:
    """A ValueError for fewer samples than halves say something of."""
    if samples < FEWEST:
        raise ValueError(f"{samples} samples are too few to measure, {FEWEST} is the least: draw more")


class Reference:
    """Held-out images, and what a network sees in them.

    Parameters
    ----------
    images: (M, C, H, W), C = 1 or 3, uint8 or floats in [0, 1].
    network: `feature_network()`, or `Features` of any other.
    cache: a folder where features are kept, of these images and of the samples held against them.

    Raises ValueError for fewer than 16 images, or an edge below 9.

    >>> images = np.random.default_rng(0).integers(0, 256, (600, 3, 9, 9), dtype=np.uint8)
    >>> reference = Reference(images[:300], Features(torch.nn.Flatten(), "pixels"))
    >>> found = measure(images[300:], reference)
    >>> sorted(found)[:3], found["precision"][0] > 0.5
    (['FD-pixels', 'KD-pixels', 'bands'], True)
    """

    def __init__(self, images: Any, network: Features, cache: Path | None = None) -> None:
        self.images, self.network, self.cache = as_bytes(images), network, cache
        check_images(self.images)
        self.features = network(self.images, cache)

    def of(self, samples: Any) -> torch.Tensor:
        """The features of samples, (N, D)."""
        return self.network(samples, self.cache)

    def no_frechet(self, samples: int) -> str:
        """Why so many samples have no Fréchet distance here, which `measure` then leaves out; empty where they have."""
        return too_few(samples, len(self.images), self.features.shape[1])

    @cached_property
    def inner(self) -> torch.Tensor:
        """The inner products of the first `MOST` features, over D."""
        y = self.features[:MOST]
        return y @ y.mT / y.shape[1]

    @cached_property
    def unit(self) -> np.ndarray[Any, Any]:
        """The images in [0, 1]."""
        return np.asarray(to_unit(self.images))


def measure(
    samples: Any, reference: Reference, full: Any = None, seed: int = 0, resamplings: int = 20
) -> dict[str, tuple[float, float]]:
    """Every figure of the samples, with its standard error.

    Parameters
    ----------
    samples: (N, C, H, W), C = 1 or 3, uint8 or floats in [0, 1], of the size of the reference's images.
    full: the full model's samples from the same x(T), in the same order, for the paired figures; where the reference
        has a cache, their features are computed once for all plans.
    seed: decides the halves and the directions of projections; the same for all that is compared.
    resamplings: halves that the error bars are taken from.

    Returns
    -------
    FID or FD-name, KID or KD-name, precision, recall, sliced Wasserstein: on features. The first is left out where
        `Reference.no_frechet` says why.
    pixel sliced Wasserstein, colour, bands: on pixels (`examples.images.quality`), of the bands the RMS of log₁₀.
    cosine, PSNR: means over the pairs, with `full`: of features, less the mean of the reference's, and in dB.

    Raises ValueError for fewer than 16 samples, other sizes than the reference's, or another number in `full`.
    """
    found = with_halves(samples, reference, full, seed, resamplings)
    return {name: (values[0], standard_error(values)) for name, values in found.items()}


def in_place_of_samples(train: np.ndarray[Any, Any], num: int, seed: int) -> np.ndarray[Any, Any]:
    """As many training images as there are samples, or all: what a perfect model would show."""
    return train[np.random.default_rng(seed).choice(len(train), min(num, len(train)), replace=False)]


def standard_error(values: Sequence[float], others: Sequence[float] | None = None) -> float:
    """That of a figure of `with_halves`; with `others`, that of the difference between two.

    Both have the same halves of the images, and of samples with the same numbers, so that what they have in common, the
    images and x(T), does not count.

    >>> values = [3.0, 2.5, 3.5, 3.0]
    >>> standard_error(values), standard_error(values, [v - 1 for v in values])
    (0.5, 0.0)
    """
    halves = np.subtract(values[1:], 0.0 if others is None else others[1:])
    return float(np.std(halves, ddof=1))


def with_halves(
    samples: Any, reference: Reference, full: Any = None, seed: int = 0, resamplings: int = 20
) -> dict[str, list[float]]:
    """The figures of `measure`, each of the whole and then of every half."""
    pixels, pairs = as_bytes(samples), None if full is None else as_bytes(full)
    if pixels.shape[1:] != reference.images.shape[1:]:
        raise ValueError(f"the held-out images are of {reference.images.shape[1:]}, the samples of {pixels.shape[1:]}")
    check_number(len(pixels))
    if pairs is not None and pairs.shape != pixels.shape:
        raise ValueError(f"the full model's samples have shape {pairs.shape}, these {pixels.shape}: pairs need as many")
    if resamplings < 2:
        raise ValueError(f"an error bar takes 2 resamplings or more, got {resamplings}")
    x, y = reference.of(pixels), reference.features
    unit, inner = to_unit(pixels), Inner.of(x[:MOST], y[:MOST], reference.inner)
    each = {} if pairs is None else paired(pixels, pairs, x, reference.of(pairs), y.mean(dim=0))
    frechet, kernel = reference.network.names
    found: dict[str, list[float]] = {}

    def add(i: torch.Tensor, j: torch.Tensor) -> None:
        """The figures of the samples i against the images j."""
        some = inner.part(i[i < MOST], j[j < MOST])
        figures = {} if reference.no_frechet(len(x)) else {frechet: frechet_of_few(x[i], y[j])}
        figures[kernel] = kernel_from(some)
        figures["precision"], figures["recall"] = precision_recall_from(some)
        figures["sliced Wasserstein"] = float(ot.sliced_wasserstein_distance(x[i], y[j], n_projections=128, seed=seed))
        plain = compare(unit[i.cpu().numpy()], reference.unit[j.cpu().numpy()], seed)
        figures["pixel sliced Wasserstein"], figures["colour"] = plain["sliced wasserstein"], plain["colour"]
        figures["bands"] = float(np.sqrt(np.mean(np.square(plain["bands"]))))
        figures |= {name: float(values[i.cpu().numpy()].mean()) for name, values in each.items()}
        for name, value in figures.items():
            found.setdefault(name, []).append(value)

    generator = torch.Generator().manual_seed(seed)
    add(*(torch.arange(len(z), device=z.device) for z in (x, y)))
    for _ in tqdm(range(resamplings), desc="error bars", unit="half", leave=False):
        add(*(torch.randperm(len(z), generator=generator)[: len(z) // 2].to(z.device) for z in (x, y)))
    return found


def paired(
    pixels: np.ndarray[Any, Any], full: np.ndarray[Any, Any], x: torch.Tensor, x_full: torch.Tensor, mean: torch.Tensor
) -> dict[str, np.ndarray[Any, Any]]:
    """Of every pair the cosine between their features, less the mean, and the PSNR; equal pictures have 58.9 dB."""
    cosine = torch.nn.functional.cosine_similarity(x - mean, x_full - mean, dim=1)
    error = np.mean((pixels.astype(np.float64) - full) ** 2, axis=(1, 2, 3))
    floor = 1 / 12  # of rounding to 8 bits
    return {"cosine": cosine.cpu().numpy(), "PSNR": 10 * np.log10(255**2 / np.maximum(error, floor))}
