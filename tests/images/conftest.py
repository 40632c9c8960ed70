"""Twenty-three tiny images, which every source must give back as they are."""

import numpy as np
import pytest


@pytest.fixture
def pixels():
    """Twenty-three images (N, H, W, 3), 5 high and 6 wide, no two pixels of a place alike."""
    levels = np.tile(11 * np.arange(23, dtype=np.uint8)[:, None], 5 * 6 * 3)
    return np.random.default_rng(0).permuted(levels, axis=0).reshape(23, 5, 6, 3)
