"""Without `like`, the samples are of the kind that the network behind the scores takes."""

import numpy as np
import pytest
import torch

from subspace_sde import sample
from subspace_sde.scores import from_noise, guided
from tests.sampling.standard_normal import PROCESS, SCORES, SDE


class Network(torch.nn.Module):
    """The score of standard normal data, in torch and in its own dtype alone."""

    def __init__(self, dtype=torch.float32, device="cpu"):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones((), dtype=dtype, device=device))

    def forward(self, x, t, *condition):
        return torch.mul(self.scale.expand(x.shape), -x.to(self.scale.dtype)).to(x.dtype) / (1 + SDE.sigma(t) ** 2)


def counted(dtype):
    """A network whose weights of another kind come first."""
    network = Network(dtype)
    network._parameters = {"steps": torch.nn.Parameter(torch.ones(1, dtype=torch.int64), False), **network._parameters}
    return network


@pytest.mark.parametrize(
    ("network", "dtype"),
    [
        (Network(), torch.float32),
        (Network(torch.float64), torch.float64),
        (Network(torch.float16), torch.float32),
        (Network(torch.bfloat16), torch.float32),
        (counted(torch.float64), torch.float64),
    ],
)
def test_a_network_gives_its_kind(network, dtype):
    network.eval()
    like = torch.zeros((), dtype=dtype)
    for wrap in (lambda n: n, lambda n: lambda x, t, *c: n(x, t), lambda n: guided(n, 1.0, 0)):
        run = {"steps": 6, "rng": 3, "condition": np.arange(2)}
        first = [lambda x, t, *c: -x / (1 + SDE.sigma(t) ** 2)]
        found = sample(PROCESS, [*first, wrap(network), wrap(network)], 2, **run).x
        torch.testing.assert_close(
            found, sample(PROCESS, [*first, wrap(network), wrap(network)], 2, like=like, **run).x, rtol=0, atol=0
        )
        assert found.dtype == dtype and found.device == like.device


def test_what_is_given_comes_first():
    network = Network().eval()
    assert (
        sample(PROCESS, [network] * 3, 1, steps=4, like=torch.zeros((), dtype=torch.float64)).x.dtype == torch.float64
    )
    noise = torch.zeros((1, 3, 4, 6), dtype=torch.float64)
    assert sample(PROCESS, [network] * 3, 1, steps=4, noise=noise).x.dtype == torch.float64


def test_without_a_network_it_is_numpy():
    assert sample(PROCESS, SCORES, 1, steps=4).x.dtype == np.float64
    weightless = torch.nn.Identity().eval()
    assert sample(PROCESS, [lambda x, t: weightless(SCORES[0](x, t))] * 3, 1, steps=4).x.dtype == np.float64


WEIGHTS = torch.eye(6)


@pytest.mark.parametrize(
    "score",
    [
        lambda x, t: torch.nn.functional.linear(x, WEIGHTS),  # a TypeError
        lambda x, t: x.unsqueeze(0)[0],  # an AttributeError
        lambda x, t: (torch.as_tensor(x).reshape(-1, 6) @ WEIGHTS).numpy(),  # a RuntimeError
        lambda x, t: torch.as_tensor(x),
        from_noise(lambda x, t: torch.relu(x), SDE),
    ],
    ids=["function", "method", "dtype", "library", "adapter"],
)
def test_a_score_that_takes_no_numpy_asks_for_like(score):
    with pytest.raises(Exception, match="given numpy arrays: for those of another library pass one as `like=`"):
        sample(PROCESS, [score] * 3, 1, steps=4)
    with pytest.raises((TypeError, AttributeError, RuntimeError)) as error:  # numpy was asked for
        sample(PROCESS, [score] * 3, 1, steps=4, like=np.zeros((), dtype=np.float16))
    assert not getattr(error.value, "__notes__", [])


def test_what_the_score_says_itself_is_left_alone():
    def refuses(x, t):
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        sample(PROCESS, [refuses] * 3, 1, steps=4)


def test_weights_that_lie_nowhere_are_no_place_for_samples():
    away = Network(device="meta").eval()
    with pytest.raises(Exception, match="pass one as `like=`"):
        sample(PROCESS, [away] * 3, 1, steps=4)
