"""Pictures of plans, read back: the area of the bars is the cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_sde.plotting import plan_bar
from tests.plotting.drawn import PLANS, make_plan


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.sde!r} {plan.subspaces!r}")
def test_the_bars_of_a_plan_are_its_stages_and_their_area_its_cost(plan):
    (ax,) = plan_bar(plan).axes
    assert len(ax.patches) == len(plan.subspaces)
    right = 0.0
    for bar, share, level in zip(ax.patches, plan.shares, plan.subspaces):
        assert bar.get_x() == pytest.approx(right, abs=1e-12)
        right = bar.get_x() + bar.get_width()
        assert bar.get_width() == pytest.approx(share, abs=1e-12)
        assert bar.get_height() == pytest.approx(level.dim / plan.subspaces[0].dim) and bar.get_y() == 0
    assert right == pytest.approx(1)
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(plan.cost)
    edges = [bar.get_x() for bar in ax.patches] + [1]
    np.testing.assert_allclose(ax.get_xticks(), edges, rtol=1e-12)
    times = (plan.sde.t_min, *plan.times, plan.sde.T)
    assert [label.get_text().strip() for label in ax.get_xticklabels()] == [f"{t:.3g}" for t in times]
    said = {text.get_text() for text in ax.texts}
    assert said == {
        f"{'×'.join(map(str, level.shape))}:  {100 * share:.3g} %" for share, level in zip(plan.shares, plan.subspaces)
    }
    when = "" if plan.threshold is None else ", threshold 0.003"
    assert ax.get_title(loc="left") == f"{100 * plan.cost:.3g} % of the full model's cost{when}"


def test_a_plan_costed_in_another_way_is_drawn_at_that_cost():
    plan = make_plan([16], (0.5,), cost=0.8, costs=(1.0, 0.6))
    (ax,) = plan_bar(plan).axes
    assert [bar.get_height() for bar in ax.patches] == [1.0, 0.6]
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(plan.cost)


@given(st.lists(st.tuples(st.integers(1, 31), st.integers(1, 40)), max_size=6, unique_by=lambda pair: pair[0]))
@settings(max_examples=10)
def test_the_labels_of_a_plan_lie_over_no_block_and_over_no_other_label(stages):
    sizes = sorted((size for size, _ in stages), reverse=True)
    weights = np.cumsum([1, *(weight for _, weight in stages), 1])
    figure = plan_bar(make_plan(sizes, tuple(weights[:-2] / weights[-1]) if sizes else ()))
    figure.draw_without_rendering()
    (ax,) = figure.axes
    labels = [text.get_window_extent() for text in ax.texts]
    blocks = [bar.get_window_extent() for bar in ax.patches]
    for i, label in enumerate(labels):
        assert not any(label.overlaps(other) for other in labels[i + 1 :] + blocks)
        assert label.x1 <= figure.bbox.x1 and label.y1 <= ax.title.get_window_extent().y1
    rows = {}
    for tick in ax.get_xticklabels():
        rows.setdefault(tick.get_text().count("\n"), []).append(tick.get_window_extent())
    for row in rows.values():
        assert all(a.x1 < b.x0 for a, b in zip(row, row[1:]))
