"""Level files and states of training carry the version of their format: the right one is read, no other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from examples.images import levels
from examples.images.levels import FORMAT, VERSION, Level, unet
from examples.images.training import Recipe, train_level
from subspace_sde import VE, Identity, LowPass

SHIPPED = sorted((Path(levels.__file__).parent / "weights").glob("*.safetensors"))
OTHERS = {
    "newer": (str(VERSION + 1), f"has version {VERSION + 1} of its format, and version {VERSION} is read", "update"),
    "older": (str(VERSION - 1), f"has version {VERSION - 1} of its format, and version {VERSION} is read", "remove"),
    "missing": (None, f"carries no version of its format, and version {VERSION} is read", "remove"),
    "no number": ("one", "has version one of its format", "remove"),
}


def read(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def with_version(content, version):
    rest = {key: value for key, value in content.items() if key != "version"}
    return rest if version is None else {**rest, "version": version}


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "full.safetensors"
    Level("full", VE(), Identity((3, 8, 8)), 0.25, 1.0, (8,), 1, unet((3, 8, 8), (8,), 1)).save(path)
    return path


def test_a_level_of_the_right_version_is_read(path):
    tensors, metadata = read(path)
    assert (metadata["format"], metadata["version"]) == (FORMAT, str(VERSION))
    level = Level.load(path)
    assert level.mean == 0.25
    assert all(torch.equal(value, tensors[name]) for name, value in level.network.state_dict().items())


@pytest.mark.parametrize("version, said, mend", OTHERS.values(), ids=OTHERS)
def test_a_level_of_another_version_is_refused_with_the_mend(path, version, said, mend):
    tensors, metadata = read(path)
    save_file(tensors, path, metadata=with_version(metadata, version))
    with pytest.raises(ValueError, match=f"full.safetensors {said}.*: {mend}"):
        Level.load(path)


def test_a_level_from_before_there_were_versions_is_refused_as_one(path):
    tensors, metadata = read(path)
    save_file(tensors, path, metadata={"format": f"{FORMAT} 1", "level": metadata["level"]})
    with pytest.raises(ValueError, match="carries no version of its format"):
        Level.load(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_levels_that_ship_have_the_right_version(path):
    assert read(path)[1]["version"] == str(VERSION)
    assert Level.load(path).subspace.ambient_shape == (3, 32, 32)


def test_one_shared_network_ships_for_the_plans_that_analyse_finds():
    assert [path.stem for path in SHIPPED] == ["shared"]
    assert Level.load(SHIPPED[0]).shared == ("full", "lowpass:8", "lowpass:16", "lowpass:4", "lowpass:20", "lowpass:12")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The state of a level after one step, and what trains it up to so many."""
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 8, 8)).astype(np.uint8)
    out = tmp_path_factory.mktemp("trained")

    def train(steps):
        recipe = Recipe(steps=steps, batch=4, channels=(8,))
        return Level.load(train_level("lowpass:4", LowPass((3, 8, 8), 4), VE(), images, recipe, out, device="cpu"))

    train(1)
    return out / "state" / "lowpass-4" / "progress.json", train


@pytest.fixture
def state(trained):
    """What the state says of itself, which is there again afterwards, and what trains on from it."""
    file, train = trained
    before = file.read_bytes()
    yield file, train
    file.write_bytes(before)


def test_training_goes_on_from_a_state_of_the_right_version(trained):
    file, train = trained
    progress = json.loads(file.read_text())
    assert progress["version"] == VERSION
    assert train(progress["step"] + 1).recipe["steps"] == progress["step"] + 1


@pytest.mark.parametrize("version, said, mend", OTHERS.values(), ids=OTHERS)
def test_a_state_of_another_version_is_refused_and_left_alone(state, version, said, mend):
    file, train = state
    number = int(version) if version is not None and version.isdecimal() else version
    file.write_text(json.dumps(with_version(json.loads(file.read_text()), number)))
    refused = file.read_text()
    mend = mend if mend == "update" else "give another --out, or remove .*lowpass-4 to train"
    with pytest.raises(ValueError, match=f"progress.json {said}.*: {mend}"):
        train(9)
    assert file.read_text() == refused


@pytest.mark.parametrize("text", ["", "{", "3", "[1]"])
def test_what_is_no_state_is_refused(state, text):
    file, train = state
    file.write_text(text)
    with pytest.raises(ValueError, match="is no state of training"):
        train(9)
