"""The study end to end on tiny images and networks: what it keeps, finds again, and refuses."""

import itertools
import json
import shutil
import time
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from unittest.mock import ANY

import numpy as np
import pytest
import torch

from examples.images import reproduction
from examples.images.devices import machine
from examples.images.evaluation import Features
from examples.images.levels import Level, load_levels
from examples.images.reproduction import Bits, Cell, speed, study
from subspace_sde.images import load
from tests.examples.images.commands import invoke

CELLS = [
    Cell("separate", "full", "heun", 3),
    Cell("separate", "lowpass 1", "heun", 3, 5.0),
    Cell("separate", "lowpass 1", "heun", 3, 1e-9),  # which no network meets
    Cell("shared", "full", "predictor-corrector", 2),
    Bits("separate", "lowpass 1", "bits/dim", 2, 5.0),
]
"""The networks are hardly trained: their D_F meets a threshold of 5 alone."""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """200 smooth random images of 16 x 16, 20 of them held out."""
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 256, (200, 4, 4, 3)), np.ones((1, 4, 4, 1)))
    images = np.clip(images + rng.normal(0, 4, images.shape), 0, 255)
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=images.astype(np.uint8))
    return path


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """Few cells, and a judge of twelve numbers."""
    pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "CELLS", CELLS)
        patch.setattr("examples.images.evaluation.feature_network", lambda name, device: Features(pool, "pool"))
        ticks = itertools.count()  # as many steps on any machine
        patch.setattr(
            import_module("examples.images.reproduction.networks"),
            "time",
            SimpleNamespace(process_time=lambda: 0.01 * next(ticks)),
        )
        patch.setattr(study, "LOOKS", 32)
        patch.setattr(study, "HELD_OUT", 2)
        yield


def reproduce(data, out, budget=5, *more):
    common = ["--channels", "8,16", "--batch", 4, "--train-minutes", 0.002, "--num", 20, "--device", "cpu"]
    return invoke("reproduce", "--data", data, "--out", out, "--budget", budget, *common, *more)


@pytest.fixture(scope="module")
def finished(many, tiny, tmp_path_factory):
    """All cells."""
    out = tmp_path_factory.mktemp("study")
    return out, reproduce(many, out)


def test_every_cell_is_in_the_results(finished):
    out, output = finished
    found = json.loads((out / "results" / "results.json").read_text())
    full, plan, paper = found["cells"]
    assert [c["name"] for c in found["cells"]] == [CELLS[i].name for i in (0, 1, 3)]
    assert full["evaluations"] == [7] and full["of full size"] == 7 and full["cost"] == pytest.approx(7 / 2000)
    f = found["about"]["figure"]
    small, large = plan["evaluations"][1], plan["evaluations"][0]
    assert plan["levels"] == ["lowpass:6"] and small > 0
    assert plan["of full size"] == pytest.approx(large + small * 6 * 6 / (16 * 16))
    assert paper["evaluations"] == [5] and "cosine" in plan["figures"] and "cosine" not in full["figures"]
    assert found["left out"] == {CELLS[2].name: "no level meets D_F = 1e-09"}
    (bits,) = found["bits"]
    assert set(bits["ways"]) == {"full model", "plan, staged", "plan, eq. 11"}
    (row,) = found["factored"]
    assert row["level"][0] == row["paper"][0] == CELLS[3].name and row["levels"] is None
    assert found["about"]["data"] == "images.npz" and found["about"]["commits"] and found["about"]["seed"] == 0
    assert all(
        recipe["steps"] >= 1 and "data" not in recipe for k in found["networks"].values() for recipe in k.values()
    )
    assert set(found["networks"]["separate"]) > {"full", "lowpass:6"} and set(found["networks"]["shared"]) == {"full"}
    assert found["over full"] == {plan["name"]: [pytest.approx(plan["figures"][f][0] - full["figures"][f][0]), ANY]}
    assert found["sampling"] == {} and found["about"]["machines"] == [machine(torch.device("cpu"))]
    page = (out / "results" / "index.md").read_text()
    assert set(found["training images"]) == set(full["figures"]) and "images in place of samples: " in page
    assert found["training images"][f][0] < full["figures"][f][0]  # a network after one step
    for file in out.joinpath("results").glob("*.png"):
        assert f"]({file.name})" in page
    assert "4 of 4 cells" in page and str(out) not in page and "results:" in output
    assert {"quality.png", "samples.png", "divergence-separate.png"} <= {f.name for f in (out / "results").iterdir()}


def test_the_share_of_the_peak_in_training(finished, monkeypatch):
    out, _ = finished
    place, best = torch.device("cpu"), 1e12
    monkeypatch.setattr(speed, "peak", lambda device, precision="no": best / (1 + (precision == "bf16")))
    level = Level.load(out / "separate" / "full.safetensors")
    assert speed.training(level, place) == {}  # for no whole minute
    level.recipe |= {"steps": 600, "batch": 4, "minutes": 2.0, "precision": "bf16"}
    done = speed.operations(level, place)
    weights = sum(m.weight.numel() for m in level.network.modules() if isinstance(m, torch.nn.Conv2d))
    assert 2 * 256 * weights / 16 < done < 2 * 256 * weights  # between those of the smallest and of the full size
    found = speed.training(level, place)
    assert found == {"images a second": 20.0, "of peak": pytest.approx(3 * 20 * done / (best / 2))}
    # half of the steps for images half as wide: half as many pixels each
    level.recipe["shares"] = {"full": 0.5, "downsampling:8": 0.5}
    assert speed.training(level, place)["images a second"] == pytest.approx(15.0)
    level.recipe = {}
    assert speed.training(level, place) == {}


def test_the_share_of_the_peak_in_sampling(finished, monkeypatch):
    out, _ = finished
    monkeypatch.setattr(speed, "peak", lambda device: 1e12)
    place = torch.device("cpu")
    levels = {n: Level.load(out / "separate" / f"{n.replace(':', '-')}.safetensors") for n in ("full", "lowpass:6")}
    cells = json.loads((out / "results" / "results.json").read_text())["cells"][:2]
    found = speed.sampling(cells, {"separate": levels}, place)
    full, small = (speed.operations(level, place) for level in levels.values())
    for cell, done in zip(cells, (7 * full, cells[1]["evaluations"][0] * full + cells[1]["evaluations"][1] * small)):
        assert found[cell["name"]]["images a second"] == 1 / cell["seconds"]
        assert found[cell["name"]]["of peak"] == pytest.approx(done / cell["seconds"] / 1e12)


def test_the_peak_is_above_what_a_network_reaches(finished):
    out, _ = finished
    place = torch.device("cpu")
    level = Level.load(out / "separate" / "full.safetensors")
    x = torch.randn(16, 3, 16, 16)
    with torch.no_grad():
        level.score(x, 0.5)
        started = time.perf_counter()
        level.score(x, 0.5)
        reached = 16 * speed.operations(level, place) / (time.perf_counter() - started)
    assert reached < 2 * speed.peak(place) < 1e15


def test_what_cannot_be_measured_is_refused_before_any_training(many, tmp_path):
    few = tmp_path / "few.npz"
    np.savez(few, images=np.load(many)["images"][:80])
    small = tmp_path / "small.npz"
    np.savez(small, images=np.load(many)["images"][:, :8, :8])
    for data, more, message in [
        (few, (), "8 held-out images are left, and 16 is the least"),
        (small, (), "images of 9 x 9 or more"),
        (many, ("--num", 10), "10 samples are too few to measure, 16 is the least"),
    ]:
        with pytest.raises(ValueError, match=message):
            reproduce(data, tmp_path / "run", 5, *more)
    assert not (tmp_path / "run").exists()


def test_it_goes_on_where_it_was(finished, many):
    out, _ = finished
    files = {f: f.stat().st_mtime_ns for kind in ("cells", "samples", "separate") for f in out.glob(f"{kind}/**/*.*")}
    before = (out / "results" / "results.json").read_text()
    reproduce(many, out, 0.001)  # nothing is left, so that no budget is too small
    assert (out / "results" / "results.json").read_text() == before
    lost = next(f for f in files if f.parent.name == "cells" and "heun" in f.name and "full" in f.name)
    lost.unlink()
    shard = next(f for f in files if f.suffix == ".parquet" and "lowpass" in f.parent.name)
    reproduce(many, out)
    assert lost.exists() and shard.stat().st_mtime_ns == files[shard]
    assert json.loads((out / "results" / "results.json").read_text())["cells"] == json.loads(before)["cells"]


def test_results_are_of_the_held_out_images(finished, many):
    out, _ = finished
    images = load(many, channels=3)
    other = replace(images, held_out=images.held_out[::-1].copy())
    judge, place = Features(torch.nn.Flatten(), "pixels"), torch.device("cpu")
    levels = {"separate": load_levels(out / "separate", ["full", "lowpass:6"], images.shape, place)}
    for cell in (CELLS[0], CELLS[4]):
        one, two = (study.Study(data, levels, judge, out, 20) for data in (images, other))
        assert one.file(cell) != two.file(cell) and one.samples(cell) == two.samples(cell)


def test_a_budget_too_small_names_the_cheapest(finished, many, tmp_path):
    out, _ = finished
    words = r"0 minutes are too few for any of the 4 cells that are left: the cheapest, \w+, .*, takes about [\d.e-]+;"
    with pytest.raises(ValueError, match=words):
        reproduce(many, tmp_path, 0, "--weights", out)
    assert not (tmp_path / "results").exists() and not (tmp_path / "separate").exists()


def test_networks_are_taken_as_far_as_they_are_there(finished, many, tmp_path):
    out, _ = finished
    weights = tmp_path / "weights" / "separate"
    weights.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds none of the levels downsampling:8, .*: train one at least"):
        reproduce(many, tmp_path / "a", 5, "--weights", tmp_path / "weights")
    shutil.copy(out / "separate" / "downsampling-8.safetensors", weights)
    with pytest.raises(ValueError, match=r"full.safetensors does not exist"):
        reproduce(many, tmp_path / "a", 5, "--weights", tmp_path / "weights")
    shutil.copy(out / "separate" / "full.safetensors", weights)
    reproduce(many, tmp_path / "a", 5, "--weights", tmp_path / "weights")
    found = json.loads((tmp_path / "a" / "results" / "results.json").read_text())
    assert [cell["name"] for cell in found["cells"]] == [CELLS[0].name]
    assert found["left out"][CELLS[1].name] == "there is no network for lowpass:6"
    assert found["left out"][CELLS[3].name] == "there are no such networks"
    with pytest.raises(ValueError, match="has neither a folder separate nor a folder shared"):
        reproduce(many, tmp_path / "b", 5, "--weights", weights)
