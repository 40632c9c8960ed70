"""Arrays of any shape from memory and from files: what is read, from where, and what is refused."""

import gc
import math
import pickle
import re
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
import torch
import zarr

from subspace_sde import array_data
from subspace_sde.array_data import ArrayData, holds_arrays

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3, 8, 6)).astype(np.float32)


def write_npy(path, x, **_):
    np.save(path, x)


def write_npz(path, x, **_):
    np.savez_compressed(path, x)


def write_zarr(path, x, chunks=None):
    zarr.create_array(str(path), shape=x.shape, dtype=x.dtype, chunks=chunks or (7, 3, 8, 4)[: x.ndim])[:] = x


def write_hdf5(path, x, chunks=(7, 3, 8, 4)):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x, chunks=chunks)


WRITERS = {".npy": write_npy, ".npz": write_npz, ".zarr": write_zarr, ".h5": write_hdf5, ".HDF5": write_hdf5}


def read(data, most=2**40):
    return np.concatenate(list(data.batches(most)))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "u1", "i2", "i8", "?"])
def test_every_file_gives_its_numbers(tmp_path, suffix, dtype):
    x = (100 * np.abs(X)).astype(dtype)
    WRITERS[suffix](tmp_path / f"x{suffix}", x)
    data = ArrayData.open(tmp_path / f"x{suffix}", scale=4)
    gc.collect()  # the file stays open
    found = read(data)
    assert found.dtype == (np.float64 if dtype in ("f8", "i8") else np.float32)
    np.testing.assert_array_equal(found, x.astype(found.dtype) / 4)
    assert data.name == str(tmp_path / f"x{suffix}") and (data.shape, data.axes) == ((3, 8, 6), (-2, -1))


def test_an_npy_file_is_mapped_and_an_array_is_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert isinstance(ArrayData.open(tmp_path / "x.npy").numbers, np.memmap)
    (batch,) = ArrayData(X).batches(2**40)
    assert np.shares_memory(batch, X)


@pytest.mark.parametrize("library", ["numpy", "torch", "dask", "dask of many chunks"])
def test_arrays_of_every_library(library):
    make = {
        "numpy": lambda x: x,
        "torch": lambda x: torch.asarray(x, requires_grad=True),
        "dask": lambda x: da.from_array(x, chunks=(9, 2, 8, 6)),
        "dask of many chunks": lambda x: da.from_array(x, chunks=1),
    }[library]
    np.testing.assert_array_equal(read(ArrayData(make(X), scale=2)), X / 2)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((16000,), (-1,)),
        ((2, 16000), (-1,)),
        ((8, 16000), (-2, -1)),
        ((3, 32, 48), (-2, -1)),
        ((32, 48, 3), (-3, -2)),
        ((64, 64, 64), (-3, -2, -1)),
        ((16, 3, 32, 32), (-4, -2, -1)),
        ((2, 4), (-2, -1)),
        ((1, 3), (-1,)),
    ],
)
def test_the_axes_that_may_get_shorter(shape, axes):
    data = ArrayData(np.broadcast_to(np.float32(0), (2, *shape)))
    assert data.axes == axes
    assert ArrayData(data.numbers, axes=axes).axes == axes
    assert ArrayData(data.numbers, axes=[a + len(shape) for a in reversed(axes)]).axes == axes


def test_of_many_numbers_some_are_read_from_all_over(monkeypatch):
    x = np.arange(1000.0)[:, None].repeat(4, axis=1)
    data = ArrayData(x)
    found = read(data, most=4 * 200)[:, 0]
    assert data.samples_of(4 * 200) == len(found) and 200 <= len(found) < 240
    assert found[0] == 0 and found[-1] == 999 and np.diff(found).max() < 40
    assert data.samples_of(4 * 1000) == 1000
    monkeypatch.setattr(array_data, "_BATCH", 64)
    np.testing.assert_array_equal(read(data), x)
    assert {len(batch) for batch in data.batches(2**40)} == {16, 8}


@pytest.mark.parametrize(("rows", "batch"), [(10, 30), (33, 33), (100, 100)])
def test_stored_chunks_are_read_once(tmp_path, monkeypatch, rows, batch):
    """Batches are of whole chunks, of several small ones together."""
    x, read_at, get = np.arange(100.0)[:, None].repeat(4, axis=1), [], zarr.Array.__getitem__

    def recorded(stored, index):
        read_at.append(index[0].start)
        return get(stored, index)

    write_zarr(tmp_path / "x.zarr", x, chunks=(rows, 4))
    data = ArrayData.open(tmp_path / "x.zarr")
    monkeypatch.setattr(array_data, "_BATCH", 4 * 32)
    monkeypatch.setattr(zarr.Array, "__getitem__", recorded)
    found = list(data.batches(2**40))
    assert sorted(read_at) == list(range(0, 100, rows)) and len(found[0]) == batch
    np.testing.assert_array_equal(np.concatenate(found), x)


# ------------------------------------------------------------------------------------------------- several in one file


def test_the_largest_array_of_a_file_is_taken_and_named(tmp_path):
    np.savez(tmp_path / "x.npz", labels=np.arange(10**4), mean=X[0], x=X, y=X[:9])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["deep/x"], file["labels"], file["y"] = X, np.arange(10**4), X[:9]
    group = zarr.create_group(str(tmp_path / "x.zarr"))
    group.create_array("labels", data=np.arange(10**4))
    group.create_group("deep").create_array("x", data=X)
    for file, key in (("x.npz", "x"), ("x.h5", "deep/x"), ("x.zarr", "deep/x")):
        data = ArrayData.open(tmp_path / file)
        np.testing.assert_array_equal(read(data), X)
        assert data.name == f"{tmp_path / file}:{key}"
    np.testing.assert_array_equal(read(ArrayData.open(tmp_path / "x.npz", array="y")), X[:9])
    with pytest.raises(ValueError, match=r"x.h5 cannot be read as arrays \(no array 'z', but deep/x, labels, y\)"):
        ArrayData.open(tmp_path / "x.h5", array="z")
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match="no array 'z', but one without a name"):
        ArrayData.open(tmp_path / "x.npy", array="z")


# ------------------------------------------------------------------------------------------------------------ bad input


class Trap:
    """Unpacked, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_unpacked(tmp_path):
    trap = np.empty((2, 3), dtype=object)
    trap[:] = Trap(tmp_path / "sprung")
    np.save(tmp_path / "x.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "x.npz", trap)
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(ValueError, match="holds Python objects, which are never unpickled: save numbers"):
            ArrayData.open(tmp_path / name)
    with pytest.raises(ValueError, match=r"y.npy cannot be read as arrays \("):
        ArrayData.open(tmp_path / "y.npy")
    with pytest.raises(ValueError, match="holds no real numbers, but an array of object"):
        ArrayData(trap)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("numbers", "options", "message"),
    [
        (
            X.astype("i2"),
            {},
            "x holds integers (int16), whose range is not known: give the scale",
        ),
        (X > 0, {}, "x holds integers (bool)"),
        (torch.zeros((4, 5), dtype=torch.uint8), {}, "x holds integers (torch.uint8)"),
        (
            X.astype("c8"),
            {},
            "x holds complex numbers (complex64): split them into an axis of real",
        ),
        (np.full((4, 5), "a"), {}, "x holds no real numbers, but an array of <U1"),
        (X[:1], {}, "x holds 1 of the two samples that are needed: one cannot vary"),
        (X[:0], {}, "x holds 0 of the two samples"),
        (X[:, 0, 0, 0], {}, "x has shape (40,): it takes (N, *shape), N samples of at least one axis"),
        (X[:, :0], {}, "x has shape (40, 0, 8, 6): its samples are empty"),
        (X[:, :1, :1, :1], {}, "x has samples of one number each, (1, 1, 1): there is no axis to shorten"),
        (X[:, :1], {"axes": (-3, -1)}, "axis -3 of samples of shape (1, 8, 6) has length 1, and cannot be shorter"),
        (X, {"axes": -4}, "axes are numbers from -3 to -1, for samples of shape (3, 8, 6), got (-4,)"),
        (X, {"axes": ()}, "axes are numbers from -3 to -1"),
        (X, {"axes": (1, -2)}, "axes names one of them twice: (1, -2)"),
        (X, {"scale": 0}, "scale is a positive number, got 0"),
        (X, {"scale": math.nan}, "scale is a positive number, got nan"),
        (
            da.from_array(X)[da.from_array(X[:, 0, 0, 0] > 0)],
            {},
            "x has a length that is not known: call ",
        ),
    ],
)
def test_refusals(numbers, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as refused:
        ArrayData(numbers, name="x", **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_found_in_its_chunk(tmp_path, value):
    x = X.copy()
    x[37, 2, 1, 5] = value
    write_zarr(tmp_path / "x.zarr", x, chunks=(5, 3, 8, 3))
    place = "holds NaN or infinity at [37, 2, 1, 5]"
    with pytest.raises(ValueError, match=re.escape(f"x.zarr {place}, in its chunk (7, 0, 0, 1): fill what is missing")):
        read(ArrayData.open(tmp_path / "x.zarr"))
    with pytest.raises(ValueError, match=re.escape(f"the data {place}: fill what is missing, or leave those")):
        read(ArrayData(x))


def test_masked_chunks_are_found():
    masked = da.ma.masked_greater(da.from_array(X[..., 0, 0], chunks=(10, 3)), np.sort(X[..., 0, 0].ravel())[-2])
    where = np.unravel_index(int(np.argmax(X[..., 0, 0])), (40, 3))
    with pytest.raises(ValueError, match=re.escape(f"a masked number at {[int(i) for i in where]}, in its chunk")):
        read(ArrayData(masked))
    nothing = da.ma.masked_greater(da.from_array(X, chunks=10), 1e9)
    np.testing.assert_array_equal(read(ArrayData(nothing)), X)
    with pytest.raises(TypeError, match=r"`numbers` takes an array .*, got a masked array"):
        ArrayData(np.ma.masked_greater(X, 0))


def test_chunks_that_were_never_written_are_told(tmp_path):
    stored = zarr.create_array(str(tmp_path / "x.zarr"), shape=(40, 8), chunks=(10, 8), dtype="f4", fill_value=0.5)
    stored[:10] = X[:10, 0, :, 0]
    with pytest.warns(UserWarning, match=r"x.zarr: 3 of 4 chunks were never written, and count as the fill value 0.5"):
        data = ArrayData.open(tmp_path / "x.zarr")
    assert (read(data)[10:] == 0.5).all()


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"gone.npy does not exist"):
        ArrayData.open(tmp_path / "gone.npy")
    for suffix in (".npy", ".npz", ".h5"):
        (tmp_path / f"x{suffix}").write_bytes(b"no such file")
        with pytest.raises(ValueError, match=rf"x{suffix} cannot be read as arrays \(") as refused:
            ArrayData.open(tmp_path / f"x{suffix}")
        assert "\n" not in str(refused.value)
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.txt").write_text("1 2 3")
    np.savez(tmp_path / "empty.npz")
    h5py.File(tmp_path / "empty.h5", "w").close()
    for name, message in (
        ("x.zarr", "cannot be read as arrays"),
        ("x.txt", r"arrays lie in .npy, .npz, .zarr, .h5, .hdf5"),
        (".", "arrays lie in"),
        ("empty.npz", "no array in it"),
        ("empty.h5", "no array in it"),
    ):
        with pytest.raises(ValueError, match=message):
            ArrayData.open(tmp_path / name)


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    write_hdf5(tmp_path / "x.h5", X)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r'read by zarr or h5py, and dask: pip install "subspace-sde\[arrays\]"'):
        ArrayData.open(tmp_path / "x.h5")


def test_what_holds_arrays_and_what_images(tmp_path):
    for name, arrays in {
        "images": {"labels": np.arange(9), "x": np.zeros((9, 4, 5, 3), np.uint8)},
        "first": {"x": np.zeros((9, 3, 4, 5), np.float32)},
        "grey": {"x": np.zeros((9, 4, 5, 1), np.uint8)},
        "volumes": {"x": np.zeros((9, 4, 5, 6), np.float32)},
        "integers": {"x": np.zeros((9, 4, 5, 3), np.int16)},
        "signals": {"x": np.zeros((9, 50))},
        "none": {},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "broken.npz").write_bytes(b"")
    np.save(tmp_path / "x.npy", np.zeros((9, 4, 5, 3), np.uint8))
    write_zarr(tmp_path / "folder", X)
    assert {file.name for file in tmp_path.iterdir() if holds_arrays(file)} == {
        "volumes.npz", "integers.npz", "signals.npz", "x.npy", "folder",
    }  # fmt: skip
    assert not any(map(holds_arrays, (tmp_path, tmp_path / "gone.npy", "somebody/data", "~nobody-of-that-name/x.npy")))
