"""Processes in files: what was saved comes back to the bit, and files that are none."""

import json

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, Basis, LowPass, NestedSubspaces, Plan, SubspaceSDE
from subspace_sde.specification import build, specify

X = np.random.default_rng(0).standard_normal((30, 3, 8, 6))
MATRIX = np.linalg.qr(np.random.default_rng(1).standard_normal((144, 5)))[0]
PROCESSES = {
    "two levels": lambda: SubspaceSDE.fit(VE(), NestedSubspaces([LowPass((3, 8, 6), 4)]), [0.3], X),
    "a mean": lambda: SubspaceSDE.fit(VP(), NestedSubspaces([Basis(MATRIX, (3, 8, 6))]), [1 / 3], X, center=True),
    "three levels": lambda: SubspaceSDE.fit(
        EDM(), NestedSubspaces([LowPass((3, 8, 6), 4), LowPass((3, 4, 4), 2)]), [0.3, 2.0], X
    ),
    "full": lambda: SubspaceSDE(VE(), NestedSubspaces([], ambient_shape=(5,)), [], []),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_saved_and_read_again(tmp_path, name):
    process = PROCESSES[name]()
    process.save(tmp_path / "deep" / "process.json")
    again = SubspaceSDE.load(tmp_path / "deep" / "process.json")
    assert again == process == build(specify(process)) and hash(again) == hash(process)
    assert (again.times, again.complement_variances) == (process.times, process.complement_variances)
    np.testing.assert_array_equal(again.mean, process.mean)
    if again.K:
        x = np.random.default_rng(2).standard_normal((4, *process.shape(again.K)))
        np.testing.assert_array_equal(again.inject(x, again.K, rng=3), process.inject(x, again.K, rng=3))


def test_processes_that_differ_are_not_equal():
    assert PROCESSES["two levels"]() != PROCESSES["a mean"]()
    half = NestedSubspaces([LowPass((3, 8, 6), 4)])
    assert SubspaceSDE(VE(), half, [0.3], [1.0]) != SubspaceSDE(VE(), half, [0.3], [1.0], mean=np.zeros((3, 8, 6)))


@pytest.mark.parametrize("center", [False, True])
def test_the_process_of_a_plan(center):
    nested = NestedSubspaces([LowPass((3, 8, 6), 4)])
    plan = Plan(VE(), nested, (0.5,), (0.5, 0.5), (1.0, 0.25), 3e-3, (1e-3,))
    assert plan.process(X, center) == SubspaceSDE.fit(VE(), nested, [0.5], X, center)
    assert plan.process(iter([X[:20], X[20:]]), center).complement_variances == pytest.approx(
        plan.process(X, center).complement_variances
    )


def test_other_files_are_no_processes(tmp_path):
    path = tmp_path / "process.json"
    PROCESSES["two levels"]().save(path)
    content = json.loads(path.read_text())
    assert list(content)[:3] == ["format", "version", "kind"] and content["format"] == "subspace_sde process"
    for changes, message in (
        ({"version": 2}, "its format is version 2, and this subspace_sde reads version 1"),
        ({"format": "subspace_sde plan"}, "it does not say that its format is 'subspace_sde process'"),
        ({"kind": "VE"}, "a specification of kind 'VE' does not fit"),
        ({"kind": "Mine"}, "unknown kind 'Mine' in a specification"),
        ({"times": [5.0]}, "times must increase strictly inside"),
        ({"complement_variances": [-1.0]}, "complement variances must be finite and not negative"),
        ({"sde": None}, "a specification of kind 'SubspaceSDE' does not fit: `sde` takes an object like VE"),
    ):
        path.write_text(json.dumps({**content, **changes}))
        with pytest.raises(ValueError, match=rf"process.json holds no process of subspace_sde: {message}") as refused:
            SubspaceSDE.load(path)
        assert "\n" not in str(refused.value)
    path.write_text(json.dumps({"format": "subspace_sde process", "version": 1, **specify(VE())}))
    with pytest.raises(ValueError, match="it describes a VE"):
        SubspaceSDE.load(path)
