"""What adapters refuse: times of another process, and labels that are none."""

import math

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DOutput

from subspace_sde import VP, Downsampling, NestedSubspaces, RectifiedFlow, SubspaceSDE
from subspace_sde.likelihood import interpolate
from subspace_sde.sampling import Start, sample
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

SDE = RectifiedFlow()  # whose times end inside of [0, 1]
ADAPTERS = {
    "from_noise": from_noise,
    "from_denoiser": from_denoiser,
    "from_velocity": from_velocity,
    "from_v_prediction": from_v_prediction,
    "denoiser": denoiser,
    "probability_flow": probability_flow,
    "precondition": lambda n, sde: precondition(n, sde, 0.5),
    "change_process": lambda n, sde: change_process(n, sde, sde),
}
each_adapter = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)


def zero(x, t):
    return 0 * x


@each_adapter
@pytest.mark.parametrize("t", [0.0, 1.0, -0.1, 7.0, math.nan, math.inf])
def test_a_time_outside_of_the_process_is_refused(adapter, t, array):
    score, x = adapter(zero, SDE), array(np.ones((2, 3)))
    for given in (t, array([0.5, t])):
        with pytest.raises(ValueError, match=r"must lie in \["):
            score(x, given)


@pytest.mark.parametrize("name", sorted(ADAPTERS.keys() - {"change_process"}))  # which asks the SDE
def test_times_at_the_ends_are_taken(name, array):
    score, x = ADAPTERS[name](zero, SDE), array(np.ones((2, 3)))
    for t in (SDE.t_min, SDE.T, array([SDE.t_min, SDE.T]), float(np.float32(SDE.T)), array(SDE.t_min)):
        assert np.all(np.isfinite(np.asarray(score(x, t))))
    assert score(x[:0], array([])).shape == (0, 3)


@pytest.mark.parametrize(
    ("unconditional", "error", "sentence"),
    [
        ("none", TypeError, r"`unconditional` takes a number or an array \(numpy, torch, ...\) or .*, got 'none'"),
        (math.nan, ValueError, "unconditional is an entry of the condition's array, and finite, got nan"),
        (np.asarray([0.0, math.inf]), ValueError, "unconditional is an entry of the condition's array, and finite"),
    ],
)
def test_a_label_for_nothing_must_be_one(unconditional, error, sentence):
    with pytest.raises(error, match=sentence):
        guided(lambda x, t, c: x, 2.0, unconditional)


def test_a_label_for_nothing_is_of_the_labels_kind():
    x = np.ones((2, 3))
    for labels in (np.asarray([1, 2]), torch.tensor([1, 2])):
        given = x if isinstance(labels, np.ndarray) else torch.tensor(x)
        with pytest.raises(ValueError, match=r"an entry of the condition's array, of .*int64, got 1.5"):
            guided(lambda x, t, c: x, 2.0, 1.5)(given, 0.5, labels)
        double = guided(lambda x, t, c: x * c[:, None], 2.0, 7.0)(given, 0.5, labels)  # 7 + 2 (c - 7)
        assert np.asarray(double)[:, 0].tolist() == [-5, -3]
    with pytest.raises(ValueError, match="the weight of guidance must be finite, got nan"):
        guided(zero, math.nan, 0)


@pytest.mark.parametrize("sigma_data", [0, -1, math.nan, math.inf])
def test_a_standard_deviation_of_the_data_is_positive(sigma_data):
    with pytest.raises(ValueError, match=r"sigma_data (is a standard deviation and positive|must be finite), got"):
        precondition(zero, SDE, sigma_data)
    with pytest.raises(ValueError, match="mean must be finite, got nan"):
        precondition(zero, SDE, 0.5, math.nan)


def test_an_offset_is_finite():
    for offset in (math.nan, math.inf):
        with pytest.raises(ValueError, match="offset must be finite, got"):
            change_process(zero, SDE, SDE, offset=offset)
    with pytest.raises(ValueError, match="scale and coordinate_scale must be positive, got inf"):
        change_process(zero, SDE, SDE, scale=math.inf)


def test_weights_of_an_interpolation_are_finite():
    a, b = np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0])
    for w in (math.nan, math.inf):
        with pytest.raises(ValueError, match="the weights of an interpolation are finite, 0 for a and 1 for b, got"):
            interpolate(a, b, [0.5, w])


def test_a_level_is_none_of_the_process():
    process = made()
    for k in (-1, 2):
        with pytest.raises(ValueError, match=f"a level is one of 0 to 1, got {k}"):
            process.ends(k)


def made():
    return SubspaceSDE(VP(), NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.5], [1.0])


def test_a_start_lies_on_a_level():
    for level in (-1, 2):
        with pytest.raises(ValueError, match="a start lies on one of the levels 0 to 1, got"):
            sample(made(), [zero, zero], 1, steps=4, start=Start(np.ones(2), level))


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_a_network_returns_is_an_array(name, array):
    x = array(np.ones((2, 3)))
    unet = lambda x, t: UNet2DOutput(x)  # noqa: E731
    with pytest.raises(TypeError, match=rf"given to `{name}` returned a UNet2DOutput .*: did you forget `\.sample`\?"):
        ADAPTERS[name](unet, SDE)(x, 0.5)
    with pytest.raises(TypeError, match=r"returned a tuple where an array is due: did you forget `\[0\]`\?"):
        ADAPTERS[name](lambda x, t: (x,), SDE)(x, 0.5)
    with pytest.raises(TypeError, match=r"returned a float where an array is due$"):
        ADAPTERS[name](lambda x, t: 0.0, SDE)(x, 0.5)
    unguided = guided(lambda x, t, c: unet(x, t), 2.0, 0)
    with pytest.raises(TypeError, match=r"given to `guided` returned a UNet2DOutput .*: did you forget `\.sample`"):
        unguided(x, 0.5, array([0.0, 1.0]))


@pytest.mark.parametrize("name", sorted(ADAPTERS.keys() - {"change_process"}))  # whose SDE looks the time up
def test_a_time_under_a_transformation_is_not_read(name):
    score = ADAPTERS[name](lambda x, t: -x, VP())
    x, t = (torch.linspace(*ends, dtype=torch.float64) for ends in ((-1, 1, 6), (0.2, 0.8, 3)))
    x = x.reshape(3, 2)
    mapped = torch.func.vmap(score)(x, t)
    torch.testing.assert_close(mapped, torch.stack([score(a, b) for a, b in zip(x, t)]), rtol=1e-12, atol=0)
