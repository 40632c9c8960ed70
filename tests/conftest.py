"""Every array the tests use: all libraries, devices and dtypes, named once.

torch is imported here on purpose: where it is missing the run fails, it does not shrink.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: small arrays, and several processes at a time
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub, and none waits for one that does not answer

import array_api_compat
import numpy as np
import pytest
import torch
from hypothesis import settings

from subspace_sde.backend import backend_of

settings.register_profile("tests", derandomize=True, deadline=None, max_examples=20, database=None)
settings.load_profile("tests")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
LIKES = {
    **{f"numpy-{d}": np.zeros((), dtype=d) for d in ("float32", "float64")},
    **{
        f"torch-{device}-{d}": torch.zeros((), dtype=getattr(torch, d), device=device)
        for device in DEVICES
        for d in ("float32", "float64")
    },
}


def pytest_make_parametrize_id(val, argname):
    """The name of a test says what it is given, and is the same in every process: no addresses."""
    if name := getattr(val, "__name__", None):
        return argname if name == "<lambda>" else name
    if type(val).__module__ in ("builtins", "numpy"):
        return None  # as pytest does it
    shown = repr(val)
    return shown if len(shown) <= 40 and " at 0x" not in shown else type(val).__name__


# of the session, because a test that hypothesis repeats may not ask for a new one each time
@pytest.fixture(scope="session", params=list(LIKES))
def like(request):
    """An array of no axes, whose library, device and dtype the test uses."""
    return LIKES[request.param]


@pytest.fixture(scope="session", params=[name for name in LIKES if name.startswith("torch")])
def torch_like(request):
    """The same, for what only torch can do."""
    return LIKES[request.param]


@pytest.fixture(scope="session")
def xp(like):
    """The array API namespace of `like`."""
    return array_api_compat.array_namespace(like)


@pytest.fixture(scope="session")
def eps(like, xp):
    """The machine epsilon of `like`."""
    return float(xp.finfo(like.dtype).eps)


@pytest.fixture(scope="session")
def array(like):
    """``array(values)``: numbers as an array of the kind of `like`."""
    return lambda values: backend_of(like).from_numpy(np.asarray(values, dtype=np.float64), like)


@pytest.fixture(scope="session")
def host():
    """``host(x)``: an array of any library in numpy's float64."""
    return lambda x: backend_of(x).to_numpy(x).astype(np.float64)
