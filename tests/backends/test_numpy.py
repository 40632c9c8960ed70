"""Every feature on numpy alone, in float32 against float64: what the oldest versions are tried with too."""

import numpy as np
import pytest

from tests.backends.cases_of_data import GROUPS
from tests.backends.registry import CASES, Kind, compare, same_noise


@pytest.mark.parametrize("group", GROUPS)
def test_float32_agrees_with_float64(group, monkeypatch):
    same_noise(monkeypatch, np.zeros(()))
    single, exact = Kind(np.zeros((), dtype=np.float32)), Kind(np.zeros(()))
    for case in CASES:
        if case.group == group:
            found = case.run(single, single(case.x))
            assert isinstance(found, np.ndarray) and found.dtype in (np.float32, np.float64)
            compare(case, single, found, exact.host(case.run(exact, case.x)))
