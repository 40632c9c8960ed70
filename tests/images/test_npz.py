"""Images from .npz files, of any layout and dtype, and what is refused of them."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from subspace_sde.images import load
from tests.images.writing import assert_holds, flipped, only_image, refusal


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("first", [True, False], ids=["channels first", "channels last"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_of_either_layout_and_any_float(tmp_path, pixels, dtype, first, save):
    values = pixels if dtype == "uint8" else (pixels / 255).astype(dtype)
    save(tmp_path / "x.npz", labels=np.arange(23), images=values.transpose(0, 3, 1, 2) if first else values)
    os.rename(tmp_path / "x.npz", tmp_path / "X.NPZ")
    assert_holds(load(tmp_path / "X.NPZ"), pixels)


@pytest.mark.parametrize("off", [-0.4, 0.0, 0.4])
def test_floats_go_to_the_nearest_level(tmp_path, off):
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1).repeat(3, axis=3)
    np.savez(tmp_path / "x.npz", np.clip((levels + off) / 255, 0, 1))
    assert_holds(load(tmp_path / "x.npz"), levels)


def test_an_npz_is_cropped_and_scaled(tmp_path):
    wide = np.full((2, 4, 12, 3), 200, dtype=np.uint8)
    wide[:, :, 4:8] = 10
    for layout in (wide, wide.transpose(0, 3, 1, 2), wide / 255):
        np.savez(tmp_path / "x.npz", layout)
        np.testing.assert_array_equal(only_image(tmp_path / "x.npz", size=4), np.full((4, 4, 3), 10))


class Trap:
    """Unpacked, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_unpacked(tmp_path, pixels):
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    np.savez(tmp_path / "x.npz", names=trap)
    assert "names of pickled objects" in refusal(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", names=trap, images=pixels)
    assert_holds(load(tmp_path / "x.npz"), pixels)
    (tmp_path / "y.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert refusal(tmp_path / "y.npz") == f"{tmp_path / 'y.npz'} is not an .npz file"
    assert not (tmp_path / "sprung").exists()


def ones(value, at=7):
    values = np.full((9, 4, 5, 3), 0.5, dtype=np.float32)
    values[at, 1, 2, 0] = value
    return values


WRONG_ARRAYS = {
    "no colours": (
        np.zeros((9, 4, 5), np.uint8),
        "no array of shape (N, H, W, 3) or (N, 3, H, W), but images (9, 4, 5)",
    ),
    "two channels": (np.zeros((9, 4, 5, 2), np.uint8), "but images (9, 4, 5, 2)"),
    "flat": (np.zeros((9, 60), np.uint8), "but images (9, 60)"),
    "scalar": (np.uint8(3), "but images ()"),
    "no height": (np.zeros((9, 0, 5, 3), np.uint8), "but images (9, 0, 5, 3)"),
    "none": (np.zeros((0, 4, 5, 3), np.uint8), "holds 0 of the two images that are needed"),
    "one": (np.zeros((1, 4, 5, 3), np.uint8), "holds 1 of the two images that are needed"),
    "int64": (np.zeros((9, 4, 5, 3), np.int64), "these are int64"),
    "uint16": (np.zeros((9, 4, 5, 3), np.uint16), "these are uint16"),
    "bool": (np.zeros((9, 4, 5, 3), bool), "these are bool"),
    "complex": (np.zeros((9, 4, 5, 3), complex), "these are complex128"),
    "strings": (np.full((9, 4, 5, 3), "a"), "these are <U1"),
    "NaN": (ones(np.nan), "floats in [0, 1] without NaN; these are float32"),
    "above": (ones(1 + 1e-6), "floats in [0, 1] without NaN; these are float32"),
    "below": (ones(-1e-9), "floats in [0, 1] without NaN; these are float32"),
    "infinite": (ones(np.inf), "floats in [0, 1] without NaN; these are float32"),
    "0 to 255": (ones(255.0), "floats in [0, 1] without NaN; these are float32"),
}


@pytest.mark.parametrize("kind", WRONG_ARRAYS)
def test_wrong_arrays_are_refused(tmp_path, kind):
    array, sentence = WRONG_ARRAYS[kind]
    np.savez(tmp_path / "x.npz", images=array)
    message = refusal(tmp_path / "x.npz")
    assert str(tmp_path / "x.npz") in message and sentence in message
    if array.dtype == np.float32:
        assert message.startswith("image 7 of ")


def test_broken_npz_files_are_named(tmp_path, pixels):
    path = tmp_path / "x.npz"
    np.savez(path, images=pixels)
    whole = path.read_bytes()
    with open(tmp_path / "x.npy", "wb") as file:
        np.save(file, pixels)
    not_npz = [b"", b"some text", whole[: len(whole) // 2], (tmp_path / "x.npy").read_bytes()]
    for content in not_npz:
        path.write_bytes(content)
        assert refusal(path) == f"{path} is not an .npz file"
    path.write_bytes(flipped(whole, len(whole) // 2))
    assert refusal(path).startswith(f"{path} cannot be used as an .npz file of images (Bad CRC-32")
    np.savez(path)
    assert "but nothing" in refusal(path)
