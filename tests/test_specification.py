"""Plain JSON and back: the same SDE, the same map."""

import json
import re

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, Basis, Downsampling, Identity, LowPass, NestedSubspaces, RectifiedFlow, SubVP
from subspace_sde.specification import build, specify
from subspace_sde.subspaces import Composition, Relative

SUBSPACES = {
    "Identity": Identity((3, 5)),
    "Downsampling": Downsampling((3, 8, 6), (4, 2), axes=(1, -1)),
    "LowPass": LowPass((3, 9, 7), (5, 2), axes=(-1, 1)),
    "Composition": Downsampling((12, 9), (2, 3)) @ LowPass((6, 3), (5, 2)) @ Downsampling((5, 2), (5, 1)),
    "Relative": LowPass((8, 8), 2).within(Identity((8, 8)) @ LowPass((8, 8), 5) @ LowPass((5, 5), 3)),
}


def there_and_back(thing):
    return build(json.loads(json.dumps(specify(thing))))


@pytest.mark.parametrize("subspace", SUBSPACES.values(), ids=SUBSPACES)
def test_subspaces(subspace):
    again = there_and_back(subspace)
    assert type(again) is type(subspace) and (again.ambient_shape, again.shape) == (
        subspace.ambient_shape,
        subspace.shape,
    )
    np.testing.assert_array_equal(again.matrix(), subspace.matrix())
    assert specify(again) == specify(subspace)


def test_the_kinds_above_are_what_they_say():
    assert {name: type(subspace).__name__ for name, subspace in SUBSPACES.items()} == {name: name for name in SUBSPACES}


@pytest.mark.parametrize(
    "sde",
    [VE(0.1, 3.0, 0.2, 0.7), VP(0.5, 7.0, 1e-5, 2.0), SubVP(0.3), EDM(0.1, 2.0), RectifiedFlow(1e-4, 0.9)],
    ids=repr,
)
def test_sdes(sde):
    again = there_and_back(sde)
    assert type(again) is type(sde) and vars(again) == vars(sde)


@pytest.mark.parametrize("steps", [[], [Downsampling((4, 6), 2)], [LowPass((4, 6), 3), Downsampling((3, 3), 3)]])
def test_nested_subspaces(steps):
    nested = NestedSubspaces(steps, ambient_shape=(4, 6))
    again = there_and_back(nested)
    assert isinstance(again, NestedSubspaces) and len(again) == len(nested)
    for one, other in zip(again, nested):
        np.testing.assert_array_equal(one.matrix(), other.matrix())


class Mine(VE):
    pass


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Basis(np.eye(3)[:, :2]), "a Basis cannot be written as a specification"),
        (Identity((3,)) @ Basis(np.eye(3)[:, :2]), "a Basis cannot be written as a specification"),
        (Downsampling((4,), 2, axes=-1) @ Basis(np.eye(2)[:, :1]), "a Basis cannot be written as a specification"),
        (Mine(), "only the SDEs and subspaces of subspace_sde have a specification, not Mine"),
        (3, "only the SDEs and subspaces of subspace_sde have a specification, not int"),
    ],
)
def test_what_cannot_be_specified(thing, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        specify(thing)


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ({}, "unknown kind None in a specification: known are"),
        ({"kind": "Teapot"}, "unknown kind 'Teapot' in a specification: known are Basis, Composition"),
        ({"kind": "VE", "beta": 3.0}, "the specification of a VE does not fit it"),
        ({"kind": "LowPass", "shape": [8, 8]}, "the specification of a LowPass does not fit it"),
        ({"kind": "LowPass", "shape": [8, 8], "size": 9}, "size 9 is larger than axis -2"),
        ({"kind": "Subspace"}, "the specification of a Subspace does not fit it"),
        (
            {
                "kind": "Composition",
                "outer": {"kind": "Identity", "ambient_shape": [4]},
                "inner": {"kind": "Identity", "ambient_shape": [5]},
            },
            "these steps do not chain",
        ),
    ],
)
def test_what_cannot_be_built(specification, message):
    before = json.dumps(specification)
    with pytest.raises(ValueError, match=re.escape(message)):
        build(specification)
    assert json.dumps(specification) == before


def test_compositions_keep_their_parts():
    again = there_and_back(SUBSPACES["Composition"])
    assert isinstance(again, Composition) and isinstance(again.inner, Downsampling)
    relative = there_and_back(SUBSPACES["Relative"])
    assert isinstance(relative, Relative) and isinstance(relative.outer, Composition)
