"""The Dask backend of subspace_sde: arrays that are computed when they are asked for, and not before."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np

from subspace_sde.generic import GenericBackend


class DaskBackend(GenericBackend):
    """See `subspace_sde.backend.Backend`. Normals are numpy's, drawn at once: a graph could draw them twice."""

    def __init__(self) -> None:
        super().__init__("dask")

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(x.compute())

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        return dask.array.from_array(x.astype(like.dtype))  # type: ignore[no-untyped-call]

    def on_host(self, x: Any) -> bool:
        return False  # reading a value computes all that leads to it
