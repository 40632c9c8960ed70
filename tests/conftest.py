"""Every array the tests use: all libraries, devices and dtypes, named once.

The libraries that LIBRARIES names, all of them without it, are imported here on purpose: where one is missing the run
fails, it does not shrink. `like` is numpy and torch; a test marked ``also_on(...)`` runs on what stands in `ALSO` too.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: small arrays, and several processes at a time
os.environ.setdefault("JAX_ENABLE_X64", "1")  # float64 is what most is compared in
# small arrays are compiled a thousand times, and seldom computed with
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub, and none waits for one that does not answer

from importlib import import_module

import array_api_compat
import numpy as np
import pytest
from hypothesis import settings

from subspace_sde.backend import backend_of

settings.register_profile("tests", derandomize=True, deadline=None, max_examples=20, database=None)
settings.load_profile("tests")

DTYPES = ("float32", "float64")
LIBRARIES = os.environ.get("LIBRARIES", "numpy torch jax array_api_strict dask").split()
READ_ONLY = np.zeros(())
READ_ONLY.setflags(write=False)
LIKES = {f"numpy-{d}": np.zeros((), dtype=d) for d in DTYPES}
ALSO = {"read-only": READ_ONLY}
for name in LIBRARIES:
    library = import_module(name)
    if name == "torch":
        for device in ["cpu", *(["cuda"] if library.cuda.is_available() else [])]:
            for d in DTYPES:
                LIKES[f"torch-{device}-{d}"] = library.zeros((), dtype=getattr(library, d), device=device)
    if name == "jax":
        ALSO |= {"jax": library.numpy.zeros((), dtype="float64"), "jax-float32": library.numpy.zeros((), "float32")}
    if name == "array_api_strict":
        ALSO["strict"] = library.zeros((), dtype=library.float64)


def pytest_generate_tests(metafunc):
    own = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "like" in metafunc.fixturenames and not any("like" in names for names in own):
        also = metafunc.definition.get_closest_marker("also_on")
        # of the session, because a test that hypothesis repeats may not ask for a new one each time
        more = [name for name in also.args if name in ALSO] if also else []
        metafunc.parametrize("like", [*LIKES, *more], indirect=True, scope="session")


def pytest_make_parametrize_id(val, argname):
    """The name of a test says what it is given, and is the same in every process: no addresses."""
    if name := getattr(val, "__name__", None):
        return argname if name == "<lambda>" else name
    if type(val).__module__ in ("builtins", "numpy"):
        return None  # as pytest does it
    shown = repr(val)
    return shown if len(shown) <= 40 and " at 0x" not in shown else type(val).__name__


@pytest.fixture(scope="session")
def like(request):
    """An array of no axes, whose library, device and dtype the test uses."""
    return {**LIKES, **ALSO}[request.param]


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
    """``array(values)``: numbers as an array of the kind of `like`, read-only where that is."""

    def array(values):
        found = backend_of(like).from_numpy(np.asarray(values, dtype=np.float64), like)
        if like is READ_ONLY:
            found.setflags(write=False)
        return found

    return array


@pytest.fixture(scope="session")
def host():
    """``host(x)``: an array of any library in numpy's float64."""
    return lambda x: backend_of(x).to_numpy(x).astype(np.float64)
