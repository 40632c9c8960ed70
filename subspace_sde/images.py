"""Images from where people have them, as arrays: photographs, folders, ``.npz``, Parquet, the Hugging Face hub.

Everything is kept as uint8 ``(N, 3, H, W)``; `to_unit` turns a batch into floats in [0, 1], the data range of every
figure of this project. Needs the extra ``images``.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .arrays import check_unmasked
from .backend import seed_of
from .border import checked
from .files import whole
from .shown import Shown

_FOLDER_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_NAMED = 10  # of the images that cannot be read
_DARK = 2**14  # 16-bit images that reach no further hold 14 bits or fewer
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_PHOTOGRAPHS = {  # natural colour photographs that ship with the two libraries
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "skimage": ("data", "astronaut.png chelsea.png coffee.png rocket.jpg motorcycle_left.png"),
}

_Pixels: TypeAlias = np.ndarray[Any, Any]
_Found: TypeAlias = tuple[int, Iterator[tuple[str, Callable[[], Any]]]]  # how many; the name of each, what opens it


@dataclass(frozen=True, eq=False, repr=False)
class Images(Shown):
    """A data set: `train` and `held_out`, uint8 arrays of shape (N, 3, H, W), and the `name` it was asked for by."""

    name: str
    train: _Pixels
    held_out: _Pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        _, c, h, w = self.train.shape
        return c, h, w


def to_unit(images: Any) -> _Pixels:
    """uint8 pixels as float32 in [0, 1]; any other dtype is a ValueError, lest floats be divided by 255 again.

    >>> to_unit(np.asarray([0, 255], dtype=np.uint8))
    array([0., 1.], dtype=float32)
    """
    check_unmasked(images)
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, got {pixels.dtype}")
    unit = pixels.astype(np.float32)
    unit /= np.float32(255)
    return unit


@checked
def unit_batches(images: _Pixels, size: int = 1024) -> Iterator[_Pixels]:
    """uint8 images as batches in [0, 1], so that a data set is never whole in floating point."""
    _check_positive(size=size)
    return (to_unit(images[start : start + size]) for start in range(0, len(images), size))


@checked
def load(source: str | Path, size: int | None = None, seed: int = 0, skip_bad: bool = False) -> Images:
    """The images that `source` names, a tenth of them (another region of each photograph) held out.

    Parameters
    ----------
    source: ``"photos"`` (crops of the photographs inside scikit-learn and scikit-image, no download; a folder of that
        name is ``"./photos"``), a folder of images with its subfolders (hidden files left out), an ``.npz`` file (its
        first array of shape (N, H, W, 3) or (N, 3, H, W): uint8, or floats in [0, 1]), a ``.parquet`` file with an
        image column, or the name of a data set on the hub (its split ``train``). A `Path` is always a file or folder.
    size: the edge of the square to which each image is cropped and scaled; without it images must be of one size
        (and ``photos`` are 32 × 32).
    seed: decides which images are held out, and which crops are cut from the photographs.
    skip_bad: leave out what cannot be read as an image, with a warning that counts and names it.

    Grey, palette, CMYK and 16-bit images become 8-bit RGB, what is transparent becomes white, an animation gives its
    first frame, and a camera's orientation tag is followed. Links to folders are followed, each folder read once.

    Raises
    ------
    ValueError: nothing there, files that are no images (how many, and the names of the first ten), a folder that cannot
        be read, images of mixed sizes, fewer than two images, or 16-bit images all of whose pixels lie in the darkest
        quarter of the range, as where a camera's 10, 12 or 14 bits were not scaled: black images nobody asked for.
    """
    _check_positive(size=32 if size is None else size)
    if source == "photos":
        return photos(32 if size is None else size, seed=seed)
    if source == "":
        raise ValueError("the source of the images is an empty string: name a folder, a file, a data set or 'photos'")
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{source} does not exist: there is no user of that name here") from error
    readers = {".npz": _npz, ".parquet": _parquet}
    if path.is_dir():
        found = _folder(path)
    elif path.exists():
        if path.suffix.lower() not in readers:
            raise ValueError(f"{path} is neither a folder of images nor an .npz or .parquet file")
        if not path.is_file():
            raise ValueError(f"{path} is no file but a pipe, a socket or a device, which cannot be read as one")
        found = readers[path.suffix.lower()](path)
    elif isinstance(source, Path) or path.suffix[1:].isalpha() or not _HUB_NAME.fullmatch(source):
        raise ValueError(f"{path} does not exist")
    else:
        found = _hub(source)
    return _split(str(source), found, size, seed, skip_bad)


@checked
def photos(size: int = 32, train: int = 20_000, held_out: int = 2_000, seed: int = 0) -> Images:
    """Crops of seven photographs at three scales (1, 1/2, 1/4); the held-out ones from a strip set apart before.

    The strip is the right end of each photograph, four crops wide at full scale (one at the coarsest), and no
    training crop touches it. Photographs too small for crops of that size are left out; above 92 × 92 all are.
    """
    _check_positive(size=size, train=train, held_out=held_out)
    rng = np.random.default_rng(seed_of(seed))
    pictures = _photographs()
    largest = [min(p.height, p.width // 2) // 4 for p in pictures]  # four crops high, and four wide in both regions
    pictures = [p for p, edge in zip(pictures, largest) if edge >= size]
    if not pictures:
        raise ValueError(f"no photograph is large enough for crops of {size} x {size}: the largest are {max(largest)}")
    sets = []
    for is_train, total in ((True, train), (False, held_out)):
        sources = []
        for picture in pictures:
            edge = picture.width - 4 * size
            # cut before it is reduced: no pixel of one region then holds any of the other
            part = picture.crop((0, 0, edge, picture.height) if is_train else (edge, 0, picture.width, picture.height))
            sources += [np.asarray(part.reduce(scale)) for scale in (1, 2, 4)]
        crops = np.empty((total, 3, size, size), dtype=np.uint8)
        for i in range(total):
            whole = sources[i % len(sources)]
            top, left = (rng.integers(0, n - size + 1) for n in whole.shape[:2])
            crops[i] = whole[top : top + size, left : left + size].transpose(2, 0, 1)
        sets.append(crops)
    return Images("photos", sets[0][rng.permutation(train)], sets[1][rng.permutation(held_out)])


def _photographs() -> list[Any]:
    found = []
    for package, (folder, names) in _PHOTOGRAPHS.items():
        spec = find_spec(package)  # where it lies, without importing it, which takes seconds
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f'the photographs lie in {package}, which is missing: pip install "subspace-sde[images]"')
        found += [Path(spec.submodule_search_locations[0]) / folder / name for name in names.split()]
    return [Image.open(io.BytesIO(file.read_bytes())).convert("RGB") for file in found]


def _split(source: str, found: _Found, size: int | None, seed: int, skip_bad: bool = False) -> Images:
    """Each image goes straight to its place in one array, the held-out ones in front: nothing is held twice."""
    count, pictures = found
    _check_enough(source, count)
    places = np.argsort(np.random.default_rng(seed_of(seed)).permutation(count))
    images, read = np.empty((count, 3, 0, 0), dtype=np.uint8), np.zeros(count, dtype=bool)
    refusals: list[str] = []
    brightest: list[int] = []
    for i, (name, open_picture) in enumerate(pictures):
        try:
            pixels, bright = _decode(name, open_picture, size)
        except ValueError as error:
            refusals = [*refusals, name if refusals else str(error)][:_NAMED]
            continue
        if not read.any():
            images = np.empty((count, *pixels.shape), dtype=np.uint8)
        brightest = [max([bright, *brightest])] if bright is not None else brightest
        (_, h, w), (_, _, first_h, first_w) = pixels.shape, images.shape
        if (h, w) != (first_h, first_w):
            kinds = f"{name} is {w} x {h}, the first {first_w} x {first_h}"
            mend = "give a size (--size on the command line) and all are cropped and scaled to it"
            raise ValueError(f"images of mixed sizes: {kinds}; {mend}")
        images[places[i]], read[places[i]] = pixels, True
    if left_out := count - int(read.sum()):
        more = [f"{left_out - _NAMED} more"] if left_out > _NAMED else []
        others = f"; nor can {', '.join([*refusals[1:], *more])}, {left_out} of {count} in all" if left_out > 1 else ""
        if not skip_bad:
            raise ValueError(f"{refusals[0]}{others}; skip_bad (--skip-bad on the command line) goes on without")
        warnings.warn(f"left out: {refusals[0]}{others or f', 1 of {count}'}", stacklevel=3)
        for place, found_at in enumerate(np.flatnonzero(read)):
            images[place] = images[found_at]
        count -= left_out
        images = images[:count]
        _check_enough(source, count)
    if brightest and brightest[0] < _DARK:
        raise ValueError(
            f"the 16-bit images of {source} are nowhere brighter than {brightest[0]} of 65535, as where 10, 12 or 14 "
            "bits were not scaled, and would be nearly black: scale them to the whole range first"
        )
    held = max(1, min(count // 10, 10_000))
    return Images(source, images[held:], images[:held])


def _check_enough(source: str, count: int) -> None:
    if count < 2:
        raise ValueError(f"{source} holds {count} of the two images that are needed: one to train, one held out")


@contextmanager
def _refusing(sentence: str) -> Iterator[None]:
    """Readers raise OSError, SyntaxError, struct.error and many more; to the user each is one sentence."""
    try:
        yield
    except Exception as error:
        text = "of no known format" if isinstance(error, UnidentifiedImageError) else str(error).strip()
        raise ValueError(f"{sentence} ({(text or type(error).__name__).splitlines()[0]})") from error


def _decode(name: str, open_picture: Callable[[], Any], size: int | None) -> tuple[_Pixels, int | None]:
    """The pixels, and of an image of 16 bits the brightest there."""
    with _refusing(f"{name} cannot be read as an image"):
        if (picture := open_picture()) is None:
            raise ValueError("it is empty")
        with picture:
            if size is not None:
                picture.draft(None, (8 * size, 8 * size))  # a JPEG far larger is decoded at a fraction of its size
            raw = str([tile.args for tile in getattr(picture, "tile", ())])  # how the file holds them
            ImageOps.exif_transpose(picture, in_place=True)
            bright = None if "I;12" in raw else _brightest(picture, raw)
            rgb = _rgb(picture, raw)
            if size is not None and rgb.size != (size, size):
                rgb = ImageOps.fit(rgb, (size, size))  # the largest central square, scaled
            return np.asarray(rgb).transpose(2, 0, 1), bright


def _brightest(picture: Any, raw: str) -> int | None:
    """Of a picture of 16 bits; Pillow keeps all of them for grey alone, and the upper eight for colours."""
    if picture.mode.startswith("I;16"):
        return int(_wide(picture).max())
    if ";16" in raw and picture.mode in {"RGB", "RGBA"}:
        return 256 * int(max(high for _, high in picture.getextrema()[:3])) + 255
    return None


def _wide(picture: Any) -> _Pixels:
    """The numbers of a grey picture of 16 bits, with white the highest."""
    pixels, white_is_zero = np.asarray(picture), getattr(picture, "tag_v2", {}).get(262) == 0
    return 65535 - pixels if white_is_zero else pixels


def _rgb(picture: Any, raw: str) -> Any:
    clear = picture.info.get("transparency")
    if picture.mode.startswith("I;16"):  # convert() would clip these at 255
        grey = (_wide(picture) >> (4 if "I;12" in raw else 8)).astype(np.uint8)
        if clear is not None:
            grey[np.asarray(picture) == clear] = 255
        picture = Image.fromarray(grey)
    elif ";16" in raw and isinstance(clear, tuple):
        picture.info["transparency"] = tuple(value >> 8 for value in clear)
    if picture.mode in {"I", "F"}:
        raise ValueError(f"pixels of mode {picture.mode} have no known range")
    if picture.mode in {"LA", "PA", "RGBA", "RGBa"} or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _folder(path: Path) -> _Found:
    def refuse(error: OSError) -> None:
        raise ValueError(f"the folder {error.filename} cannot be read ({error.strerror}): its images would be missing")

    found, seen = [], set()
    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        again = os.path.realpath(folder) in seen  # by way of a link
        seen.add(os.path.realpath(folder))
        folders[:] = [] if again else sorted(name for name in folders if not name.startswith("."))
        visible = [] if again else [Path(folder, name) for name in names if not name.startswith(".")]
        found += [file for file in visible if file.suffix.lower() in _FOLDER_SUFFIXES]
    if not found:
        raise ValueError(f"the folder {path} holds no images ({', '.join(sorted(_FOLDER_SUFFIXES))})")
    return len(found), ((str(file), partial(_open, file)) for file in sorted(found))


def _open(file: Path) -> Any:
    if file.exists() and not file.is_file():
        raise ValueError("it is a pipe, a socket or a device")
    return Image.open(file)


def _npz(path: Path) -> _Found:
    def picture(image: _Pixels) -> Any:
        if np.issubdtype(image.dtype, np.floating) and np.all((image >= 0) & (image <= 1)):
            image = np.round(image * 255).astype(np.uint8)
        if image.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8, or floats in [0, 1] without NaN; these are {image.dtype}")
        return Image.fromarray(image)

    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an .npz file")
    seen = []
    with _refusing(f"{path} cannot be used as an .npz file of images"), np.load(path) as file:
        for key in file.files:
            try:
                images = np.asarray(file[key])
            except ValueError:  # a pickle can run code: it stays packed, another array may hold the images
                seen.append(f"{key} of pickled objects")
                continue
            if images.ndim == 4 and 0 not in images.shape[1:] and 3 in (images.shape[1], images.shape[3]):
                break
            seen.append(f"{key} {images.shape}")
        else:
            raise ValueError(f"no array of shape (N, H, W, 3) or (N, 3, H, W), but {', '.join(seen[:8]) or 'nothing'}")
        if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
            raise ValueError(f"pixels must be uint8, or floats in [0, 1] without NaN; these are {images.dtype}")
    images = images if images.shape[3] == 3 else images.transpose(0, 2, 3, 1)
    return len(images), ((f"image {i} of {path}", partial(picture, image)) for i, image in enumerate(images))


def _parquet(path: Path) -> _Found:
    import pyarrow.parquet as pq

    def rows() -> Iterator[tuple[str, Callable[[], Any]]]:
        with _refusing(f"{path} cannot be read to its end"):
            values = (v for b in file.iter_batches(256, columns=columns[:1]) for v in b.column(0).to_pylist())
            for row, value in enumerate(values):
                content = value["bytes"] if isinstance(value, dict) else value
                yield f"row {row} of {path}", partial(Image.open, io.BytesIO(content)) if content else lambda: None

    with _refusing(f"{path} cannot be used as a Parquet file of images"):
        file = pq.ParquetFile(path)
        columns = [c.path for c in file.schema if c.physical_type == "BYTE_ARRAY" and c.logical_type.type == "NONE"]
        columns.sort(key=lambda name: not name.endswith(".bytes"))  # the hub's schema first, then any bytes
        if not columns:
            raise ValueError(f"no image column (bytes, or a struct with bytes), but {file.schema_arrow.names}")
    return file.metadata.num_rows, rows()


def _hub(name: str) -> _Found:
    import datasets

    with _refusing(f"{name} is nothing here, and the hub gave no images of that name"):
        data = datasets.load_dataset(name, split="train")
        columns = [k for k, v in data.features.items() if isinstance(v, datasets.Image)]
        if not columns:
            raise ValueError(f"no image column, but {list(data.features)}")
        data = data.select_columns(columns[:1])
    return len(data), ((f"row {i} of {name}", partial(lambda i: data[i][columns[0]], i)) for i in range(len(data)))


@checked
def save_grid(images: Any, path: str | Path, columns: int = 8, zoom: int = 4) -> None:
    """Images (N, 3, H, W), floats in [0, 1] (others are clipped) or uint8, as one PNG with a thin white border.

    The file appears under its name when it is whole. A ValueError for no images, another shape or dtype, or NaN.
    """
    _check_positive(columns=columns, zoom=zoom)
    check_unmasked(images)
    pixels, path = np.asarray(images), Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"a grid is written as PNG: {path} must end in .png")
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ValueError(f"a grid needs images of shape (N, 3, H, W), at least one; got {pixels.shape}")
    if pixels.dtype != np.uint8:
        if not np.issubdtype(pixels.dtype, np.floating) or np.isnan(pixels).any():
            raise ValueError(f"a grid needs uint8 or floats without NaN, got {pixels.dtype}")
        pixels = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    n, c, h, w = pixels.shape
    if (edge := zoom * (max(columns * (w + 1), -(-n // columns) * (h + 1)) + 1)) > 2**16:
        raise ValueError(f"the grid would be {edge:,} pixels long: give a smaller zoom, or fewer images")
    sheet = np.full((c, -(-n // columns) * (h + 1) + 1, columns * (w + 1) + 1), 255, dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (h + 1) + 1, (i % columns) * (w + 1) + 1
        sheet[:, top : top + h, left : left + w] = image
    sheet = sheet.repeat(zoom, axis=1).repeat(zoom, axis=2)
    with whole(path) as fresh:
        Image.fromarray(sheet.transpose(1, 2, 0)).save(fresh, format="PNG")


def _check_positive(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


__all__ = ["Images", "load", "photos", "save_grid", "to_unit", "unit_batches"]
