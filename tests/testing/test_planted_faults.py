"""Every planted fault is caught by the law that it breaks, and what is sound passes them all."""

import re

import numpy as np
import pytest
import sympy  # noqa: F401  (a law of symbols is tried where it has been imported)

from subspace_sde import EDM, VE, VP, LowPass, RectifiedFlow, SubVP
from subspace_sde.backend import backend_of
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    PredictorCorrector,
    ReverseDiffusion,
)
from subspace_sde.testing import laws
from tests.testing import faulty_backends, faulty_scores, faulty_sdes, faulty_solvers, faulty_subspaces
from tests.testing.faulty_subspaces import N32, N64, T64

OUTER = {"outer": LowPass(faulty_subspaces.SHAPE, 6)}
SUBSPACES = [
    (faulty_subspaces.NotOrthonormal, N64, "UᵀU = I"),
    (faulty_subspaces.NotOrthonormal, N32, "UᵀU = I"),
    (faulty_subspaces.SlightlyNotOrthonormal, N64, "UᵀU = I"),
    (faulty_subspaces.RoundedConstant, N64, "UᵀU = I"),
    (faulty_subspaces.CoarseConstant, N64, "UᵀU = I"),
    (faulty_subspaces.CoarseConstant, N32, "UᵀU = I"),
    (faulty_subspaces.EmbedTransposes, N64, "adjointness, <Uᵀx, z> = <x, Uz>"),
    (faulty_subspaces.BothTranspose, N64, "axis_matrices()"),
    (faulty_subspaces.WrongAxisMatrices, N64, "axis_matrices()"),
    (faulty_subspaces.WrongMatrix, N64, "matrix()"),
    (faulty_subspaces.WrongScale, N64, "coordinate_scale"),
    (faulty_subspaces.Promotes, N64, "float32 stays float32"),
    (faulty_subspaces.Promotes, N32, "one leading axis: shape, library, dtype and device"),
    (faulty_subspaces.MixesBatch, N64, "the elements of a batch do not see each other"),
    (faulty_subspaces.Clips, N64, "linearity"),
    (faulty_subspaces.Affine, N64, "linearity"),
    (faulty_subspaces.InPlace, N64, "the input is left as it was"),
    (faulty_subspaces.WritesAndUndoes, N64, "any layout in memory"),
    (faulty_subspaces.Contiguous, T64, "any layout in memory"),
    (faulty_subspaces.WrongReject, N64, "project + reject = identity"),
    (faulty_subspaces.WrongProject, N64, "P = UUᵀ"),
    (faulty_subspaces.WrongProject, N64, "P² = P = Pᵀ"),
    (faulty_subspaces.RotatedWithin, N64, "nesting"),
    (faulty_subspaces.NoEmptyBatch, N64, "an empty batch"),
    (faulty_subspaces.NoBatchNeeded, N64, "no leading axes"),
    (faulty_subspaces.OneBatchAxis, N64, "several leading axes"),
    (faulty_subspaces.Detaches, T64, "derivatives go through"),
    (faulty_subspaces.ThroughNumpy, T64, "derivatives go through"),
]
ARRAYS = "arrays agree with floats, in their shape, library, dtype and device"
NO_AXES = "arrays without axes, and without elements"
DIGITS = "float32 stays float32, and keeps its digits"
SDES = [
    (faulty_sdes.WrongG, N64, "g² = (σ²)' − 2fσ²"),
    (faulty_sdes.SlightlyWrongG, N64, "g² = (σ²)' − 2fσ²"),
    (faulty_sdes.WrongF, N64, "f = α'/α"),
    (faulty_sdes.Kink, N64, "f = α'/α"),
    (faulty_sdes.Bump, N64, "f = α'/α"),
    (faulty_sdes.WrongNearStart, N64, "f = α'/α"),
    (faulty_sdes.WrongInverse, N64, "time_at_log_snr inverts log_snr"),
    (faulty_sdes.SlightlyWrongInverse, N64, "time_at_log_snr inverts log_snr"),
    (faulty_sdes.FirstTime, N64, ARRAYS),
    (faulty_sdes.Halves, N64, ARRAYS),
    (faulty_sdes.Halves, N32, ARRAYS),
    (faulty_sdes.PromotesTimes, N32, ARRAYS),
    (faulty_sdes.PromotesTimes, N64, DIGITS),
    (faulty_sdes.Cancels, N64, DIGITS),
    (faulty_sdes.Cancels, N32, DIGITS),
    (faulty_sdes.NumberForArray, N64, NO_AXES),
    (faulty_sdes.NumberForArray, T64, NO_AXES),
    (faulty_sdes.WrongEnds, N64, "the grid"),
    (faulty_sdes.WrongGridParameter, N64, "from_grid_parameter inverts grid_parameter"),
    (faulty_sdes.NoRefusal, N64, "log_snr is refused outside [t_min, T]"),
    (faulty_sdes.WrongLogSNR, N64, "log_snr = log(α²/σ²), strictly decreasing"),
    (faulty_sdes.NeverClips, N64, "time_at_log_snr beyond the ends"),
    (faulty_sdes.UnboundedEnd, N64, "f and g are finite at the ends"),
    (faulty_sdes.RoundedPrior, N64, "prior_std = σ(T)"),
    (faulty_sdes.CutsTimes, T64, "derivatives in t go through"),
    (faulty_sdes.NoIntegers, N64, "integers are times"),
    (faulty_sdes.WrongSymbol, N64, "a sympy symbol, where one is taken"),
    (faulty_sdes.EndsAtZero, N64, "α(T) is positive"),
]
OF_A_SCORE = {"sde": VE(), "shape": (2, 3)}
DERIVATIVE = "its derivative is that of its values"
TIME = "t as a float and as an array over the batch"
SCORES = [
    (faulty_scores.promotes, N32, "one leading axis: shape, library, dtype and device"),
    (faulty_scores.one_axis, N64, "several leading axes, and none"),
    (faulty_scores.first_time, N64, TIME),
    (faulty_scores.no_array_of_times, N64, TIME),
    (faulty_scores.normalises_batch, N64, "the elements of a batch do not see each other"),
    (faulty_scores.drops_out, N64, "the same x and t, the same score"),
    (faulty_scores.infinite_at_the_end, N64, "finite on [t_min, T]"),
    (faulty_scores.writes, N64, "any layout in memory, and the input is left as it was"),
    (faulty_scores.detached, T64, DERIVATIVE),
    (faulty_scores.Vjp(), N64, DERIVATIVE),
    (faulty_scores.Rotated(), N64, DERIVATIVE),
]
SECOND = {"order": 2.0}
SOLVERS = [
    (faulty_solvers.Published(3), N64, "its order", {"order": 3.0}),
    (faulty_solvers.EulerStep(), N64, "its order", SECOND),
    (faulty_solvers.WrongDrift(), N64, "its order", {"order": 1.0, "eta": 1.0}),
    (faulty_solvers.StopsEarly(), N64, "it ends where it is sent, by times of its stage", SECOND),
    (faulty_solvers.OneStepMore(), N64, "it ends where it is sent, by times of its stage", SECOND),
    (faulty_solvers.TimeAsArray(), N64, "the score is called with t a float, within the stage", SECOND),
    (faulty_solvers.PromotesState(), N32, "shape, library, dtype and device", SECOND),
    (faulty_solvers.PromotesState(), N64, "float32 stays float32", SECOND),
    (faulty_solvers.CommonStep(), N64, "the samples do not see each other", SECOND),
    (faulty_solvers.OwnNoise(), N64, "the same noise, the same samples, and the input is left as it was", SECOND),
    (faulty_solvers.WritesState(), N64, "the same noise, the same samples, and the input is left as it was", SECOND),
]
KIND, BRIDGE = "normals have the shape asked for, and the kind of `like`", "to numpy and back"
COMPLETE = "it is found by the name of its library, and has all that a backend supplies"
BACKENDS = {
    "variance 1.02": "normals are normal",
    "variance 1.01": "normals are normal",
    "mean 0.02": "normals are normal",
    "uniform numbers": "normals are normal",
    "Laplace numbers": "normals are normal",
    "tails cut at 3": "normals are normal",
    "float32 for float64": KIND,
    "no numbers without axes": KIND,
    "no empty draw": KIND,
    "one generator for all": "normals are the next draw of each generator",
    "the seed ignored": "adjacent seeds are uncorrelated",
    "seeds 2k and 2k + 1 alike": "adjacent seeds are uncorrelated",
    "streams correlated": "adjacent seeds are uncorrelated",
    "no seed": "one seed, the same numbers",
    "a generator that begins again": "a generator goes on",
    "rows of a draw alike": "the rows of a draw are uncorrelated",
    "lists are generators": "is_generator knows its own, and nothing else",
    "to_numpy shares memory": BRIDGE,
    "from_numpy shares memory": BRIDGE,
    "from_numpy keeps integers": BRIDGE,
    "from_numpy fails without axes": BRIDGE,
    "to_numpy fails on booleans": BRIDGE,
    "nothing can be read": BRIDGE,
    "to_numpy fails on what is recorded": "what is recorded can be read, and what no_grad cuts off is known",
    "no_grad does nothing": "what is recorded can be read, and what no_grad cuts off is known",
    "jvp off by 1e-6": "jvp",
    "jvp is not implemented": "jvp",
    "Jᵀv for Jv": "jvp",
    "no value where v = 0": "jvp",
    "Jv for Jᵀv, a conjugated vjp": "vjp",
    "vjp of the wrong sign": "vjp",
    "vjp changes sign when asked again": "vjp",
    "integrate ignores the tolerance": "integrate",
    "integrate rounds to float32": "integrate",
    "integrate by Euler steps": "integrate",
    "integrate steps beyond the end": "integrate",
    "integrate never fails": "integrate says where its steps vanish",
    "synchronize raises": "contexts",
    "another name": COMPLETE,
    "a piece is missing": COMPLETE,
}


def cases():
    for name, (like, methods) in faulty_backends.BACKEND_FAULTS.items():
        yield pytest.param(faulty_backends.broken(like, **methods), like, {}, BACKENDS[name], id=f"backend: {name}")
    for room, table, given in (("subspace", SUBSPACES, OUTER), ("SDE", SDES, {})):
        for fault, like, law in table:
            yield pytest.param(fault(), like, given, law, id=f"{room}: {fault.__name__} {like.dtype}")
    for fault, like, law in SCORES:
        yield pytest.param(fault, like, OF_A_SCORE, law, id=f"score: {fault.__name__}")
    for fault, like, law, given in SOLVERS:
        yield pytest.param(fault, like, given, law, id=f"solver: {type(fault).__name__} {like.dtype}")


@pytest.mark.filterwarnings("ignore")  # of what is broken
@pytest.mark.parametrize(("subject", "like", "given", "name"), list(cases()))
def test_a_planted_fault_is_caught_by_the_law_that_it_breaks(subject, like, given, name):
    (law,) = (law for law in laws(subject, like, **given) if law.name == name)
    with pytest.raises(AssertionError, match=r"does not hold|raises") as failure:
        law()
    assert str(failure.value).startswith(f"{law.subject}: {name}: ")


def test_every_law_catches_something():
    caught = (
        {law for *_, law in (*SUBSPACES, *SDES, *SCORES)} | {law for _, _, law, _ in SOLVERS} | {*BACKENDS.values()}
    )
    sound = [
        (LowPass((4, 4), 2), {}),
        (VE(), {}),
        (faulty_scores.EXACT, OF_A_SCORE),
        (Heun(), {}),
        (backend_of(N64), {}),
    ]
    left = {law.name for subject, given in sound for law in laws(subject, N64, **given)} - caught
    assert left == set()


SOUND = [
    (faulty_subspaces.Sound(), OUTER),
    *((sde, {}) for sde in (VE(), VP(), SubVP(), EDM(), RectifiedFlow())),
    (faulty_scores.EXACT, OF_A_SCORE),
    (Heun(), SECOND),
    (DDIM(), {"order": 1}),
    (DPMSolver(3), {"order": 3}),
    (DPMSolver(2, eta=1.0), {"order": 2, "eta": 1.0}),
    (EulerMaruyama(), {"order": 1, "eta": 1.0}),
    (ReverseDiffusion(), {"order": 1, "eta": 1.0}),
    (Ancestral(), {"order": 1, "eta": 1.0}),
    (Heun(churn=0.2), {}),
    (PredictorCorrector(), {}),
]


@pytest.mark.parametrize(("subject", "given"), SOUND)
def test_what_is_sound_passes(subject, given, like):
    for law in laws(subject, like, **given):
        law()


def test_an_adaptive_solver_shares_its_steps():
    shared = {"the samples do not see each other": "they share their steps"}
    for like in (N64, T64):
        for law in laws(DormandPrince(), like, expected_failures=shared):
            law()


def test_a_failure_says_which_law_on_what_and_by_how_much():
    (law,) = (law for law in laws(faulty_subspaces.NotOrthonormal(), N32) if law.name == "UᵀU = I")
    with pytest.raises(AssertionError) as failure:
        law()
    assert re.fullmatch(
        r"NotOrthonormal\(.*\): UᵀU = I: does not hold: off by \d\.\de-04, where \d\.\de-05 is allowed, on "
        r"standard normal x of shape \(3, 3, 8, 8\) and z of shape \(3, 3, 4, 4\) from numpy's default_rng\(1\), "
        r"float32 of numpy",
        str(failure.value),
    )
    assert np.isfinite(float(str(failure.value).split("off by ")[1].split(",")[0]))
