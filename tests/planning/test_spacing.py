"""A plan prices the steps that will be taken, says which, and takes no switch time that missed its target silently."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, LowPass, Plan, SubspaceSDE, cli, gaussian_divergence, plan, sample, switch_times
from subspace_sde.analysis.analyse_data import analyse
from subspace_sde.images import photos
from subspace_sde.oracles import DCTGaussian
from subspace_sde.planning import power, seconds
from subspace_sde.sampling import OwnSpacing, Rho, UniformLogSNR, UniformTime, stage_times
from subspace_sde.solvers import DDIM, DPMSolver

LAW = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
CANDIDATES = [LowPass((16,), n, axes=(-1,)) for n in range(1, 16)]


def planned(sde, **how):
    return plan(CANDIDATES, gaussian_divergence(LAW, sde, CANDIDATES), 3e-3, max_levels=2, **how)


@pytest.mark.parametrize("sde", [VE(), VP(), EDM()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("spacing", [None, OwnSpacing(), UniformTime(), UniformLogSNR(), Rho(3)], ids=repr)
def test_the_shares_are_those_of_the_steps_of_that_spacing(sde, spacing):
    found = planned(sde, spacing=spacing)
    assert found.spacing == spacing and found.grid is None
    process = SubspaceSDE.fit(sde, found.subspaces, found.times, LAW.sample(50, rng=0))
    counts = [len(times) - 1 for times in stage_times(process, 5000, spacing)]
    np.testing.assert_allclose(np.asarray(counts) / 5000, found.shares, atol=3e-4)


def test_a_plan_for_a_solver_promises_the_evaluations_that_it_takes():
    sde = VP()
    for solver in (DPMSolver(2), DDIM()):
        found = planned(sde, spacing=getattr(solver, "spacing", None))
        process = SubspaceSDE.fit(sde, found.subspaces, found.times, LAW.sample(50, rng=0))
        scores = [LAW.restrict(u).score(sde) for u in found.subspaces]
        spent = sample(process, scores, 1, solver, 1000).evaluations
        assert sum(n * c for n, c in zip(spent, found.costs)) / 1000 == pytest.approx(found.cost, abs=2e-3)
    assert planned(sde).cost != pytest.approx(planned(sde, spacing=DPMSolver.spacing).cost, abs=0.02)


def test_repr_and_file_say_for_which_steps(tmp_path):
    sde = EDM()
    plans = {
        "spacing=UniformLogSNR()": planned(sde, spacing=UniformLogSNR()),
        "spacing=Rho(rho=3)": planned(sde, spacing=Rho(3)),
        "grid=(80, 1, 0.002)": planned(sde, grid=[80.0, 1.0, 0.002]),
        "divergences": planned(sde),
    }
    for told, found in plans.items():
        assert told in repr(found) and ("spacing=" in repr(found)) == ("spacing=" in told)
        found.save(tmp_path / "plan.json")
        again = Plan.load(tmp_path / "plan.json")
        assert (again.spacing, again.grid, again.cost) == (found.spacing, found.grid, found.cost)
    content = json.loads((tmp_path / "plan.json").read_text())
    for field in ("spacing", "grid"):  # a plan written before there were any
        del content[field]
    (tmp_path / "plan.json").write_text(json.dumps(content))
    assert Plan.load(tmp_path / "plan.json").spacing is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spacing", {"kind": "VE"}),
        ("spacing", {"kind": "Rho", "rho": 0}),
        ("spacing", 3),
        ("grid", [1.0, 0.0]),
        ("grid", 3),
    ],
)
def test_a_file_that_names_other_steps_is_refused(tmp_path, field, value):
    planned(EDM()).save(tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(content | {field: value}))
    with pytest.raises(ValueError, match=r"plan.json holds no plan of subspace_sde"):
        Plan.load(tmp_path / "plan.json")


def test_a_spacing_of_ones_own_prices_but_is_not_written(tmp_path):
    class Mine:
        def parameter(self, t, sde):
            return t * t

        def time(self, u, sde):
            return math.sqrt(u)

    found = planned(VE(), spacing=Mine())
    assert found.shares[0] == pytest.approx(found.times[0] ** 2)
    with pytest.raises(TypeError, match="only SDEs, subspaces and spacings of registered classes have a specification"):
        found.save(tmp_path / "plan.json")


def test_refusals():
    with pytest.raises(ValueError, match="give either the times of a `grid`, or a `spacing`"):
        planned(VE(), grid=[1.0, 0.5, 0.0], spacing=Rho())
    for exponent in (math.nan, math.inf):
        with pytest.raises(ValueError, match="the exponent must be finite"):
            power(exponent)
    score_of = lambda level: lambda x, t: -x  # noqa: E731
    for wrong in ({"repeats": 0}, {"num": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be an integer >= 1"):
            seconds(score_of, **{"num": 1, "like": np.zeros(()), "t": 0.5, **wrong})


def test_a_switch_time_that_missed_its_target_is_told():
    sde, levels = VE(), [LowPass((16,), 6, axes=(-1,))]
    found = switch_times(LAW.score(sde), LAW.sample(200, rng=0), sde, levels, 3e-3, stderr=0.01)
    assert found[0].reached
    plan(levels, found, 3e-3)  # warnings are errors
    with pytest.warns(UserWarning, match=r"has not reached the standard error that was asked for"):
        plan(levels, [replace(found[0], reached=False)], 3e-3)


# -- the price of a level, handed on


def test_the_price_reaches_the_plan_of_an_analysis():
    images = photos(8, train=300, held_out=10)
    levels = [len(analyse(images, multiple_of=2, price=p).plan.times) for p in (0.0, 0.1, 1.0)]
    assert levels[0] > levels[-1] == 0 and levels == sorted(levels, reverse=True)


def test_the_price_on_the_command_line_reaches_the_plan(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (60, 4, 4, 3)).repeat(2, axis=1).repeat(2, axis=2)
    np.savez(tmp_path / "images.npz", images=np.clip(coarse + rng.normal(0, 4, coarse.shape), 0, 255).astype(np.uint8))
    for price, stays in (("0", False), ("1", True)):
        monkeypatch.setattr(sys, "argv", ["subspace-sde", "analyse", str(tmp_path / "images.npz"), "--price", price])
        with pytest.raises(SystemExit):
            cli.main()
        assert ("stay in the full space" in " ".join(capsys.readouterr().out.split())) == stays
