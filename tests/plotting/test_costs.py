"""Pictures of costs against thresholds, read back."""

import math

import numpy as np
import torch

from subspace_sde.plotting import cost_against_threshold
from tests.plotting.drawn import lines


def test_costs_are_drawn_against_the_thresholds_with_gaps():
    thresholds = [1e-2, 1e-4, 1e-3]
    costs = {"one": [0.5, None, 0.75], "two": np.asarray([0.4, 1.0, math.nan]), "none": [None, None, None]}
    (ax,) = cost_against_threshold(thresholds, costs).axes
    assert ax.get_xscale() == "log" and ax.get_ylim() == (0, 1)
    low, high = ax.get_xlim()
    assert low < 1e-4 and high > 1e-2
    expected = {"one": [math.nan, 0.75, 0.5], "two": [1.0, math.nan, 0.4], "none": [math.nan] * 3}
    for name, y in expected.items():
        np.testing.assert_array_equal(lines(ax, name).get_xdata(), [1e-4, 1e-3, 1e-2])
        np.testing.assert_array_equal(lines(ax, name).get_ydata(), y)
        assert lines(ax, name).get_marker() == "o"  # a cost between two gaps is seen
    (single,) = cost_against_threshold([1e-3], {"one": [None]}).axes
    assert single.get_xlim()[0] < 1e-3 < single.get_xlim()[1]


def test_costs_may_be_tensors():
    (ax,) = cost_against_threshold(torch.tensor([0.25, 0.5]), {"one": torch.tensor([1.0, 0.5])}).axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0.25, 1.0], [0.5, 0.5]])
