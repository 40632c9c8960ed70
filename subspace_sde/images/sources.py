"""Where images lie: folders, ``.npz`` and Parquet files, the hub; each as a count and the pictures one by one."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from mimetypes import MimeTypes
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from ..array_data import channel_axis
from .batches import Pixels
from .decoding import refusing

_SUFFIXES = set(
    ".png .jpg .jpeg .jpe .jfif .webp .avif .jp2 .bmp .gif .tif .tiff .tga .pgm .ppm".split()
)  # Pillow reads more, of which most are no photographs
_NO_PIXELS = (
    "pixels must be uint8, or floats in [0, 1] without NaN; these are {} (`subspace-sde analyse` takes any numbers "
    "with --scale 1)"
)
NAMED = 10
"""Files that are named one by one, of those that cannot be read."""

Found: TypeAlias = tuple[int, Iterator[tuple[str, Callable[[], Any]]]]
"""How many there are; the name of each, and what opens it."""


def folder(path: Path) -> Found:
    """The images in a folder and its subfolders, but for hidden ones; warns of those in formats that are not read."""

    def refuse(error: OSError) -> None:
        raise ValueError(f"the folder {error.filename} cannot be read ({error.strerror}): its images would be missing")

    found, others, seen, kind = [], [], set(), MimeTypes()
    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        again = os.path.realpath(folder) in seen  # by way of a link
        seen.add(os.path.realpath(folder))
        folders[:] = [] if again else sorted(name for name in folders if not name.startswith("."))
        visible = [] if again else [Path(folder, name) for name in names if not name.startswith(".")]
        found += [file for file in visible if file.suffix.lower() in _SUFFIXES]
        others += [file for file in visible if file.suffix.lower() not in _SUFFIXES and _is_image(file, kind)]
    if not found:
        raise ValueError(f"the folder {path} holds no images ({', '.join(sorted(_SUFFIXES))})")
    if others:
        names = [str(file) for file in sorted(others)]
        more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
        warnings.warn(
            f"left out: {', '.join([*names[:NAMED], *more])}, {len(names)} in all, in formats that are not read",
            stacklevel=4,
        )
    return len(found), ((str(file), partial(_open, file)) for file in sorted(found))


def _is_image(file: Path, kind: MimeTypes) -> bool:
    return (kind.guess_type(file.name)[0] or "").startswith("image/")


def _open(file: Path) -> Any:
    if file.exists() and not file.is_file():
        raise ValueError("it is a pipe, a socket or a device")
    return Image.open(file)


def npz(path: Path) -> Found:
    """The first array that has the shape of images, (N, H, W, C) or (N, C, H, W) with one or three channels."""

    def picture(image: Pixels) -> Any:
        if np.issubdtype(image.dtype, np.floating) and np.all((image >= 0) & (image <= 1)):
            image = np.round(image * 255).astype(np.uint8)
        if image.dtype != np.uint8:
            raise ValueError(_NO_PIXELS.format(image.dtype))
        return Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])

    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an .npz file")
    seen = []
    with refusing(f"{path} cannot be used as an .npz file of images"), np.load(path) as file:
        for key in file.files:
            try:
                images = np.asarray(file[key])
            except ValueError:  # a pickle can run code: it stays packed, another array may hold the images
                seen.append(f"{key} of pickled objects")
                continue
            if (axis := channel_axis(images.shape)) is not None:
                break
            seen.append(f"{key} {images.shape}")
        else:
            raise ValueError(f"no array of shape (N, H, W, 3) or (N, 3, H, W), but {', '.join(seen[:8]) or 'nothing'}")
        if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
            raise ValueError(_NO_PIXELS.format(images.dtype))
    images = np.moveaxis(images, axis, 3)
    return len(images), ((f"image {i} of {path}", partial(picture, image)) for i, image in enumerate(images))


def parquet(path: Path) -> Found:
    """The rows of a Parquet file's image column."""
    import pyarrow.parquet as pq

    def rows() -> Iterator[tuple[str, Callable[[], Any]]]:
        with refusing(f"{path} cannot be read to its end"):
            values = (v for b in file.iter_batches(256, columns=columns[:1]) for v in b.column(0).to_pylist())
            for row, value in enumerate(values):
                content = value["bytes"] if isinstance(value, dict) else value
                yield f"row {row} of {path}", partial(Image.open, io.BytesIO(content)) if content else lambda: None

    with refusing(f"{path} cannot be used as a Parquet file of images"):
        file = pq.ParquetFile(path)
        columns = [c.path for c in file.schema if c.physical_type == "BYTE_ARRAY" and c.logical_type.type == "NONE"]
        columns.sort(key=lambda name: not name.endswith(".bytes"))  # the hub's schema first, then any bytes
        if not columns:
            raise ValueError(f"no image column (bytes, or a struct with bytes), but {file.schema_arrow.names}")
    return file.metadata.num_rows, rows()


def hub(name: str) -> Found:
    """The split ``train`` of a data set on the hub."""
    import datasets

    with refusing(f"{name} is nothing here, and the hub gave no images of that name"):
        data = datasets.load_dataset(name, split="train")
        columns = [k for k, v in data.features.items() if isinstance(v, datasets.Image)]
        if not columns:
            raise ValueError(f"no image column, but {list(data.features)}")
        data = data.select_columns(columns[:1])
    return len(data), ((f"row {i} of {name}", partial(lambda i: data[i][columns[0]], i)) for i in range(len(data)))
