"""Images from where people have them, as arrays: photographs, folders, ``.npz``, Parquet, the Hugging Face hub.

Everything is kept as uint8 ``(N, 3, H, W)``; `to_unit` turns a batch into floats in [0, 1], the data range of every
figure of this project. Needs the extra ``images``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_FOLDER_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_PHOTO_NAMES = {  # natural colour photographs that ship with the two libraries
    "sklearn": ("china.jpg", "flower.jpg"),
    "skimage": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"),
}


@dataclass(frozen=True)
class Images:
    """A data set: `train` and `held_out`, uint8 arrays of shape (N, 3, H, W), and the `name` it was asked for by."""

    name: str
    train: np.ndarray[Any, Any]
    held_out: np.ndarray[Any, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        _, c, h, w = self.train.shape
        return c, h, w


def to_unit(images: Any) -> np.ndarray[Any, Any]:
    """uint8 pixels as float32 in [0, 1].

    >>> to_unit(np.asarray([0, 255], dtype=np.uint8))
    array([0., 1.], dtype=float32)
    """
    return np.asarray(images).astype(np.float32) / np.float32(255)


def unit_batches(images: np.ndarray[Any, Any], size: int = 1024) -> Iterator[np.ndarray[Any, Any]]:
    """uint8 images as batches in [0, 1], so that a data set is never whole in floating point."""
    for start in range(0, len(images), size):
        yield to_unit(images[start : start + size])


def load(source: str | Path, size: int | None = None, seed: int = 0) -> Images:
    """The images that `source` names, a tenth of them (another region of each photograph) held out.

    Parameters
    ----------
    source: ``photos`` (crops of the photographs inside scikit-learn and scikit-image, no download), a folder of
        images, an ``.npz`` file, a ``.parquet`` file with an image column, or the name of a data set on the hub.
    size: the edge of the square to which each image is cropped and scaled; without it images must be of one size
        (and ``photos`` are 32 × 32).
    seed: decides which images are held out, and which crops are cut from the photographs.

    Raises
    ------
    ValueError: nothing there, a file that is no image (its name), images of mixed sizes.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if str(source) == "photos":
        return photos(32 if size is None else size, seed=seed)
    path = Path(source).expanduser()
    if path.is_dir():
        images = _stack(_folder(path), size)
    elif path.suffix == ".npz" and path.exists():
        images = _npz(path, size)
    elif path.suffix == ".parquet" and path.exists():
        images = _stack(_parquet(path), size)
    elif path.exists():
        raise ValueError(f"{path} is neither a folder of images nor an .npz or .parquet file")
    elif path.suffix or str(source).startswith((".", "/", "~")):
        raise ValueError(f"{path} does not exist")
    else:
        images = _stack(_hub(str(source)), size)
    if len(images) < 2:
        raise ValueError(f"{source} holds {len(images)} image: at least two are needed, one to train and one held out")
    order = np.random.default_rng(seed).permutation(len(images))
    held = max(1, min(len(images) // 10, 10_000))
    return Images(str(source), images[order[held:]], images[order[:held]])


def photos(size: int = 32, train: int = 20_000, held_out: int = 2_000, seed: int = 0) -> Images:
    """Crops of seven photographs at three scales (1, 1/2, 1/4); the held-out ones from a strip set apart before.

    The strip is the right end of each photograph, four crops wide at full scale (one at the coarsest), and no
    training crop touches it.
    """
    cut: tuple[list[Any], list[Any]] = ([], [])
    rng = np.random.default_rng(seed)
    pictures = [p for p in _photographs() if min(p.height, p.width - 4 * size) >= 4 * size]
    if not pictures:
        raise ValueError(f"no photograph is large enough for crops of {size} x {size}: at most 128 x 128 are")
    for regions, crops, total in ((0, cut[0], train), (1, cut[1], held_out)):
        sources = []
        for picture in pictures:
            edge = picture.width - 4 * size
            part = picture.crop(
                (0, 0, edge, picture.height) if regions == 0 else (edge, 0, picture.width, picture.height)
            )
            sources += [np.asarray(part.reduce(scale)) for scale in (1, 2, 4)]
        for i in range(total):
            whole = sources[i % len(sources)]
            top, left = (rng.integers(0, n - size + 1) for n in whole.shape[:2])
            crops.append(whole[top : top + size, left : left + size])
    first, second = (np.ascontiguousarray(np.stack(c).transpose(0, 3, 1, 2)) for c in cut)
    return Images("photos", first[rng.permutation(train)], second[rng.permutation(held_out)])


def _photographs() -> list[Any]:
    from importlib.resources import files

    from PIL import Image

    folders = {"sklearn": files("sklearn") / "datasets" / "images", "skimage": files("skimage") / "data"}
    return [
        Image.open(io.BytesIO((folders[package] / name).read_bytes())).convert("RGB")
        for package, names in _PHOTO_NAMES.items()
        for name in names
    ]


def _folder(path: Path) -> Iterator[tuple[str, Any]]:
    from PIL import Image, UnidentifiedImageError

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _FOLDER_SUFFIXES)
    if not files:
        raise ValueError(f"the folder {path} holds no images ({', '.join(sorted(_FOLDER_SUFFIXES))})")
    for file in files:
        try:
            with Image.open(file) as picture:
                yield str(file), picture.convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{file} cannot be read as an image ({error}): mend it or take it out") from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image, UnidentifiedImageError

    def is_image(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file ({error})") from error
    column = next((f.name for f in file.schema_arrow if is_image(f.type)), None)
    if column is None:
        raise ValueError(f"{path} has no image column (bytes, or a struct with bytes): {file.schema_arrow.names}")
    row = 0
    for batch in file.iter_batches(columns=[column]):
        for value in batch.column(0).to_pylist():
            content = value["bytes"] if isinstance(value, dict) else value
            try:
                yield f"{path}, row {row}", Image.open(io.BytesIO(content)).convert("RGB")
            except (UnidentifiedImageError, OSError, TypeError) as error:
                raise ValueError(f"row {row} of {path} cannot be read as an image ({error})") from error
            row += 1


def _hub(name: str) -> Iterator[tuple[str, Any]]:
    import datasets

    try:
        data = datasets.load_dataset(name, split="train")
    except Exception as error:  # the hub's client raises many kinds; each is the same to the user
        raise ValueError(f"{name} is no file or folder here, and the hub did not give it: {error}") from error
    column = next((k for k, v in data.features.items() if isinstance(v, datasets.Image)), None)
    if column is None:
        raise ValueError(f"the data set {name} has no image column: {list(data.features)}")
    for row in range(len(data)):
        yield f"{name}, row {row}", data[row][column].convert("RGB")


def _npz(path: Path, size: int | None) -> np.ndarray[Any, Any]:
    from PIL import Image

    try:
        with np.load(path) as file:
            found = {k: file[k] for k in file.files}
    except Exception as error:  # zip, header and pickled-object errors are of many kinds
        raise ValueError(f"{path} cannot be read as an .npz file of plain arrays ({error})") from error
    name = next((k for k, v in found.items() if v.ndim == 4 and (v.shape[-1] == 3 or v.shape[1] == 3)), None)
    if name is None:
        shapes = {k: v.shape for k, v in found.items()}
        raise ValueError(f"{path} has no array of shape (N, H, W, 3) or (N, 3, H, W): {shapes}")
    images = found[name] if found[name].shape[-1] == 3 else found[name].transpose(0, 2, 3, 1)
    if images.dtype != np.uint8:
        if not (np.issubdtype(images.dtype, np.floating) and np.all((images >= 0) & (images <= 1))):
            raise ValueError(f"the images in {path} must be uint8, or floats in [0, 1], and finite; got {images.dtype}")
        images = np.round(images * 255).astype(np.uint8)
    if size is None or images.shape[1:3] == (size, size):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return _stack(((f"{path}, image {i}", Image.fromarray(a)) for i, a in enumerate(images)), size)


def _stack(pictures: Iterable[tuple[str, Any]], size: int | None) -> np.ndarray[Any, Any]:
    arrays: list[np.ndarray[Any, Any]] = []
    for name, picture in pictures:
        array = np.asarray(picture if size is None else _square(picture, size))
        if arrays and array.shape != arrays[0].shape:
            raise ValueError(
                f"images of mixed sizes: {name} is {array.shape[1]} x {array.shape[0]}, the first "
                f"{arrays[0].shape[1]} x {arrays[0].shape[0]}; give a size and all are cropped and scaled to it"
            )
        arrays.append(array)
    return np.ascontiguousarray(np.stack(arrays).transpose(0, 3, 1, 2)) if arrays else np.zeros((0, 3, 1, 1), np.uint8)


def _square(picture: Any, size: int) -> Any:
    """The largest central square, scaled to size × size."""
    from PIL import ImageOps

    return picture if picture.size == (size, size) else ImageOps.fit(picture, (size, size))


def save_grid(images: Any, path: str | Path, columns: int = 8, zoom: int = 4) -> None:
    """Images with values in [0, 1] (others are clipped), (N, 3, H, W), as one PNG with a thin border between them."""
    from PIL import Image

    pixels = np.asarray(np.clip(np.asarray(images), 0, 1) * 255 + 0.5, dtype=np.uint8)
    n, c, h, w = pixels.shape
    rows = -(-n // columns)
    sheet = np.full((c, rows * (h + 1) + 1, columns * (w + 1) + 1), 255, dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (h + 1) + 1, (i % columns) * (w + 1) + 1
        sheet[:, top : top + h, left : left + w] = image
    picture = Image.fromarray(sheet.transpose(1, 2, 0))
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(path)


__all__: Sequence[str] = ["Images", "load", "photos", "save_grid", "to_unit", "unit_batches"]
