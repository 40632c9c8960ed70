"""The laws of anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import Array
from ..border import checked
from ..sdes import IsotropicSDE
from ..subspaces import Subspace
from .backends import backend_laws
from .kit import Failures, Law
from .scores import score_laws
from .sdes import sde_laws
from .solvers import solver_laws
from .subspaces import subspace_laws


@checked
def laws(subject: Any, like: Array | None = None, expected_failures: Failures = None, **given: Any) -> list[Law]:
    """The laws of a backend, subspace, SDE, score or solver, one by one: for ``pytest.mark.parametrize``.

    Parameters
    ----------
    subject: whose laws. Anything else that can be called is taken for a score.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    expected_failures: laws that are known not to hold, by name, each with the reason. They must fail: one that holds
        again is told. A name that is none is refused.
    given: what `check_subspace`, `check_score` or `check_solver` take besides: ``outer``, ``sde`` and ``shape``,
        ``order``.

    Raises TypeError for anything else, or where something is missing that its laws need.

    >>> import pytest
    >>> from subspace_sde import LowPass
    >>> @pytest.mark.parametrize("law", laws(LowPass((3, 9, 8), 5)))
    ... def test_low_pass(law):
    ...     law()
    """
    of: Callable[..., list[Law]]
    known = callable(subject) or isinstance(subject, (Subspace, IsotropicSDE))
    if isinstance(subject, type) or not (known or hasattr(subject, "stage") or hasattr(subject, "generator")):
        got = f"the class {subject.__name__}" if isinstance(subject, type) else type(subject).__name__
        raise TypeError(f"laws are those of a backend, a subspace, an SDE, a solver or a score, got {got}")
    if isinstance(subject, Subspace):
        of = subspace_laws
    elif isinstance(subject, IsotropicSDE):
        of = sde_laws
    elif hasattr(subject, "stage"):
        of = solver_laws
    else:
        of = backend_laws if hasattr(subject, "generator") else score_laws
    return of(subject, like, expected_failures=expected_failures, **given)
