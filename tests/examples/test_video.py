"""The example of video: the made videos against their law, the judge, the network, and the command."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from examples.staged.comparison import train
from examples.video.__main__ import app
from examples.video.balls import FASTEST, FRAMES, RADIUS, SIZE, film, paths, videos
from examples.video.network import Denoiser
from examples.video.quality import flicker, judge, speeds
from subspace_sde import VE, LowPass, NestedSubspaces


def test_a_ball_moves_straight_and_turns_back_at_the_wall():
    start, velocity = np.asarray([[8.0, 8.0], [8.0, 5.0]]), np.asarray([[0.5, 0.0], [0.0, -0.4]])
    first, second = paths(start, velocity)
    np.testing.assert_allclose(first[:, 1], 8)
    lowest = SIZE - RADIUS - 0.5
    straight = 8 + 0.5 * np.arange(FRAMES)
    np.testing.assert_allclose(first[:, 0], np.where(straight > lowest, 2 * lowest - straight, straight))
    straight = 5 - 0.4 * np.arange(FRAMES)
    np.testing.assert_allclose(second[:, 1], np.where(straight < 3, 6 - straight, straight))


def test_videos_keep_brightness_size_and_speed():
    made = videos(300, seed=0)
    assert made.shape == (300, 1, FRAMES, SIZE, SIZE) and made.min() == 0 and made.max() == 1
    # the area of a disc that fades linearly from RADIUS − 1/2 to RADIUS + 1/2, but for what pixels make of it
    area = np.pi * (RADIUS**2 + 1 / 12)
    brightness = made.sum(axis=(1, 3, 4))
    np.testing.assert_allclose(brightness, area, rtol=0.03)
    assert flicker(made) < 0.01 and speeds(made).max() < FASTEST + 0.05
    assert abs(np.median(speeds(made).mean(axis=1)) - FASTEST / 2) < 0.05
    assert np.abs(videos(300, seed=1) - made).max() == 1


def test_the_centre_of_a_frame_is_that_of_the_ball():
    centres = np.stack([np.linspace(4, 10, FRAMES), np.full(FRAMES, 7.0)], axis=-1)[None]
    found = speeds(film(centres))
    np.testing.assert_allclose(found, 6 / (FRAMES - 1), atol=0.1)  # pixels are coarse beside a tenth of one
    assert found.mean() == pytest.approx(6 / (FRAMES - 1), rel=0.01)


def test_the_judge_sees_flicker_speed_and_blur():
    one, other = videos(60, 0), videos(60, 1)
    good = judge(other, one)
    lamp = other * np.linspace(0.5, 1.5, FRAMES, dtype=np.float32)[:, None, None]
    blurred = LowPass(one.shape[1:], 8).project(other)
    assert judge(lamp, one)["flicker"] > 30 * good["flicker"]
    assert judge(other[:, :, ::2], one[:, :, :8])["speed"] > 5 * good["speed"]
    assert judge(blurred, one)["pixels"] > 5 * good["pixels"]


def test_a_network_that_sees_all_levels_denoises_all_of_them():
    x, sde = torch.from_numpy(videos(64, 0)), VE(0.01, 50.0)
    levels = NestedSubspaces.from_subspaces([LowPass(x.shape[1:], n, axes=-3) for n in (4,)])
    torch.manual_seed(0)
    score = train(Denoiser(sde, float(x.std())), x, sde, levels, 16, 0, False)
    for level in levels:
        small = level.restrict(x) / level.coordinate_scale
        for sigma in (0.5, 5.0):
            noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(1))
            t = float(sde.time_at_log_snr(-2 * np.log(sigma)))
            noisy = small + sigma * noise
            denoised = noisy + sigma**2 * score(noisy, t)
            linear = noisy * float(small.var() / (small.var() + sigma**2))  # the best that knows no pixel from another
            assert torch.mean((denoised - small) ** 2) < torch.mean((linear - small) ** 2)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_writes_its_files_and_levels_are_along_time_alone(tmp_path):
    small = ("--data", 200, "--train-steps", 6, "--num", 4, "--steps", 4, "--levels", 2)
    result = run("--out", tmp_path / "new", *small)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["video.json", "video.png"]
    found = json.loads((tmp_path / "new" / "video.json").read_text())
    for best in found["plans"].values():
        frames = [shape[1] for shape in best["shapes"]]
        assert frames[0] == FRAMES and sorted(set(frames), reverse=True) == frames
        assert all([shape[0], *shape[2:]] == [1, SIZE, SIZE] for shape in best["shapes"])
        ends = [0, *best["times"], 1]
        expected = sum((b - a) * n / FRAMES for a, b, n in zip(ends, ends[1:], frames))
        assert best["cost"] == pytest.approx(expected, rel=1e-6)
    assert f"time ratio {found['ratio']:.2f}" in result.output
    curves = zip(found["divergence"]["power spectrum"], found["plans"]["power spectrum"]["times"])
    for curve, t in curves:
        assert np.interp(t, curve["times"], np.log(curve["values"])) == pytest.approx(np.log(3e-3), abs=0.1)
