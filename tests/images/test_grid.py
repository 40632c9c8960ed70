"""A grid of images in a file: its pixels, and that a failure leaves the old one."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from subspace_sde.images import save_grid


def read(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.asarray(picture)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize(("num", "columns", "zoom"), [(23, 8, 1), (16, 8, 3), (1, 1, 2), (3, 5, 1)])
def test_a_grid_holds_the_pixels(tmp_path, pixels, dtype, num, columns, zoom):
    chosen = pixels[:num].transpose(0, 3, 1, 2)
    save_grid(chosen if dtype == "uint8" else (chosen / 255).astype(dtype), tmp_path / "g.png", columns, zoom)
    sheet = read(tmp_path / "g.png")
    rows = (num + columns - 1) // columns
    assert sheet.shape == ((rows * 6 + 1) * zoom, (columns * 7 + 1) * zoom, 3)
    np.testing.assert_array_equal(sheet, sheet[::zoom, ::zoom].repeat(zoom, 0).repeat(zoom, 1))
    sheet = sheet[::zoom, ::zoom].copy()
    for i in range(num):
        part = sheet[i // columns * 6 + 1 :, i % columns * 7 + 1 :][:5, :6]
        np.testing.assert_array_equal(part, pixels[i])
        part[:] = 255
    assert (sheet == 255).all()  # the rest is border
    assert os.listdir(tmp_path) == ["g.png"]


def test_grey_images_are_grey(tmp_path, pixels):
    grey = pixels[:5, ..., :1].transpose(0, 3, 1, 2)
    for name, images in (("one", grey), ("three", grey.repeat(3, axis=1))):
        save_grid(images, tmp_path / f"{name}.png")
    np.testing.assert_array_equal(read(tmp_path / "one.png"), read(tmp_path / "three.png"))


def test_a_grid_clips(tmp_path):
    values = np.asarray([-np.inf, -0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.7, np.inf])
    save_grid(np.broadcast_to(values, (1, 3, 1, 8)), tmp_path / "g.PNG", 1, 1)
    assert read(tmp_path / "g.PNG")[1, 1:-1, 0].tolist() == [0, 0, 0, 0, 1, 255, 255, 255]


GOOD = np.zeros((2, 3, 4, 4))


@pytest.mark.parametrize(
    ("array", "name", "options", "sentence"),
    [
        (GOOD[0], "g.png", {}, r"shape \(N, 3, H, W\) or \(N, 1, H, W\), at least one; got \(3, 4, 4\)"),
        (GOOD[:0], "g.png", {}, r"at least one; got \(0, 3, 4, 4\)"),
        (GOOD[:, :2], "g.png", {}, r"got \(2, 2, 4, 4\)"),
        (GOOD * np.nan, "g.png", {}, "without NaN"),
        (GOOD.astype(int), "g.png", {}, "uint8 or floats without NaN, got int64"),
        (GOOD, "g.jpg", {}, "g.jpg must end in .png"),
        (GOOD, "g.png", {"columns": 0}, "columns must be at least 1, got 0"),
        (GOOD, "g.png", {"zoom": 0}, "zoom must be at least 1, got 0"),
    ],
)
def test_a_grid_refuses_and_leaves_the_old_one(tmp_path, array, name, options, sentence):
    (tmp_path / name).write_text("the old one")
    with pytest.raises(ValueError, match=sentence):
        save_grid(array, tmp_path / name, **options)
    assert (tmp_path / name).read_text() == "the old one"


def test_a_full_disk_leaves_the_old_grid(tmp_path, monkeypatch):
    def fill(picture, file, **options):
        Path(file).write_bytes(b"half of")
        raise OSError(28, "No space left on device", str(file))

    (tmp_path / "g.png").write_text("the old one")
    monkeypatch.setattr(Image.Image, "save", fill)
    with pytest.raises(OSError, match="No space left"):
        save_grid(GOOD, tmp_path / "g.png")
    assert os.listdir(tmp_path) == ["g.png"] and (tmp_path / "g.png").read_text() == "the old one"
