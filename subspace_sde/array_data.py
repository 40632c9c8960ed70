"""Arrays of any shape, in memory or in files (``.npy``, ``.npz``, Zarr, HDF5), as batches of floats.

Nothing is ever whole in memory but what lies there already, and an array of an ``.npz`` file: ``.npy`` is a memory map,
Zarr and HDF5 are read by their chunks, through Dask (extra ``arrays``). No file is unpickled.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import array_api_compat
import numpy as np

from .arrays import Array, is_integer
from .backend import backend_of
from .border import checked
from .shown import Shown, brief

_BATCH = 2**22  # numbers of a batch: large enough for fast products, 34 MB at most; or one stored chunk
_CHUNK = 2**26  # of a stored chunk that is taken whole, rather than unpacked once for each of its parts
_CHANNELS = 4  # numbers along an axis that holds channels, at most: colours, a stereo pair, a vector's parts
_ZARR, _HDF5 = (".zarr",), (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", *_ZARR, *_HDF5)
"""Of the files that `ArrayData.open` reads."""


@checked
class ArrayData(Shown):
    """Samples of any shape, and which of their axes may be shortened.

    Parameters
    ----------
    numbers: (N, *shape), an array of numpy (a memory map too), torch, Dask, ... of any real dtype.
    scale: what the numbers are divided by: 255 for pixels of 8 bits, 32768 for sound of 16. Integers need one.
    axes: those that may be shortened, -1 the last; without it all that are longer than four, or where there are none,
        longer than one: shorter ones hold channels, mostly.
    name: for messages and reports.

    Attributes
    ----------
    shape, axes: of a sample, and its axes that may be shortened, counted from the end, in their order.
    scale: 1 where none was given.

    Raises ValueError for complex numbers, text and other objects, integers without a scale, fewer than two samples,
    samples that are single numbers, and axes that are not there, named twice or of length one.

    >>> ArrayData(np.zeros((100, 3, 32, 48))).axes
    (-2, -1)
    >>> ArrayData(np.zeros((100, 2, 16000))).axes
    (-1,)
    """

    def __init__(
        self,
        numbers: Array,
        scale: float | None = None,
        axes: int | Sequence[int] | None = None,
        name: str = "the data",
    ) -> None:
        self.numbers: Any = numbers
        self.name, self.scale = name, 1.0 if scale is None else float(scale)
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale is a positive number, got {self.scale:g}")
        self._check_kind(scale)
        self.shape = tuple(numbers.shape[1:])
        self._check_size()
        self.axes = self._default_axes() if axes is None else self._checked_axes(axes)

    def _check_kind(self, scale: float | None) -> None:
        xp, dtype = array_api_compat.array_namespace(self.numbers), self.numbers.dtype
        if xp.isdtype(dtype, "complex floating"):
            raise ValueError(
                f"{self.name} holds complex numbers ({dtype}): split them into an axis of real and imaginary parts"
            )
        if not xp.isdtype(dtype, ("real floating", "integral", "bool")):
            raise ValueError(f"{self.name} holds no real numbers, but an array of {dtype}: convert it first")
        if scale is None and not xp.isdtype(dtype, "real floating"):
            raise ValueError(
                f"{self.name} holds integers ({dtype}), whose range is not known: give the scale that they are divided "
                "by (--scale on the command line), 255 for pixels of 8 bits, 32768 for sound of 16, 1 for none"
            )

    def _check_size(self) -> None:
        shape = tuple(self.numbers.shape)
        if any(not n >= 0 for n in shape):  # NaN, what Dask does not know
            raise ValueError(f"{self.name} has a length that is not known: call compute_chunk_sizes() of Dask first")
        if len(shape) < 2:
            raise ValueError(f"{self.name} has shape {shape}: it takes (N, *shape), N samples of at least one axis")
        if shape[0] < 2:
            raise ValueError(f"{self.name} holds {shape[0]} of the two samples that are needed: one cannot vary")
        if 0 in shape:
            raise ValueError(f"{self.name} has shape {shape}: its samples are empty")

    def _default_axes(self) -> tuple[int, ...]:
        axes = range(-len(self.shape), 0)
        long = [a for a in axes if self.shape[a] > _CHANNELS] or [a for a in axes if self.shape[a] > 1]
        if not long:
            raise ValueError(f"{self.name} has samples of one number each, {self.shape}: there is no axis to shorten")
        return tuple(long)

    def _checked_axes(self, axes: int | Sequence[int]) -> tuple[int, ...]:
        given, ndim = tuple(axes) if isinstance(axes, Iterable) else (axes,), len(self.shape)
        if not given or not all(is_integer(a) and -ndim <= a < ndim for a in given):
            raise ValueError(f"axes are numbers from {-ndim} to -1, for samples of shape {self.shape}, got {given}")
        found = sorted(int(a) - ndim if a >= 0 else int(a) for a in given)
        if len(set(found)) < len(found):
            raise ValueError(f"axes names one of them twice: {given}")
        if short := [a for a in found if self.shape[a] == 1]:
            raise ValueError(
                f"axis {short[0]} of samples of shape {self.shape} has length 1, and cannot be shorter: leave it out"
            )
        return tuple(found)

    @classmethod
    @checked
    def open(
        cls,
        path: str | Path,
        array: str | None = None,
        scale: float | None = None,
        axes: int | Sequence[int] | None = None,
    ) -> Self:
        """The array in a file: ``.npy``, ``.npz``, ``.zarr`` (a folder), ``.h5`` or ``.hdf5``.

        `array` names one of several in a file; without it the one with the most numbers is taken, and named.

        Raises ValueError for a file that is none of these or cannot be read, ImportError where its library is missing.
        Warns of chunks of a Zarr array that were never written, since they count as its fill value.
        """
        place = Path(path)
        if not place.exists():
            raise ValueError(f"{place} does not exist")
        with _refusing(place):
            found = _reader(place)(place)
            several = {key: look for key, (shape, _, look) in found.items() if len(shape) > 1} or {
                key: look for key, (_, _, look) in found.items()
            }
            if array is not None and array not in found:
                raise ValueError(f"no array {array!r}, but {', '.join(filter(None, found)) or 'one without a name'}")
            if not found:
                raise ValueError("no array in it")
            key = array if array is not None else max(several, key=lambda key: math.prod(found[key][0]))
            if found[key][1].hasobject:
                raise ValueError(f"{key or 'it'} holds Python objects, which are never unpickled: save numbers")
            numbers = found[key][2]()
        return cls(numbers, scale, axes, f"{place}:{key}" if len(found) > 1 else str(place))

    @property
    def dim(self) -> int:
        """The numbers of a sample."""
        return math.prod(self.shape)

    def batches(self, most: int) -> Iterator[np.ndarray[Any, Any]]:
        """Batches (n, *shape), divided by the scale: of all samples or, of more than `most` numbers, of some.

        Those lie evenly spread over all; a stored chunk is read once. float32, or float64 where the numbers need it.

        Raises ValueError for NaN, infinity and masked numbers, with their place and their chunk.
        """
        for start, stop in self._parts(most):
            part: Any = self.numbers[start:stop]
            if array_api_compat.is_dask_array(part):
                part = part.compute()  # type: ignore[no-untyped-call]
            if isinstance(part, np.ma.MaskedArray):
                self._refuse(np.ma.getmaskarray(part), start, "a masked number")
                part = part.data
            values = part if isinstance(part, np.ndarray) else backend_of(part).to_numpy(part)
            exact = values.dtype.itemsize <= (4 if values.dtype.kind == "f" else 2)
            batch: Any = np.asarray(values, dtype=np.float32 if exact else np.float64)
            if not np.all(np.isfinite(batch)):
                self._refuse(~np.isfinite(batch), start, "NaN or infinity")
            yield batch / batch.dtype.type(self.scale) if self.scale != 1 else batch

    def samples_of(self, most: int) -> int:
        """How many samples `batches` gives."""
        return sum(stop - start for start, stop in self._parts(most))

    def _parts(self, most: int) -> list[tuple[int, int]]:
        count, rows, needed = self.numbers.shape[0], max(1, _BATCH // self.dim), max(2, most // self.dim)
        if count > needed:
            rows = min(rows, max(1, needed // 32))  # from all over, not a few long runs
        if array_api_compat.is_dask_array(self.numbers):
            stored = int(self.numbers.chunks[0][0])
            rows = max(stored, rows - rows % stored) if stored * self.dim <= _CHUNK else rows
        starts = np.arange(0, count, rows)
        if count > needed:
            starts = starts[np.unique(np.linspace(0, len(starts) - 1, -(-needed // rows)).round().astype(int))]
        return [(int(start), min(int(start) + rows, count)) for start in starts]

    def _refuse(self, wrong: np.ndarray[Any, Any], start: int, what: str) -> None:
        if not wrong.any():
            return
        place = [int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape)]
        place[0] += start
        where = ""
        if array_api_compat.is_dask_array(self.numbers):
            chunks = self.numbers.chunks
            found = [sum(end <= i for end in accumulate(lengths)) for i, lengths in zip(place, chunks)]
            where = f", in its chunk {tuple(found)}"
        raise ValueError(
            f"{self.name} holds {what} at {place}{where}: fill what is missing, or leave those samples out"
        )

    def _shown(self) -> Iterable[tuple[str, Any]]:
        return [("numbers", self.numbers), *((n, getattr(self, n)) for n in ("scale", "axes", "name"))]


_Arrays = dict[str, tuple[tuple[int, ...], np.dtype[Any], Callable[[], Any]]]
"""The shape and dtype of each array in a file, and what opens it."""


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(f'{path} is read by zarr or h5py, and dask: pip install "subspace-sde[arrays]"') from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read as arrays ({str(error).splitlines()[0]})") from error


def _reader(path: Path) -> Callable[[Path], _Arrays]:
    suffix = path.suffix.lower()
    if path.is_dir():
        if suffix in _ZARR or any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
            return _zarr
    elif not path.is_file():
        raise ValueError("it is a pipe, a socket or a device")
    for suffixes, reader in (((".npy",), _npy), ((".npz",), _npz), (_HDF5, _hdf5)):
        if suffix in suffixes:
            return reader
    raise ValueError(f"arrays lie in {', '.join(SUFFIXES)}")


def _npy(path: Path) -> _Arrays:
    with open(path, "rb") as file:
        shape, dtype = _header(file)
    return {"": (shape, dtype, lambda: np.load(path, mmap_mode="r", allow_pickle=False))}


def _npz(path: Path) -> _Arrays:
    def look(key: str) -> Callable[[], Any]:
        return lambda: np.load(path, allow_pickle=False)[key]

    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                key = name.removesuffix(".npy")
                found[key] = (*_header(file), look(key))
    return found


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """What an ``.npy`` file says of its array, of which nothing is read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return tuple(shape), dtype


def _zarr(path: Path) -> _Arrays:
    import zarr

    node = zarr.open(str(path), mode="r")
    members = {"": node} if isinstance(node, zarr.Array) else dict(node.members(max_depth=None))
    return {
        key: (tuple(one.shape), one.dtype, partial(_by_chunks, path, one))
        for key, one in members.items()
        if isinstance(one, zarr.Array)
    }


def _hdf5(path: Path) -> _Arrays:
    import h5py

    found: _Arrays = {}

    def look(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset) and one.shape is not None:
            found[name] = (one.shape, one.dtype, lambda: _by_chunks(path, one))

    h5py.File(path, "r").visititems(look)  # stays open as long as an array of it
    return found


def _by_chunks(path: Path, stored: Any) -> Any:
    """A Dask array with the chunks of the file."""
    from dask.array import from_array

    written = getattr(stored, "nchunks_initialized", None)
    if written is not None and written < stored.nchunks:
        warnings.warn(
            f"{path}: {stored.nchunks - written} of {stored.nchunks} chunks were never written, and count as the fill "
            f"value {brief(stored.fill_value)}",
            stacklevel=4,
        )
    chunks = stored.chunks or ("auto", *(-1,) * (stored.ndim - 1))
    return from_array(stored, chunks=chunks)  # type: ignore[no-untyped-call]


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Where the channels of images of that shape are, of which there are three or one; None for other arrays.

    >>> [channel_axis(shape) for shape in ((9, 3, 32, 32), (9, 32, 32, 1), (9, 32, 32))]
    [1, 3, None]
    """
    if len(shape) != 4 or 0 in shape[1:]:
        return None
    return next((axis for channels in (3, 1) for axis in (3, 1) if shape[axis] == channels), None)


@checked
def holds_arrays(path: str | Path) -> bool:
    """Whether a file, by its name or by what lies in its folder, holds arrays that are no images.

    Of an ``.npz`` file the shapes tell: (N, H, W, C) or (N, C, H, W) of uint8 or floats, C = 3 or 1, are images.
    """
    try:
        place = Path(path)
        if _reader(place) is not _npz:
            return True
        kinds = [(shape, dtype) for shape, dtype, _ in _npz(place).values()]
    except (ValueError, OSError, zipfile.BadZipFile):
        return False  # no file, or another one: whoever reads it will say so
    return bool(kinds) and not any(channel_axis(s) is not None and (d == np.uint8 or d.kind == "f") for s, d in kinds)
