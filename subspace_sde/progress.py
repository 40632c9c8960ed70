"""A bar that shows how far a long call is (extra ``progress``)."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self


class Bar:
    """Counts what is done, where it is `shown`; else it is silent.

    Parameters
    ----------
    shown: as the caller asked.
    what, unit: what is done, and of what there are `total`, where that is known beforehand.

    >>> with Bar(False, "sample", total=10) as bar:
    ...     bar.advance(3, "level 2")
    """

    def __init__(self, shown: bool, what: str, unit: str = "step", total: int | None = None) -> None:
        self.shown, self._bar = shown, _tqdm(desc=what, unit=unit, total=total) if shown else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, n: int, where: str = "", total: int | None = None) -> None:
        """`n` more are done; of how many, if that became known."""
        if self._bar is not None:
            self._bar.total = self._bar.total if total is None else total
            self._bar.update(n)
            self._bar.set_postfix_str(where, refresh=False)

    def within(self, level: int, t: Any) -> None:
        """Where a step stands that is not done yet: an adaptive solver takes a whole stage for one."""
        if self._bar is not None and time.time() - self._bar.last_print_t > self._bar.mininterval:
            self._bar.set_postfix_str(place(level, t))


def place(level: int, t: Any) -> str:
    """A level and a time, as a bar shows them."""
    return f"level {level}, t = {t:.3g}"


def _tqdm(**about: Any) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('a progress bar needs tqdm: pip install "subspace-sde[progress]"') from None
    return tqdm(**about)
