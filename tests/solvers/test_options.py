"""What the constructors of solvers refuse, each in one sentence."""

import math
import re

import pytest

from subspace_sde.solvers import (
    DDIM,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    Langevin,
    PredictorCorrector,
)

PAIR = "churn_range takes two values of σ/α, the smaller first, got"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Heun(churn_range=()), PAIR),
        (lambda: Heun(churn_range=(1.0,)), PAIR),
        (lambda: Heun(churn_range=(1.0, 2.0, 3.0)), PAIR),
        (lambda: Heun(churn_range=3.0), PAIR),
        (lambda: Heun(churn_range=None), PAIR),
        (lambda: Heun(churn_range="ab"), "`churn_range` takes a number, got str"),
        (lambda: Heun(churn_range=(math.nan, 1.0)), PAIR),
        (lambda: Heun(churn="some"), "`churn` takes a number, got str"),
        (lambda: Heun(churn=True), "`churn` takes a number, got bool"),
        (lambda: Heun(churn=math.nan), "churn raises the noise by a share"),
        (lambda: Heun(churn_std=None), "`churn_std` takes a number, got NoneType"),
        (lambda: Heun(churn_std=math.inf), "churn_std must not be negative"),
        (lambda: DDIM("1"), "`eta` takes a number, got str"),
        (lambda: DDIM(None), "`eta` takes a number, got NoneType"),
        (lambda: DDIM(math.nan), "DDIM's eta lies between 0"),
        (lambda: DPMSolver("2"), "`order` takes a number, got str"),
        (lambda: DPMSolver(order=None), "`order` takes a number, got NoneType"),
        (lambda: DPMSolver(2.5), "of order 2 or 3, got 2.5"),
        (lambda: DPMSolver(2, eta=[0]), "`eta` takes a number, got list"),
        (lambda: DPMSolver(2, eta=math.nan), "eta lies between 0"),
        (lambda: DormandPrince("1e-5"), "`rtol` takes a number, got str"),
        (lambda: DormandPrince(atol=math.nan), "rtol and atol must be positive and finite"),
        (lambda: Langevin(steps="2"), "an integer steps >= 0 and snr > 0, got '2'"),
        (lambda: Langevin(steps=None), "an integer steps >= 0 and snr > 0, got None"),
        (lambda: Langevin(steps=True), "an integer steps >= 0 and snr > 0, got True"),
        (lambda: Langevin(snr="much"), "`snr` takes a number, got str"),
        (lambda: Langevin(complement_only="no"), "`complement_only` takes an object like True, got str"),
        (lambda: PredictorCorrector(Heun), "`predictor` takes an object like ReverseDiffusion(), got the class Heun"),
        (lambda: PredictorCorrector("ddim"), "a predictor takes single steps, and str does not"),
        (lambda: PredictorCorrector(corrector=2), "`corrector` takes an object like Langevin(steps=1), got int"),
        (lambda: PredictorCorrector(EulerMaruyama(), Langevin), "got the class Langevin"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        call()
