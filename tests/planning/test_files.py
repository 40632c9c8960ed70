"""Plans saved and read again, and files that are none."""

import json

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, Basis, LowPass, Plan, Separable, gaussian_divergence, plan
from tests.planning.curves import CANDIDATES, SHAPE, curve_to, spectrum


def plans():
    gaussian = spectrum()
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    outer = Separable(SHAPE, {0: rotation[:, :6], 1: rotation[:, :6]})
    inner = Separable(SHAPE, {0: rotation[:, :2], 1: rotation[:, :2]})
    basis = Basis(np.linalg.qr(np.random.default_rng(1).standard_normal((64, 9)))[0], SHAPE)
    return {
        "low-pass": plan(CANDIDATES, gaussian_divergence(gaussian, VE(), CANDIDATES), 1e-2),
        "edm": plan(CANDIDATES, gaussian_divergence(gaussian, EDM(), CANDIDATES), 1e-2, max_levels=2),
        "matrices": plan([outer, inner], gaussian_divergence(gaussian, VP(), [outer, inner]), 0.1),
        "basis": plan([basis], gaussian_divergence(gaussian, VE(), [basis]), 0.1),
        "full": plan(CANDIDATES, gaussian_divergence(gaussian, VE(), CANDIDATES), 1e-2, max_levels=0),
        "no parts": plan([LowPass(SHAPE, 4)], [curve_to(VE(), 0.5, 1e-3)], 1e-3),
    }


@pytest.mark.parametrize("name", list(plans()))
def test_saved_and_read_again(tmp_path, name):
    found, path = plans()[name], tmp_path / "deep" / "plan.json"
    found.save(path)
    again = Plan.load(path)
    for field in ("times", "shares", "costs", "threshold", "divergences", "injections", "cost"):
        assert getattr(again, field) == getattr(found, field)
    assert repr(again.sde) == repr(found.sde)
    x = np.random.default_rng(0).standard_normal((3, *SHAPE))
    for a, b in zip(again.subspaces, found.subspaces, strict=True):
        np.testing.assert_array_equal(a.restrict(x), b.restrict(x))
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("subspace_sde plan", 1) and content["cost"] == found.cost
    assert [p.name for p in path.parent.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "another"}', '{"format": "subspace_sde plan 1"}'])
def test_other_files_are_no_plans(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"plan.json holds no plan of subspace_sde"):
        Plan.load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("times", [0.9, 0.8, 0.7, 0.6], "one time less"),
        ("times", "abc", "`times` takes a sequence of numbers, got 'abc'"),
        ("shares", None, "holds no plan"),
        ("threshold", "x", "`threshold` takes a number, got 'x'"),
        ("threshold", float("inf"), "threshold is a positive number, got inf"),
        ("divergences", [None], "`divergences` takes a sequence of numbers"),
        ("times", [2.0], "must increase strictly inside"),
        ("times", [True], "`times` takes a sequence of numbers"),
        ("divergences", [-0.1], "a divergence is not negative"),
        ("injections", [-0.1], "a divergence is not negative"),
        ("injections", [], "one time less"),
        ("chosen", [-1], "the chosen candidates are counted from 0"),
        ("chosen", [0.5], "`chosen` takes a sequence of whole numbers"),
        ("threshold", True, "`threshold` takes a number, got True"),
        ("cost", 0.01, "its cost is 0.01, but its shares and costs make 0"),
        ("cost", "x", "its cost is 'x'"),
        ("cost", True, "its cost is True"),
        ("cost", float("nan"), "holds no plan"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path, field, value, message):
    plans()["basis"].save(tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    content[field] = value
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Plan.load(tmp_path / "plan.json")


def test_a_changed_plan_is_refused(tmp_path):
    plans()["low-pass"].save(tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    content["subspaces"]["steps"][0]["kind"] = "os.system"
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="unknown kind"):
        Plan.load(tmp_path / "plan.json")
