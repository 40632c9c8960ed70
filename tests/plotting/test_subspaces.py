"""Pictures of basis vectors, projections and spectra, read back: pixels against the numbers given."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from subspace_sde import Basis, Downsampling, LowPass
from subspace_sde.plotting import basis_vectors, power_spectrum, projections
from tests.plotting.drawn import lines


def pixels_of(ax):
    (image,) = ax.images
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)
    return np.asarray(image.get_array())


@pytest.mark.parametrize(
    "subspace",
    [
        LowPass((3, 8, 6), (4, 3)),
        Downsampling((1, 8, 8), 4),
        Downsampling((6, 9), 3),
        Basis.spanning(np.random.default_rng(0).standard_normal((48, 20)), (3, 4, 4)),
    ],
)
def test_basis_vectors_are_the_columns_of_the_matrix_about_mid_grey(subspace):
    figure = basis_vectors(subspace, num=11, columns=4)
    n = min(11, subspace.dim)
    assert len(figure.axes) == n
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (-(-n // 4), min(n, 4))
    for ax, column in zip(figure.axes, subspace.matrix().T):
        v = column.reshape(subspace.ambient_shape)
        if v.ndim == 3:
            v = v[0] if v.shape[0] == 1 else np.moveaxis(v, 0, -1)
        shown = pixels_of(ax)
        # two roundings on a scale of 1
        np.testing.assert_allclose((2 * shown - 1) * np.abs(v).max(), v, rtol=0, atol=4 * np.finfo(float).eps)
        assert shown.min() >= 0 and shown.max() <= 1 and np.abs(shown - 0.5).max() == 0.5


def test_basis_vectors_of_signals_are_lines():
    subspace = LowPass((12,), 5, axes=(-1,))
    figure = basis_vectors(subspace, num=3)
    assert len(figure.axes) == 3
    for ax, v in zip(figure.axes, subspace.matrix().T):
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), v, rtol=1e-12)
        assert ax.get_ylim()[0] == -ax.get_ylim()[1] and ax.get_ylim()[1] > np.abs(v).max()


@pytest.mark.parametrize("shape", [(3, 8, 6), (1, 8, 6), (8, 6)])
def test_projections_are_the_projections(shape, array, host, eps):
    edges = np.arange(6) > np.arange(1, 4)[:, None]  # from black to white: the lowest frequencies leave [0, 1]
    x = array(np.broadcast_to(edges.reshape(3, *(1,) * (len(shape) - 1), 6), (3, *shape)))
    subspaces = {"means": Downsampling(shape, 2), "image": LowPass(shape, 4)}  # the name of the first column, too
    figure = projections(x, subspaces)
    shown = [pixels_of(ax) for ax in figure.axes]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["image", "means", "image"]
    for i in range(3):
        row = [host(x)[i], *(host(u.project(x))[i] for u in subspaces.values())]
        assert row[2].min() < -0.05 or row[2].max() > 1.05
        for column, image in enumerate(row):
            if image.ndim == 3:
                image = image[0] if shape[0] == 1 else np.moveaxis(image, 0, -1)
            np.testing.assert_allclose(shown[3 * i + column], np.clip(image, 0, 1), rtol=0, atol=eps)


@pytest.mark.parametrize("axes", [(-3, -2, -1), (0, 3)])
def test_sections_are_taken_through_the_middle(axes):
    """The last two of the axes, of all others the middle; the numbers of x reach from black to white."""
    x = 5 + 3 * np.random.default_rng(0).standard_normal((2, 5, 3, 6, 8))
    subspace = Downsampling((5, 3, 6, 8), 2)
    shown = [pixels_of(ax) for ax in projections(x, {"means": subspace}, axes).axes]
    for i in range(2):
        for image, array in zip(shown[2 * i : 2 * i + 2], (x[i], subspace.project(x)[i])):
            section = array[2, 1] if axes[0] == -3 else array[:, 1, 3]
            np.testing.assert_allclose(image, (section - x.min()) / np.ptp(x), atol=1e-12)
    figure = basis_vectors(subspace, num=2, axes=axes)
    column = subspace.matrix()[:, 1].reshape(5, 3, 6, 8)
    section = column[2, 1] if axes[0] == -3 else column[:, 1, 3]
    if section.any():
        np.testing.assert_allclose(2 * pixels_of(figure.axes[1]) - 1, section / np.abs(section).max(), atol=1e-12)


def test_lines_are_those_of_the_numbers():
    x = np.random.default_rng(0).standard_normal((2, 3, 12))
    subspace = LowPass((3, 12), 5, axes=-1)
    figure = projections(x, {"lowest": subspace}, axes=-1)
    for i in range(2):
        for ax, array in zip(figure.axes[2 * i : 2 * i + 2], (x, subspace.project(x))):
            np.testing.assert_allclose(ax.lines[0].get_ydata(), array[i, 1], atol=1e-12)
            assert ax.get_ylim() == figure.axes[0].get_ylim() and ax.get_ylim()[0] < x.min()


def test_projections_of_a_tensor_with_a_gradient():
    x = torch.full((1, 4, 4), 0.5, requires_grad=True)
    shown = [pixels_of(ax) for ax in projections(x, {"means": Downsampling((4, 4), 2)}).axes]
    np.testing.assert_allclose(shown, 0.5, rtol=1e-6)


def radial(power):
    """Bin by bin in fractions, so that no coefficient falls on the wrong side of an edge."""
    shape, found = power.shape, {}
    for index in np.ndindex(*shape):
        square = sum(Fraction(f, n) ** 2 for f, n in zip(index, shape)) / len(shape)
        if square:
            scaled = square * max(shape) ** 2
            b = math.isqrt(scaled.numerator // scaled.denominator)
            found.setdefault(b, []).append((math.sqrt(square), power[index]))
    return np.asarray([np.mean(found[b], axis=0) for b in sorted(found)])


@pytest.mark.parametrize("shape", [(49,), (2,), (8, 8), (32, 32), (7, 15), (1, 9), (100, 3)])
def test_the_spectrum_is_the_mean_over_each_ring(shape):
    power = np.random.default_rng(0).exponential(size=shape)
    (ax,) = power_spectrum({"a": power}).axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), radial(power), rtol=1e-12)


def test_the_spectrum_of_a_signal_is_its_power():
    power = 1 / np.arange(1, 50) ** 2
    (ax,) = power_spectrum({"a": power}).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.stack([np.arange(1, 49) / 49, power[1:]], -1), rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (3, 2, 3, 4, 5)])
def test_the_spectrum_of_volumes(shape):
    power = np.random.default_rng(0).exponential(size=shape)
    (ax,) = power_spectrum({"a": power}).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), radial(power.mean(0)), rtol=1e-12)


def test_the_spectrum_averages_channels_and_takes_arrays_of_any_library(array, host):
    power = array(np.random.default_rng(0).exponential(size=(3, 8, 6)))
    (ax,) = power_spectrum({"three": power, "white": array(np.full((16, 16), 2.0))}).axes
    np.testing.assert_allclose(lines(ax, "three").get_xydata(), radial(host(power).mean(0)), rtol=1e-12)
    np.testing.assert_allclose(lines(ax, "white").get_ydata(), 2.0, rtol=1e-12)
