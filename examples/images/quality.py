"""How far samples are from held-out images: power per frequency band, covariance of the colours, sliced Wasserstein.

None of the three needs a trained judge. `floor` takes each between real images, as many as there are samples, which
is what a perfect model would show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
from scipy.fft import dctn

from subspace_sde.images import to_unit

BANDS = 8


def band_power(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean squared DCT-II coefficient in each of `BANDS` bands of radial frequency, lowest first; (N, 3, H, W) in.

    The mean of each image (the zero frequency) is left out.
    """
    h, w = images.shape[-2:]
    power = np.mean(dctn(images.astype(np.float64), axes=(-2, -1), norm="ortho") ** 2, axis=(0, 1))
    radius = np.hypot(*np.meshgrid(np.arange(h) / h, np.arange(w) / w, indexing="ij"))
    band = np.minimum((radius * BANDS).astype(int), BANDS - 1)
    band[0, 0] = -1
    return np.asarray([power[band == b].mean() for b in range(BANDS)])


def colour_covariance(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The 3 × 3 covariance of the pixels' colours."""
    covariance: np.ndarray[Any, Any] = np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64))
    return covariance


def compare(images: np.ndarray[Any, Any], reference: np.ndarray[Any, Any], seed: int = 0) -> dict[str, Any]:
    """The three distances between two sets of images in [0, 1]; 0 is best for each.

    Returns
    -------
    bands: log₁₀ of the power of `images` over that of `reference`, per band.
    colour: ‖C − C_ref‖/‖C_ref‖ (Frobenius).
    sliced wasserstein: of the images as vectors, over 512 random directions, per pixel.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (images, reference))
    c, c_ref = colour_covariance(images), colour_covariance(reference)
    distance = ot.sliced_wasserstein_distance(a, b, n_projections=512, seed=seed)
    return {
        "bands": np.log10(band_power(images) / band_power(reference)).tolist(),
        "colour": float(np.linalg.norm(c - c_ref) / np.linalg.norm(c_ref)),
        "sliced wasserstein": float(distance),
    }


def floor(
    train: np.ndarray[Any, Any], reference: np.ndarray[Any, Any], num: int, seed: int, draws: int = 20
) -> dict[str, Any]:
    """`compare` for `num` training images (uint8) in place of samples: mean and spread over `draws` choices of them."""
    rng = np.random.default_rng(seed)
    num = min(num, len(train))
    found = [compare(to_unit(train[rng.choice(len(train), num, replace=False)]), reference, seed) for _ in range(draws)]
    result: dict[str, Any] = {"bands": np.mean([f["bands"] for f in found], axis=0).tolist()}
    for name in ("colour", "sliced wasserstein"):
        values = [f[name] for f in found]
        result |= {name: float(np.mean(values)), f"{name} spread": float(np.std(values))}
    return result
