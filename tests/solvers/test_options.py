"""What the constructors of solvers refuse, each in one sentence, and the most churn they take."""

import math
import re

import numpy as np
import pytest

from subspace_sde import VE
from subspace_sde.solvers import DDIM, DormandPrince, DPMSolver, Heun

PAIR = "churn_range takes two values of σ/α, the smaller first, got"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Heun(churn_range=(math.nan, 1.0)), PAIR),
        (lambda: Heun(churn=math.nan), "churn raises the noise by a share"),
        (lambda: Heun(churn_std=math.inf), "churn_std must not be negative"),
        (lambda: DDIM(math.nan), "DDIM's eta lies between 0"),
        (lambda: DPMSolver(2, eta=math.nan), "eta lies between 0"),
        (lambda: Heun(churn=0.4143), "churn raises the noise by a share"),
        (lambda: DormandPrince(atol=math.nan), "rtol and atol must be positive and finite"),
        (lambda: DormandPrince(1e-3, 0.0), "rtol and atol must be positive and finite, got 0.001 and 0.0"),
        (lambda: DormandPrince(0.0, 1e-3), "rtol and atol must be positive and finite, got 0.0 and 0.001"),
    ],
)
def test_options_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_churn_of_root_2_minus_1_doubles_the_variance():
    # γ = √2 − 1 is the most there is; the fresh noise has standard deviation 1 unless the caller says otherwise
    sde, t = VE(), 0.5
    x, higher = Heun(math.sqrt(2) - 1)._churned(np.zeros(1), t, sde.T, sde, lambda: np.ones(1))
    assert sde.sigma(higher) ** 2 == pytest.approx(2 * sde.sigma(t) ** 2)
    assert x[0] == pytest.approx(math.sqrt(sde.sigma(higher) ** 2 - sde.sigma(t) ** 2))
