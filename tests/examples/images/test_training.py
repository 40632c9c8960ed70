"""Training stops and goes on, and what it writes is whole or not there."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from examples.images import progress, training
from examples.images.levels import Level, load_levels, unet
from examples.images.training import Recipe, draw_times, statistics, train_level
from subspace_sde import VE, Downsampling, Identity, LowPass
from subspace_sde.images import to_unit
from tests.examples.images.commands import TINY


def interrupted_at(call, monkeypatch):
    """Training that is stopped by Ctrl-C in the given step."""
    calls, loss = iter(range(1000)), training.denoising_score_matching

    def stop(*arguments):
        if next(calls) == call:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(training, "denoising_score_matching", stop)


def test_training_goes_on_as_if_it_had_not_stopped(data, tmp_path, monkeypatch):
    images = np.load(data)["images"].transpose(0, 3, 1, 2)
    arguments = ("lowpass:8", LowPass((3, 16, 16), 8), VE(), images, Recipe(steps=6, batch=4, channels=(8, 16), seed=3))
    whole = Level.load(train_level(*arguments, tmp_path / "a", device="cpu"))
    with monkeypatch.context() as patch:
        interrupted_at(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train_level(*arguments, tmp_path / "b", device="cpu")
    stopped = Level.load(tmp_path / "b" / "lowpass-8.safetensors")
    assert stopped.recipe["steps"] == 3
    resumed = Level.load(train_level(*arguments, tmp_path / "b", device="cpu"))
    assert resumed.recipe["steps"] == whole.recipe["steps"] == 6
    for a, b, early in zip(*(level.network.parameters() for level in (whole, resumed, stopped))):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
        assert not torch.equal(a, early)


def test_a_finished_level_is_left_alone_and_more_steps_go_on(data, tmp_path):
    images = np.load(data)["images"].transpose(0, 3, 1, 2)
    arguments = ("lowpass:8", LowPass((3, 16, 16), 8), VE(), images)
    path = train_level(*arguments, Recipe(steps=2, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    before = path.read_bytes()
    train_level(*arguments, Recipe(steps=2, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    assert path.read_bytes() == before
    train_level(*arguments, Recipe(steps=3, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    assert Level.load(path).recipe["steps"] == 3
    path.unlink()  # the state remains: the file is written again
    train_level(*arguments, Recipe(steps=3, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    assert Level.load(path).recipe["steps"] == 3
    with pytest.raises(ValueError, match=r"channels was \[8, 16\], is \[8\]"):
        train_level(*arguments, Recipe(steps=3, batch=4, channels=(8,)), tmp_path, device="cpu")


def test_a_stop_between_two_renames_loses_nothing(data, tmp_path):
    images = np.load(data)["images"].transpose(0, 3, 1, 2)
    arguments = ("lowpass:8", LowPass((3, 16, 16), 8), VE(), images)
    train_level(*arguments, Recipe(steps=2, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    state = tmp_path / "state" / "lowpass-8"
    state.rename(state.with_name("lowpass-8.old"))
    path = train_level(*arguments, Recipe(steps=3, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    assert Level.load(path).recipe["steps"] == 3 and not state.with_name("lowpass-8.old").exists()


def test_two_processes_train_one_level(data, tmp_path):
    """Two processes on the CPU: the same command, one level file, a state for each process."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "examples.images", "train", "--data", data, "--out", tmp_path, "--level", "full", *TINY[2:]]
    command += ["--steps", 3, "--half", "--device", "cpu"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Level.load(tmp_path / "full.safetensors").recipe["steps"] == 3
    ranks = sorted(p.name for p in (tmp_path / "state" / "full" / "weights").glob("random_states_*"))
    assert ranks == ["random_states_0.pkl", "random_states_1.pkl"]


def test_level_round_trip(tmp_path):
    torch.manual_seed(0)
    level = Level(
        "lowpass:8", VE(0.02, 40.0), LowPass((3, 16, 16), 8), 0.3, 0.7, (8, 16), 1, unet((3, 8, 8), (8, 16), 1)
    )
    level.network.eval()
    level.save(tmp_path / "x.safetensors")
    again = Level.load(tmp_path / "x.safetensors")
    assert (again.mean, again.sigma_data, again.sde.sigma_max, again.subspace.shape) == (0.3, 0.7, 40.0, (3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(again.score(x, 0.5), level.score(x, 0.5))
        each = torch.full((2,), 0.5)
        torch.testing.assert_close(again.score(x, each), level.score(x, 0.5), rtol=1e-4, atol=1e-4)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    """In a process of its own that may write no file over 20 kB: the way a full disk looks to the writer."""
    path = tmp_path / "full.safetensors"
    level = Level("full", VE(), Identity((3, 8, 8)), 0.0, 1.0, (8,), 1, unet((3, 8, 8), (8,), 1))
    level.save(path)
    before = path.read_bytes()
    code = f"""
import resource, signal
from pathlib import Path
from examples.images.levels import Level
level = Level.load(Path({str(path)!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
level.save(Path({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "the older file is unharmed" in done.stderr, done.stderr
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000


def test_a_full_disk_leaves_the_old_state_of_training(data, tmp_path, monkeypatch):
    images = np.load(data)["images"].transpose(0, 3, 1, 2)
    arguments = ("lowpass:8", LowPass((3, 16, 16), 8), VE(), images)
    train_level(*arguments, Recipe(steps=2, batch=4, channels=(8, 16)), tmp_path, device="cpu")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(progress, "save_file", full)
        with pytest.raises(OSError, match="the older one is unharmed"):
            train_level(*arguments, Recipe(steps=4, batch=4, channels=(8, 16)), tmp_path, device="cpu")
    state = tmp_path / "state" / "lowpass-8"
    assert json.loads((state / "progress.json").read_text())["step"] == 2
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["lowpass-8"]


def test_checkpoints_that_do_not_fit(tmp_path):
    (tmp_path / "full.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        Level.load(tmp_path / "full.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="holds no level"):
        Level.load(tmp_path / "other.safetensors")
    level = Level("full", VE(), Identity((3, 8, 8)), 0.0, 1.0, (8,), 1, unet((3, 8, 8), (16,), 1))
    level.save(tmp_path / "full.safetensors")
    with pytest.raises(ValueError, match="does not fit the level that it describes"):
        Level.load(tmp_path / "full.safetensors")
    level.network = unet((3, 8, 8), (8,), 1)
    level.save(tmp_path / "full.safetensors")
    with pytest.raises(ValueError, match=r"images of shape \(3, 8, 8\), these have \(3, 16, 16\)"):
        load_levels(tmp_path, ["full"], (3, 16, 16), torch.device("cpu"))
    level.save(tmp_path / "lowpass-5.safetensors")
    with pytest.raises(ValueError, match="holds the level full, not lowpass:5"):
        load_levels(tmp_path, ["full", "lowpass:5"], (3, 8, 8), torch.device("cpu"))
    other = Level("lowpass:4", VE(0.02), LowPass((3, 8, 8), 4), 0.0, 1.0, (8,), 1, unet((3, 4, 4), (8,), 1))
    other.save(tmp_path / "lowpass-4.safetensors")
    with pytest.raises(ValueError, match="was trained under VE"):
        load_levels(tmp_path, ["full", "lowpass:4"], (3, 8, 8), torch.device("cpu"))


def test_statistics_and_times():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8)).astype(np.uint8)
    z = Downsampling((3, 8, 8), 2).restrict(to_unit(images).astype(np.float64))
    assert statistics(Downsampling((3, 8, 8), 2), images) == pytest.approx((z.mean(), z.std()), rel=1e-5)
    t = draw_times(4000, VE(), 0.5, torch.Generator().manual_seed(0))
    assert VE().t_min <= float(t.min()) and float(t.max()) <= VE().T
    spread = t[torch.arange(4000) % 4 != 0]
    log_noise = torch.log(VE().sigma(spread) / 0.5)
    assert abs(float(log_noise.mean()) + 0.6) < 5 * 1.4 / 3000**0.5
