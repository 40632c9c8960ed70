"""Whether a measured divergence shows the images or the network: what no data allow is the network's error."""

import json

import numpy as np
import pytest
import torch

from examples.images.divergences import measure_divergence, own_error, untrained
from examples.images.levels import SDE, Level, unet
from examples.images.tables import console, show_divergence
from examples.images.training import statistics
from subspace_sde import DivergenceCurve, Identity, LowPass, orthogonal_fisher_divergence
from subspace_sde.divergence import gaussian_divergence
from subspace_sde.images import load
from subspace_sde.oracles import DCTGaussian, Empirical

SHAPE, SIZES = (3, 16, 16), (12, 8, 4)
TIMES = SDE.grid_between(SDE.time_at_log_snr(-2 * np.log(3)), SDE.time_at_log_snr(2 * np.log(33)), 20)[::-1].tolist()
SUBSPACES = [LowPass(SHAPE, size) for size in SIZES]


def judged(score, data, threshold=3e-3):
    curves = orthogonal_fisher_divergence(score, data, SDE, SUBSPACES, TIMES, rng=0)
    return [own_error(c, c.parts.energy / c.parts.lost, threshold) for c in curves]


def photographs(power=-2.5):
    """A Gaussian with a power spectrum like that of photographs, of pixels about 0.5."""
    radius = np.hypot(*np.meshgrid(np.arange(16), np.arange(16), indexing="ij"))
    variances = np.broadcast_to(0.5 * (1 + radius) ** power, SHAPE)
    return DCTGaussian(np.full(SHAPE, 0.5), variances)


def test_a_perfect_network_is_not_taken_for_an_untrained_one():
    gaussian = photographs()
    assert judged(gaussian.score(SDE), gaussian.sample(64, rng=1)) == [None] * 3
    for curve, size in zip(gaussian_divergence(gaussian, SDE, SUBSPACES, TIMES), SIZES):
        bounds = curve.parts.energy / curve.parts.lost * np.exp([SDE.log_snr(t) for t in TIMES])
        assert np.all(np.asarray(curve.values) <= bounds), size  # the theorem


def test_the_bound_is_met_by_one_that_knows_every_image():
    """Of eight images the exact score knows the noise: D_F is the bound itself, and is not taken for an error."""
    data = photographs().sample(8, rng=0)
    score = Empirical(data).score(SDE)
    assert judged(score, np.concatenate([data] * 4)) == [None] * 3
    (curve, *_) = orthogonal_fisher_divergence(score, np.concatenate([data] * 8), SDE, SUBSPACES, TIMES, rng=0)
    bounds = curve.parts.energy / curve.parts.lost * np.exp([SDE.log_snr(t) for t in TIMES])
    early = np.asarray(TIMES) < 0.5
    assert np.max(np.abs(np.asarray(curve.values) / bounds - 1)[early]) < 0.1


def test_an_error_of_known_size_is_told():
    """s + e/σ with a constant e in the complement adds e² Σ⊥/(n⊥ σ²): it is seen where that is above the bound."""
    gaussian = photographs()
    exact, data = gaussian.score(SDE), gaussian.sample(64, rng=1)
    wave = SUBSPACES[0].reject(np.random.default_rng(0).standard_normal(SHAPE))
    wave *= 0.3 * np.sqrt(3 * (16**2 - 12**2)) / np.linalg.norm(wave)  # 0.09 a dimension
    found = judged(lambda x, t: exact(x, t) + wave / float(SDE.sigma(t)), data)
    assert found[0]["value"] == pytest.approx(0.09, rel=0.05) and found[0]["value"] > 10 * found[0]["bound"]


def test_what_the_standard_errors_explain_or_the_threshold_excuses_is_none():
    def curve(values, stderr):
        return DivergenceCurve((0.4, 0.5), values, stderr, SDE)

    bound = 0.003 * np.exp(SDE.log_snr(0.4))
    assert own_error(curve((0.3, 0.002), (0.01, 0.0)), 0.003, 3e-3) == pytest.approx(
        {"t": 0.4, "value": 0.3, "bound": bound}
    )
    assert own_error(curve((0.3, 0.002), (0.1, 0.0)), 0.003, 3e-3) is None
    assert own_error(curve((0.9 * bound, 0.1), (0.0, 0.0)), 0.003, 0.2) is None


def test_a_network_that_was_not_trained_is_recognised(data, tmp_path):
    images = load(data, channels=3)
    torch.manual_seed(0)
    network = unet(SHAPE, (8, 16), 1).eval().requires_grad_(False)
    mean, spread = statistics(Identity(SHAPE), images.train)
    level = Level("full", SDE, Identity(SHAPE), mean, spread, (8, 16), 1, network, digest="untrained")
    found = measure_divergence(images, level, ["full", "lowpass:12", "lowpass:8"], 3e-3, tmp_path, count=16, points=11)
    with pytest.raises(ValueError, match="there is no subspace to measure D_F of: name some by --level"):
        measure_divergence(images, level, ["full"], 3e-3, tmp_path)
    told = untrained(found)
    assert told.startswith("The network is not trained enough: D_F of lowpass:12") and "\n" not in told
    worst = max((row["own error"] for row in found["levels"].values()), key=lambda e: e["value"] / e["bound"])
    assert f"{worst['value']:.2g}, {worst['value'] / worst['bound']:.1f} times the most ({worst['bound']:.2g})" in told
    with console.capture() as shown:
        show_divergence(found)
    assert told in shown.get()
    assert json.loads((tmp_path / "divergence.json").read_text())["levels"] == found["levels"]
    older = {"levels": {name: {"t": 0.5, "values": row["values"]} for name, row in found["levels"].items()}}
    assert untrained(older) == ""  # measured before this was asked


# of 32 training crops, by the network that ships, seed 0: values at every other time
SHIPPED = {
    "variance": {"lowpass:20": 0.0011, "lowpass:8": 0.0038, "lowpass:4": 0.0081},
    "values": {
        "lowpass:20": [
            9.3e-01,
            3.6e-01,
            1.3e-01,
            4.9e-02,
            1.5e-02,
            4.3e-03,
            1.1e-03,
            2.8e-04,
            8.1e-05,
            2.7e-05,
            9.2e-06,
        ],
        "lowpass:8": [3.1, 1.3, 5.1e-01, 1.9e-01, 6.6e-02, 2.1e-02, 5.9e-03, 1.7e-03, 3.8e-04, 8.9e-05, 2.3e-05],
        "lowpass:4": [6.8, 2.9, 1.2, 4.6e-01, 1.7e-01, 6.3e-02, 2.1e-02, 5.9e-03, 1.4e-03, 3.1e-04, 6.4e-05],
    },
}


@pytest.mark.parametrize("name", SHIPPED["variance"])
def test_the_network_that_ships_is_not_taken_for_an_untrained_one(name):
    curve = DivergenceCurve(TIMES[::2], SHIPPED["values"][name], None, SDE)
    assert own_error(curve, SHIPPED["variance"][name], 3e-3) is None
    assert own_error(curve, SHIPPED["variance"][name] / 4, 3e-3) is not None
