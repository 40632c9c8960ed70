"""Every feature on every library, eagerly, compiled and differentiated; and the table of docs/backends.md."""

import logging
import warnings
from pathlib import Path

import array_api_strict
import dask.array
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from subspace_sde import backend as module
from subspace_sde.generic import GenericBackend
from tests.backends.cases_of_data import GROUPS
from tests.backends.registry import CASES, Kind, compare, same_noise

LIKES = {
    "numpy": np.zeros(()),
    "torch": torch.zeros((), dtype=torch.float64),
    "jax": jnp.zeros((), dtype="float64"),
    "dask": dask.array.zeros(()),
    "array_api_strict": array_api_strict.zeros((), dtype=array_api_strict.float64),
    "any other": array_api_strict.zeros((), dtype=array_api_strict.float64),
}
SINGLE = {
    "torch": torch.zeros(()),
    "array_api_strict": array_api_strict.zeros((), dtype=array_api_strict.float32),
}
HALF = [
    np.zeros((), dtype=np.float16),
    torch.zeros((), dtype=torch.float16),
    torch.zeros((), dtype=torch.bfloat16),
]
NO_USE_OF_DASK = {"sampling", "encoding", "adaptive steps", "likelihood", "posteriors", "a Gaussian of low rank"}
"""Step by step its graphs grow with every step; and it has no eigenvalues, nor solves systems in batches."""

ALL = {group: [case for case in CASES if case.group == group] for group in GROUPS}
TRACED = [group for group in GROUPS if all(case.traced for case in ALL[group])]
READ = [group for group in GROUPS if not any(case.traced for case in ALL[group])]
WHOLE_GRAPHS = ["subspaces", "SDEs", "process", "full score", "losses", "scores", "a solver's step", "measurements"]
RAN: set[tuple[str, str, str]] = set()


@pytest.fixture
def kind(request, monkeypatch):
    """Arrays of the library, with numpy's noise."""
    like = LIKES[request.param]
    if request.param == "any other":
        monkeypatch.setitem(module._LOADED, "array_api_strict", GenericBackend("array_api_strict"))
    same_noise(monkeypatch, like)
    return Kind(like)


@pytest.fixture
def exact(monkeypatch):
    """The reference: numpy in float64."""
    same_noise(monkeypatch, LIKES["numpy"])
    return Kind(LIKES["numpy"])


def derivative(case, exact, weights, v):
    """⟨weights, J v⟩ of the case by differences of fourth order, in numpy's float64."""

    def difference(h):
        up, down = (exact.host(case.run(exact, case.x + s * v)) for s in (h, -h))
        return np.sum(weights * (up - down)) / (2 * h)

    h = 1e-3 * max(1e-2, 0.1 * np.max(np.abs(case.x)))
    return (4 * difference(h / 2) - difference(h)) / 3


EAGER = [(library, group) for library in LIKES for group in GROUPS if library != "dask" or group not in NO_USE_OF_DASK]


@pytest.mark.parametrize(("kind", "group"), EAGER, indirect=["kind"])
def test_eager(kind, group, exact, request):
    for case in ALL[group]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Casting complex values to real", module="dask")
            compare(case, kind, case.run(kind, kind(case.x)), exact.host(case.run(exact, case.x)))
    RAN.add((request.node.callspec.params["kind"], group, "eager"))


@pytest.mark.parametrize("library", list(SINGLE))
@pytest.mark.parametrize("group", GROUPS)
def test_eager_in_float32(library, group, exact, monkeypatch):
    same_noise(monkeypatch, SINGLE[library])
    kind = Kind(SINGLE[library])
    for case in ALL[group]:
        compare(case, kind, case.run(kind, kind(case.x)), exact.host(case.run(exact, case.x)))


NARROW = [(half, group) for half in HALF for group in GROUPS]
# every operation on a new dtype is compiled anew by JAX, so some of the groups
NARROW += [(jnp.zeros((), dtype="bfloat16"), group) for group in ("process", "full score", "losses")]


@pytest.mark.parametrize(("half", "group"), NARROW, ids=lambda x: x if isinstance(x, str) else str(x.dtype))
def test_eager_in_half_precision(half, group, exact, monkeypatch):
    """Sums over many steps leave more of the rounding than one."""
    same_noise(monkeypatch, half)
    kind = Kind(half)
    for case in ALL[group]:
        wider = case._replace(tolerance=5 * case.tolerance)
        compare(wider, kind, case.run(kind, kind(case.x)), exact.host(case.run(exact, case.x)))


@pytest.mark.parametrize("kind", ["jax"], indirect=True)
@pytest.mark.parametrize("group", TRACED)
def test_jax_compiled_and_differentiated(kind, group, exact):
    """Value and gradient from one compilation."""
    for case in ALL[group]:
        expected = exact.host(case.run(exact, case.x))
        draw = np.random.default_rng(8).standard_normal
        weights, v = draw(expected.shape), draw(case.x.shape)

        def weighed(x, case=case, weights=weights):
            y = case.run(kind, x)
            return kind.inner(kind(weights), y), y

        if not case.smooth:
            compare(case, kind, jax.jit(weighed)(kind(case.x))[1], expected)
            continue
        gradient, y = jax.jit(jax.grad(weighed, has_aux=True))(kind(case.x))
        compare(case, kind, y, expected)
        along = np.sum(kind.host(gradient) * v)
        compare(case, kind, np.asarray(along), np.asarray(derivative(case, exact, weights, v)))
    RAN.update({("jax", group, "jit"), ("jax", group, "grad")})


@pytest.mark.parametrize("kind", ["torch"], indirect=True)
@pytest.mark.parametrize("group", TRACED)
def test_torch_differentiated(kind, group, exact):
    for case in ALL[group]:
        if not case.smooth:
            continue
        draw = np.random.default_rng(8).standard_normal
        weights, v = draw(exact.host(case.run(exact, case.x)).shape), draw(case.x.shape)
        gradient = torch.func.grad(lambda x: kind.inner(kind(weights), case.run(kind, x)))(kind(case.x))  # noqa: B023
        along = np.sum(kind.host(gradient) * v)
        compare(case, kind, np.asarray(along), np.asarray(derivative(case, exact, weights, v)))
    RAN.add(("torch", group, "grad"))


class Compiled(Kind):
    """What torch.compile follows: its default generator, which draws the same numbers each time."""

    def __init__(self, monkeypatch):
        super().__init__(LIKES["torch"])
        backend = self.backend
        monkeypatch.setattr(backend, "is_generator", lambda rng: isinstance(rng, torch.Generator))
        monkeypatch.setattr(backend, "generator", lambda rng, like: rng)
        monkeypatch.setattr(backend, "normal", lambda g, shape, like: torch.ones(shape, dtype=like.dtype).cumsum(-1))

    def rng(self, seed):
        return torch.default_generator


@pytest.mark.parametrize("group", WHOLE_GRAPHS)
def test_torch_compiled_as_one_graph(group, monkeypatch):
    """Cold, and with the gradient; some of the cases, as each takes a second."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)  # it would write down all it sees
    kind, cases = Compiled(monkeypatch), ALL[group]
    for case in cases[:: max(1, len(cases) // 2)]:

        def run(x, case=case):
            return case.run(kind, x)

        expected = kind.host(run(kind(case.x)))
        monkeypatch.setattr(module, "_LOADED", {"torch": kind.backend})
        torch._dynamo.reset()
        x = kind(case.x).requires_grad_(case.smooth)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dynamo, that it looks through caches
            y = torch.compile(run, fullgraph=True, backend="aot_eager")(x)
        compare(case, kind, y, expected)
        if case.smooth and y.requires_grad:
            (found,) = torch.autograd.grad(y.sum(), x)
            eager = kind(case.x).requires_grad_()
            (exact,) = torch.autograd.grad(run(eager).sum(), eager)
            compare(case, kind, found, kind.host(exact))
    RAN.add(("torch", group, "jit"))


@pytest.mark.parametrize("kind", ["torch", "jax"], indirect=True)
@pytest.mark.parametrize("group", READ)
def test_what_is_read_is_refused_under_a_transformation(kind, group):
    """A gradient is never cut off in silence."""
    grad = jax.grad if kind.backend.name == "jax" else torch.func.grad
    for case in ALL[group]:
        if group == "drawing from oracles":
            continue  # a time on the host is no value of an array that is read
        with pytest.raises(ValueError, match="are not there"):
            grad(lambda x: np.sum(case.run(kind, x)))(kind(case.x))  # noqa: B023


def table():
    """Library × feature group: what ran."""
    shown = {"eager": "eager", "jit": "compiled", "grad": "gradients"}
    lines = ["| | " + " | ".join(LIKES) + " |", "|---" * (len(LIKES) + 1) + "|"]
    for group in GROUPS:
        cells = [", ".join(w for mode, w in shown.items() if (library, group, mode) in RAN) or "—" for library in LIKES]
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_table_in_the_docs_says_what_ran(request):
    parts = [item for item in request.session.items if item.path == request.node.path]
    if len({item.originalname for item in parts}) < 8 or len(RAN) < len(EAGER):
        pytest.skip("the tests of this file did not all run")
    found = table()
    assert found in Path("docs/backends.md").read_text(), f"docs/backends.md must hold\n\n{found}\n"
