"""The laws as a list for a test runner, and failures that are declared."""

import re

import numpy as np
import pytest

from subspace_sde import VE, VP, Downsampling, LowPass
from subspace_sde.backend import backend_of
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import Heun
from subspace_sde.testing import check_backend, check_score, check_sde, check_solver, check_subspace, laws
from tests.testing.faulty_backends import broken
from tests.testing.faulty_scores import plain
from tests.testing.faulty_sdes import WrongG
from tests.testing.faulty_subspaces import N64, NoEmptyBatch, Sound

LAWS = laws(LowPass((3, 9, 8), 5), np.zeros((), np.float32), outer=LowPass((3, 9, 8), 7))


@pytest.mark.parametrize("law", LAWS)
def test_laws_are_parameters(law, request):
    law()
    assert request.node.name.isascii() or law.name in request.node.name


def test_every_noun_has_laws_of_its_own():
    score = Gaussian(np.zeros(3), np.eye(3)).score(VE())
    subjects = {
        "Downsampling((4,) -> (2,))": laws(Downsampling((4,), 2, axes=(-1,))),
        repr(VP()): laws(VP()),
        "Heun()": laws(Heun(), order=2),
        "the backend numpy": laws(backend_of(N64), N64),
        repr(score): laws(score, sde=VE(), shape=(3,)),
        "plain": laws(plain, sde=VE(), shape=(2, 3)),
    }
    for subject, found in subjects.items():
        assert {law.subject for law in found} == {subject}
        names = [law.name for law in found]
        assert len(set(names)) == len(names) >= 7 and [law.__name__ for law in found] == names


def test_a_declared_failure_must_fail():
    name, why = "an empty batch", "its convolution takes none"
    check_subspace(NoEmptyBatch(), expected_failures={name: why})
    message = f"{name}: is declared not to hold ({why}), and holds: take it out of expected_failures"
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_subspace(Sound(), expected_failures={name: why})
    with pytest.raises(AssertionError, match="an empty batch"):
        check_subspace(NoEmptyBatch(), expected_failures={"linearity": "of another kind"})
    (law,) = (law for law in laws(NoEmptyBatch(), expected_failures={name: why}) if law.name == name)
    assert law.expected_failure == why
    law()


@pytest.mark.parametrize(
    "check",
    [
        lambda given: check_subspace(Sound(), **given),
        lambda given: check_sde(VE(), **given),
        lambda given: check_score(plain, VE(), (2, 3), **given),
        lambda given: check_solver(Heun(), **given),
        lambda given: check_backend(backend_of(N64), N64, **given),
    ],
)
def test_a_law_that_there_is_not_cannot_be_expected_to_fail(check):
    with pytest.raises(ValueError, match=r"expected_failures names no law of .*: teapots; there are "):
        check({"expected_failures": {"teapots": "they are short"}})


def test_the_checks_are_all_the_laws():
    with pytest.raises(AssertionError, match=re.escape("g² = (σ²)' − 2fσ²")):
        check_sde(WrongG())
    with pytest.raises(AssertionError, match="normals have variance 1: does not hold: off by"):
        check_backend(broken(N64, normal=lambda g, s, like: g.standard_normal(s) * 1.02**0.5), N64)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: laws(3), TypeError, "laws are those of a backend, a subspace, an SDE, a solver or a score, got int"),
        (lambda: laws(VE), TypeError, "got the class VE"),
        (lambda: laws(plain), TypeError, "the laws of a score need the SDE that it belongs to and the shape of one x"),
        (lambda: laws(VE(), order=2), TypeError, "order"),
        (lambda: laws(Heun(), order=0), ValueError, "an order is positive, got 0"),
        (lambda: laws(Heun(), eta=2.0), ValueError, "eta lies between 0, the ODE, and 1, the reverse SDE, got 2.0"),
        (lambda: laws(VE(), np.zeros((), int)), ValueError, "like must be a floating-point array, got int64"),
        (lambda: laws(plain, sde=VE(), shape=(0,)), ValueError, "shape must hold positive integers, got (0,)"),
        (lambda: laws(Sound(), tolerance=-1.0), ValueError, "the tolerance is a relative error"),
    ],
)
def test_refusals(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()
