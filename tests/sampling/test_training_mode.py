"""Networks in training mode are found where the code of a score leads, and nowhere else; solvers keep their times."""

import functools
import warnings

import numpy as np
import pytest
import torch

from subspace_sde import VE, Downsampling, NestedSubspaces, SubspaceSDE, log_likelihood, sample
from subspace_sde.likelihood import encode
from subspace_sde.scores import from_denoiser, from_noise
from subspace_sde.solvers import Heun

SDE = VE()
PROCESS = SubspaceSDE(SDE, NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.5], [1.0])


class Network(torch.nn.Module):
    def forward(self, x, t, flag=False):
        return -x / (1 + SDE.sigma(t) ** 2)


class Average:
    """An average that keeps the network it follows."""

    def __init__(self, network):
        self.network, self.average, self.both = network, Network().eval(), [network]

    def update(self):
        self.average.load_state_dict(self.network.state_dict())

    def __call__(self, x, t):
        return self.average(x, t)

    def raw(self, x, t):
        return self.network(x, t)

    @property
    def current(self):
        return self.network

    def through_a_property(self, x, t):
        return self.current(x, t)

    def through_a_method(self, x, t):
        return self.raw(x, t)


class Slotted:
    __slots__ = ("network",)

    def __init__(self, network):
        self.network = network

    def __call__(self, x, t):
        return self.network(x, t)


HERE = Network()


def of_the_module(x, t):
    return HERE(x, t)


def by_another_function(x, t):
    return of_the_module(x, t)


def warned(score):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sample(PROCESS, [score, Network().eval()], 2, steps=4, like=torch.zeros(()))
    return any("level 0 is a network in training mode" in str(w.message) for w in caught)


FOUND = {
    "in a list": lambda n: next(lambda x, t, k=k, all=[n, n]: all[k](x, t) for k in range(2)),
    "in a closed list": lambda n: (lambda nets: lambda x, t: nets[0](x, t))([n]),
    "in a dict": lambda n: (lambda nets: lambda x, t: nets["a"](x, t))({"a": n, "b": Network().eval()}),
    "in a dict, by a variable": lambda n: (lambda nets, k: lambda x, t: nets[k](x, t))({"a": n}, "a"),
    "a default argument": lambda n: lambda x, t, network=n: network(x, t),
    "a keyword's default": lambda n: lambda x, t, *, network=n: network(x, t),
    "the raw one beside an average": lambda n: Average(n).raw,
    "by an attribute": lambda n: (lambda ema: lambda x, t: ema.network(x, t))(Average(n)),
    "by a property": lambda n: Average(n).through_a_property,
    "by a method": lambda n: Average(n).through_a_method,
    "of slots": Slotted,
    "of a partial in a list": lambda n: (lambda nets: lambda x, t: nets[0](x, t))([functools.partial(n, flag=True)]),
    "under no_grad": lambda n: torch.no_grad()(lambda x, t: n(x, t)),
    "two adapters": lambda n: from_denoiser(lambda x, t: from_noise(n, SDE)(x, t), SDE),
}


@pytest.mark.parametrize("way", FOUND)
def test_a_training_network_is_found(way):
    network = Network()
    assert warned(FOUND[way](network))
    network.eval()
    assert not warned(FOUND[way](network))


@pytest.mark.parametrize("score", [of_the_module, by_another_function])
def test_a_training_network_of_the_module_is_found(score):
    HERE.train()
    assert warned(score)
    HERE.eval()
    assert not warned(score)


@pytest.mark.parametrize(
    "way",
    [
        lambda n: Average(n),
        lambda n: (lambda ema: lambda x, t: ema(x, t))(Average(n)),
        lambda n: (lambda ema: lambda x, t: ema.average(x, t))(Average(n)),
        lambda n: (lambda nets: lambda x, t: nets["average"](x, t))({"average": Network().eval(), "raw": n}),
        lambda n: (lambda ema: from_noise(ema, SDE))(Average(n)),
    ],
)
def test_an_average_beside_a_training_network_is_none(way):
    assert not warned(way(Network()))


def test_a_function_that_is_not_whole_yet_ends_no_search():
    def score(x, t):
        return later(x, t) if x is None else -x / (1 + SDE.sigma(t) ** 2)

    assert not warned(score)
    later = None


# -- solvers


class Foreign:
    """Yields a time that is none of the stage's."""

    def stage(self, x, times, score, sde, noise):
        yield 0.123, x


class Short:
    """Ends a step too early."""

    def stage(self, x, times, score, sde, noise):
        yield from list(Heun().stage(x, times, score, sde, noise))[:-1]


class Silent:
    """Yields nothing."""

    def stage(self, x, times, score, sde, noise):
        return iter(())


@pytest.mark.parametrize(
    ("solver", "sentence"),
    [
        (Foreign(), r"Foreign yields x at t = 0.123, which is no time of its stage"),
        (Short(), r"Short ends at t = .*, before the end of its stage, t = "),
        (Silent(), r"Silent ends at t = .*, before the end of its stage, t = "),
    ],
)
def test_a_solver_keeps_to_its_times(solver, sentence):
    normal = lambda x, t: -x / (1 + SDE.sigma(t) ** 2)  # noqa: E731
    x = np.ones((1, 4))
    for call in (
        lambda: sample(PROCESS, [normal, normal], 2, solver, steps=8),
        lambda: log_likelihood(PROCESS, [normal, normal], x, solver=solver, steps=8),
        lambda: encode(PROCESS, [normal, normal], x, solver, steps=8),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
