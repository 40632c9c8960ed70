"""How objects show themselves, and which of them are equal."""

import ast
from dataclasses import replace

import numpy as np
import pytest

import subspace_sde
from subspace_sde import EDM, VE, VP, LowPass, NestedSubspaces, Plan, SubspaceSDE, gaussian_divergence, plan, sample
from subspace_sde.analysis import analyse
from subspace_sde.images import Images
from subspace_sde.likelihood import Bins, Exact, FullScore, Hutchinson, Staged, gaussian, log_likelihood
from subspace_sde.losses import edm
from subspace_sde.oracles import DCTGaussian, Empirical, Gaussian, LowRankGaussian, Mixture
from subspace_sde.sampling import AlongTimes, Rho, Start, UniformLogSNR, UniformTime
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    Langevin,
    PredictorCorrector,
    ReverseDiffusion,
)
from subspace_sde.specification import build, specify
from subspace_sde.statistics import Covariance, PatchCovariance, PowerSpectrum
from subspace_sde.subspaces import Basis, Downsampling, Identity, PatchBasis, Separable, Wavelet

TYPED = {
    "Heun()": Heun(),
    "Heun(churn=0.1, churn_range=(0, 80))": Heun(0.1, (0, 80)),
    "DDIM(eta=0.5)": DDIM(0.5),
    "DPMSolver(order=3)": DPMSolver(3),
    "Ancestral()": Ancestral(),
    "EulerMaruyama()": EulerMaruyama(),
    "ReverseDiffusion()": ReverseDiffusion(),
    "DormandPrince(rtol=0.001)": DormandPrince(1e-3),
    "Langevin(steps=2, complement_only=False)": Langevin(2, complement_only=False),
    "PredictorCorrector(predictor=Ancestral(), corrector=Langevin(steps=2))": PredictorCorrector(
        Ancestral(), Langevin(2)
    ),
    "UniformTime()": UniformTime(),
    "UniformLogSNR()": UniformLogSNR(),
    "Rho(rho=3)": Rho(3),
    "AlongTimes(times=(1, 0.5, 0))": AlongTimes([1, 0.5, 0], VE()),
    "edm(sigma_data=0.5)": edm(0.5),
    "Staged()": Staged(),
    "FullScore(analytic=False)": FullScore(analytic=False),
    "Exact()": Exact(),
    "Hutchinson(probes=3, distribution=gaussian)": Hutchinson(3, gaussian),
    "Bins(low=-1, repeats=2)": Bins(low=-1.0, repeats=2),
    "VE(t_min=0, T=1, sigma_min=0.01, sigma_max=50)": VE(),
}


@pytest.mark.parametrize(("line", "thing"), TYPED.items(), ids=TYPED)
def test_what_has_options_shows_the_call_that_makes_it(line, thing):
    assert repr(thing) == line
    assert isinstance(ast.parse(line, mode="eval").body, ast.Call)


def results():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.standard_normal((2000, 3, 8, 8)), axis=-1)
    pixels = np.clip(smooth * 20 + 128, 0, 255).astype(np.uint8)
    images = Images("cumulated", pixels[:-10], pixels[-10:])
    whole = analyse(images)
    normal = Gaussian(np.zeros((4, 4)), np.eye(16))
    process = SubspaceSDE(VE(), NestedSubspaces([Downsampling((4, 4), 2)]), [0.5], [1.0])
    scores = [normal.restrict(u).score(VE()) for u in process.subspaces]
    samples = sample(process, scores, 3, steps=4, trajectory=True)
    return {
        "Images": images,
        "Analysis": whole,
        "Row": whole.rows[0],
        "DivergenceCurve": whole.rows[0].curve,
        "Plan": whole.plan,
        "Samples": samples,
        "Likelihood": log_likelihood(process, scores, samples.x, steps=4, trace=Exact()),
        "Covariance": Covariance((3, 8, 8)).update(smooth),
        "PatchCovariance": PatchCovariance((3, 8, 8), 2),
        "PowerSpectrum": PowerSpectrum((8,)),
        "Gaussian": normal,
        "KnownScore": scores[0],
        "Mixture": Mixture([0.5, 0.5], [normal, normal]),
        "Empirical": Empirical(smooth),
        "DCTGaussian": DCTGaussian(np.zeros(64), np.ones(64)),
        "LowRankGaussian": LowRankGaussian(np.zeros(64), np.ones((64, 1)), 0.1),
        "Start": Start(smooth[0]),
        "SubspaceSDE": process,
    }


RESULTS = results()


@pytest.mark.parametrize("name", RESULTS)
def test_what_holds_arrays_is_one_short_line(name):
    line = repr(RESULTS[name])
    assert line.startswith(name) and "\n" not in line and len(line) <= 220
    assert " object at 0x" not in line and "[[" not in line


@pytest.mark.parametrize("name", RESULTS)
def test_what_holds_arrays_is_equal_to_itself_and_can_be_a_key(name):
    one = RESULTS[name]
    assert one == one and one in {one} and one != 3
    if name in ("Samples", "Likelihood", "Start", "Analysis"):
        assert replace(one) != one  # of arrays == is an array: these are themselves alone


def test_many_levels_are_one_short_line():
    levels = NestedSubspaces([LowPass((n,), n - 1, axes=-1) for n in range(64, 24, -1)])
    assert repr(levels) == "NestedSubspaces((64,) ⊃ … ⊃ (24,))"
    assert repr(SubspaceSDE(VE(), levels, list(np.linspace(0.1, 0.9, 40)), [1.0] * 40)).endswith(
        "t_1 = 0.100, …, t_40 = 0.900)"
    )


class Table(VE):
    """A user's own, with an array among its attributes."""

    def __init__(self):
        super().__init__()
        self.values = np.linspace(0, 1, 1000)


def test_an_array_among_the_attributes_of_an_sde_is_not_printed():
    assert repr(Table()).endswith("values=array of shape (1000,))")


MATRIX = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 3)))[0]
MAKERS = [
    lambda: VE(),
    lambda: VE(0.01, 40.0),
    lambda: VP(),
    lambda: EDM(),
    lambda: Identity((8,)),
    lambda: Identity((2, 4)),
    lambda: LowPass((8,), 4, axes=-1),
    lambda: LowPass((8,), 5, axes=-1),
    lambda: Downsampling((8,), 2, axes=-1),
    lambda: Wavelet((8,), "db1", axes=-1),
    lambda: Basis(MATRIX),
    lambda: Basis(MATRIX[:, :2]),
    lambda: Basis(MATRIX[:, ::-1]),
    lambda: PatchBasis((2, 4), 2, np.linalg.qr(MATRIX[:4])[0]),
    lambda: Separable((8, 2), {0: MATRIX}),
    lambda: LowPass((8,), 4, axes=-1) @ Downsampling((4,), 2, axes=-1),
    lambda: Downsampling((8,), 2, axes=-1) @ LowPass((4,), 2, axes=-1),
    lambda: NestedSubspaces([LowPass((8,), 4, axes=-1)]),
    lambda: NestedSubspaces([LowPass((8,), 4, axes=-1), LowPass((4,), 2, axes=-1)]),
]


def test_equal_is_what_was_made_alike():
    for i, one in enumerate(MAKERS):
        for j, other in enumerate(MAKERS):
            assert (one() == other()) is (i == j)
        assert hash(one()) == hash(one())
        assert build(specify(one())) == one()
        assert one() != 3


class Mine(VE):
    """A user's own: whether two are alike is not for us to say."""


def test_a_class_of_the_users_own_is_equal_to_itself_alone():
    mine = Mine()
    assert mine == mine and mine != Mine() and mine != VE() and VE() != mine
    assert len({mine, mine, Mine()}) == 2
    assert LowPass((8,), 4, axes=-1) in {LowPass((8,), 4, axes=-1)}


def test_a_plan_read_back_is_equal(tmp_path):
    data = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    candidates = [LowPass((16,), n, axes=(-1,)) for n in range(1, 16)]
    found = plan(candidates, gaussian_divergence(data, VE(), candidates), 3e-3, max_levels=2)
    found.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again == found and hash(again) == hash(found)
    other = plan(candidates, gaussian_divergence(data, VE(), candidates), 1e-3, max_levels=2)
    assert other != found


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert subspace_sde.__version__ == version("subspace-sde")
