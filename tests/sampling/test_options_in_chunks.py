"""Every option of `sample`, in chunks: the same samples to the bit, and messages with the samples' own numbers."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, Downsampling, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import backend_of
from subspace_sde.sampling import Rho, Start
from subspace_sde.scores import guided
from subspace_sde.solvers import DDIM, DPMSolver, EulerMaruyama, Heun, Langevin, PredictorCorrector

SHAPE, NUM = (2, 6, 4), 7
NESTED = NestedSubspaces(
    [Downsampling(SHAPE, (3, 2)), Downsampling((2, 2, 2), (2, 1), axes=(-2, -1))]
)  # 3 and 2, 2 and 1


def process_of(sde):
    times = [float(sde.time_at_log_snr(v)) for v in (0.5, -1.0)]
    mean = np.linspace(-1, 1, math.prod(SHAPE)).reshape(SHAPE)
    return SubspaceSDE(sde, NESTED, times, [0.4, 0.7], mean=mean)


def scores_of(sde):
    """Scores in which each entry feels itself alone, so that a batch changes no bit."""

    def score(x, t, *labels):
        s = -x / (0.5 * sde.alpha(t) ** 2 + sde.sigma(t) ** 2)
        return s + 0.1 * labels[0].reshape(-1, *(1,) * (x.ndim - 1)) if labels else s

    return [score] * 3


def options(name, like):
    rng = np.random.default_rng(0)

    def kind(x):
        return backend_of(like).from_numpy(x, like)

    each = kind(rng.standard_normal((NUM, *SHAPE)))
    small = kind(rng.standard_normal((NUM, 2, 2, 2)))
    labels = kind(np.arange(NUM) % 3.0)
    return {
        "nothing": {},
        "spacing": {"spacing": Rho(3)},
        "Langevin": {"langevin": Langevin(2)},
        "trajectory": {"trajectory": True},
        "condition": {"condition": labels},
        "guidance": {"condition": labels, "guide": 2.0},
        "start, one for each": {"start": Start(each, t=0.5)},
        "start, one for all": {"start": Start(each[0], t=0.5)},
        "start on a level": {"start": Start(small, level=1)},
        "start and condition": {"start": Start(each, t=0.5), "condition": labels, "langevin": Langevin(1)},
        "seeds": {"rng": list(range(10, 10 + NUM))},
    }[name]


NAMES = [
    "nothing", "spacing", "Langevin", "trajectory", "condition", "guidance", "start, one for each",
    "start, one for all", "start on a level", "start and condition", "seeds",
]  # fmt: skip
SOLVERS = [EulerMaruyama(), DDIM(0.5), Heun(churn=0.2), DPMSolver(3, eta=0.5), PredictorCorrector()]


@pytest.mark.parametrize("sde", [VE(), VP()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_chunks_change_no_bit(solver, name, sde, like, host):
    given = options(name, like)
    weight, scores, process = given.pop("guide", None), scores_of(sde), process_of(sde)
    if weight is not None:
        scores = [guided(s, weight, 0) for s in scores]
    run = {"solver": solver, "steps": 9, "rng": 4, "like": like, **given}
    whole, parts = (sample(process, scores, NUM, chunk=chunk, **run) for chunk in (None, 3))
    assert parts.x.shape == (NUM, *SHAPE) and parts.evaluations == whole.evaluations and parts.seeds == whole.seeds
    np.testing.assert_array_equal(host(parts.x), host(whole.x))
    assert len(parts.trajectory) == len(whole.trajectory) == (9 + 3 if name == "trajectory" else 0)
    for (t, k, x), (s, j, y) in zip(parts.trajectory, whole.trajectory):
        assert (t, k) == (s, j)
        np.testing.assert_array_equal(host(x), host(y))
    assert len({host(x).tobytes() for x in whole.x}) == NUM  # or a chunk given the wrong rows would not be seen


@pytest.mark.parametrize("bad", [0, 2, 3, 6])
def test_a_message_names_the_sample_by_its_number_among_all(bad, like, xp):
    sde = VE()
    labels = xp.asarray(np.arange(NUM) == bad)

    def broken(x, t, condition):
        found = scores_of(sde)[0](x, t)
        return xp.where(xp.reshape(condition, (-1, 1, 1, 1)), found + math.inf if t < 0.2 else found, found)

    with pytest.raises(ValueError, match=rf"level 0.*sample {bad}\b"):
        sample(process_of(sde), [broken] * 3, NUM, DDIM(), 12, like=like, condition=labels, chunk=3)
