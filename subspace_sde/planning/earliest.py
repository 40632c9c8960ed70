"""From which time on a candidate may be used: by its divergence, and by the error of a network that serves it."""

from __future__ import annotations

from ..divergence import DivergenceCurve, LevelError, SwitchTime


def earliest(
    given: DivergenceCurve | SwitchTime,
    curve: DivergenceCurve,
    threshold: float,
    error: LevelError | None = None,
    tolerance: float = 0.0,
) -> float | None:
    """The first time inside (t_min, T) from which the curve stays at or below the threshold, and the error too."""
    try:
        t = given.time_at(threshold)
        if error is not None:
            t = max(t, error.time_at(tolerance))
    except ValueError:
        return None
    assert curve.sde is not None
    if t <= curve.sde.t_min:  # met from the start; a process must begin in the full space
        later = [s for s in curve.times if curve.sde.t_min < s < curve.sde.T]
        t = later[0] if later else float(curve.sde.grid(100)[-2])
    return t if t < curve.sde.T else None
