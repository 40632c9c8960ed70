"""The backend of subspace_sde for counting_arrays: what this library does otherwise than the standard alone would."""

from __future__ import annotations

from typing import Any

import numpy as np
from counting_arrays import Array

from subspace_sde.generic import GenericBackend


class CountingBackend(GenericBackend):
    """See `subspace_sde.backend.Backend`.

    From `GenericBackend` it has numpy's random streams, scipy's integrator and the refusal of derivatives.
    """

    def __init__(self) -> None:
        """For the library, as its namespace is called."""
        super().__init__("counting_arrays")

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        return np.array(x.values)

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Array:
        """A copy in the dtype of `like`, which counts as no operation."""
        return Array(np.array(x, dtype=like.dtype))
