"""A derivative that autograd cannot see is refused, on every way to a score, and nothing else is."""

import math

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from subspace_sde import VE, VP, Downsampling, NestedSubspaces, SubspaceSDE, log_likelihood
from subspace_sde.derivatives import check_derivative, linearised
from subspace_sde.likelihood import Exact, FullScore, Hutchinson
from subspace_sde.measurements import Mask
from subspace_sde.oracles.base import KnownScore
from subspace_sde.posterior import DPS, Observation, PiGDM, sample_posterior
from subspace_sde.scores import (
    change_process,
    denoiser,
    from_denoiser,
    from_noise,
    from_v_prediction,
    from_velocity,
    guided,
    precondition,
    probability_flow,
)
from subspace_sde.solvers import DormandPrince, EulerMaruyama, Heun

SDE, OTHER, V = VP(), VE(0.005, 200.0), 0.5
NESTED = NestedSubspaces([Downsampling((4,), 2, axes=(-1,))])
PROCESS = SubspaceSDE(SDE, NESTED, [0.4], [V])
X = torch.tensor([[1.0, -1.0, 0.5, 0.2]], dtype=torch.float64)
LOG_P = -0.5 * float((X**2).sum()) / V - 2 * math.log(2 * math.pi * V)  # at t = 0, near enough to t_min


def total(t, sde=SDE):
    return V * sde.alpha(t) ** 2 + sde.sigma(t) ** 2


def normal(x, t):
    """The score of N(0, V I)."""
    return -x / total(t)


def noise(x, t):
    return SDE.sigma(t) * x / total(t)


def mean(x, t):
    return SDE.alpha(t) * V * x / total(t)


def velocity(x, t):
    return SDE.f(t) * x + 0.5 * SDE.g(t) ** 2 * x / total(t)


def v_prediction(x, t):
    return SDE.alpha(t) * noise(x, t) - SDE.sigma(t) * mean(x, t)


def bent(z, c):
    return 0.3 * torch.sin(3 * z)


def labelled(x, t, c):
    return normal(x, t) + 0 * c[:, None]


WAYS = {
    "the score": (normal, lambda n: n),
    "from_noise": (noise, lambda n: from_noise(n, SDE)),
    "from_denoiser": (mean, lambda n: from_denoiser(n, SDE)),
    "from_velocity": (velocity, lambda n: from_velocity(n, SDE)),
    "from_v_prediction": (v_prediction, lambda n: from_v_prediction(n, SDE)),
    "precondition": (bent, lambda n: from_denoiser(precondition(n, SDE, V**0.5), SDE)),
    "denoiser": (normal, lambda n: from_denoiser(denoiser(n, SDE), SDE)),
    "probability_flow": (normal, lambda n: from_velocity(probability_flow(n, SDE), SDE)),
    "change_process": (lambda x, t: -x / total(t, OTHER), lambda n: change_process(n, OTHER, SDE)),
    "guided": (labelled, lambda n: guided(n, 1.5, 0.0)),
}
each_way = pytest.mark.parametrize("way", WAYS)


def likelihood(score, way="", **more):
    more = {"solver": DormandPrince(1e-7, 1e-7), "trace": Exact()} | more
    if way == "guided":
        score_0, more["condition"] = score, torch.ones(1, dtype=torch.float64)
        good = lambda x, t, c: normal(x, t)  # noqa: E731
        return log_likelihood(PROCESS, [score_0, good], X, **more).nats[0]
    return log_likelihood(PROCESS, [score, normal], X, **more).nats[0]


def posterior(scores, method, way="", solver=None, steps=4, num=3):
    seen = Observation(Mask([1, 0, 1, 0], (4,)), torch.tensor([0.5, -0.6], dtype=torch.float64), noise=0.5)
    condition = torch.ones(num, dtype=torch.float64) if way == "guided" else None
    return sample_posterior(PROCESS, scores, seen, num, method, solver or Heun(), steps=steps, condition=condition).x


def detached(network):
    return lambda *given: network(*given).detach()


def partly_detached(network):
    return lambda *given: 0.5 * network(*given) + 0.5 * network(*given).detach()


def of_a_detached_x(network):
    return lambda x, *rest: network(x.detach(), *rest) * torch.nn.Parameter(torch.ones((), dtype=x.dtype))


CUTS = {
    "no_grad": torch.no_grad(),
    "inference_mode": torch.inference_mode(),
    "detach": detached,
    "of a detached x": of_a_detached_x,
}


@each_way
def test_every_way_to_a_score_has_its_likelihood(way):
    network, adapter = WAYS[way]
    expected = LOG_P if way != "precondition" else likelihood(lambda x, t: adapter(network)(x, t))
    assert likelihood(adapter(network), way) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("cut", CUTS)
@each_way
def test_what_is_cut_off_is_refused_and_named(way, cut):
    network, adapter = WAYS[way]
    score = adapter(CUTS[cut](network))
    where = "" if way == "the score" else f", in the network given to `{way}`,"
    with pytest.raises(ValueError, match=f"the score of level 0{where} changes with x, but its derivative is cut off"):
        likelihood(score, way)
    for method in (PiGDM(V), DPS()):
        with pytest.raises(ValueError, match=f"the score of level 1{where} changes with x, but its derivative"):
            posterior([score, score], method, way)


@each_way
def test_what_is_partly_cut_off_is_refused_and_named(way):
    network, adapter = WAYS[way]
    score = adapter(partly_detached(network))
    for kind in (X, X.float()):
        with pytest.raises(ValueError, match="the derivative of the score of level 0 is not that of its values"):
            more = {"condition": torch.ones(1, dtype=kind.dtype)} if way == "guided" else {}
            second = (lambda x, t, c: normal(x, t)) if way == "guided" else normal
            log_likelihood(PROCESS, [score, second], kind, steps=4, **more)
    for method in (PiGDM(V), DPS()):
        with pytest.raises(ValueError, match="the derivative of the score of level 1 is not that of its values"):
            posterior([score, score], method, way)


@pytest.mark.parametrize("form", [None, FullScore(), FullScore(analytic=False)])
def test_every_form_and_level_is_looked_at(form):
    for scores, k in (([detached(normal), normal], 0), ([normal, detached(normal)], 1)):
        for trace in (Exact(), Exact(at_once=1), Hutchinson(2)):
            with pytest.raises(ValueError, match=f"the score of level {k} changes with x"):
                log_likelihood(PROCESS, scores, X, form, steps=4, trace=trace)
    by_hand = [lambda x, t: -0.5 * x / total(t) + torch.no_grad()(lambda y: normal(y, t) / 2)(x), normal]
    with pytest.raises(ValueError, match="the derivative of the score of level 0 is not that of its values"):
        log_likelihood(PROCESS, by_hand, X, form, steps=4)


@each_way
def test_a_network_that_does_not_change_with_x_is_no_fault(way):
    adapter = WAYS[way][1]

    def constant(x, *rest):
        return torch.full_like(x, 0.1)

    def spelled_out(x, *rest):
        return 0 * x + 0.1

    options = {"solver": None, "steps": 6}
    found, expected = (likelihood(adapter(f), way, **options) for f in (torch.no_grad()(constant), spelled_out))
    assert found == pytest.approx(expected, rel=1e-12)
    for method in (PiGDM(V), DPS()):
        given = [[adapter(f)] * 2 for f in (torch.no_grad()(constant), spelled_out)]
        found, expected = (posterior(scores, method, way, EulerMaruyama(), 2) for scores in given)
        torch.testing.assert_close(found, expected)


class Doubled(torch.autograd.Function):
    """Of the old kind, with no setup_context: `torch.func` refuses it."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, v):
        return 2 * v


def old_function(x, t):
    return Doubled.apply(normal(x, t)) / 2


def checkpointed(x, t):
    return checkpoint(normal, x, t, use_reentrant=False)


@pytest.mark.parametrize("score", [old_function, checkpointed])
def test_what_autograd_differentiates_is_differentiated(score):
    assert likelihood(score) == pytest.approx(LOG_P, abs=5e-3)
    for method in (PiGDM(V), DPS()):
        torch.testing.assert_close(posterior([score] * 2, method), posterior([normal] * 2, method))


def test_a_call_within_inference_mode_finds_the_same():
    with torch.inference_mode():
        assert likelihood(normal) == pytest.approx(LOG_P, abs=5e-3)
        found = posterior([normal] * 2, PiGDM(V))
    torch.testing.assert_close(found.clone(), posterior([normal] * 2, PiGDM(V)))


def test_a_score_that_leaves_torch_says_so():
    def leaves(x, t):
        return torch.from_numpy(normal(x.numpy(), t))

    for call in (likelihood, lambda s: posterior([s, s], DPS())):
        with pytest.raises(ValueError, match=r"leaves torch or runs under torch\.inference_mode") as caught:
            call(leaves)
        assert "of level" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="its derivative is cut off"):
        likelihood(lambda x, t: torch.from_numpy(normal(x.detach().numpy(), t)))
    with torch.inference_mode():
        inside = torch.ones((), dtype=torch.float64)
    with pytest.raises(ValueError, match=r"runs under torch\.inference_mode"):
        likelihood(lambda x, t: normal(x, t) * inside)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_wrong_vjp_of_ones_own_is_refused(kind):
    x = X.numpy().astype(kind)

    def scores(factor):
        return [KnownScore(normal, lambda x, t, v: factor * normal(v, t), u.shape) for u in PROCESS.subspaces]

    found = log_likelihood(PROCESS, scores(1), x, solver=DormandPrince(), trace=Exact()).nats[0]
    assert found == pytest.approx(LOG_P, abs=0.05 if kind is np.float16 else 5e-3)
    with pytest.raises(ValueError, match=r"the derivative of the score of level 0 is not .* or its method vjp"):
        log_likelihood(PROCESS, scores(1.3), x, steps=4)
    seen = Observation(Mask([1, 0, 1, 0], (4,)), np.asarray([0.5, -0.6], dtype=kind), noise=0.5)
    with pytest.raises(ValueError, match=r"the derivative of the score of level 1 is not .* or its method vjp"):
        sample_posterior(PROCESS, scores(1.3), seen, 3, steps=4)


# -- what proves nothing


def network(*layers, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.nn.Sequential(*layers).to(dtype).eval()


def checked(function, x, scale=0.1):
    check_derivative(function, x, scale, *linearised(function, x, "the score"), "the score")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("activation", [torch.nn.ReLU, torch.nn.SiLU, torch.nn.Hardtanh, torch.nn.Identity])
@pytest.mark.parametrize("width", [1, 2, 64])
def test_rough_and_rounded_networks_pass(dtype, activation, width):
    for scale in (1e-3, 0.1, 1.0):
        net = network(torch.nn.Linear(width, 96), activation(), torch.nn.Linear(96, width), dtype=dtype)
        x = torch.randn((5, width), generator=torch.Generator().manual_seed(1)).to(dtype)
        checked(lambda y: net(y) - 0.5 * y, x, scale)  # noqa: B023


def test_dropout_autocast_and_constants_pass():
    x = torch.randn((5, 64), generator=torch.Generator().manual_seed(1))
    net = network(torch.nn.Linear(64, 96), torch.nn.SiLU(), torch.nn.Linear(96, 64))

    def autocast(y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net(y).float()

    for function in (
        autocast,
        lambda y: torch.nn.functional.dropout(net(y), 0.1),
        lambda y: torch.zeros_like(y),
        lambda y: y * math.nan,
    ):
        for scale in (1e-3, 0.1, 1.0):
            checked(function, x, scale)
            checked(lambda y: (function(y) - y) / scale**2, x, scale)  # noqa: B023


@pytest.mark.parametrize(("dtype", "share"), [(torch.float64, 1e-4), (torch.float32, 0.03)])
def test_a_small_hidden_part_is_found(dtype, share):
    x = torch.randn((2, 8), generator=torch.Generator().manual_seed(1), dtype=dtype)
    with pytest.raises(ValueError, match="the derivative of the score is not that of its values"):
        checked(lambda y: -y + share * torch.sin(3 * y).detach(), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_cut_off_is_refused_in_half_precision_too(dtype):
    score = from_denoiser(torch.no_grad()(mean), SDE)
    with pytest.raises(ValueError, match="of level 0, in the network given to `from_denoiser`, changes with x"):
        log_likelihood(PROCESS, [score, normal], X.to(dtype), steps=4)
