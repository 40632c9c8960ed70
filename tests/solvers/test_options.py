"""What the constructors of solvers refuse, each in one sentence."""

import math
import re

import pytest

from subspace_sde.solvers import (
    DDIM,
    DormandPrince,
    DPMSolver,
    Heun,
)

PAIR = "churn_range takes two values of σ/α, the smaller first, got"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Heun(churn_range=(math.nan, 1.0)), PAIR),
        (lambda: Heun(churn=math.nan), "churn raises the noise by a share"),
        (lambda: Heun(churn_std=math.inf), "churn_std must not be negative"),
        (lambda: DDIM(math.nan), "DDIM's eta lies between 0"),
        (lambda: DPMSolver(2, eta=math.nan), "eta lies between 0"),
        (lambda: DormandPrince(atol=math.nan), "rtol and atol must be positive and finite"),
    ],
)
def test_options_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
