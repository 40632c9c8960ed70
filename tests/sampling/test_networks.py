"""Networks left in training mode are warned of, however they are wrapped."""

import functools
import warnings

import pytest
import torch

from subspace_sde import sample
from subspace_sde.scores import denoiser, from_denoiser, from_noise, guided
from tests.sampling.standard_normal import PROCESS, SDE, normal


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
