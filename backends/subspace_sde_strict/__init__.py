"""The backend of subspace_sde for array-api-strict, which has the standard and nothing else: for tests."""

from __future__ import annotations

from typing import Any

import array_api_compat
import array_api_strict
import numpy as np
from subspace_sde_numpy import NumpyBackend

from subspace_sde.generic import GenericBackend


class StrictBackend(NumpyBackend):
    """See `subspace_sde.backend.Backend`; numpy lies underneath, on every one of its devices."""

    def __init__(self) -> None:
        super().__init__("array_api_strict")

    normal = GenericBackend.normal
    from_numpy = GenericBackend.from_numpy

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(array_api_compat.to_device(x, array_api_strict.Device("CPU_DEVICE")))
