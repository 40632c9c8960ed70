"""Images by their name on the hub, without a network."""

import os
import subprocess
import sys

import datasets
import pytest

from subspace_sde.images import load
from tests.images.writing import ROWS, assert_holds, encoded, plain, refusal, write_folder


@pytest.fixture
def publish(monkeypatch):
    """``publish(img=[...])``: the data set of these columns is what the hub gives; the calls are noted."""

    def publish(**columns):
        calls = []
        features = datasets.Features({k: datasets.Image() if k == "img" else datasets.Value("int64") for k in columns})
        data = datasets.Dataset.from_dict(columns, features)
        monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: calls.append((args, kwargs)) or data)
        return calls

    return publish


@pytest.mark.parametrize("name", ["data-set", "some.body/data_set-1.5", "data.v2"])
def test_a_name_on_the_hub_is_loaded(publish, pixels, name):
    calls = publish(label=range(23), img=[{"bytes": encoded(x), "path": None} for x in pixels])
    found = load(name)
    assert calls == [((name,), {"split": "train"})] and found.name == name
    assert_holds(found, pixels)


@pytest.mark.parametrize("kind", ROWS)
def test_a_broken_row_on_the_hub_is_named(publish, kind):
    content = ROWS[kind][0]
    publish(img=[{"bytes": encoded(plain()), "path": None}, content and {"bytes": content, "path": None}])
    assert refusal("some/data").startswith("row 1 of some/data cannot be read as an image (")


def test_data_without_images_on_the_hub_are_refused(publish):
    publish(label=[1, 2])
    assert refusal("some/data").endswith("gave no images of that name (no image column, but ['label'])")


def test_the_first_line_of_the_hubs_error_is_told(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("Config name is missing.\nPlease pick one among many:\n- a\n- b")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    assert refusal("some/data").endswith("gave no images of that name (Config name is missing.)")


def test_the_hubs_own_reader_without_a_network(tmp_path, pixels):
    """In a process of its own, since the hub's client reads its environment when it is imported."""
    write_folder(tmp_path / "train", pixels)
    program = """
import sys
import numpy as np
from subspace_sde import images
from subspace_sde.images import loading, sources
# `load` itself would read it as a folder
found = loading._split("local", sources.hub(sys.argv[1]), None, 0, False, None)
np.savez(sys.argv[2], np.concatenate([found.train, found.held_out]))
images.load("nobody/nothing-of-that-name")
"""
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", program, str(tmp_path / "train"), str(tmp_path / "x.npz")]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120)
    assert_holds(load(tmp_path / "x.npz"), pixels)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "Retrying" not in done.stderr
    assert last.startswith("ValueError: nobody/nothing-of-that-name is nothing here, and the hub gave no images of")
