"""Files of plans: the version of their format, and contents that contradict themselves."""

import json

import numpy as np
import pytest

from subspace_sde import VE, LowPass, NestedSubspaces, Plan
from subspace_sde.specification import build, specify

FIELDS = {
    "sde": VE(),
    "subspaces": NestedSubspaces([LowPass((3, 8, 8), 4)]),
    "times": (0.5,),
    "shares": (0.5, 0.5),
    "costs": (1.0, 0.25),
    "threshold": 3e-3,
    "divergences": (1e-3,),
}


@pytest.fixture
def path(tmp_path):
    """The file of a plan."""
    Plan(**FIELDS).save(tmp_path / "plan.json")
    return tmp_path / "plan.json"


def changed(path, **changes):
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}), encoding="utf-8")


def refusal(path):
    with pytest.raises(ValueError, match=r"plan.json holds no plan of subspace_sde: ") as refused:
        Plan.load(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_file_carries_its_version(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content)[:2] == ["format", "version"] and content["format"] == "subspace_sde plan"
    assert content["version"] == 1 and Plan.load(path) == Plan(**FIELDS)


@pytest.mark.parametrize("version", [0, 2, 7, "1", 1.0, True, [1]])
def test_another_version_is_refused(path, version):
    changed(path, version=version)
    assert f"its format is version {version!r}, and this subspace_sde reads version 1" in refusal(path)


@pytest.mark.parametrize("changes", [{"version": ...}, {"format": "subspace_sde plan 1", "version": ...}])
def test_without_a_version_it_is_not_read(path, changes):
    changed(path, **changes)
    assert "it carries no version of the format, and only version 1 is read: make the plan anew" in refusal(path)


@pytest.mark.parametrize("name", ["another", "", 1, None, ..., []])
def test_another_format_is_refused(path, name):
    changed(path, format=name)
    assert "it does not say that its format is 'subspace_sde plan'" in refusal(path)


CONTRADICTIONS = {
    "costs": ((0.5, 0.25), "costs are relative to the full model's, which is 1 and comes first, got 0.5"),
    "divergences": ((3.1e-3,), "a divergence of 0.0031 lies above the threshold 0.003"),
}


@pytest.mark.parametrize("field", CONTRADICTIONS)
def test_a_plan_that_contradicts_itself_is_none(path, field):
    value, message = CONTRADICTIONS[field]
    with pytest.raises(ValueError, match=message):
        Plan(**{**FIELDS, field: value})
    changed(path, **{field: value})
    assert message in refusal(path)


def test_a_divergence_may_round_to_just_above_the_threshold():
    assert Plan(**{**FIELDS, "divergences": (3e-3 * (1 + 1e-12),)}).threshold == 3e-3


def test_a_key_that_stands_there_twice(path):
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"threshold": 0.003', '"threshold": 0.003,\n "threshold": 0.5'), encoding="utf-8")
    assert "the key 'threshold' stands there twice" in refusal(path)


@pytest.mark.parametrize(
    ("field", "value"), [("sde", LowPass((3, 8, 8), 4)), ("subspaces", VE()), ("subspaces", LowPass((3, 8, 8), 4))]
)
def test_an_object_in_the_place_of_another(path, field, value):
    changed(path, **{field: specify(value)})
    assert f"`{field}` takes an object like" in refusal(path)
    with pytest.raises(TypeError, match=f"`{field}` takes an object like"):
        Plan(**{**FIELDS, field: value})


def test_a_missing_field(path):
    changed(path, sde=...)
    assert "it lacks 'sde'" in refusal(path)


def test_what_is_nested_too_deeply(path):
    specification = {"kind": "mapping", "items": []}
    for _ in range(5000):
        specification = {"kind": "mapping", "items": [[0, specification]]}
    with pytest.raises(ValueError, match="a specification is nested too deeply"):
        build(specification)
    changed(path, sde={"kind": "mapping", "items": [[0, {"kind": "mapping", "items": []}]]})
    assert "`sde` takes an object like VE(), got dict" in refusal(path)
    levels = 100_000
    text = path.read_text(encoding="utf-8").replace("[]", "[" * levels + "]" * levels)
    path.write_text(text, encoding="utf-8")
    assert "nested too deeply" in refusal(path)


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ({"kind": "mapping", "items": [[0, 1], [0, 2]]}, "a mapping gives one of its keys twice"),
        (
            {"kind": "LowPass", "shape": [10**9, 10**9], "size": [10**8, 10**8], "axes": [-2, -1]},
            "too long for a cosine transform",
        ),
        ({"kind": "Identity"}, "a specification of kind 'Identity' does not fit"),
    ],
)
def test_what_does_not_fit_is_a_value_error(specification, message):
    with pytest.raises(ValueError, match=message):
        build(specification)


def test_numbers_become_tuples_of_floats():
    for times in ([0.5], np.asarray([0.5]), np.asarray([0.5], dtype=np.float32)):
        found = Plan(**{**FIELDS, "times": times})
        assert found == Plan(**FIELDS) and type(found.times[0]) is float
