"""How a run of `sample` is carried out: chunks, processes, seeds, callbacks, progress, conditions, guidance."""

import functools
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP, Downsampling, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.sampling import Start, sampled_law
from subspace_sde.scores import denoiser, from_denoiser, from_noise, guided
from subspace_sde.solvers import (
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    Langevin,
    PredictorCorrector,
    SingleStep,
)

SDE = VE()
NESTED = NestedSubspaces([Downsampling((3, 4, 6), 2), Downsampling((3, 2, 3), 3, axes=(-1,))])
PROCESS = SubspaceSDE(SDE, NESTED, [0.4, 0.6], [0.4, 0.7])


def normal(x, t):
    return -x / (1 + SDE.sigma(t) ** 2)


SCORES = [normal] * 3


@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7, 50])
@pytest.mark.parametrize(
    ("solver", "langevin"),
    [(EulerMaruyama(), Langevin(1)), (PredictorCorrector(), None), (DPMSolver(3, 1.0), None), (Heun(0.1), Langevin(1))],
    ids=["Euler-Maruyama", "predictor-corrector", "3M", "churn"],
)
def test_chunks_change_nothing(chunk, solver, langevin, like, host):
    whole = sample(PROCESS, SCORES, 7, solver, 10, 8, like, langevin, trajectory=True)
    found = sample(PROCESS, SCORES, 7, solver, 10, 8, like, langevin, trajectory=True, chunk=chunk)
    np.testing.assert_array_equal(host(found.x), host(whole.x))
    assert found.evaluations == whole.evaluations and found.seeds == whole.seeds == streams(8, 0, 7)
    assert [(t, k) for t, k, _ in found.trajectory] == [(t, k) for t, k, _ in whole.trajectory]
    for (_, _, a), (_, _, b) in zip(found.trajectory, whole.trajectory):
        np.testing.assert_array_equal(host(a), host(b))
    assert all(s > 0 for s in found.seconds)


def test_a_sample_is_drawn_again_from_its_seed(like, host):
    whole = sample(PROCESS, SCORES, 5, steps=8, rng=3, like=like)
    again = sample(PROCESS, SCORES, 1, steps=8, rng=[whole.seeds[4]], like=like)
    np.testing.assert_array_equal(host(again.x)[0], host(whole.x)[4])
    given = sample(PROCESS, SCORES, 2, steps=8, rng=[11, 12], like=like)
    assert given.seeds == (11, 12)
    generator = backend_of(like).generator(0, like)
    assert sample(PROCESS, SCORES, 2, steps=8, rng=generator, like=like).seeds is None


_PART = """
import sys
import numpy as np
from subspace_sde import VE, Downsampling, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import streams
sde, start, stop = VE(), int(sys.argv[1]), int(sys.argv[2])
nested = NestedSubspaces([Downsampling((3, 4, 6), 2), Downsampling((3, 2, 3), 3, axes=(-1,))])
process = SubspaceSDE(sde, nested, [0.4, 0.6], [0.4, 0.7])
scores = [lambda x, t: -x / (1 + sde.sigma(t) ** 2)] * 3
x = sample(process, scores, stop - start, steps=9, rng=streams(8, start, stop), chunk=2).x
sys.stdout.buffer.write(x.tobytes())
"""


def test_processes_change_nothing():
    parts = [
        subprocess.run([sys.executable, "-c", _PART, a, b], capture_output=True, check=True).stdout
        for a, b in (("0", "3"), ("3", "7"))
    ]
    found = np.frombuffer(b"".join(parts)).reshape(7, 3, 4, 6)
    np.testing.assert_array_equal(found, sample(PROCESS, SCORES, 7, steps=9, rng=8).x)


def test_a_callback_sees_every_step(like):
    seen = []
    found = sample(PROCESS, SCORES, 5, Heun(), 9, like=like, chunk=2, callback=seen.append, trajectory=True)
    assert [(s.first, s.number, s.total) for s in seen] == [(f, n, 9) for f in (0, 2, 4) for n in range(1, 10)]
    for step in seen:
        assert step.x.shape == (min(2, 5 - step.first), *PROCESS.shape(step.level))
        assert PROCESS.level(step.t) == step.level or step.t in PROCESS.times
    assert seen[-1].x.shape[0] == 1 and bool((seen[-1].x == found.x[4:]).all())
    ends = []
    sample(PROCESS, SCORES, 2, DormandPrince(), 9, like=like, callback=lambda s: ends.append((s.level, s.number)))
    assert [k for k, _ in ends] == [2, 1, 0] and ends[-1][1] == 9  # one a stage


@pytest.mark.parametrize(("at", "finished"), [((0, 3), 0), ((0, 9), 2), ((2, 1), 2), ((4, 8), 4), ((4, 9), 5)])
def test_a_callback_stops_and_what_was_finished_is_returned(at, finished, like, host):
    def stop(step):
        if (step.first, step.number) == at:
            raise StopIteration

    whole = sample(PROCESS, SCORES, 5, steps=9, rng=1, like=like)
    found = sample(PROCESS, SCORES, 5, steps=9, rng=1, like=like, chunk=2, callback=stop)
    assert found.x.shape == (finished, 3, 4, 6) and found.x.dtype == like.dtype and found.x.device == like.device
    np.testing.assert_array_equal(host(found.x), host(whole.x)[:finished])
    assert found.seeds == whole.seeds[:finished]
    assert found.evaluations == (whole.evaluations if finished else (0, 0, 0))


def test_what_a_callback_returns_does_not_stop():
    # a progress bar's `update` returns True now and then
    assert sample(PROCESS, SCORES, 2, steps=6, callback=lambda step: True).x.shape[0] == 2
    with pytest.raises(KeyError):
        sample(PROCESS, SCORES, 2, steps=6, callback=lambda step: {}["an error of the user's own"])


def test_progress_is_shown_when_asked_for(capsys):
    sample(PROCESS, SCORES, 3, steps=6, chunk=2)
    assert capsys.readouterr().err == ""
    sample(PROCESS, SCORES, 3, steps=6, chunk=2, progress=True)
    shown = capsys.readouterr().err
    assert "12/12" in shown and "step" in shown


def test_progress_without_tqdm_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r'a progress bar needs tqdm: pip install "subspace-sde\[progress\]"'):
        sample(PROCESS, SCORES, 3, steps=6, progress=True)


# -- conditions and guidance


def classes(d=6):
    """Two Gaussians, the classes 0 and 1 of a mixture."""
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((2, d, d)) / math.sqrt(d)
    means = np.stack([np.linspace(-1, 1, d), np.linspace(1.5, 0, d)])
    return Mixture([0.4, 0.6], [Gaussian(m, 0.2 * r @ r.T + 0.05 * np.eye(d)) for m, r in zip(means, roots)])


def conditional(mixture, sde):
    """score(x, t, label): of a class, or of the mixture where the label is 2."""
    scores = [*(c.score(sde) for c in mixture.components), mixture.score(sde)]

    def score(x, t, label):
        chosen = [s(x, t) for s in scores]
        return sum((label == i)[:, None] * s for i, s in enumerate(chosen))

    return score


def labels_like(like, values):
    return torch.asarray(values, device=like.device) if isinstance(like, torch.Tensor) else np.asarray(values)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 0.0), (2.5, 1.0), (0.5, 3.0)])
def test_guided_is_its_formula(weights, like, array, host, eps):
    mixture, label = classes(), [0, 1, 1]
    x, t = np.random.default_rng(1).standard_normal((3, 6)), 0.5
    score = conditional(mixture, SDE)
    for weight in weights:
        found = host(guided(score, weight, 2)(array(x), t, labels_like(like, label)))
        given = np.stack([mixture.components[c].score(SDE)(x[i : i + 1], t)[0] for i, c in enumerate(label)])
        free = mixture.score(SDE)(x, t)
        np.testing.assert_allclose(found, free + weight * (given - free), rtol=0, atol=300 * eps)
    times = array([0.4, 0.5, 0.6])  # one time a sample
    found = host(guided(score, 2.0, 2)(array(x), times, labels_like(like, label)))
    one = [
        host(guided(score, 2.0, 2)(array(x[i : i + 1]), s, labels_like(like, label[i : i + 1])))[0]
        for i, s in enumerate((0.4, 0.5, 0.6))
    ]
    np.testing.assert_allclose(found, np.stack(one), rtol=0, atol=1e3 * eps)


def test_guided_calls_the_network_once():
    calls = []

    def network(x, t, c):
        calls.append((x.shape[0], c.tolist()))
        return -x

    x, c = np.zeros((2, 3)), np.asarray([5, 6])
    for weight, expected in ((1.0, (2, [5, 6])), (0.0, (2, [9, 9])), (3.0, (4, [5, 6, 9, 9]))):
        calls.clear()
        guided(network, weight, 9)(x, 0.5, c)
        assert calls == [expected]
    with pytest.raises(ValueError, match="the weight of guidance must be finite, got nan"):
        guided(network, math.nan, 9)


@pytest.mark.parametrize("chunk", [None, 300])
def test_labels_choose_the_class_on_every_level(chunk, like, array, host):
    # weight 1 is the class itself: a Gaussian, for which the law of the samples is known, the solver's error included
    sde, mixture, num = VP(), classes(), 800
    nested = NestedSubspaces([LowPass((6,), 4, axes=(-1,)), LowPass((4,), 2, axes=(-1,))])
    process = SubspaceSDE(sde, nested, [0.55, 0.7], [0.15, 0.3])
    scores = [guided(conditional(mixture.restrict(u), sde), w, 2) for u, w in zip(nested, (1.0, 1.0, 1.0))]
    label = np.arange(num) % 2
    found = sample(
        process, scores, num, DPMSolver(2), 40, rng=2, like=like, condition=labels_like(like, label), chunk=chunk
    )
    for c in (0, 1):
        x = host(found.x)[label == c]
        own, other = ([g.restrict(u).score(sde) for u in nested] for g in (mixture.components[i] for i in (c, 1 - c)))
        law, other = (sampled_law(process, s, DPMSolver(2), 40) for s in (own, other))
        spread = np.sqrt(np.diag(law.covariance) / len(x))
        assert np.max(np.abs(x.mean(0) - law.mean) / spread) < 4.5
        assert np.max(np.abs(x.mean(0) - other.mean) / spread) > 30
        gap = np.cov(x.T) - law.covariance
        assert np.max(np.abs(gap) / np.sqrt(2 * np.outer(spread**2, spread**2) * len(x))) < 4.5


def test_a_condition_must_fit():
    with pytest.raises(
        ValueError, match=r"condition takes an array with one entry for each of the 3 samples, got \(2,\)"
    ):
        sample(PROCESS, SCORES, 3, steps=6, condition=np.zeros(2))
    with pytest.raises(ValueError, match="one entry for each of the 3 samples, got int"):
        sample(PROCESS, SCORES, 3, steps=6, condition=1)
    for chunk in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="chunk must be an integer >= 1, got"):
            sample(PROCESS, SCORES, 3, steps=6, chunk=chunk)


# -- networks


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, t, *condition, flag=False):
        return self.scale * -x / (1 + SDE.sigma(t) ** 2)

    def score(self, x, t):
        return self(x, t)


class Holder:
    def __init__(self, network):
        self.network = network

    def score(self, x, t, *condition):
        return self.network(x, t)

    __call__ = score


@pytest.mark.parametrize(
    "wrap",
    [
        lambda n: n,
        lambda n: n.score,
        lambda n: from_noise(n, SDE),
        lambda n: from_denoiser(denoiser(n, SDE), SDE),
        lambda n: guided(n, 1.0, 0),
        lambda n: from_noise(lambda x, t, c: n(x, t, c), SDE),
        lambda n: functools.partial(n, flag=True),
        lambda n: Holder(n).score,
        lambda n: Holder(n),
    ],
    ids=["network", "method", "from_noise", "two adapters", "guided", "lambda", "partial", "holder's method", "holder"],
)
def test_a_network_in_training_mode_is_warned_of(wrap):
    network = Network()
    like, more = torch.zeros(()), {"condition": torch.zeros(2)}
    good = [lambda x, t, *c: -x / (1 + SDE.sigma(t) ** 2)] * 2
    with pytest.warns(UserWarning, match="the score of level 1 is a network in training mode"):
        try:
            sample(PROCESS, [good[0], wrap(network), good[1]], 2, steps=6, like=like, **more)
        except TypeError:  # two of them take no condition: the warning comes before
            pass
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            sample(PROCESS, [good[0], wrap(network), good[1]], 2, steps=6, like=like, **more)
        except TypeError:
            pass


def test_a_proxy_that_answers_everything_ends_the_search():
    class Proxy:
        def __getattr__(self, name):
            return self

        def __call__(self, x, t):
            return normal(x, t)

    assert sample(PROCESS, [Proxy()] * 3, 2, steps=6).x.shape[0] == 2


# -- the guard, and what solvers owe


@pytest.mark.parametrize("bad", [0, 3, 49, 50, 51, 70])
def test_the_guard_of_a_device_names_the_first_bad_step(bad, monkeypatch, like, array):
    # it reads every 50 steps and at the end of a stage, and must name the step at which it went wrong
    monkeypatch.setattr("subspace_sde.sampling.watching.on_host", lambda x: False)
    process, calls = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(4,)), [], []), [0]

    class Breaking(SingleStep):
        def step(self, x, t, s, score, sde, noise):
            calls[0] += 1
            spoilt = np.zeros((3, 4))
            spoilt[2, 1] = math.nan if calls[0] >= bad else 0.0
            return x + array(spoilt)

    start = Start(array(np.full((3, 4), np.inf if bad == 0 else 1.0)), t=1.0)
    with pytest.raises(ValueError, match=rf"step {bad} of that level\), sample {0 if bad == 0 else 2}: ") as caught:
        sample(process, [normal], 3, Breaking(), 80, like=like, start=start)
    assert ("what the stage begins with" in str(caught.value)) == (bad == 0)
    assert calls[0] == (49 if bad < 50 else 80)  # so seldom is it read; the state at the beginning is one of the 50


def test_a_solver_that_leaves_its_stage_is_named():
    class Wrong:
        def stage(self, x, times, score, sde, noise):
            yield 0.123, x

    with pytest.raises(ValueError, match=r"Wrong yields x at t = 0\.123, which is no time of its stage"):
        sample(PROCESS, SCORES, 2, Wrong(), 6)


@pytest.mark.parametrize("solver", [Heun, "heun", 3])
def test_what_is_no_solver_is_refused(solver):
    with pytest.raises(TypeError, match=r"solver takes an object like Heun\(\) or DPMSolver\(order=3\), got"):
        sample(PROCESS, SCORES, 2, solver, 6)
    with pytest.raises(TypeError, match=r"spacing takes an object like Rho\(\)"):
        sample(PROCESS, SCORES, 2, steps=6, spacing="rho")


# -- starts, and times that are one but for rounding


@pytest.mark.parametrize("t", [0.1, 0.2, 0.3, 0.4, 0.2 + 1e-12, 0.55])
@pytest.mark.parametrize(
    "solver", [Heun(), DPMSolver(2), DPMSolver(3), DPMSolver(2, eta=1e-12)], ids=["Heun", "2M", "3M", "2M with noise"]
)
def test_a_start_on_a_time_of_the_grid_is_as_good_as_any(solver, t, like, array, host, eps):
    law = Gaussian(np.linspace(-1, 1, 5), 0.3 * np.eye(5))
    process = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(5,)), [], [])
    start = Start(array(np.linspace(1, 2, 5)), t=t)
    found, exact = (
        sample(process, [law.score(SDE)], 6, s, 100, rng=3, like=like, start=start)
        for s in (solver, DormandPrince(1e-6, 1e-6))
    )
    assert found.evaluations[0] <= (2 if isinstance(solver, Heun) else 1) * math.ceil(100 * t + 1e-9) + 1
    assert np.max(np.abs(host(found.x) - host(exact.x))) < 2e-3


def test_own_times_that_differ_by_rounding():
    union = sorted({*np.linspace(1, 0, 11).tolist(), 0.3}, reverse=True)
    assert len(union) == 12
    with pytest.raises(
        ValueError, match=r"two times of the grid differ by rounding alone, 0.3.* leave one of them out"
    ):
        sample(PROCESS, SCORES, 2, DPMSolver(3), union)
    law, near = Gaussian(np.zeros(5), 0.3 * np.eye(5)), [*np.linspace(1, 0.3, 8), 0.3 - 1e-9, *np.linspace(0.2, 0, 3)]
    process = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(5,)), [], [])
    for order in (2, 3):  # close together, but meant: float32 must not feel it
        a, b = (
            sample(process, [law.score(SDE)], 4, DPMSolver(order), near, rng=1, like=np.zeros((), dtype=d)).x
            for d in (np.float32, np.float64)
        )
        # float32 draws other noise: the map itself, by the ratio of each sample to where it started
        first = [
            sample(
                process, [law.score(SDE)], 4, DPMSolver(order), near, rng=1, like=np.zeros((), dtype=d), trajectory=True
            ).trajectory[0][2]
            for d in (np.float32, np.float64)
        ]
        np.testing.assert_allclose(a / first[0], b / first[1], rtol=1e-4)


def test_churn_stays_within_its_stage():
    seen = []

    def watched(k):
        def score(x, t):
            seen.append((k, t))
            return normal(x, t)

        return score

    sample(PROCESS, [watched(k) for k in range(3)], 2, Heun(churn=0.4), 12)
    for k, t in seen:
        assert PROCESS.ends(k)[0] <= t <= PROCESS.ends(k)[1]
    assert any(t not in np.linspace(1, 0, 13) for _, t in seen)


def test_langevin_moves_in_half_precision_too():
    x = torch.full((2, 3, 32, 32), 0.01, dtype=torch.float16)
    z = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.float16)
    moved = Langevin(3, 0.16).move(x, 0.0, lambda y, t: -y / 0.01**2, lambda: z)
    assert moved.dtype == torch.float16 and bool((moved != x).any(dim=-1).all())


def test_a_user_written_with_numpy_keeps_float32():
    class Own(VE):
        def alpha(self, t):
            return np.exp(0.0 * t)

        def sigma(self, t):
            return np.float64(0.01) * np.exp(np.log(5000.0) * t)

    process = SubspaceSDE(Own(), NESTED, [0.4, 0.6], [0.4, 0.7], mean=np.ones((3, 4, 6)))
    like = np.zeros((), dtype=np.float32)
    scores = [lambda x, t: -x / (1 + float(Own().sigma(t)) ** 2)] * 3
    for solver in (Heun(), DPMSolver(3), EulerMaruyama(), PredictorCorrector()):
        assert sample(process, scores, 2, solver, 8, like=like).x.dtype == np.float32
    start = Start(np.ones((3, 4, 6), dtype=np.float32), t=0.3)
    assert sample(process, scores, 2, Heun(), 8, like=like, start=start).x.dtype == np.float32
