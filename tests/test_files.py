"""Files that are whole or not there; JSON that says everything once."""

import os

import numpy as np
import pytest
from PIL import Image

from subspace_sde import VE, LowPass, NestedSubspaces, Plan, plotting
from subspace_sde.analysis import analyse, report
from subspace_sde.files import parse_json, whole
from subspace_sde.images import Images, save_grid

PLAN = Plan(VE(), NestedSubspaces([LowPass((3, 8, 8), 4)]), (0.5,), (0.5, 0.5), (1.0, 0.25), 3e-3, (1e-3,))
SMOOTH = np.random.default_rng(0).integers(0, 256, (24, 3, 8, 8)).astype(np.uint8)
FOUND = analyse(Images("noise", SMOOTH, SMOOTH[:1]))

WRITERS = {
    "a plan": ("plan.json", PLAN.save),
    "an analysis": (
        "analysis.json",
        lambda path: report.write(FOUND, path.parent),
    ),
    "a figure": ("power.png", lambda path: plotting.save(plotting.power_spectrum({"x": np.ones(8)}), path)),
    "a grid": ("grid.png", lambda path: save_grid(SMOOTH, path)),
}


def full_disk(monkeypatch):
    """Whoever writes gets as far as half of it."""

    def write(path, *_, **__):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", write)
    monkeypatch.setattr(Image.Image, "save", lambda _, path, **__: write(path))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_what_was_there(writer, tmp_path, monkeypatch):
    name, write = WRITERS[writer]
    for older in (False, True):
        if older:
            write(tmp_path / name)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with monkeypatch.context() as patch:
            full_disk(patch)
            with pytest.raises(OSError, match="No space left on device") as refused:
                write(tmp_path / name)
        assert "could not be written" in str(refused.value) and "\n" not in str(refused.value)
        assert ("the older file is unharmed" in str(refused.value)) == older
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_of_that_name_is_left_alone(writer, tmp_path):
    name, write = WRITERS[writer]
    (tmp_path / name).mkdir()
    (tmp_path / name / "kept").write_text("kept", encoding="utf-8")
    with pytest.raises(OSError, match=f"{name} is a folder: give the name of a file in it"):
        write(tmp_path / name)
    assert [file.name for file in (tmp_path / name).iterdir()] == ["kept"]
    assert not list(tmp_path.glob("*.new"))


def test_a_device_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a pipe, a socket or a device"):
        PLAN.save(pipe)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_what_stops_the_writer_leaves_nothing(tmp_path):
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), whole(tmp_path / "a") as fresh:
            fresh.write_text("half", encoding="utf-8")
            raise error
        assert not list(tmp_path.iterdir())


def test_json_says_everything_once():
    assert parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    for text, message in (
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' stands there twice"),
        ('[{"x": {"b": 1, "b": 2}}]', "the key 'b' stands there twice"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_json(text)
