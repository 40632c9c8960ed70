"""Plain JSON and back: the same SDE, the same map."""

import base64
import json
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, Plan, RectifiedFlow, Subspace, SubspaceSDE, SubVP
from subspace_sde.specification import build, register, specify
from subspace_sde.subspaces import (
    Basis,
    Composition,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    Relative,
    Separable,
    Wavelet,
)


def orthonormal(seed, d, n):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, n)))[0]


SUBSPACES = {
    "Identity": Identity((3, 5)),
    "Downsampling": Downsampling((3, 8, 6), (4, 2), axes=(1, -1)),
    "LowPass": LowPass((3, 9, 7), (5, 2), axes=(-1, 1)),
    "Wavelet": Wavelet((3, 12, 24), "db2", (2, 1), axes=(-1, 1)),
    "Basis": Basis(orthonormal(0, 30, 6), (5, 6), (3, 2)),
    "Separable": Separable((3, 12, 4), {0: orthonormal(1, 3, 3), -2: orthonormal(2, 12, 5)}),
    "PatchBasis": PatchBasis((2, 4, 9), (2, 3), orthonormal(3, 12, 5)),
    "Composition": Downsampling((12, 9), (2, 3)) @ LowPass((6, 3), (5, 2)) @ Downsampling((5, 2), (5, 1)),
    "Relative": Relative(LowPass((8, 8), 5) @ LowPass((5, 5), 3), LowPass((8, 8), 2)),
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
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).standard_normal((4, *subspace.ambient_shape)).astype(dtype)
        np.testing.assert_array_equal(again.project(x), subspace.project(x))
    assert specify(again) == specify(subspace)


def test_the_kinds_above_are_what_they_say():
    assert {name: type(subspace).__name__ for name, subspace in SUBSPACES.items()} == {name: name for name in SUBSPACES}


@pytest.mark.parametrize(("d", "n"), [(1, 1), (2, 2), (50, 7), (300, 300), (3000, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", "CF")
def test_matrices_come_back_to_the_bit(d, n, dtype, order):
    """What was polished once, a float32 matrix say, is not polished again."""
    basis = Basis(np.asarray(orthonormal(4, d, n).astype(dtype), order=order))
    again = there_and_back(basis)
    np.testing.assert_array_equal(again.matrix(), basis.matrix())
    x = np.random.default_rng(5).standard_normal((3, d))
    np.testing.assert_array_equal(again.project(x), basis.project(x))


def test_an_array_is_its_bytes():
    """Little-endian float64 in C order, so that a reader in any language needs nothing but base64."""
    numbers = [0.6, 0.0, -0.0, 1.0, 0.8, 0.0]
    written = specify(Basis(np.asarray(numbers, dtype=">f8").reshape(3, 2)))
    encoded = base64.b64encode(struct.pack("<6d", *numbers)).decode()
    assert written["matrix"] == {"kind": "array", "shape": [3, 2], "float64": encoded}
    assert json.loads(json.dumps(written)) == written
    assert build(written["matrix"]).tolist() == [[0.6, 0.0], [0.0, 1.0], [0.8, 0.0]]
    build(written["matrix"])[...] = 7.0  # an array of its own


@pytest.mark.parametrize(
    "sde", [VE(0.1, 3.0, 0.2, 0.7), VP(0.5, 7.0, 1e-5, 2.0), SubVP(0.3), EDM(0.1, 2.0), RectifiedFlow(1e-4, 0.9)]
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


def encoded(number):
    return base64.b64encode(struct.pack("<d", number)).decode()


ONE_AND_A_HALF = encoded(1.5)


def a_basis(float64, *shape):
    return {"kind": "Basis", "matrix": {"kind": "array", "shape": list(shape), "float64": float64}}


class Mine(VE):
    pass


class Rows(Separable):
    def __init__(self):
        super().__init__((3,), {0: np.eye(3)[:, :2]})


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Rows(), "only SDEs, subspaces and spacings of registered classes have a specification, not Rows"),
        (
            Identity((3,)) @ Rows(),
            "only SDEs, subspaces and spacings of registered classes have a specification, not Rows",
        ),
        (Downsampling((6,), 2, axes=-1) @ Rows(), "have a specification, not Rows"),
        (Mine(), "only SDEs, subspaces and spacings of registered classes have a specification, not Mine"),
        (3, "only SDEs, subspaces and spacings of registered classes have a specification, not int"),
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
        ({"kind": "AxisByAxis", "shape": [3], "matrices": {}}, "unknown kind 'AxisByAxis'"),
        ({"kind": "VE", "beta": 3.0}, "a specification of kind 'VE' does not fit"),
        ({"kind": "LowPass", "shape": [8, 8]}, "a specification of kind 'LowPass' does not fit"),
        ({"kind": "LowPass", "shape": [8, 8], "size": 9}, "size 9 is larger than axis -2"),
        ({"kind": "Subspace"}, "unknown kind 'Subspace'"),
        ({"kind": "Composition", "outer": 3, "inner": 4}, "a specification of kind 'Composition' does not fit"),
        (a_basis("Zm9v", 1, 1), "an array of shape (1, 1) takes 8 bytes of float64, got 3"),
        (a_basis(ONE_AND_A_HALF, 1, 2), "an array of shape (1, 2) takes 16 bytes of float64, got 8"),
        (a_basis(ONE_AND_A_HALF, 1, -1), "the shape of an array must hold positive integers, got (1, -1)"),
        (a_basis(ONE_AND_A_HALF, 1, 1), "the columns are not orthonormal: UᵀU differs from the identity by 1.2e+00"),
        (a_basis(ONE_AND_A_HALF), "a basis is a matrix (d, n) with n >= 1 columns, got shape ()"),
        (a_basis(encoded(np.nan), 1, 1), "the basis holds NaN or infinity"),
        (a_basis("Zm9v!", 1, 1), "the numbers of an array are not base64"),
        (a_basis("ä", 1, 1), "the numbers of an array are not base64"),
        (a_basis(3, 1, 1), "a specification of kind 'array' does not fit"),
        ({"kind": "Basis", "matrix": {"kind": "array"}}, "a specification of kind 'array' does not fit"),
        ({"kind": "Separable", "shape": [3], "matrices": [3]}, "a specification of kind 'Separable' does not fit"),
        (
            {"kind": "Separable", "shape": [3], "matrices": {"kind": "mapping", "items": [3]}},
            "a specification of kind 'mapping' does not fit",
        ),
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


# ------------------------------------------------------------------------------------------------- of one's own classes


@register
class Warped(VE):
    """An SDE whose attributes are its arguments."""

    def __init__(self, sigma_max=30.0):
        super().__init__(0.1, sigma_max)

    def arguments(self):
        return {"sigma_max": self.sigma_max}


@register
class Signed(Separable):
    """A rotation of one axis by signs."""

    def __init__(self, signs, flip=False):
        self.signs, self.flip = np.asarray(signs, dtype=float), flip
        super().__init__((len(self.signs), 2), {0: np.diag(self.signs)[:, : len(self.signs) - 1]})

    def arguments(self):
        return {"signs": self.signs, "flip": self.flip}


def test_a_registered_class_is_written_and_equal():
    for thing in (Warped(20.0), Signed([1, -1, 1]), Identity((3, 2)) @ Signed([1, -1, 1], flip=True)):
        again = there_and_back(thing)
        assert again == thing and hash(again) == hash(thing) and type(again) is type(thing)
    assert Warped(20.0) != Warped(21.0) and Signed([1, -1]) != Signed([1, 1]) and Warped(20.0) != VE(0.1, 20.0)


def test_plans_and_processes_of_registered_classes(tmp_path):
    nested = NestedSubspaces([Signed([1, -1, 1])])
    plan = Plan(Warped(), nested, (0.5,), (0.5, 0.5), (1.0, 0.5), 3e-3, (1e-3,))
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    process = plan.process(np.random.default_rng(0).standard_normal((9, 3, 2)))
    process.save(tmp_path / "process.json")
    assert SubspaceSDE.load(tmp_path / "process.json") == process


def test_nothing_is_imported_because_a_file_names_it(tmp_path):
    """Another process, which has not imported this module, is told what to do."""
    Plan(Warped(), NestedSubspaces([], (4,)), (), (1.0,), (1.0,), 3e-3, ()).save(tmp_path / "plan.json")
    code = f"from subspace_sde import Plan; Plan.load({str(tmp_path / 'plan.json')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "unknown kind 'Warped' in a specification: known are" in last
    assert last.endswith("where it is a class of your own, import the module that registers it before")


def test_what_is_not_registered():
    with pytest.raises(TypeError, match="what is registered is a class of SDEs, subspaces or spacings, not 3"):
        register(3)
    with pytest.raises(TypeError, match="a class of SDEs, subspaces or spacings, not int"):
        register(int)

    class Bare(Subspace):
        pass

    with pytest.raises(TypeError, match="Bare needs a method `arguments`, which gives the constructor's arguments"):
        register(Bare)

    class LowPass(Signed):
        pass

    with pytest.raises(
        ValueError, match=r"a class LowPass is registered already, subspace_sde.subspaces.lowpass.LowPass"
    ):
        register(LowPass)
    again = type("Warped", (Warped,), {"__module__": __name__, "__qualname__": "Warped"})
    assert register(again) is again and specify(again())["kind"] == "Warped"  # a cell that was run again
    register(Warped)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma_max": 3.0, "rate": 1.0}, "`arguments` of Warped gives rate, but its constructor takes sigma_max"),
        ({"kind": 3}, "`arguments` of Warped gives kind, but its constructor takes sigma_max"),
        ({"sigma_max": object()}, "a specification holds numbers, strings and arrays of numpy, not a object"),
    ],
)
def test_arguments_that_are_none_of_the_constructors(monkeypatch, arguments, message):
    monkeypatch.setattr(Warped, "arguments", lambda self: arguments)
    with pytest.raises(TypeError, match=re.escape(message)):
        specify(Warped())
