"""A run folder remembers its images, their size and its plans; what contradicts it is refused in one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from examples.images.folder import FILE, kept_in, open_run
from examples.images.levels import SHARED, Level, file_name, unet
from examples.images.plans import build_process, joined
from examples.images.results import fingerprint
from examples.images.training import Recipe, train_named
from subspace_sde import VE, Identity, LowPass, NestedSubspaces, SubspaceSDE
from subspace_sde.images import load, unit_batches
from subspace_sde.specification import specify
from tests.examples.images.commands import TINY, invoke

TRAIN = ["--level", "full", "--channels", "8", "--batch", 4, "--device", "cpu"]


@pytest.fixture
def pictures(tmp_path):
    """A folder of twenty images of 8 x 8."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, x in enumerate(np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)):
        Image.fromarray(x).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture
def begun(pictures, tmp_path):
    """A folder in which `analyse` has run on them."""
    out = tmp_path / "run"
    invoke("analyse", "--data", pictures, "--out", out)
    return out


def about(out):
    return json.loads((out / FILE).read_text())


def rewrite(out, **content):
    (out / FILE).write_text(json.dumps(about(out) | content))


def test_it_says_what_it_is_of(begun, pictures):
    found, images = about(begun), load(pictures, channels=3)
    assert (found["format"], found["version"]) == ("subspace_sde run", 1)
    assert (found["data"], found["source"], found["size"]) == (str(pictures), str(pictures), None)
    assert (found["shape"], found["images"], found["train"]) == ([3, 8, 8], [18, 2], fingerprint(images))
    assert found["sde"] == specify(VE(0.01, 50.0)) and found["plans"] is None


def test_data_and_size_are_said_once(data, tmp_path, monkeypatch):
    """Through all the stages, from another working directory: the images are those that were given first."""
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(data.parent)
    invoke("analyse", "--data", data.name, "--size", 12, "--out", out, "--threshold", 0.5)
    monkeypatch.chdir(elsewhere)
    same = ["--out", out, "--device", "cpu"]
    output = invoke("train", *same, "--level", "lowpass:4", *TINY[2:], "--channels", 8, "--steps", 1)
    assert "36 training images and 4 held out, 12 x 12" in output and about(out)["plans"]["lowpass"] == ["lowpass:4"]
    invoke("divergence", *same, "--threshold", 0.5, "--count", 16)
    measured = json.loads((out / "divergence.json").read_text())
    assert list(measured["levels"]) == ["lowpass:4"]
    measured["levels"]["lowpass:4"]["t"] = 0.5  # an untrained network may not have one
    (out / "divergence.json").write_text(json.dumps(measured))
    invoke("sample", *same, "--num", 2, "--steps", 4)
    drawn = json.loads((out / "samples.json").read_text())
    assert drawn["plans"]["lowpass"]["levels"] == ["lowpass:4"]
    # the variances of the complement are those of the run's images, not of any others
    images = load(data, 12, channels=3)
    subspaces = NestedSubspaces.from_subspaces([LowPass((3, 12, 12), 4)])
    process = SubspaceSDE.fit(VE(0.01, 50.0), subspaces, [0.5], unit_batches(images.train))
    invoke("likelihood", *same, "--num", 1, "--steps", 4)
    assert json.loads((out / "likelihood.json").read_text())["data"] == fingerprint(images)
    held = open_run(out, None, None)
    assert build_process(held.images, ["lowpass:4"], measured, VE(0.01, 50.0)) == process
    assert "report" in invoke("report", "--out", out)


def test_other_images_another_size_and_another_sde_are_refused(begun, pictures, data):
    holds = rf"{begun} holds a run of {pictures}, 18 training images and 2 held out, 8 x 8"
    with pytest.raises(
        ValueError, match=rf"{holds}, and {data} holds other images \(36 .* 16 x 16\): leave --data out"
    ):
        invoke("analyse", "--out", begun, "--data", data)
    with pytest.raises(ValueError, match=rf"{holds}, and --size is 4: leave --size out, or give another --out"):
        invoke("analyse", "--out", begun, "--size", 4)
    invoke("analyse", "--out", begun, "--size", 8)  # which they have
    rewrite(begun, sde=specify(VE(0.01, 60.0)))
    with pytest.raises(
        ValueError, match=r"holds a run under VE\(.*sigma_max=60.*\), and levels have VE.*another --out"
    ):
        invoke("analyse", "--out", begun)


def test_networks_of_another_sde_are_refused(begun, tmp_path):
    network, weights = unet((3, 8, 8), (8,), 1), tmp_path / "weights"
    Level("full", VE(0.01, 60.0), Identity((3, 8, 8)), 0.0, 1.0, (8,), 1, network).save(weights / file_name("full"))
    with pytest.raises(ValueError, match=r"were trained under VE\(.*60.*\), .*run is of VE"):
        invoke("divergence", "--out", begun, "--weights", weights, "--level", "lowpass:4", "--device", "cpu")


def test_the_same_images_elsewhere_and_spelled_otherwise_are_the_same(begun, pictures, tmp_path):
    before = (begun / "analysis.json").read_bytes()
    invoke("train", "--out", begun, *TRAIN, "--steps", 1)
    moved = pictures.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=rf"is of {pictures}, 18 .*cannot be read any more \(.*does not exist\): give"):
        invoke("train", "--out", begun, *TRAIN, "--steps", 2)
    invoke("train", "--out", begun, "--data", f"{moved}/../moved/", *TRAIN, "--steps", 2)
    invoke("train", "--out", begun, *TRAIN, "--steps", 3)  # it knows the new place
    assert Level.load(begun / "full.safetensors").recipe["steps"] == 3
    assert (begun / "analysis.json").read_bytes() == before


def test_images_that_changed_in_place_are_refused(begun, pictures):
    Image.new("RGB", (8, 8)).save(pictures / "00.png")
    for given, message in (([], "have changed since"), (["--data", pictures], "holds other images")):
        with pytest.raises(ValueError, match=message):
            invoke("train", "--out", begun, *given, *TRAIN, "--steps", 1)
    assert not (begun / "full.safetensors").exists()


@pytest.mark.parametrize(
    "content, said",
    [
        ("{", "Expecting property name"),
        ("[]", "does not say that its format"),
        ({"version": 2}, "its format is version 2, and this subspace_sde reads version 1"),
        ({"size": "8"}, "`size` takes"),
        ({"size": 8.5}, "`size` takes"),
        ({"colour": 1}, "unexpected"),
        ({"shape": [8, 8]}, "shape has three numbers"),
        ({"plans": {"../../a": []}}, "is no name of a plan"),
        ({"plans": ["lowpass:4"]}, "`plans` takes"),
        ({"sde": {"kind": "Unknown"}}, "Unknown"),
        ({"train": None}, "`train` takes"),
    ],
)
def test_a_file_that_is_none(begun, content, said):
    if isinstance(content, str):
        (begun / FILE).write_text(content)
    else:
        rewrite(begun, **content)
    before = (begun / FILE).read_bytes()
    with pytest.raises(ValueError, match=f"{FILE} holds no run of subspace_sde: .*{said}.*remove that file") as refused:
        invoke("analyse", "--out", begun)
    assert "\n" not in str(refused.value) and (begun / FILE).read_bytes() == before


def test_remembered_levels_that_make_no_plan(begun):
    rewrite(begun, plans={"full": [], "lowpass": ["lowpass:12"]})
    with pytest.raises(
        ValueError, match=r"the levels that .*run remembers make no plans \(lowpass:12 .*\): give --level"
    ):
        invoke("train", "--out", begun, "--steps", 1)


def test_a_run_from_before_there_was_such_a_file(begun, pictures, data):
    (begun / FILE).unlink()
    with pytest.raises(ValueError, match=rf"{begun} holds a run but no {FILE}.*: give --data and --size once"):
        invoke("sample", "--out", begun)
    with pytest.raises(ValueError, match=rf"{begun} holds a run of {pictures}, and builtin .*: give those, or another"):
        invoke("train", "--data", "builtin", "--out", begun)
    assert not (begun / FILE).exists()
    invoke("analyse", "--data", pictures, "--out", begun)
    assert about(begun)["data"] == str(pictures)


def test_a_folder_in_which_nothing_was_made_is_bound_to_nothing(pictures, data, tmp_path):
    with pytest.raises(ValueError, match="choose a size divisible by 2"):
        invoke("train", "--data", pictures, "--size", 7, "--out", tmp_path, "--level", "full", "--channels", "8,8")
    assert about(tmp_path)["size"] == 7
    invoke("train", "--data", data, "--out", tmp_path, *TRAIN, "--steps", 1)
    assert (about(tmp_path)["data"], about(tmp_path)["size"]) == (str(data), None)


def test_levels_are_those_of_the_networks_that_were_trained(data, tmp_path):
    common = ["--out", tmp_path, *TINY[2:], "--steps", 1, "--device", "cpu"]
    invoke("analyse", "--data", data, "--out", tmp_path, "--threshold", 0.5)
    for level in ("full", "lowpass:4", "lowpass:8"):
        invoke("train", *common, "--level", level)
    assert about(tmp_path)["plans"] == {"full": [], "lowpass": ["lowpass:8", "lowpass:4"]}
    # a look at another level is no change of the run's
    invoke("divergence", *common[:2], "--level", "lowpass:12", "--count", 4, "--device", "cpu")
    assert about(tmp_path)["plans"] == {"full": [], "lowpass": ["lowpass:8", "lowpass:4"]}
    invoke("divergence", *common[:2], "--count", 4, "--device", "cpu")
    assert list(json.loads((tmp_path / "divergence.json").read_text())["levels"]) == ["lowpass:8", "lowpass:4"]
    with pytest.raises(ValueError, match="trained otherwise"):
        invoke("train", *common, "--level", "lowpass:4", "--level", "lowpass:12", "--seed", 5)
    assert about(tmp_path)["plans"]["lowpass"] == ["lowpass:8", "lowpass:4"]


def test_a_shared_network_keeps_its_plans_when_the_analysis_is_made_anew(data, tmp_path):
    out = ["--out", tmp_path]
    invoke("analyse", "--data", data, *out, "--threshold", 0.5)
    invoke("train", *out, *TINY[2:], "--steps", 1, "--device", "cpu", "--shared")
    plans = about(tmp_path)["plans"]
    invoke("analyse", *out, "--threshold", 0.05)
    invoke("divergence", *out, "--count", 4, "--device", "cpu")
    assert about(tmp_path)["plans"] == plans
    names = Level.load(tmp_path / SHARED).shared
    assert ["full", *json.loads((tmp_path / "divergence.json").read_text())["levels"]] == list(names)


def test_joined():
    before = {"full": [], "1-level": ["lowpass:8"], "lowpass": ["lowpass:4"]}
    found = joined(before, {"full": [], "lowpass": ["lowpass:12"], "db2": ["db2:8"]})
    assert found == {**before, "lowpass": ["lowpass:12", "lowpass:4"], "db2": ["db2:8"]}
    assert joined(None, {"full": []}) == {"full": []}


def test_a_state_that_holds_the_name_of_its_images(data, tmp_path):
    """As states did before they held the content: the same name goes on, another one is refused with that name."""
    images, recipe = load(data, channels=3), Recipe(steps=1, batch=4, channels=(8,))
    train_named("full", images, recipe, tmp_path, "old/name", "cpu")
    file = tmp_path / "state" / "full" / "progress.json"
    state = json.loads(file.read_text())
    assert state["asked"]["data"] == fingerprint(images)
    state["asked"]["data"] = "old/name"
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match="on images of which it knows the name alone: --data old/name"):
        train_named("full", images, Recipe(steps=2, batch=4, channels=(8,)), tmp_path, "new/name", "cpu")
    level = train_named("full", images, Recipe(steps=2, batch=4, channels=(8,)), tmp_path, "old/name", "cpu")
    assert level.recipe["steps"] == 2 and level.recipe["data"] == "old/name"
    assert json.loads(file.read_text())["asked"]["data"] == fingerprint(images)
    images.train[0] = 255 - images.train[0]
    with pytest.raises(ValueError, match=r"trained otherwise \(on other images\)"):
        train_named("full", images, Recipe(steps=3, batch=4, channels=(8,)), tmp_path, "old/name", "cpu")


def test_what_a_stopped_command_keeps(data, tmp_path):
    """Ctrl-C in the middle of training: one line, what is kept, the exit code 130; the same command goes on."""
    out = tmp_path / "run"
    # what a shell starts in the background is deaf to Ctrl-C, and so is all that it starts
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeds}; from examples.images.__main__ import main; main()"]
    command += ["train", "--data", data, "--out", out, "--level", "full"]
    command = [str(c) for c in [*command, *TINY[2:], "--device", "cpu", "--minutes", 5]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        seen = ""
        while "step" not in seen and process.poll() is None:
            seen += os.read(process.stderr.fileno(), 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130 and "Traceback" not in errors + output, errors[-2000:]
    steps = json.loads((out / "state" / "full" / "progress.json").read_text())["step"]
    line = output.strip().splitlines()[-1]
    assert line == f"stopped: {out} keeps the network full after {steps} steps; the same command goes on from there"
    assert "/5.0 min" in seen + errors and "1000000000" not in seen
    assert kept_in(tmp_path / "none") == "nothing yet"
    shutil.rmtree(out / "state")
