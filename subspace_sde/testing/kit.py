"""What a law is: a name, a subject and a call, which a test runner can list, and whose failure may be declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from ..backend import Backend, backend_of, library
from ..comparison import Comparison

Failures: TypeAlias = Mapping[str, str] | None
"""Laws that are known not to hold, by name, each with the reason."""


@dataclass(frozen=True)
class Law:
    """One law of one subject; calling it puts it to the test.

    Attributes
    ----------
    name: of the law; a test runner shows it.
    subject: of whom, as it shows itself.
    expected_failure: why it is known not to hold, or None. Then it must fail: one that holds is told.

    Raises AssertionError when called and it does not hold: which, on what input and by how much.

    >>> from subspace_sde import VE
    >>> from subspace_sde.testing import laws
    >>> first = laws(VE())[0]
    >>> first.name, first.subject
    ('α(T) is positive', 'VE(t_min=0, T=1, sigma_min=0.01, sigma_max=50)')
    >>> first()
    """

    name: str
    subject: str
    test: Callable[[], None]
    expected_failure: str | None = None

    @property
    def __name__(self) -> str:
        return self.name  # by which pytest calls the test

    def __call__(self) -> None:
        try:
            try:
                self.test()
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(
                    f"{self.subject}: {self.name}: does not hold: raises {type(error).__name__}: {error}"
                ) from error
        except AssertionError:
            if self.expected_failure is None:
                raise
        else:
            if self.expected_failure is not None:
                raise AssertionError(
                    f"{self.subject}: {self.name}: is declared not to hold ({self.expected_failure}), and holds: "
                    "take it out of expected_failures"
                )


class Case:
    """A subject and how it is compared, on arrays of the kind of `like`."""

    def __init__(self, subject: str, like: Any, tolerance: float | None = None, backend: Backend | None = None) -> None:
        self.like = np.zeros(()) if like is None else like
        self.law = Comparison(subject, self.like, tolerance)
        self.backend = backend_of(self.like) if backend is None else backend
        self.xp = array_api_compat.array_namespace(self.like)
        self.kind = f"{self.like.dtype} of {library(self.like)}"

    def normal(self, seed: int, shape: tuple[int, ...]) -> Any:
        """Standard normal numbers, the same for every library."""
        return self.law.array(np.random.default_rng(seed).standard_normal(shape))

    def layouts(self, x: Any) -> dict[str, Any]:
        """x as arrays may come: read-only, where the library knows that, and with gaps or another order in memory."""
        values = self.law.host(x)
        found = {"with gaps in memory": self.law.array(np.repeat(values, 2, axis=-1))[..., ::2]}
        if x.ndim > 1:
            turned = self.law.array(np.ascontiguousarray(np.swapaxes(values, -1, -2)))
            found["with its axes turned in memory"] = self.xp.matrix_transpose(turned)
        if isinstance(x, np.ndarray):
            found["read-only"] = values.astype(x.dtype)
            found["read-only"].flags.writeable = False
        return found

    def single(self, x: Any) -> Any:
        """x in float32, of the same library and device."""
        return self.xp.astype(x, self.xp.float32)

    def differentiates(self) -> bool:
        """Whether the library has derivatives: a backend that has none refuses in a ValueError."""
        try:
            self.backend.vjp(lambda y: y * y, self.normal(0, (2,)))
        except ValueError:
            return False
        return True


Table: TypeAlias = dict[str, Callable[[Any], None]]
"""Laws by name, each a function of a case: a subject and what it is tried on."""


class Named:
    """A decorator that adds a function to a table of laws under a name."""

    def __init__(self) -> None:
        self.table: Table = {}

    def __call__(self, name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        def add(function: Callable[[Any], None]) -> Callable[[Any], None]:
            assert name not in self.table
            self.table[name] = function
            return function

        return add


def listed(table: Table, subject: str, case: Callable[[], Case], expected_failures: Failures) -> list[Law]:
    """The laws of a table for one subject; ``case()`` makes what each of them is given."""
    expected = dict(expected_failures or {})
    unknown = sorted(expected.keys() - table.keys())
    if unknown:
        raise ValueError(
            f"expected_failures names no law of {subject}: {', '.join(unknown)}; there are {', '.join(table)}"
        )

    def tried(name: str) -> Callable[[], None]:
        def test() -> None:
            made = case()
            made.law.part_of = name
            table[name](made)

        return test

    return [Law(name, subject, tried(name), expected.get(name)) for name in table]


def run(laws: Iterable[Law]) -> None:
    """All of them, to the first that does not hold."""
    for law in laws:
        law()
