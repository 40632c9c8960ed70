"""Whatever holds images, as training and held-out ones."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..backend import seed_of
from ..border import checked
from . import sources
from .batches import Images, Pixels
from .decoding import decode
from .photographs import edges, photos
from .sources import NAMED, Found

_BUILTIN = ("builtin", "photos")
_DARK = 2**14  # 16-bit images that reach no further hold 14 bits or fewer
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@checked
def load(
    source: str | Path,
    size: int | Sequence[int] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    channels: int | None = None,
) -> Images:
    """The images that `source` names, a tenth of them (another region of each photograph) held out.

    Parameters
    ----------
    source: a folder of images with its subfolders (hidden files left out), an ``.npz`` file (its first array of shape
        (N, H, W, C) or (N, C, H, W), C = 3 or 1: uint8, or floats in [0, 1]), a ``.parquet`` file with an image column,
        ``"builtin"`` (crops of the photographs inside scikit-learn and scikit-image, no download; ``"photos"`` too
        where no folder has that name), or the name of a data set on the hub (its split ``train``). A `Path` is always
        a file or folder.
    size: the edge of the square, or the height and width, to which each image is cropped and scaled (by block means
        where both edges of the image are multiples of it); without it images must be of one size (and the built-in
        ones are 32 × 32).
    seed: decides which images are held out, and which crops are cut from the photographs.
    skip_bad: leave out what cannot be read as an image, with a warning that counts and names it.
    channels: 3 makes all images RGB, 1 makes them grey; without it all stay grey where all are, else become RGB.

    Palette, CMYK and 16-bit images become 8-bit RGB (grey ones of 16 bits 8-bit grey), what is transparent becomes
    white, an animation gives its first frame, and a camera's orientation tag is followed. Links to folders are
    followed, each folder read once. Warns of a folder that has the name of the built-in photographs, and of files in a
    folder that hold images in formats that are not read.

    Raises
    ------
    ValueError: nothing there, files that are no images (how many, and the names of the first ten), a folder that cannot
        be read, images of mixed sizes, fewer than two images, or 16-bit images all of whose pixels lie in the darkest
        quarter of the range, as where a camera's 10, 12 or 14 bits were not scaled: black images nobody asked for.
    """
    cut = edges(32 if size is None else size)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels is 1 for grey or 3 for RGB, or None, got {channels}")
    if source == "":
        raise ValueError("the source of the images is an empty string: name a folder, a file, a data set or 'builtin'")
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{source} does not exist: there is no user of that name here") from error
    if source in _BUILTIN and not path.is_dir():
        found = photos(cut, seed=seed)
        return _grey(found) if channels == 1 else found
    readers = {".npz": sources.npz, ".parquet": sources.parquet}
    if path.is_dir():
        if source in _BUILTIN:
            warnings.warn(
                f"{source} is read as the folder of that name here, not as the built-in photographs"
                + (", which are called builtin" if source != "builtin" else ""),
                stacklevel=2,
            )
        pictures = sources.folder(path)
    elif path.exists():
        if path.suffix.lower() not in readers:
            raise ValueError(f"{path} is neither a folder of images nor an .npz or .parquet file")
        if not path.is_file():
            raise ValueError(f"{path} is no file but a pipe, a socket or a device, which cannot be read as one")
        pictures = readers[path.suffix.lower()](path)
    elif isinstance(source, Path) or path.suffix[1:].isalpha() or not _HUB_NAME.fullmatch(source):
        raise ValueError(f"{path} does not exist")
    else:
        pictures = sources.hub(source)
    return _split(str(source), pictures, None if size is None else cut, seed, skip_bad, channels)


def _grey(images: Images) -> Images:
    """By Pillow's weights (ITU-R 601), rounded as it rounds."""

    def grey(pixels: Pixels) -> Pixels:
        weighted = np.tensordot(np.asarray([19595, 38470, 7471]), pixels, axes=(0, 1))
        return np.asarray((weighted + 0x8000) >> 16, dtype=np.uint8)[:, None]

    return Images(images.name, grey(images.train), grey(images.held_out))


def _split(
    source: str, found: Found, size: tuple[int, int] | None, seed: int, skip_bad: bool, channels: int | None
) -> Images:
    """Each image goes straight to its place in one array, the held-out ones in front: nothing is held twice."""
    count, pictures = found
    _check_enough(source, count)
    places = np.argsort(np.random.default_rng(seed_of(seed)).permutation(count))
    images, read = np.empty((count, 0, 0, 0), dtype=np.uint8), np.zeros(count, dtype=bool)
    refusals: list[str] = []
    brightest: list[int] = []
    for i, (name, open_picture) in enumerate(pictures):
        try:
            pixels, bright = decode(name, open_picture, size, channels)
        except ValueError as error:
            refusals = [*refusals, name if refusals else str(error)][:NAMED]
            continue
        if not read.any():
            images = np.empty((count, *pixels.shape), dtype=np.uint8)
        brightest = [max([bright, *brightest])] if bright is not None else brightest
        (_, h, w), (_, first_c, first_h, first_w) = pixels.shape, images.shape
        if (h, w) != (first_h, first_w):
            kinds = f"{name} is {h} x {w}, the first {first_h} x {first_w} (height x width)"
            mend = "give a size (--size on the command line) and all are cropped and scaled to it"
            raise ValueError(f"images of mixed sizes: {kinds}; {mend}")
        if len(pixels) > first_c:  # the first that is not grey
            images = np.repeat(images, len(pixels), axis=1)
        images[places[i]], read[places[i]] = pixels, True  # a grey one among others has three equal channels
    if left_out := count - int(read.sum()):
        more = [f"{left_out - NAMED} more"] if left_out > NAMED else []
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
