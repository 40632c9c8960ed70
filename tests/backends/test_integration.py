"""Adaptive integration of every backend."""

import math
import sys

import numpy as np
import pytest
import torch

from subspace_sde.backend import backend_of


@pytest.mark.also_on("strict", "jax")
@pytest.mark.parametrize("empty", [(0, 3), (2, 0)])
def test_integrate_leaves_nothing_as_it_is(empty, array):
    x = array(np.zeros(empty))
    assert backend_of(x).integrate(lambda y, t: y, x, 1.0, 0.0, 1e-3, 1e-3).shape == empty
    y = array(np.ones((2, 2)))
    assert backend_of(y).integrate(lambda y, t: 1 / 0, y, 1.0, 1.0, 1e-3, 1e-3) is y


@pytest.mark.also_on("strict", "jax")
def test_integrate_is_as_exact_as_its_tolerance(array, host, eps):
    # x' = x cos t, x = e^(sin t): errors fall with the tolerance, down to what the dtype can hold
    x, found = array(np.ones((1, 4))), []
    for tolerance in (1e-3, 1e-6):
        end = backend_of(x).integrate(lambda y, t: y * math.cos(t), x, 0.0, 3.0, tolerance, tolerance)
        found.append(np.max(np.abs(host(end) - math.exp(math.sin(3.0)))))
    assert found[0] < 1e-2 and found[1] < max(1e-5, 100 * eps)


def test_torch_without_torchdiffeq_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    x = torch.zeros((1, 2))
    with pytest.raises(ImportError, match=r'need torchdiffeq: pip install "subspace-sde\[torch\]"'):
        backend_of(x).integrate(lambda y, t: y, x, 1.0, 0.0, 1e-3, 1e-3)


def test_an_assertion_of_the_score_is_not_taken_for_vanishing_steps():
    def broken(y, t):
        raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine"):
        backend_of(torch.zeros(())).integrate(broken, torch.zeros((1, 2)), 1.0, 0.0, 1e-3, 1e-3)
