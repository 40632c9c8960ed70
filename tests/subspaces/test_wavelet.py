"""Wavelets against PyWavelets itself, over its whole table; how they nest, and what is refused."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import pywt
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import Downsampling, Identity, LowPass, NestedSubspaces
from subspace_sde.subspaces import Relative, Separable, Wavelet

ORTHOGONAL = [name for name in pywt.wavelist(kind="discrete") if pywt.Wavelet(name).orthogonal and name != "dmey"]


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def approximation(x, wavelet, levels, axes):
    """PyWavelets' own; it warns of axes so short that every coefficient sees the boundary, some of which we allow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pywt.wavedecn(x, wavelet, mode="periodization", level=levels, axes=axes)[0]


def test_the_table_is_whole():
    counts = {"haar": 1, "db": 38, "sym": 19, "coif": 17}
    assert {
        family: sum(re.fullmatch(f"{family}\\d*", name) is not None for name in ORTHOGONAL) for family in counts
    } == counts
    assert len(ORTHOGONAL) == sum(counts.values())


@pytest.mark.parametrize("wavelet", ORTHOGONAL)
def test_every_orthogonal_wavelet_is_that_of_pywavelets(wavelet):
    """The tables are rounded, by 1e-11 at worst (sym20); the matrix is orthonormal to rounding."""
    length = pywt.Wavelet(wavelet).dec_len
    for n in (length, 3 * length + 2):
        subspace = Wavelet((n,), wavelet, axes=(-1,))
        (u,) = subspace.axis_matrices()
        np.testing.assert_allclose(u.T @ u, np.eye(n // 2), atol=1e-14, rtol=0)
        x = normal(0, n)
        np.testing.assert_allclose(subspace.restrict(x), approximation(x, wavelet, 1, (-1,)), atol=1e-10, rtol=0)


@st.composite
def drawn(draw):
    """(wavelet, levels, axes, shape): as many levels as the filter allows, up to three."""
    wavelet = draw(st.sampled_from(["haar", "db2", "db3", "db4", "sym4", "coif1"]))
    levels, ndim = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    axes = tuple(draw(st.lists(st.integers(-ndim, -1), min_size=1, max_size=2, unique=True)))
    shape = [draw(st.integers(1, 3)) for _ in range(ndim)]
    for a in axes:
        shape[a] = 2**levels * draw(st.integers(pywt.Wavelet(wavelet).dec_len // 2, 7))
    return wavelet, levels, axes, shape


@given(drawn(), st.integers(0, 2**32 - 1))
def test_the_coordinates_are_the_approximation_band(like, eps, array, host, drawn, seed):
    wavelet, levels, axes, shape = drawn
    x, subspace = normal(seed, 2, *shape), Wavelet(shape, wavelet, levels, axes)
    assert subspace.shape == tuple(n // 2**levels if a in axes else n for a, n in zip(range(-len(shape), 0), shape))
    expected = approximation(x, wavelet, levels, axes)
    # 2e-12: what the rounded coefficients of sym4 leave after three levels on two axes
    assert np.max(np.abs(host(subspace.restrict(array(x))) - expected)) <= (100 * eps + 2e-12) * np.max(np.abs(x))


def test_an_image_and_wavedec2():
    x = normal(0, 2, 3, 48, 40)
    expected = pywt.wavedec2(x, "sym4", mode="periodization", level=2)[0]
    np.testing.assert_allclose(Wavelet((3, 48, 40), "sym4", 2).restrict(x), expected, atol=1e-11, rtol=0)


def test_haar_is_the_mean_of_blocks():
    haar, blocks = Wavelet((3, 8, 12), "haar", (2, 1)), Downsampling((3, 8, 12), (4, 2))
    for one, other in zip(haar.axis_matrices(), blocks.axis_matrices()):
        np.testing.assert_allclose(one, other, atol=1e-15)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db7", "sym5", "coif2"])
def test_polynomials_up_to_the_vanishing_moments_are_kept(wavelet):
    """Away from the periodic seam a wavelet with p vanishing moments loses nothing of a polynomial of degree p − 1."""
    n, moments = 128, pywt.Wavelet(wavelet).vanishing_moments_psi
    t, length = np.linspace(-1, 1, n), pywt.Wavelet(wavelet).dec_len
    subspace, inside = Wavelet((n,), wavelet, axes=-1), slice(length, n - length)
    kept, lost = (np.max(np.abs(subspace.reject(t**p)[inside])) for p in (moments - 1, moments))
    assert kept < 2e-12  # 1.2e-12 for sym5, by its rounded coefficients
    assert lost > 100 * kept


# -- nesting -------------------------------------------------------------------------------------------------------


@given(drawn(), st.data())
def test_levels_nest(drawn, data):
    wavelet, levels, axes, shape = drawn
    inner = Wavelet(shape, wavelet, levels, axes)
    fewer = {a: data.draw(st.integers(0, levels)) for a in axes}
    fewer = {a: l for a, l in fewer.items() if l} or {axes[0]: 1}
    outer = Wavelet(shape, wavelet, tuple(fewer.values()), tuple(fewer))
    step = inner.within(outer)
    assert type(step) is (Wavelet if inner.dim < outer.dim else Identity)
    np.testing.assert_allclose(step.matrix(), Relative(outer, inner).matrix(), atol=1e-13)
    for a, l in zip(getattr(step, "axes", ()), getattr(step, "levels", ())):
        assert l == levels - fewer.get(a, 0)


def test_a_flag_of_wavelets():
    nested = NestedSubspaces.from_subspaces([Wavelet((3, 32, 64), "sym4", l) for l in (1, 2)])
    assert [(step.wavelet, step.levels, step.ambient_shape) for step in nested.steps] == [
        ("sym4", (1, 1), (3, 32, 64)),
        ("sym4", (1, 1), (3, 16, 32)),
    ]
    np.testing.assert_allclose(nested[2].matrix()[:50], Wavelet((3, 32, 64), "sym4", 2).matrix()[:50], atol=1e-13)


def test_haar_lies_in_the_means_of_blocks_and_db1_in_haar():
    inner = Wavelet((8, 8), "haar", 2)
    for outer in (Downsampling((8, 8), 2), Wavelet((8, 8), "db1")):
        step = inner.within(outer)
        assert isinstance(step, Separable)
        np.testing.assert_allclose(step.matrix(), outer.matrix().T @ inner.matrix(), atol=1e-14)


@pytest.mark.parametrize("outer", [Wavelet((16,), "sym4", axes=-1), LowPass((16,), 8, axes=-1)])
def test_different_families_do_not_nest(outer):
    with pytest.raises(ValueError, match="the subspaces are not nested"):
        Wavelet((16,), "db4", 2, axes=-1).within(outer)


# -- refusals ------------------------------------------------------------------------------------------------------

REFUSALS = {
    "unknown": (
        lambda: Wavelet((8, 8), "db39"),
        "PyWavelets knows no discrete wavelet 'db39': the orthogonal ones are haar, db1 to db38, sym2 to sym20",
    ),
    "continuous": (lambda: Wavelet((8, 8), "morl"), "PyWavelets knows no discrete wavelet 'morl'"),
    "biorthogonal": (
        lambda: Wavelet((8, 8), "bior2.2"),
        "bior2.2 is biorthogonal, so its band is no isometry: take an orthogonal one, db4 or sym4 say",
    ),
    "reverse biorthogonal": (lambda: Wavelet((8, 8), "rbio1.3"), "rbio1.3 is biorthogonal"),
    "not orthonormal": (
        lambda: Wavelet((64, 64), "dmey"),
        "the filter of dmey is not orthonormal: it is off by 2.2e-03; take db, sym or coif",
    ),
    "not divisible": (
        lambda: Wavelet((3, 32, 20), "haar", 3),
        "2^3, or 2^levels, does not divide axis -1 of length 20: LowPass takes any size, or crop the arrays",
    ),
    "too short": (
        lambda: Wavelet((3, 16, 8), "db4", 2),
        "the filter of db4 has 8 coefficients, but axis -1 of length 8 has no more than 4 numbers left at level 2: "
        "take fewer levels or a shorter wavelet",
    ),
    "no levels": (lambda: Wavelet((8, 8), "haar", 0), "levels must hold positive integers, got (0, 0)"),
    "levels for other axes": (
        lambda: Wavelet((8, 8), "haar", (1, 1, 1)),
        "levels must be one number or one for each of the axes (-2, -1), got (1, 1, 1)",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_wavelet_is_given_by_its_name():
    with pytest.raises(TypeError, match="`wavelet` takes a string, got Wavelet"):
        Wavelet((8, 8), pywt.Wavelet("db4"))


def test_without_pywavelets():
    """Everything else works, and a Wavelet says what to install."""
    code = """
import sys
sys.modules["pywt"] = None  # as if it were not installed
from subspace_sde.subspaces import LowPass, Wavelet
LowPass((8, 8), 4)
try:
    Wavelet((8, 8), "haar")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'a Wavelet needs PyWavelets: pip install "subspace-sde[wavelets]"'


def test_pywavelets_is_imported_by_a_wavelet_alone():
    code = "import sys, subspace_sde; assert 'pywt' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
