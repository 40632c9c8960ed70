"""The flag ℝᵈ = V_0 ⊃ V_1 ⊃ … ⊃ V_K, given by its steps (paper, Notation)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import matmul
from typing import Any, overload

from ..border import checked
from ..shown import few
from ..specification import Specified, register
from .base import Identity, Subspace


@checked
@register
class NestedSubspaces(Specified, Sequence[Subspace]):
    """Nested subspaces, by construction: the sequence of the K + 1 levels U_0 = I, U_1, …, U_K.

    Parameters
    ----------
    steps: U_{1|0}, U_{2|1}, …; each lies in the coordinates of the one before and is smaller.

    >>> from subspace_sde import Downsampling
    >>> nested = NestedSubspaces(
    ...     [Downsampling((3, 32, 32), 2), Downsampling((3, 16, 16), 2)]
    ... )
    >>> [level.shape for level in nested]
    [(3, 32, 32), (3, 16, 16), (3, 8, 8)]
    >>> nested.between(1, 2).ambient_shape
    (3, 16, 16)
    """

    def __init__(self, steps: Sequence[Subspace], ambient_shape: int | Sequence[int] | None = None) -> None:
        self.steps = tuple(steps)
        if not self.steps and ambient_shape is None:
            raise ValueError("no steps: for the full space alone give NestedSubspaces([], ambient_shape=shape)")
        for step in self.steps:
            if step.dim >= step.ambient_dim:
                raise ValueError(f"each step must lose dimensions, but one keeps all {step.dim}: leave it out")
        for k, (outer, inner) in enumerate(zip(self.steps, self.steps[1:]), start=1):
            if inner.ambient_shape != outer.shape:
                raise ValueError(
                    f"the steps do not chain: step {k} has coordinates of shape {outer.shape}, step {k + 1} lies in "
                    f"arrays of shape {inner.ambient_shape}; for subspaces of one space use from_subspaces"
                )
        whole = Identity(self.steps[0].ambient_shape if ambient_shape is None else ambient_shape)
        if self.steps and self.steps[0].ambient_shape != whole.shape:
            raise ValueError(f"step 1 lies in arrays of shape {self.steps[0].ambient_shape}, not {whole.shape}")
        self._levels: list[Subspace] = [whole]
        for step in self.steps:
            self._levels.append(self._levels[-1] @ step)

    @classmethod
    @checked
    def from_subspaces(cls, subspaces: Sequence[Subspace]) -> NestedSubspaces:
        """From U_1, U_2, … of one space; each must contain the next, or a ValueError says by how much it does not."""
        if not subspaces:
            raise ValueError("no subspaces: for the full space alone give NestedSubspaces([], ambient_shape=shape)")
        outers = [Identity(subspaces[0].ambient_shape), *subspaces]
        return cls([inner.within(outer) for outer, inner in zip(outers, subspaces)])

    @checked
    def between(self, j: int, k: int) -> Subspace:
        """U_{k|j} = U_jᵀU_k, level k in the coordinates of level j ≤ k; U_{k|k} is the identity."""
        if not 0 <= j <= k < len(self):
            raise ValueError(f"U_k|j needs 0 <= j <= k <= {len(self) - 1}, got j = {j}, k = {k}")
        return reduce(matmul, self.steps[j:k], Identity(self._levels[j].shape))

    @property
    def ambient_shape(self) -> tuple[int, ...]:
        """The shape of the full space."""
        return self._levels[0].shape

    def arguments(self) -> dict[str, Any]:
        return {"steps": list(self.steps), "ambient_shape": list(self.ambient_shape)}

    def __len__(self) -> int:
        return len(self._levels)

    @overload
    def __getitem__(self, k: int) -> Subspace: ...
    @overload
    def __getitem__(self, k: slice) -> list[Subspace]: ...
    def __getitem__(self, k: int | slice) -> Subspace | list[Subspace]:
        return self._levels[k]

    def __iter__(self) -> Iterator[Subspace]:
        return iter(self._levels)

    def __repr__(self) -> str:
        return f"NestedSubspaces({' ⊃ '.join(few([str(level.shape) for level in self]))})"
