"""No wrong call of anything public ends in an error of the inside, runs for ever, or is taken for a right one."""

import importlib
import inspect
import signal
import traceback
import typing
from pathlib import Path

import pytest

import subspace_sde
from subspace_sde import border, likelihood, posterior, solvers
from tests.calls import foundations, uses
from tests.calls.values import WRONG

CALLS = foundations.CALLS | uses.CALLS
PACKAGE = str(Path(subspace_sde.__file__).parent)
ROOMS = (
    "subspaces sdes scores oracles statistics divergence planning plotting sampling solvers measurements posterior "
    "likelihood analysis testing diffusers"
).split()
NO_ARGUMENTS = set("Ancestral EulerMaruyama ReverseDiffusion UniformTime UniformLogSNR OwnSpacing Staged".split())
ABSTRACT = {
    "Subspace",
    "IsotropicSDE",
    "Spacing",
    "Oracle",
    "Moments",
    "SingleStep",
    "Solver",
    "LinearMeasurement",
    "Method",
    "Guidance",
    "Form",
    "Trace",
    "ConditionalScore",
    "Cost",
}
DRAWN = {"save"}  # takes a figure
RESULTS = set(
    "Samples Step Likelihood PosteriorSamples Prepared Analysis Row SwitchTime View Law "
    "Pretrained NetworkScore SmallLatents".split()
)
INSIDE = {"gaussian", "rademacher"}  # of z alone, what a trace calls
TRUSTED = {("an oracle's score", "t")}  # called at every step, with the times of a grid


class Hanging(BaseException):
    """A call that did not end."""


def stop(*_):
    raise Hanging


def outcome(function, arguments):
    """What a call came to, and the exception or what it returned."""
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 20)
    try:
        return "taken", function(**arguments)
    except Hanging as error:
        return "hangs", error
    except (ValueError, TypeError, OSError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = last.filename.startswith(PACKAGE) and "raise" in (last.line or "")
        return "refused" if ours else "refused by Python", error
    except AssertionError as error:  # of a law that does not hold
        return "refused" if " of a law" in str(error) or "does not hold" in str(error) else "inside", error
    except Exception as error:
        return "inside", error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def kind_of(function, parameter):
    """The annotation of a parameter, where there is one."""
    while not hasattr(function, "__wrapped__") and inspect.isclass(function):
        function = function.__init__
    function = inspect.unwrap(function)
    try:
        return typing.get_type_hints(function).get(parameter, typing.Any)
    except (NameError, TypeError):
        return typing.Any


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """A string is a right name for a file, which is written there."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CALLS)
def test_the_right_call_is_taken(name):
    function, arguments = CALLS[name]
    how, found = outcome(function, arguments)
    assert how == "taken", repr(found)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("Plan.load", "SubspaceSDE.load")])
def test_wrong_calls(name):
    function, arguments = CALLS[name]
    for parameter in arguments:
        kind = kind_of(function, parameter)
        for what, value in WRONG.items():
            how, found = outcome(function, {**arguments, parameter: value})
            where = f"{name}({parameter}={what}): {found!r}"
            assert how not in ("hangs", "inside"), where
            if how == "refused":
                assert len(str(found).splitlines()) == 1, where
            if how == "taken":
                assert border._is(value, kind), where
                assert what not in ("nan", "inf") or (name, parameter) in TRUSTED, where


@pytest.mark.parametrize(
    "make",
    [
        lambda: solvers.Langevin(10**30),
        lambda: posterior.RePaint(resamplings=10**30),
        lambda: likelihood.Hutchinson(probes=10**30),
        lambda: likelihood.Bins(repeats=10**30),
    ],
)
def test_what_would_run_for_ever_is_not_made(make):
    with pytest.raises(ValueError, match=r"at most 1,000,000.* got 1,000,000"):
        make()


def test_everything_public_is_called():
    names = {name.split(".")[0] for name in CALLS}
    for room in ROOMS:
        module = importlib.import_module(f"subspace_sde.{room}")
        public = {exported for exported in module.__all__ if callable(getattr(module, exported))}
        left = public - names - NO_ARGUMENTS - ABSTRACT - RESULTS - INSIDE - DRAWN
        assert not left, f"{room} exports {sorted(left)}, of which tests/calls has no right call"
