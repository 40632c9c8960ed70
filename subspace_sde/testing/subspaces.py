"""The laws of an isometry U: UᵀU = I, and what follows for restrict, embed, project and reject."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..border import checked
from ..subspaces import Subspace
from .kit import Case, Failures, Law, Named, listed, run

_LARGEST = 10**6  # entries of a matrix that is compared

_law = Named()


class _Drawn(NamedTuple):
    """Two vectors of the space, and two of coordinates."""

    x: Any
    y: Any
    z: Any
    w: Any


class _Case(Case):
    def __init__(self, subspace: Subspace, like: Any, tolerance: float | None, outer: Subspace | None) -> None:
        super().__init__(repr(subspace), like, tolerance)
        self.u, self.outer = subspace, outer

    def drawn(self, *batches: tuple[int, ...]) -> Iterator[_Drawn]:
        for batch in batches or ((3,),):
            seed = len(batch)
            over, inside = (*batch, *self.u.ambient_shape), (*batch, *self.u.shape)
            self.law.input = (
                f"standard normal x of shape {over} and z of shape {inside} from numpy's default_rng({seed})"
            )
            self.law.input += f", {self.kind}"
            draw = np.random.default_rng(seed).standard_normal
            yield _Drawn(*(self.law.array(draw(shape)) for shape in (over, over, inside, inside)))

    def operations(self, x: Any, z: Any) -> Iterator[tuple[str, Callable[[Any], Any], Any, Any]]:
        """A sentence, what is called, on what, and an array of the kind that must come."""
        yield "restrict gives (*batch, *shape)", self.u.restrict, x, z
        yield "embed gives (*batch, *ambient_shape)", self.u.embed, z, x
        yield "project gives the shape of x", self.u.project, x, x
        yield "reject gives the shape of x", self.u.reject, x, x

    def kinds(self, *batches: tuple[int, ...]) -> None:
        for x, _, z, _ in self.drawn(*batches):
            for sentence, operation, argument, expected in self.operations(x, z):
                self.law.gives(sentence, expected, operation, argument)

    def as_one_axis(self, batch: tuple[int, ...]) -> None:
        """That leading axes are a batch, in whatever shape."""
        for x, _, z, _ in self.drawn(batch):
            for sentence, operation, argument, expected in self.operations(x, z):
                shape = self.u.shape if argument is z else self.u.ambient_shape
                flat = operation(self.xp.reshape(argument, (-1, *shape)))
                self.law.equal(
                    f"{sentence}, as in one axis", operation(argument), self.xp.reshape(flat, expected.shape)
                )


@_law("one leading axis: shape, library, dtype and device")
def _one_axis(case: _Case) -> None:
    case.kinds((3,))


@_law("no leading axes")
def _no_axes(case: _Case) -> None:
    case.kinds(())
    case.as_one_axis(())


@_law("several leading axes")
def _several_axes(case: _Case) -> None:
    case.kinds((2, 1, 2))
    case.as_one_axis((2, 1, 2))


@_law("an empty batch")
def _empty(case: _Case) -> None:
    case.kinds((0,))


@_law("float32 stays float32")
def _single(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        x, z = case.single(x), case.single(z)
        for sentence, operation, argument, expected in case.operations(x, z):
            case.law.gives(f"{sentence}, of float32", expected, operation, argument)


@_law("the input is left as it was")
def _untouched(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        before = case.law.host(x), case.law.host(z)
        for _, operation, argument, _ in case.operations(x, z):
            case.law.works("the input is left as it was", operation, argument)
        case.law.equal("the input is left as it was", x, before[0], tolerance=0.0)
        case.law.equal("the input is left as it was", z, before[1], tolerance=0.0)


@_law("any layout in memory")
def _layouts(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        for (sentence, operation, argument, _), kind in zip(case.operations(x, z), (x, z, x, x)):
            expected = operation(argument)
            for what, laid in case.layouts(kind).items():
                case.law.equal(f"{sentence}, {what}", case.law.works(f"{sentence}, {what}", operation, laid), expected)


@_law("UᵀU = I")
def _isometry(case: _Case) -> None:
    for _, _, z, _ in case.drawn():
        case.law.equal("UᵀU = I", case.u.restrict(case.u.embed(z)), z)


@_law("adjointness, <Uᵀx, z> = <x, Uz>")
def _adjoint(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        case.law.products_equal("adjointness, <Uᵀx, z> = <x, Uz>", (case.u.restrict(x), z), (x, case.u.embed(z)))


@_law("P = UUᵀ")
def _projection(case: _Case) -> None:
    for x, *_ in case.drawn():
        case.law.equal("P = UUᵀ", case.u.project(x), case.u.embed(case.u.restrict(x)))


@_law("P² = P = Pᵀ")
def _idempotent(case: _Case) -> None:
    for x, y, *_ in case.drawn():
        px, py = case.u.project(x), case.u.project(y)
        case.law.equal("P² = P", case.u.project(px), px)
        case.law.products_equal("P is symmetric, <Px, y> = <x, Py>", (px, y), (x, py))


@_law("project + reject = identity")
def _complement(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        rejected = case.u.reject(x)
        case.law.equal("project + reject = identity", case.u.project(x) + rejected, x)
        case.law.equal("reject is orthogonal to the subspace, Uᵀ(x − Px) = 0", case.u.restrict(rejected), 0 * z)


@_law("linearity")
def _linear(case: _Case) -> None:
    u = case.u
    for x, y, z, w in case.drawn():
        down, up = u.restrict(x), u.embed(z)
        case.law.equal("restrict is linear", u.restrict(2 * x - 3 * y), 2 * down - 3 * u.restrict(y))
        case.law.equal("embed is linear", u.embed(2 * z - 3 * w), 2 * up - 3 * u.embed(w))
        case.law.equal("restrict is linear, of numbers a thousand times as large", u.restrict(1000 * x), 1000 * down)
        case.law.equal("embed is linear, of numbers a thousand times as large", u.embed(1000 * z), 1000 * up)


@_law("the elements of a batch do not see each other")
def _alike(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        down, up = case.u.restrict(x), case.u.embed(z)
        for i in range(3):
            one = slice(i, i + 1)
            case.law.equal(f"restrict, element {i} alone", case.u.restrict(x[one, ...]), down[one, ...])
            case.law.equal(f"embed, element {i} alone", case.u.embed(z[one, ...]), up[one, ...])


@_law("derivatives go through")
def _derivatives(case: _Case) -> None:
    if not case.differentiates():
        return
    for x, _, z, _ in case.drawn():
        for what, forwards, backwards, at, v in (
            ("the derivative of restrict, backwards, is embed", case.u.restrict, case.u.embed, x, z),
            ("the derivative of embed, backwards, is restrict", case.u.embed, case.u.restrict, z, x),
        ):
            _, pull_back = case.law.works(what, case.backend.vjp, forwards, at)
            case.law.equal(what, case.law.works(what, pull_back, v), backwards(v))


@_law("matrix()")
def _matrix(case: _Case) -> None:
    u = case.u
    if u.dim * u.ambient_dim > _LARGEST:
        return
    for _, _, z, _ in case.drawn():
        up = u.embed(z)
        columns = case.law.host(z).reshape(-1, u.dim) @ case.law.works("matrix()", u.matrix).T
        case.law.equal("embed is the product with matrix()", up, columns.reshape(up.shape))


@_law("axis_matrices()")
def _axes(case: _Case) -> None:
    for _, _, z, _ in case.drawn():
        matrices = case.law.works("axis_matrices()", case.u.axis_matrices)
        if matrices is None:
            return
        found, expected = [m.shape for m in matrices], list(zip(case.u.ambient_shape, case.u.shape))
        case.law.holds("axis_matrices() has one matrix (n_a, m_a) for each axis", found == expected, f"got {found}")
        up = case.u.embed(z)
        case.law.equal("embed is the Kronecker product of axis_matrices()", up, _kronecker(matrices, case.law.host(z)))


@_law("coordinate_scale")
def _scale(case: _Case) -> None:
    for x, _, z, _ in case.drawn():
        scale = case.law.works("coordinate_scale", lambda: case.u.coordinate_scale)
        if scale is not None:
            ones = case.law.array(np.ones(x.shape))
            case.law.equal("restrict takes ones to coordinate_scale", case.u.restrict(ones), 0 * z + scale)


@_law("nesting")
def _nesting(case: _Case) -> None:
    outer = case.outer
    if outer is None:
        return
    for x, _, z, _ in case.drawn():
        step = case.law.works("within(outer)", case.u.within, outer)
        inside = case.law.gives("the step embeds into the coordinates of outer", outer.restrict(x), step.embed, z)
        case.law.equal("nesting, U_j U_{k|j} z = U_k z", outer.embed(inside), case.u.embed(z))
        back = case.law.gives("the step restricts from them", z, step.restrict, outer.restrict(x))
        case.law.equal("nesting, U_{k|j}ᵀ U_jᵀ x = U_kᵀ x", back, case.u.restrict(x))


def _kronecker(matrices: Sequence[np.ndarray[Any, Any]], z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Their product, applied axis by axis to the trailing axes of z."""
    for axis, u in enumerate(matrices, start=z.ndim - len(matrices)):
        z = np.moveaxis(np.tensordot(z, u, axes=(axis, 1)), -1, axis)
    return z


def subspace_laws(
    subspace: Subspace,
    like: Any = None,
    tolerance: float | None = None,
    outer: Subspace | None = None,
    expected_failures: Failures = None,
) -> list[Law]:
    """See `check_subspace`."""
    make = partial(_Case, subspace, like, tolerance, outer)
    make()  # refuses
    return listed(_law.table, repr(subspace), make, expected_failures)


@checked
def check_subspace(
    subspace: Subspace,
    like: Array | None = None,
    tolerance: float | None = None,
    outer: Subspace | None = None,
    expected_failures: Failures = None,
) -> None:
    """The laws of an isometry: UᵀU = I, adjointness, P² = P = Pᵀ, P + P⊥ = I, linearity, on any leading axes.

    Where there are `axis_matrices`, U must be their product; where there is a `coordinate_scale` c, a constant array
    has coordinates that are c times as large; with `outer` the step U_{k|j} that `within` gives must lead to the same
    place, U_j U_{k|j} = U_k. Shape, library, dtype and device are kept, float32 too, on read-only and non-contiguous
    input, which is left as it was; and a derivative goes through where the library has them.

    Parameters
    ----------
    subspace: the one to be checked.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    tolerance: the largest error allowed, relative to the largest number compared or to 1, the input's standard
        deviation; without it ε^(2/3), of the dtype's machine epsilon.
    outer: U_j, another subspace of the same space, in which this one lies.
    expected_failures: see `laws`.

    Raises
    ------
    AssertionError: a law does not hold, or an operation raises; which, on what input and by how much.

    >>> from subspace_sde import LowPass
    >>> check_subspace(LowPass((3, 9, 8), 5), outer=LowPass((3, 9, 8), 7))
    """
    run(subspace_laws(subspace, like, tolerance, outer, expected_failures))
