"""Forty tiny images for the commands."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty smooth random images, as an .npz file."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 4, 4, 3))
    images = np.kron(coarse, np.ones((1, 4, 4, 1))) + rng.normal(0, 4, (40, 16, 16, 3))
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=np.clip(images, 0, 255).astype(np.uint8))
    return path
