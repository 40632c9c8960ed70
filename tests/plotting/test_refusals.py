"""What cannot be drawn is refused with one clear sentence."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from subspace_sde import DivergenceCurve, Downsampling, Subspace
from subspace_sde.plotting import (
    basis_vectors,
    cost_against_threshold,
    divergence_curves,
    plan_bar,
    power_spectrum,
    projections,
    save,
)
from tests.plotting.drawn import PLANS, falling, make_plan

ONE = {"a": falling(0.0, 4)}
GREY = np.full((2, 4, 4), 0.5)
MEANS = {"means": Downsampling((4, 4), 2)}


class Odd(Subspace):
    def __init__(self):
        super().__init__((2, 4, 4), (2,))

    _restrict = _embed = None


@pytest.mark.parametrize(
    "error, message, call",
    [
        (TypeError, "`curves` takes a mapping of strings to objects like", lambda: divergence_curves([ONE["a"]])),
        (TypeError, "DivergenceCurve.*, got dict of 1 tuple", lambda: divergence_curves({"a": (1, 2)})),
        (ValueError, "curves is empty", lambda: divergence_curves({})),
        (ValueError, "every value of the curves is 0", lambda: divergence_curves({"a": DivergenceCurve((1,), (0,))})),
        (ValueError, "must be positive, got 0", lambda: divergence_curves(ONE, 0)),
        (ValueError, "must be positive, got nan", lambda: divergence_curves(ONE, math.nan)),
        (ValueError, "sequence of positive numbers", lambda: cost_against_threshold([0.0], {"a": [1]})),
        (ValueError, "sequence of positive numbers", lambda: cost_against_threshold([], {"a": []})),
        (ValueError, "a has 1 costs for 2 thresholds", lambda: cost_against_threshold([1, 2], {"a": [1]})),
        (ValueError, r"in \[0, 1\]; a has \[1.5\]", lambda: cost_against_threshold([1], {"a": [1.5]})),
        (ValueError, r"in \[0, 1\]; a has \[-0.5\]", lambda: cost_against_threshold([1], {"a": [-0.5]})),
        (TypeError, "`costs` takes a mapping of strings", lambda: cost_against_threshold([1], {"a": 0.5})),
        (TypeError, "this SimpleNamespace lacks sde, cost", lambda: plan_bar(lacking("sde", "cost"))),
        (ValueError, "2 levels has 1 times and 2 shares, got 2", lambda: plan_bar(make_plan([16], (0.5, 0.6)))),
        (ValueError, "sum to 1", lambda: plan_bar(make_plan([16], (0.5,), shares=(0.5, 0.4)))),
        (ValueError, "not be negative", lambda: plan_bar(make_plan([16], (0.5,), shares=(1.5, -0.5)))),
        (TypeError, "`subspace` takes an object like LowPass.*, got ndarray", lambda: basis_vectors(np.eye(3))),
        (ValueError, r"but those of this subspace are \(2, 4, 4\)", lambda: basis_vectors(Odd())),
        (ValueError, "num must be at least 1, got 0", lambda: basis_vectors(MEANS["means"], num=0)),
        (ValueError, "columns must be at least 1", lambda: basis_vectors(MEANS["means"], columns=0)),
        (TypeError, "expected an array", lambda: projections(GREY.tolist(), MEANS)),
        (ValueError, r"each image of x is \(2, 4, 4\)", lambda: projections(np.zeros((1, 2, 4, 4)), MEANS)),
        (ValueError, "no images", lambda: projections(GREY[:0], MEANS)),
        (ValueError, r"arrays \(4, 4\), each image of x is \(3, 4\)", lambda: projections(np.zeros((4, 3, 4)), MEANS)),
        (ValueError, r"not \[-1, 1\]: scale or clip", lambda: projections(np.sign(GREY - [[0], [1], [0], [0]]), MEANS)),
        (ValueError, r"not \[nan, nan\]", lambda: projections(GREY * math.nan, MEANS)),
        (ValueError, "takes floating-point numbers", lambda: projections(np.ones((1, 4, 4), int), MEANS)),
        (TypeError, "expected an array", lambda: power_spectrum({"a": [1.0, 2.0]})),
        (ValueError, r"a has \(\)", lambda: power_spectrum({"a": np.ones(())})),
        (ValueError, r"a has \(2, 1, 1, 1\)", lambda: power_spectrum({"a": np.ones((2, 1, 1, 1))})),
        (ValueError, r"axes are numbers from -2 to -1", lambda: projections(GREY, MEANS, axes=(-3, -1))),
        (ValueError, r"axes are numbers from -2 to -1 .*, got \(\)", lambda: projections(GREY, MEANS, axes=())),
        (ValueError, "x holds NaN or infinity", lambda: projections(GREY * math.nan, MEANS, axes=-1)),
        (ValueError, r"axes are numbers from -2 to -1", lambda: basis_vectors(MEANS["means"], axes=2)),
        (ValueError, r"a has \(3, 1, 1\)", lambda: power_spectrum({"a": np.ones((3, 1, 1))})),
        (ValueError, "finite, not negative and not all 0", lambda: power_spectrum({"a": -np.ones(4)})),
        (ValueError, "finite, not negative and not all 0", lambda: power_spectrum({"a": np.full(4, math.inf)})),
        (ValueError, "finite, not negative and not all 0", lambda: power_spectrum({"a": np.eye(4)[0]})),
        (TypeError, "`path` takes a string or a Path, got Figure", lambda: save("a.png", Figure())),
        (TypeError, "a Figure and then a path, got a str", lambda: save("a.png", "b.png")),
        (ValueError, "written as .png, .svg, .pdf, got a.jpg", lambda: save(Figure(), "a.jpg")),
        (ValueError, "dpi must be positive", lambda: save(Figure(), "a.png", dpi=0)),
    ],
)
def test_bad_input_is_one_clear_sentence(error, message, call):
    with pytest.raises(error, match=message):
        call()


def lacking(*names):
    return SimpleNamespace(**{k: v for k, v in vars(PLANS[1]).items() if k not in names})
