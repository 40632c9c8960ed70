"""Arguments are held against their annotations, in one wording, and a call that fits is passed on as it is."""

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP, border
from subspace_sde.arrays import Array
from subspace_sde.border import check, checked
from subspace_sde.sdes import IsotropicSDE
from subspace_sde.solvers import Heun, Solver

Entry = TypeVar("Entry")
NAN = math.nan
HALVES = np.asarray([0.5, 1.0])
WHOLE, NUMBER, ARRAY = "a whole number", "a number", "an array (numpy, torch, ...)"
NUMBERS, SDE, SOLVER = "a sequence of numbers", "an object like VE()", "an object like Heun()"
MASKED = "a masked array: fill what is missing, or leave those samples out"
MANY_NUMBERS = "a mapping of strings to numbers"


class Named(Protocol):
    def name(self) -> str: ...


class Cat:
    def name(self) -> str:
        return "cat"


FITS = {
    int: (0, -3, np.int64(2), np.uint8(2), torch.tensor(2), np.asarray(2), 10**30),
    float: (0.5, 1, NAN, math.inf, np.float32(0.5), np.int64(2), torch.tensor(0.5), np.asarray(0.5), Fraction(1, 2)),
    bool: (True, False, np.bool_(True)),
    str: ("", "VP"),
    str | Path: ("a", Path("a")),
    Any: (None, "a", 3, VE, [VE]),
    int | None: (None, 3),
    int | Sequence[int]: (3, (3, 4), [3], np.asarray([3, 4]), torch.Size([3]), range(3)),
    Sequence[float]: ([], [1, 0.5, NAN], (0.5,), HALVES, torch.asarray(HALVES), HALVES.astype(np.float32), range(3)),
    Sequence[str]: (["a"], ("a", "b"), []),
    Sequence[Any]: ([None, 3], ("a",)),
    Sequence[float | None]: ([None, 0.5], [1.0]),
    tuple[float, float]: ((0.0, math.inf), [0, 1], HALVES),
    tuple[float, ...]: ((), (1.0, 2.0, 3.0), [0.5], HALVES),
    tuple[int, ...] | None: ((1, 2), None),
    Mapping[str, float]: ({}, {"a": 1.0}),
    Mapping[int, Any]: ({0: None, np.int64(1): "a"},),
    Callable[[Any], Any]: (len, lambda x: x, VE, torch.nn.Identity()),
    Sequence[Callable[[Any], Any]]: ([len], (len, max), torch.nn.ModuleList([torch.nn.Identity()])),
    IsotropicSDE: (VE(), VP()),
    Sequence[IsotropicSDE]: ([VE(), VP()], ()),
    Solver: (Heun(),),
    Named: (Cat(),),
    Array: (HALVES, torch.asarray(HALVES), np.float64(0.5), HALVES * 1j),
    Self: (3, "a"),
    Entry: (3, "a"),
    type(None): (None,),
}

REFUSED = [
    (int, WHOLE, 2.0, "2.0"),
    (int, WHOLE, True, "True"),
    (int, WHOLE, np.bool_(True), "bool of bool and shape ()"),
    (int, WHOLE, torch.tensor(True), "Tensor of torch.bool and shape ()"),
    (int, WHOLE, torch.tensor(2.0), "Tensor of torch.float32 and shape ()"),
    (int, WHOLE, np.asarray([2]), "ndarray of int64 and shape (1,)"),
    (int, WHOLE, NAN, "nan"),
    (int, WHOLE, "3", "'3'"),
    (int, WHOLE, None, "None"),
    (int | None, WHOLE, "x" * 50, "'" + "x" * 38 + "…"),
    (float, NUMBER, "0.5", "'0.5'"),
    (float, NUMBER, b"0.5", "b'0.5'"),
    (float, NUMBER, True, "True"),
    (float, NUMBER, np.bool_(False), "bool of bool and shape ()"),
    (float, NUMBER, 1j, "1j"),
    (float, NUMBER, np.complex128(1), "np.complex128(1+0j)"),
    (float, NUMBER, np.asarray([0.5]), "ndarray of float64 and shape (1,)"),
    (float, NUMBER, torch.tensor([0.5]), "Tensor of torch.float32 and shape (1,)"),
    (float, NUMBER, np.asarray("0.5"), "ndarray of <U3 and shape ()"),
    (float, NUMBER, [0.5], "list of 1 float"),
    (float, NUMBER, VE, "the class VE: call it first"),
    (float, NUMBER, Cat(), "Cat"),
    (float, NUMBER, 10**400, "1" + "0" * 38 + "…"),
    (bool, "True or False", 1, "1"),
    (bool, "True or False", "no", "'no'"),
    (str, "a string", b"a", "b'a'"),
    (str | Path, "a string or a Path", 3, "3"),
    (int | Sequence[int], f"{WHOLE} or a sequence of whole numbers", (3, 0.5), "tuple of 2 float, int"),
    (int | Sequence[int], f"{WHOLE} or a sequence of whole numbers", "34", "'34'"),
    (int | Sequence[int], f"{WHOLE} or a sequence of whole numbers", [True], "list of 1 bool"),
    (Sequence[float], NUMBERS, "12", "'12'"),
    (Sequence[float], NUMBERS, 0.5, "0.5"),
    (Sequence[float], NUMBERS, {0.5, 1.0}, "set"),
    (Sequence[float], NUMBERS, {0.5: 1.0}, "dict of 1 float"),
    (Sequence[float], NUMBERS, (v for v in HALVES), "generator"),
    (Sequence[float], NUMBERS, HALVES[None], "ndarray of float64 and shape (1, 2)"),
    (Sequence[float], NUMBERS, np.asarray(0.5), "ndarray of float64 and shape ()"),
    (Sequence[float], NUMBERS, torch.tensor(0.5), "Tensor of torch.float32 and shape ()"),
    (Sequence[float], NUMBERS, np.ma.masked_equal(HALVES, 0.5), MASKED),
    (Array, ARRAY, np.ma.masked_equal(HALVES, 0.5), MASKED),
    (Sequence[float], NUMBERS, HALVES * 1j, "ndarray of complex128 and shape (2,)"),
    (Sequence[float], NUMBERS, torch.asarray(HALVES) * 1j, "Tensor of torch.complex128 and shape (2,)"),
    (Sequence[float], NUMBERS, HALVES > 0, "ndarray of bool and shape (2,)"),
    (Sequence[float], NUMBERS, np.asarray(["1", "2"]), "ndarray of <U1 and shape (2,)"),
    (Sequence[str], "a sequence of strings", "abc", "'abc'"),
    (Sequence[str], "a sequence of strings", [3], "list of 1 int"),
    (Sequence[Any], "a sequence", 3, "3"),
    (Sequence[float | None], "a sequence of entries, each a number", ["a"], "list of 1 str"),
    (tuple[float, float], "2 numbers", (1.0,), "tuple of 1 float"),
    (tuple[float, float], "2 numbers", (1.0, 2.0, 3.0), "tuple of 3 float"),
    (tuple[float, float], "2 numbers", ("a", 1.0), "tuple of 2 float, str"),
    (tuple[float, ...], NUMBERS, (None,), "tuple of 1 NoneType"),
    (Mapping[str, float], MANY_NUMBERS, [0.5], "list of 1 float"),
    (Mapping[str, float], MANY_NUMBERS, {"a": "b"}, "dict of 1 str"),
    (Mapping[str, float], MANY_NUMBERS, {1: 0.5}, "dict of 1 float"),
    (Mapping[str, IsotropicSDE], "a mapping of strings to objects like VE()", {"a": VE}, "dict of 1 ABCMeta"),
    (Mapping[int, Any], "a mapping of whole numbers", None, "None"),
    (Callable[[Any], Any], "a function", "len", "'len'"),
    (Sequence[Callable[[Any], Any]], "a sequence of functions", len, "builtin_function_or_method"),
    (Sequence[Callable[[Any], Any]], "a sequence of functions", [len, 3], "list of 2 builtin_function_or_method, int"),
    (IsotropicSDE, SDE, "VP", "'VP'"),
    (IsotropicSDE, SDE, VE, "the class VE: call it first"),
    (IsotropicSDE | None, SDE, 3, "3"),
    (Sequence[IsotropicSDE], "a sequence of objects like VE()", VE(), "VE"),
    (Sequence[IsotropicSDE], "a sequence of objects like VE()", [VE], "list of 1 ABCMeta"),
    (Solver, SOLVER, Heun, "the class Heun: call it first"),
    (Solver, SOLVER, "heun", "'heun'"),
    (Named, "a Named", Cat, "the class Cat: call it first"),
    (Named, "a Named", VE(), "VE"),
    (Array, ARRAY, [0.5], "list of 1 float"),
    (Array, ARRAY, 0.5, "0.5"),
    (type(None), "None", 0, "0"),
]


@pytest.mark.parametrize("kind", FITS, ids=str)
def test_what_fits_is_passed_on_as_it_is(kind):
    def given(value):
        return value

    given.__annotations__["value"] = kind
    for value in FITS[kind]:
        assert checked(given)(value) is value


@pytest.mark.parametrize(
    ("kind", "described", "value", "got"), REFUSED, ids=[f"{number}" for number in range(len(REFUSED))]
)
def test_what_does_not_fit_is_a_type_error_in_one_sentence(kind, described, value, got):
    with pytest.raises(TypeError) as error:
        check("name", value, kind)
    assert str(error.value) == f"`name` takes {described}, got {got}"


def test_every_example_of_the_messages_is_of_a_class_of_the_package():
    import subspace_sde

    assert all(example.isprintable() for example in border._LIKE.values())
    text = "".join(path.read_text(encoding="utf-8") for path in Path(subspace_sde.__file__).parent.rglob("*.py"))
    assert [name for name in border._LIKE if f"class {name}" not in text and f"\n{name}: TypeAlias" not in text] == []


def test_what_a_call_looks_like_survives():
    @checked
    def scaled(sde: IsotropicSDE, /, factor: float = 2.0, *others: int, name: str = "x", **more: int) -> float:
        """Says what it does."""
        return factor

    assert str(inspect.signature(scaled)) == (
        "(sde: subspace_sde.sdes.base.IsotropicSDE, /, factor: float = 2.0, *others: int, name: str = 'x', "
        "**more: int) -> float"
    )
    assert (scaled.__name__, scaled.__doc__, scaled.__module__) == ("scaled", "Says what it does.", __name__)
    assert typing.get_type_hints(scaled)["factor"] is float and scaled.__wrapped__.__name__ == "scaled"
    assert scaled(VE()) == 2.0 and scaled(VE(), 3, 1, 2, name="y", more=1) == 3
    with pytest.raises(TypeError, match="`name` takes a string, got 3"):
        scaled(VE(), name=3)


def test_missing_and_unknown_arguments_are_pythons_own():
    @checked
    def scaled(factor: float) -> float:
        return factor

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'factor'"):
        scaled()
    with pytest.raises(TypeError, match="unexpected keyword argument 'by'"):
        scaled(1.0, by=2)


def test_a_default_is_taken_whatever_it_is():
    @checked
    def named(name: str = None) -> Any:  # noqa: RUF013
        return name

    assert named() is None and named(None) is None
    with pytest.raises(TypeError, match="`name` takes a string, got 3"):
        named(3)


class Process:
    @checked
    def scaled(self, factor: float) -> float:
        return 2 * factor

    @classmethod
    @checked
    def of(cls, sde: IsotropicSDE) -> Self:
        return cls()

    @checked
    def merged(self, other: Self) -> Self:
        return other


def test_methods_and_class_methods():
    process = Process()
    assert process.scaled(0.5) == 1.0 and process.merged(process) is process
    assert type(Process.of(VE())) is Process
    for call in (lambda: process.scaled("2"), lambda: Process.scaled(process, "2")):
        with pytest.raises(TypeError, match="`factor` takes a number, got '2'"):
            call()
    with pytest.raises(TypeError, match="`sde` takes an object like VE"):
        Process.of("VE")


@checked
@dataclass(frozen=True)
class Point:
    """Where."""

    x: float
    label: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.x):
            raise ValueError("x is finite")


@checked
class Labelled(Process):
    def __init__(self, point: Point, *labels: str) -> None:
        self.point, self.labels = point, labels


def test_constructors_and_dataclasses():
    assert Point(1.0, "a") == Point(1, label="a") and Point.__doc__ == "Where."
    assert str(inspect.signature(Point)) == "(x: float, label: str | None = None) -> None"
    with pytest.raises(TypeError, match="`x` takes a number, got '1'"):
        Point("1")
    with pytest.raises(ValueError, match="x is finite"):
        Point(NAN)
    assert isinstance(Labelled(Point(1.0), "a", "b"), Labelled)
    with pytest.raises(TypeError, match="`point` takes a Point, got the class Point: call it first"):
        Labelled(Point)


def test_a_subclass_is_checked_by_what_it_inherits():
    class Mine(IsotropicSDE):
        def __init__(self, end):
            super().__init__(0.1, end)

        alpha = sigma = f = g = lambda self, t: t

    assert Mine(2).T == 2.0
    with pytest.raises(TypeError, match="`T` takes a number, got '2'"):
        Mine("2")


def test_annotations_are_resolved_once(monkeypatch):
    calls = []
    resolve = typing.get_type_hints
    monkeypatch.setattr(typing, "get_type_hints", lambda *args, **kw: calls.append(args) or resolve(*args, **kw))

    @checked
    def scaled(sde: IsotropicSDE, factor: float = 1.0) -> float:
        return factor

    assert not calls  # an annotation may name what is defined later
    for _ in range(5):
        scaled(VE(), 2.0)
    with pytest.raises(TypeError):
        scaled(3)
    assert len([c for c in calls if c]) == 2  # one a parameter


def test_entries_of_arrays_are_not_read_one_by_one():
    class Counted(np.ndarray):
        longest = 0

        def __iter__(self):
            Counted.longest = max(Counted.longest, len(self))
            return super().__iter__()

    check("times", np.zeros(10**6).view(Counted), Sequence[float])
    assert Counted.longest <= 1
    with pytest.raises(TypeError, match="`times` takes a sequence of numbers, got ndarray of object"):
        check("times", np.asarray([0.5, "a"], dtype=object), Sequence[float])
