"""`evaluate` on a folder in which every plan was sampled from one x(T), by scores that are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from examples.images.bulk import sample_plan
from examples.images.evaluation import Features, networks
from examples.images.evaluation.run import evaluate_run, evaluation_of, told
from examples.images.sampling import SolverName, draw, load_samples, randomness
from subspace_sde import VE, Identity, LowPass
from subspace_sde.images import Images
from subspace_sde.oracles import DCTGaussian
from subspace_sde.scores import at_level
from tests.examples.images.commands import invoke

SHAPE, SDE, NUM = (3, 16, 16), VE(), 40
PIXELS = Features(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()), "blocks")
PLANS = {"full": [], "lowpass": ["lowpass:8"], "early": ["lowpass:4"]}
DIVERGENCE = {"levels": {"lowpass:8": {"t": 0.5}, "lowpass:4": {"t": 0.45}}}


def law(n):
    """Images of n × n pixels whose power falls as 1/f², about a mean of one half."""
    radius = np.pi / n * np.hypot(*np.indices((n, n)))
    radius[0, 0] = np.pi / (2 * n)
    return DCTGaussian(np.full((3, n, n), 0.5), np.broadcast_to(0.004 / radius**2, (3, n, n)))


@pytest.fixture(scope="module")
def images():
    pixels = (255 * law(16).sample(240, rng=3).clip(0, 1)).round().astype(np.uint8)
    return Images("stationary", pixels[:200], pixels[200:])


def level(name):
    subspace = Identity(SHAPE) if name == "full" else LowPass(SHAPE, int(name.partition(":")[2]))
    score = at_level(lambda x, t: law(x.shape[-1]).score(SDE)(x, t), SDE, subspace)
    return SimpleNamespace(name=name, sde=SDE, subspace=subspace, score=score, digest=name)


def drawn(images, out, solver=SolverName.dpm_solver_2m, seed=0, num=NUM):
    models = {name: level(name) for name in ("full", "lowpass:8", "lowpass:4")}
    draw(images, models, PLANS, DIVERGENCE, out, num, 24, solver, seed=seed)
    found = json.loads((out / "samples.json").read_text())
    return {plan: load_samples(out, found, plan) for plan in found["plans"]}


@pytest.fixture(scope="module")
def out(images, tmp_path_factory):
    """A folder after `sample`."""
    out = tmp_path_factory.mktemp("run")
    drawn(images, out)
    return out


def drawn_in_bulk(images, out, plan, num, seed=0, further=""):
    models = {name: level(name) for name in ("full", "lowpass:8", "lowpass:4")}
    models["full"].digest += further
    place = torch.device("cpu")
    sample_plan(images, models, PLANS, DIVERGENCE, plan, out, num, 24, SolverName.dpm_solver_2m, 10, seed, place)


def psnr(x, y):
    return -10 * np.log10(np.mean((x - y) ** 2, axis=(1, 2, 3))).mean()


def test_plans_start_from_one_noise(images, out, tmp_path):
    found = json.loads((out / "samples.json").read_text())
    sets = {plan: load_samples(out, found, plan) for plan in PLANS}
    near, far = psnr(sets["lowpass"], sets["full"]), psnr(sets["early"], sets["full"])
    unrelated = psnr(sets["lowpass"], np.roll(sets["full"], 1, axis=0))
    assert near > 35 and near > far > unrelated + 5, (near, far, unrelated)
    # a part of the samples is the same part, though the chunks are others
    few = drawn(images, tmp_path, num=3)
    np.testing.assert_allclose(few["lowpass"], sets["lowpass"][:3], atol=1e-5)
    noisy = drawn(images, tmp_path, SolverName.euler_maruyama)  # what is drawn on the way is of each plan's own shape
    assert psnr(noisy["lowpass"], noisy["full"]) > psnr(noisy["lowpass"], np.roll(noisy["full"], 1, axis=0)) + 0.5


def test_randomness_is_that_of_the_sample_and_not_used_twice():
    like = torch.zeros(())
    rng, x = randomness(SDE, SHAPE, 7, 0, 64, like)
    later, part = randomness(SDE, SHAPE, 7, 40, 64, like)
    assert torch.equal(part, x[40:]) and rng[40:] == later
    assert x.std().item() == pytest.approx(SDE.prior_std, rel=0.02)
    others = randomness(SDE, SHAPE, 8, 0, 64, like)
    assert not set(rng) & set(others[0]) and abs((x * others[1]).mean().item()) < 0.05 * SDE.prior_std**2
    again, restarted = randomness(SDE, SHAPE, 7, 0, 64, like)
    assert again == rng and torch.equal(restarted, x)
    on_the_way = torch.stack([torch.randn(SHAPE, generator=torch.Generator().manual_seed(s)) for s in rng])
    assert abs((x * on_the_way).mean().item()) < 0.05 * SDE.prior_std


def test_evaluation_is_written_and_found_again(images, out, monkeypatch):
    found = evaluate_run(images, out, PIXELS, resamplings=3)
    assert list(found["rows"]) == ["training images", *PLANS] and found["note"] == ""
    full, near, far = (found["rows"][plan] for plan in PLANS)
    assert "PSNR" not in full and near["PSNR"][0] > far["PSNR"][0] > 15
    assert min(near["cosine"][0], far["cosine"][0]) > 0.999  # means of 8 × 8 pixels are on either level
    text = (out / "evaluation.md").read_text()
    assert "40 samples of each, 40 held-out images, features of blocks" in text
    assert f"| FD-blocks ↓ | {told(found['rows']['training images']['FD-blocks'])} |" in text
    assert (out / "evaluation.png").stat().st_size > 1000
    assert json.loads((out / "evaluation.json").read_text()) == found
    assert evaluation_of(images, out) == {**found, "table": evaluation_of(images, out)["table"]}
    monkeypatch.setattr("examples.images.evaluation.run.measure", None)
    assert evaluate_run(images, out, PIXELS, resamplings=3) == found
    monkeypatch.undo()
    assert evaluate_run(images, out, PIXELS, resamplings=2) != found


def test_samples_in_bulk_are_those_drawn_side_by_side(images, out, tmp_path):
    with pytest.raises(ValueError, match=r"shards holds no samples: draw some by `sample --plan PLAN`"):
        evaluate_run(images, tmp_path, PIXELS, bulk=True)
    drawn_in_bulk(images, tmp_path, "lowpass", NUM)
    alone = evaluate_run(images, tmp_path, PIXELS, resamplings=2, bulk=True)["rows"]
    assert list(alone) == ["training images", "lowpass"] and "PSNR" not in alone["lowpass"]
    drawn_in_bulk(images, tmp_path, "full", NUM)
    found = evaluate_run(images, tmp_path, PIXELS, resamplings=2, bulk=True)
    beside = evaluate_run(images, out, PIXELS, resamplings=2)["rows"]
    assert list(found["rows"]) == ["training images", "full", "lowpass"]
    for name, row in found["rows"].items():
        for figure, (value, _) in row.items():
            assert value == pytest.approx(beside[name][figure][0], rel=1e-2), (name, figure)
    assert json.loads((tmp_path / "evaluation-bulk.json").read_text()) == found
    assert not (tmp_path / "evaluation.json").exists() and (tmp_path / "evaluation-bulk.png").exists()
    drawn_in_bulk(images, tmp_path, "early", 20, seed=1)
    with pytest.raises(ValueError, match=r"differ in their seed \(full: 0, early: 1, lowpass: 0\): draw them with the"):
        evaluate_run(images, tmp_path, PIXELS, bulk=True)


def test_pairs_in_bulk_are_of_one_number_and_network(images, tmp_path, monkeypatch):
    monkeypatch.setattr("examples.images.bulk.batch_on", lambda device: 16)
    for plan in ("full", "lowpass"):
        drawn_in_bulk(images, tmp_path, plan, 40)
    (tmp_path / "shards" / "lowpass" / "00000016.parquet").unlink()
    with pytest.raises(
        ValueError, match=r"lowpass lacks the samples from number 16 on, and has those from 32 on: call"
    ):
        evaluate_run(images, tmp_path, PIXELS, bulk=True)
    drawn_in_bulk(images, tmp_path, "lowpass", 40)
    assert evaluate_run(images, tmp_path, PIXELS, resamplings=2, bulk=True)["rows"]["lowpass"]["PSNR"][0] > 30
    drawn_in_bulk(images, tmp_path, "early", 40, further=" trained further")
    with pytest.raises(
        ValueError, match=r"differ in their full network \(full: full, early: full trained further, low"
    ):
        evaluate_run(images, tmp_path, PIXELS, bulk=True)


def test_plans_in_bulk_count_with_the_number_that_each_has(images, out, tmp_path):
    drawn_in_bulk(images, tmp_path, "full", 40)
    drawn_in_bulk(images, tmp_path, "lowpass", 24)
    found = evaluate_run(images, tmp_path, PIXELS, resamplings=2, bulk=True)
    assert found["samples"] == 24 and found["rows"]["lowpass"]["PSNR"][0] > 30
    drawn_in_bulk(images, tmp_path, "lowpass", 40)  # more than when it was evaluated
    assert evaluate_run(images, tmp_path, PIXELS, resamplings=2, bulk=True)["samples"] == 40


def test_the_reference_is_that_of_these_images(images, out):
    other = Images(images.name, images.train, images.held_out[:30])
    kept = set((out / "features").iterdir())
    found = evaluate_run(images, out, PIXELS, resamplings=2)
    assert evaluate_run(other, out, PIXELS, resamplings=2)["rows"]["full"] != found["rows"]["full"]
    assert set((out / "features").iterdir()) > kept
    assert evaluation_of(other, out) is not None and evaluation_of(images, out) is None


def test_what_must_come_first(images, out, tmp_path):
    with pytest.raises(ValueError, match=r"samples.json is missing: run `python -m examples.images sample`"):
        evaluate_run(images, tmp_path, PIXELS)
    other = Images("other", images.train[::-1].copy(), images.held_out)
    with pytest.raises(ValueError, match=r"samples.json is not of these images: run `sample` on them"):
        evaluate_run(other, out, PIXELS)
    assert evaluation_of(other, out) is None and evaluation_of(images, tmp_path) is None
    none = Images(images.name, images.train, images.held_out[:4])
    with pytest.raises(ValueError, match="4 held-out images are left, and 16 is the least"):
        evaluate_run(none, out, PIXELS)


def test_the_command(images, out, tmp_path, monkeypatch):
    monkeypatch.setattr("examples.images.commands.evaluation.read_images", lambda *_: SimpleNamespace(images=images))
    monkeypatch.setattr(networks, "EfficientNetLite0", lambda: PIXELS.module)
    output = " ".join(invoke("evaluate", "--out", out, "--network", "efficientnet-lite0", "--resamplings", 2).split())
    assert "KD-EffLite0" in output and "recall" in output and "± one standard error" in output
    with pytest.raises(ValueError, match="shards holds no samples"):
        invoke("evaluate", "--out", out, "--network", "efficientnet-lite0", "--bulk")
    with pytest.raises(ValueError, match="unknown feature network 'vgg'"):
        invoke("evaluate", "--out", out, "--network", "vgg")
