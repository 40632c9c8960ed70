"""The commands that put trained levels to use, on tiny untrained levels: what they write, find again and refuse."""

import base64
import json
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from examples.images import interpolations, likelihoods, posteriors
from examples.images.__main__ import app
from examples.images.comparison import ways
from examples.images.levels import SDE, Level, file_name, load_levels, unet
from subspace_sde import Identity, LowPass, log_likelihood
from subspace_sde.images import load, to_unit
from subspace_sde.likelihood import Bins
from subspace_sde.measurements import check_measurement
from subspace_sde.solvers import DPMSolver

SHAPE, LEVEL = (3, 16, 16), ["--level", "lowpass:8"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, two untrained levels and the time at which the smaller one may be left."""
    folder = tmp_path_factory.mktemp("applications")
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 256, (80, 4, 4, 3)), np.ones((1, 4, 4, 1))) + rng.normal(0, 4, (80, 16, 16, 3))
    np.savez(folder / "images.npz", images=np.clip(images, 0, 255).astype(np.uint8))
    torch.manual_seed(0)
    for name, subspace in (("full", Identity(SHAPE)), ("lowpass:8", LowPass(SHAPE, 8))):
        network = unet(subspace.shape, (8, 8), 1).eval().requires_grad_(False)
        Level(name, SDE, subspace, 0.5, 0.3, (8, 8), 1, network).save(folder / file_name(name))
    row = {"t": 0.5, "note": "", "values": [1.0, 0.1], "stderr": [0.0, 0.0]}
    found = {"threshold": 0.1, "images": 1, "times": [0.4, 0.5], "levels": {"lowpass:8": row}}
    (folder / "divergence.json").write_text(json.dumps(found))
    return folder


def invoke(place, command, *arguments):
    given = [command, "--data", place / "images.npz", "--out", place, *LEVEL, "--device", "cpu", *arguments]
    result = CliRunner().invoke(app, [str(a) for a in given])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output, json.loads((place / f"{command}.json").read_text())


WAYS = ["full model", "lowpass, staged", "lowpass, eq. 11"]


def test_likelihood(place, monkeypatch):
    output, found = invoke(place, "likelihood", "--num", 2, "--steps", 30, "--probes", 2)
    assert list(found["ways"]) == WAYS and all(name in output for name in WAYS)
    full, staged, whole = found["ways"].values()
    assert full["over full"] == 0 and sum(staged["evaluations"]) == full["evaluations"][0] + 1
    # eq. 11 is the same model by other means: what is left is the solver's error
    assert staged["mean"] == pytest.approx(whole["mean"], abs=0.2) and staged["probe stderr"] > 0
    # the numbers are those of the library, whatever the chunk
    images = load(place / "images.npz")
    models = load_levels(place, ["full", "lowpass:8"], SHAPE, torch.device("cpu"))
    way = ways(images, models, {"full": []}, json.loads((place / "divergence.json").read_text()))["full model"]
    x = torch.from_numpy(to_unit(images.held_out[:2]))
    again = log_likelihood(
        way.process, way.scores, x, solver=DPMSolver(3), steps=30, trace=likelihoods.Hutchinson(2), bins=Bins()
    )
    assert full["bits"] == pytest.approx(again.bits_per_dimension.tolist(), rel=1e-4)
    monkeypatch.setattr(likelihoods, "log_likelihood", None)  # found again, nothing is computed
    assert invoke(place, "likelihood", "--num", 2, "--steps", 30, "--probes", 2)[1] == found


@pytest.mark.parametrize(
    ("command", "names", "extra"),
    [
        ("inpaint", ["inpaint-half", "inpaint-random"], ["--seen", 0.5, "--method", "replacement"]),
        ("colourise", ["colourise"], []),
        ("upscale", ["upscale"], ["--factor", 2]),
    ],
)
def test_restoring(place, monkeypatch, command, names, extra):
    arguments = ["--num", 2, "--samples", 2, "--steps", 6, *extra]
    output, found = invoke(place, command, *arguments)
    assert list(found["losses"]) == names
    for name, loss in found["losses"].items():
        assert list(loss["ways"]) == WAYS and loss["title"].split()[0] in output
        assert len(loss["ways"]["lowpass, staged"]["evaluations"]) == 2
        picture = np.asarray(Image.open(place / f"{name}.png").convert("RGB"))
        assert picture.shape == (5 * 50 - 2, 110 + 2 * 50 - 2, 3)  # photographs, seen, three ways; 48 pixels and a gap
        truth = load(place / "images.npz").held_out[0].transpose(1, 2, 0).repeat(3, axis=0).repeat(3, axis=1)
        assert np.abs(picture[:48, 110:158].astype(int) - truth).max() <= 1
    if command == "inpaint":
        assert set(found["losses"]["inpaint-half"]["ways"]["full model"]["methods"]) == {"Replacement"}
        assert found["losses"]["inpaint-half"]["ways"]["full model"]["off"] < 0.2
    for loss in found["losses"].values():  # what the table says of PSNR is what the pictures' errors are
        full, staged, _ = loss["ways"].values()
        off = np.subtract(staged["psnr"]["each"], full["psnr"]["each"])
        assert staged["over full"] == pytest.approx(off.mean())
        assert staged["over full stderr"] == pytest.approx(off.std(ddof=1) / 2**0.5)
    monkeypatch.setattr(posteriors, "sample_posterior", None)
    assert invoke(place, command, *arguments)[1] == found


def test_interpolate(place, monkeypatch):
    output, found = invoke(place, "interpolate", "--pairs", 2, "--points", 3, "--steps", 20)
    assert list(found["ways"]) == WAYS[:2] and "round trip" in output
    assert all(way["round trip"] < 0.1 for way in found["ways"].values())
    assert np.asarray(Image.open(place / "interpolate.png")).shape[:2] == (4 * 50 - 2, 110 + 3 * 50 - 2)
    monkeypatch.setattr(interpolations, "encode", None)
    assert invoke(place, "interpolate", "--pairs", 2, "--points", 3, "--steps", 20)[1] == found


@pytest.mark.parametrize("loss", ["half", "scattered", "grey", "small"])
def test_losses_are_measurements_and_images(loss):
    arguments = {"half": (), "scattered": (0.3, 0), "grey": (), "small": (4,)}[loss]
    found = getattr(posteriors, loss)(SHAPE, *arguments)
    check_measurement(found.measurement)
    white = np.ones((2, *SHAPE))
    shown = found.shown(found.measurement.apply(white))
    assert shown.shape == white.shape and set(np.round(np.unique(shown), 6)) <= {0.5, 1.0}
    # where something was seen the picture shows it, so that it is measured again as it was
    if loss != "grey":
        np.testing.assert_allclose(found.measurement.apply(shown), found.measurement.apply(white))


def test_the_report_shows_what_there_is(place):
    for command, extra in (
        ("likelihood", ["--probes", 2]),
        ("upscale", ["--samples", 1]),
        ("interpolate", ["--pairs", 1]),
    ):
        invoke(place, command, "--steps", 4, *extra, *(["--num", 2] if command != "interpolate" else []))
    shared = ["--data", place / "images.npz", "--out", place, *LEVEL]
    for arguments in (
        ["analyse", *shared, "--threshold", 0.5],
        ["sample", *shared, "--num", 8, "--steps", 4, "--device", "cpu"],
    ):
        assert CliRunner().invoke(app, [str(a) for a in arguments]).exit_code == 0
    for name in ("full", "lowpass:8"):  # an untrained level has no recipe to report
        level = Level.load(place / file_name(name))
        level.recipe = dict.fromkeys(("steps", "batch", "minutes", "loss", "device", "data", "seed", "commit"), 0)
        level.recipe["parameters"] = 1
        level.save(place / "recipes" / file_name(name))
    result = CliRunner().invoke(app, [str(a) for a in ["report", *shared, "--weights", place / "recipes"]])
    assert result.exit_code == 0, result.exception
    html = unescape((place / "report.html").read_text())
    assert "Likelihood of held-out images" in html and 'src="upscale.png"' not in html
    for picture in ("upscale.png", "interpolate.png"):
        assert base64.b64encode((place / picture).read_bytes()).decode() in html
    assert "lowpass, eq. 11" in html and "{{" not in html


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("inpaint", ["--method", "magic"], "unknown method 'magic': choose one of pigdm, replacement"),
        ("inpaint", ["--seen", 1.5], r"lies between 0 and 1, got 1\.5"),
        ("colourise", ["--noise", -1], "noise is a standard deviation, finite and not negative"),
        ("upscale", ["--factor", 5], "5"),
        ("likelihood", ["--probes", 0], "probes must be"),
        ("interpolate", ["--pairs", 5], "8 held-out images make 4 pairs, not 5"),
        ("inpaint", ["--weights", "nowhere"], "train that level first"),
    ],
)
def test_refusals(place, command, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        invoke(place, command, *arguments)


def test_divergence_comes_first(place, tmp_path):
    with pytest.raises(ValueError, match=r"divergence\.json is missing"):
        invoke(place, "likelihood", "--out", tmp_path, "--weights", place)
