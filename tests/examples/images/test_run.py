"""The images example, end to end on tiny images: train, stop, go on, measure, sample, report; and what it refuses."""

import json
import resource
import subprocess
import sys
from html import unescape

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from examples.images import plans, training
from examples.images.__main__ import app
from examples.images.levels import Level, file_name, load_levels, unet
from examples.images.quality import BANDS, band_power, colour_covariance, compare
from examples.images.training import Recipe, draw_times, statistics, train_level
from subspace_sde import VE, Downsampling, Identity, LowPass, Plan, Wavelet, rmsd
from subspace_sde.images import load, to_unit

TINY = ["--level", "lowpass:8", "--channels", "8,16", "--batch", "8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty smooth random images, as an .npz file."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 4, 4, 3))
    images = np.kron(coarse, np.ones((1, 4, 4, 1))) + rng.normal(0, 4, (40, 16, 16, 3))
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=np.clip(images, 0, 255).astype(np.uint8))
    return path


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """One whole run."""
    out = tmp_path_factory.mktemp("run")
    arguments = ["run", "--data", data, "--out", out, *TINY, "--steps", 8, "--num", 20, "--sample-steps", 6]
    arguments += ["--threshold", 0.5, "--count", 16, "--device", "cpu"]
    return out, arguments, invoke(*arguments)


def test_run_writes_everything(finished):
    out, arguments, output = finished
    for name in (
        "analysis.json",
        "divergence.json",
        "samples.json",
        "quality.json",
        "report.html",
        "divergence.png",
        "samples.png",
        "plan.json",
        "plan.png",
        "cost.png",
        "gaussian-divergence.png",
        "projections.png",
    ):
        assert (out / name).stat().st_size > 100, name
    assert "lowpass:8" in output
    found = json.loads((out / "samples.json").read_text())
    full, staged = found["plans"]["full"], found["plans"]["lowpass"]
    assert full["evaluations"] == [12] and sum(staged["evaluations"]) == 12 and len(staged["evaluations"]) == 2
    assert full["num"] == staged["num"] == 20
    pixels = staged["evaluations"][0] * 3 * 16 * 16 + staged["evaluations"][1] * 3 * 8 * 8
    assert staged["pixel ratio"] == pytest.approx(pixels / (12 * 3 * 16 * 16))
    html = unescape((out / "report.html").read_text())
    assert "samples-lowpass.png" in html and "{{" not in html
    analysis = json.loads((out / "analysis.json").read_text())
    assert analysis["summary"] in output and analysis["summary"] in html and analysis["threshold"] == 0.5
    row = next(row for row in analysis["rows"] if row["subspace"] == "lowpass:8")
    linear, affine = (rmsd(LowPass((3, 16, 16), 8), to_unit(load(arguments[2]).train), c) for c in (False, True))
    assert (row["rmsd"]["origin"], row["rmsd"]["mean"]) == pytest.approx((linear, affine), rel=1e-6)
    assert f">{linear:.4f}</td>" in html and f"{linear:.4f}" in output
    assert Plan.load(out / "plan.json").threshold == 0.5
    for picture in ("plan.png", "cost.png", "gaussian-divergence.png", "projections.png"):
        assert f'src="{picture}"' in html and picture in analysis["pictures"]


def test_analyse_shows_its_table_again_without_computing(finished, monkeypatch):
    out, arguments, _ = finished
    before = (out / "analysis.json").read_bytes()
    monkeypatch.setattr("examples.images.analysis.library.analyse", None)
    output = invoke("analyse", *arguments[1:5], "--level", "lowpass:8", "--threshold", 0.5)
    assert json.loads(before)["summary"] in output and (out / "analysis.json").read_bytes() == before
    monkeypatch.undo()
    output = invoke("analyse", *arguments[1:5], "--level", "lowpass:8", "--level", "lowpass:5", "--threshold", 0.4)
    assert "lowpass:5" in output and json.loads((out / "analysis.json").read_text())["threshold"] == 0.4
    invoke(*arguments)  # as it was, for the tests that follow
    assert (out / "analysis.json").read_bytes() == before


def chunks(out):
    return {file.name: file for file in sorted((out / "chunks").glob("*/*.npz"))}


def test_a_finished_run_is_found_again_and_changes_nothing(finished):
    out, arguments, _ = finished
    kept = ("full.safetensors", "analysis.json", "divergence.json", "samples.json")
    before = {name: (out / name).read_bytes() for name in kept}
    drawn = {name: file.stat().st_mtime_ns for name, file in chunks(out).items()}
    invoke(*arguments)
    assert {name: (out / name).read_bytes() for name in kept} == before
    assert {name: file.stat().st_mtime_ns for name, file in chunks(out).items()} == drawn


def test_lost_samples_are_drawn_again_alike(finished):
    out, arguments, _ = finished
    file = chunks(out)["lowpass-0.npz"]
    before = np.load(file)["x"]
    file.unlink()
    invoke(*arguments)
    np.testing.assert_allclose(np.load(file)["x"], before, atol=1e-5)


def test_other_settings_are_computed_anew_and_never_mixed(finished):
    out, arguments, _ = finished
    before = json.loads((out / "samples.json").read_text())
    invoke("sample", *arguments[1:5], *TINY[:2], "--device", "cpu", "--num", 4, "--steps", 3)
    found = json.loads((out / "samples.json").read_text())
    assert found["key"] != before["key"] and found["steps"] == 3 and found["plans"]["full"]["num"] == 4
    assert found["plans"]["full"]["evaluations"] == [6]
    invoke(*arguments)  # the first samples are still there
    again = json.loads((out / "samples.json").read_text())
    assert again == before


def test_a_level_trained_otherwise_is_refused(finished):
    _, arguments, _ = finished
    with pytest.raises(ValueError, match=r"learning_rate was 0\.001, is 0\.01"):
        invoke(*arguments, "--learning-rate", 0.01)


def test_levels_that_do_not_nest_are_refused_before_any_work(data, tmp_path):
    with pytest.raises(ValueError, match="not nested"):
        invoke(
            "run",
            "--data",
            data,
            "--size",
            24,
            "--out",
            tmp_path,
            "--level",
            "downsampling:12",
            "--level",
            "downsampling:8",
        )
    with pytest.raises(ValueError, match="divisible by 4"):
        invoke("run", "--data", data, "--size", 18, "--out", tmp_path, "--level", "full")
    assert not any(tmp_path.iterdir())


def test_levels_without_a_measured_divergence(finished):
    out, _, _ = finished
    measured = json.loads((out / "divergence.json").read_text())
    with pytest.raises(ValueError, match="downsampling:8 was not measured"):
        plans.usable(["downsampling:8"], measured)


def test_single_stages_say_what_comes_first(data, tmp_path):
    with pytest.raises(ValueError, match="train that level first"):
        invoke("divergence", "--data", data, "--out", tmp_path, "--level", "lowpass:8")
    with pytest.raises(ValueError, match=r"analysis.json is missing"):
        stages_folder = tmp_path / "weights"
        invoke("train", "--data", data, "--out", stages_folder, "--level", "full", *TINY[2:], "--steps", 1)
        invoke("report", "--data", data, "--out", tmp_path, "--weights", stages_folder, "--level", "full")


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
        patch.setattr(training, "save_file", full)
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


def test_default_levels():
    assert plans.default_levels((3, 32, 32)) == ["full", "lowpass:20", "lowpass:8", "downsampling:16"]
    assert plans.default_levels((3, 16, 16)) == ["full", "lowpass:8", "lowpass:4", "downsampling:8"]
    assert plans.default_levels((3, 36, 24)) == ["full", "lowpass:16", "lowpass:8"]  # 16 x 24 and 8 x 12
    assert plans.default_levels((3, 4, 4)) == ["full"]


def test_any_kind_of_level_makes_a_plan_of_its_own(data, tmp_path):
    levels = ["full", "db2:4", "lowpass:8", "db2:8"]
    assert plans.plans_of(levels) == {"full": [], "db2": ["db2:8", "db2:4"], "lowpass": ["lowpass:8"]}
    assert file_name("db2:8") == "db2-8.safetensors"
    invoke("train", "--data", data, "--out", tmp_path, "--level", "db2:8", *TINY[2:], "--steps", 1, "--device", "cpu")
    found = load_levels(tmp_path, ["full", "db2:8"], (3, 16, 16), torch.device("cpu"))
    assert isinstance(found["db2:8"].subspace, Wavelet) and found["db2:8"].subspace.shape == (3, 8, 8)


def test_odd_sizes_are_refused_with_the_mend():
    with pytest.raises(ValueError, match="divisible by 4"):
        unet((3, 18, 18), (8, 8, 8), 1)


def test_plans_use_only_levels_that_meet_the_threshold_in_order():
    found = {"levels": {"lowpass:20": {"t": 0.3}, "lowpass:8": {"t": 0.45}, "downsampling:16": {"t": None}}}
    assert plans.usable(["lowpass:20", "lowpass:8"], found) == ["lowpass:20", "lowpass:8"]
    assert plans.usable(["downsampling:16"], found) == []
    found["levels"]["lowpass:20"]["t"] = 0.5
    assert plans.usable(["lowpass:20", "lowpass:8"], found) == ["lowpass:8"]


def test_statistics_and_times():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8)).astype(np.uint8)
    z = Downsampling((3, 8, 8), 2).restrict(to_unit(images).astype(np.float64))
    assert statistics(Downsampling((3, 8, 8), 2), images) == pytest.approx((z.mean(), z.std()), rel=1e-5)
    t = draw_times(4000, VE(), 0.5, torch.Generator().manual_seed(0))
    assert VE().t_min <= float(t.min()) and float(t.max()) <= VE().T
    spread = t[torch.arange(4000) % 4 != 0]
    log_noise = torch.log(VE().sigma(spread) / 0.5)
    assert abs(float(log_noise.mean()) + 0.6) < 5 * 1.4 / 3000**0.5


def test_band_power_is_parseval_and_white_noise_is_flat():
    x = np.random.default_rng(0).normal(size=(200, 3, 16, 16))
    power = band_power(x)
    assert power.shape == (BANDS,) and np.all(np.abs(power - 1) < 0.15)
    wave = np.cos(
        np.pi * (np.arange(16) + 0.5) * 14 / 16
    )  # the DCT-II vector of frequency 14/16: the last band but one
    image = np.broadcast_to(wave, (1, 3, 16, 16))
    assert np.argmax(band_power(image)) == 7 and band_power(image)[:7].max() < 1e-20


def test_compare_is_zero_for_the_same_images():
    x = np.random.default_rng(0).uniform(size=(30, 3, 16, 16))
    same = compare(x, x)
    assert same["sliced wasserstein"] == 0 and same["colour"] == 0 and np.allclose(same["bands"], 0)
    np.testing.assert_allclose(np.diag(colour_covariance(x)), x.var(axis=(0, 2, 3), ddof=0), rtol=1e-3)
    doubled = compare(0.5 + 2 * (x - 0.5), x)
    np.testing.assert_allclose(doubled["bands"], np.log10(4), rtol=1e-10)
    assert doubled["colour"] == pytest.approx(3)


def test_command_line_refusals(data, tmp_path):
    for arguments, message in [
        (["train", "--channels", "a,b"], "multiples of 8"),
        (["train", "--steps", 0], "must be positive"),
        (["analyse", "--level", "blur:3"], "unknown level"),
        (["run", "--solver", "rk45"], "unknown solver"),
        (["run", "--device", "cuda:99"], "not to be had"),
    ]:
        with pytest.raises(ValueError, match=message):
            invoke(*arguments[:1], "--data", data, "--out", tmp_path, *arguments[1:])
    done = subprocess.run(
        [sys.executable, "-m", "examples.images", "analyse", "--data", "no/such/folder", "--out", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "does not exist" in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_help_speaks_of_every_stage():
    text = invoke("--help")
    assert all(name in text for name in ("analyse", "train", "divergence", "sample", "report", "run"))
