"""One network for all the levels of a plan: what a step trains, how often each, and what its file serves."""

import json

import numpy as np
import pytest
import torch

from examples.images import training
from examples.images.levels import SHARED, Level, load_levels, unet
from examples.images.shared import LEAST, Sizes, scale_of, shares_of
from examples.images.training import Recipe, train_level
from subspace_sde import VE, Basis, Identity, LowPass
from subspace_sde.images import load, to_unit
from tests.examples.images.commands import invoke
from tests.examples.images.test_training import interrupted_at

SHAPE, SDE = (3, 16, 16), VE(0.01, 50.0)
SHARES = {"full": 0.5, "lowpass:8": 0.3, "downsampling:4": 0.2}


def train(data, out, steps, channels=(8, 16), **more):
    images = np.load(data)["images"].transpose(0, 3, 1, 2)
    recipe = Recipe(steps=steps, batch=4, channels=channels, seed=3)
    return train_level("full", Identity(SHAPE), SDE, images, recipe, out, device="cpu", shares=SHARES, **more)


def test_a_level_is_drawn_by_its_share_of_the_steps():
    sizes = Sizes(SHARES, SHAPE, 4, seed=0)
    drawn = [sizes.drawn(step) for step in range(4000)]
    for name, share in SHARES.items():
        assert abs(drawn.count(name) / 4000 - share) < 5 * (share * (1 - share) / 4000) ** 0.5
    assert drawn[:50] == [Sizes(SHARES, SHAPE, 4, seed=0).drawn(step) for step in range(50)]
    assert drawn[:50] != [Sizes(SHARES, SHAPE, 4, seed=1).drawn(step) for step in range(50)]


def test_the_shares_are_the_solvers_and_a_tenth_at_least():
    rows = {"rows": [{"subspace": "a", "t": 0.4}, {"subspace": "b", "t": 0.45}, {"subspace": "c", "t": None}]}
    assert shares_of({"full": [], "one": ["a"]}, rows, SDE) == pytest.approx({"full": 0.4, "a": 0.6})
    found = shares_of({"full": [], "two": ["a", "b"]}, rows, SDE)  # 0.4, 0.05, 0.55: the tenth comes from the others
    assert found == pytest.approx({"full": 0.9 * 0.4 / 0.95, "a": LEAST, "b": 0.9 * 0.55 / 0.95})
    found = shares_of({"full": [], "one": ["b"], "two": ["a", "c"]}, rows, SDE)  # a level that is never used, too
    assert found == pytest.approx({"full": 0.9 * 0.425, "b": 0.9 * 0.275, "a": 0.9 * 0.3, "c": LEAST})
    assert shares_of({"full": []}, rows, SDE) == {"full": 1.0}
    with pytest.raises(ValueError, match="d was not analysed: run `analyse` with these levels"):
        shares_of({"full": [], "one": ["d"]}, rows, SDE)


def test_a_step_sees_small_images_in_the_range_of_the_full_ones(data):
    sizes, x = Sizes(SHARES, SHAPE, 4, seed=0), torch.from_numpy(to_unit(load(data).train[:16]))
    steps = {sizes.drawn(step): step for step in range(50)}
    assert set(steps) == set(SHARES) and sizes.largest == 16
    for name, shape in {"full": (4, 3, 16, 16), "lowpass:8": (8, 3, 8, 8), "downsampling:4": (16, 3, 4, 4)}.items():
        y = sizes.shrink(x, steps[name])
        assert y.shape == shape
        torch.testing.assert_close(
            y.mean(dim=(-2, -1)), x[: len(y)].mean(dim=(-2, -1))
        )  # the colours, not c times them
    torch.testing.assert_close(
        sizes.shrink(x, steps["downsampling:4"]), torch.nn.functional.avg_pool2d(x, 4), rtol=1e-5, atol=1e-6
    )


def test_every_size_is_trained_with_noise_of_the_whole_range(data, tmp_path, monkeypatch):
    seen, loss = {}, training.denoising_score_matching

    def watched(score, z0, t, *rest):
        seen.setdefault(tuple(z0.shape), []).append(t)
        return loss(score, z0, t, *rest)

    monkeypatch.setattr(training, "denoising_score_matching", watched)
    level = Level.load(train(data, tmp_path, 40))
    assert set(seen) == {(4, 3, 16, 16), (8, 3, 8, 8), (16, 3, 4, 4)} and level.shared == tuple(SHARES)
    for times in seen.values():  # not σ(t)/c of the solver's times: the network's own
        assert float(torch.cat(times).min()) < 0.2 and float(torch.cat(times).max()) > 0.8


def test_training_goes_on_as_if_it_had_not_stopped(data, tmp_path, monkeypatch):
    whole = Level.load(train(data, tmp_path / "a", 6))
    with monkeypatch.context() as patch:
        interrupted_at(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "b", 6)
    assert Level.load(tmp_path / "b" / SHARED).recipe["steps"] == 3
    resumed = Level.load(train(data, tmp_path / "b", 6))
    for a, b in zip(whole.network.parameters(), resumed.network.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    monkeypatch.setitem(SHARES, "full", 0.4)
    with pytest.raises(ValueError, match=r"shares was .*'full': 0.5.*, is .*'full': 0.4"):
        train(data, tmp_path / "b", 7)


def test_it_starts_from_the_weights_of_a_level(data, tmp_path):
    first = train(data, tmp_path / "a", 2)
    known, found = Level.load(first), Level.load(train(data, tmp_path / "b", 1, start=first))
    moved = [float((a - b).abs().max()) for a, b in zip(known.network.parameters(), found.network.parameters())]
    assert 0 < max(moved) < 1e-4  # the rate of the first step is 10⁻³/200
    assert found.recipe["start"] == known.digest
    with pytest.raises(ValueError, match="alone for a network of its channels 8,16 and 1 layers"):
        train(data, tmp_path / "c", 1, channels=(8, 8), start=first)


def test_its_levels_are_one_network_at_other_sizes(tmp_path):
    torch.manual_seed(0)
    network = unet(SHAPE, (8, 8), 1).eval().requires_grad_(False)
    torch.nn.init.normal_(network.conv_out.weight)
    Level("full", SDE, Identity(SHAPE), 0.5, 0.3, (8, 8), 1, network, shared=("full", "lowpass:8")).save(
        tmp_path / SHARED
    )
    models = load_levels(tmp_path, ["full", "lowpass:8"], SHAPE, torch.device("cpu"))
    full, small = models.values()
    assert small.network is full.network and small.subspace == LowPass(SHAPE, 8)
    z, t = torch.randn(2, 3, 8, 8), 0.6
    then = SDE.time_at_log_snr(SDE.log_snr(t) + 2 * np.log(2))  # s_k(z, σ) = s'(z/c, σ/c)/c with c = 2
    torch.testing.assert_close(small.score(z, t), full.score(z / 2, then) / 2)
    with pytest.raises(ValueError, match="was trained for full, lowpass:8, not for lowpass:4"):
        load_levels(tmp_path, ["full", "lowpass:4"], SHAPE, torch.device("cpu"))


def test_levels_that_are_no_smaller_images_are_refused():
    with pytest.raises(ValueError, match="pca is no smaller image, so that no network of images is its score"):
        scale_of("pca", Basis(np.eye(12)[:, :3], (3, 2, 2)))
    assert scale_of("lowpass:8", LowPass(SHAPE, 8)) == 2.0


def test_the_command_trains_for_the_levels_of_the_analysis(data, tmp_path):
    shared = ["--data", data, "--out", tmp_path, "--level", "lowpass:8", "--level", "lowpass:4"]
    invoke("analyse", *shared, "--threshold", 0.5)
    tiny = ["--channels", "8,16", "--batch", 4, "--device", "cpu"]
    output = invoke("train", *shared, *tiny, "--shared", "--steps", 1, "--half")
    assert "parameters, 1 steps" in output
    about = Level.load(tmp_path / "half" / SHARED)
    rows = json.loads((tmp_path / "analysis.json").read_text())["rows"]
    plans = {"full": [], "lowpass": ["lowpass:8", "lowpass:4"]}
    assert about.recipe["shares"] == {k: round(v, 4) for k, v in shares_of(plans, {"rows": rows}, SDE).items()}
    with pytest.raises(ValueError, match=r"8 x 8 cannot be halved 4 times: .* divisible by 16, or fewer channels"):
        invoke("train", *shared, "--shared", "--channels", "8,8,8,8,8", "--device", "cpu")
