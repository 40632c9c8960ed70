"""One image of any file format, as uint8 (C, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .batches import Pixels


@contextmanager
def refusing(sentence: str) -> Iterator[None]:
    """Readers raise OSError, SyntaxError, struct.error and many more; to the user each is one sentence."""
    try:
        yield
    except Exception as error:
        text = "of no known format" if isinstance(error, UnidentifiedImageError) else str(error).strip()
        raise ValueError(f"{sentence} ({(text or type(error).__name__).splitlines()[0]})") from error


def decode(
    name: str, open_picture: Callable[[], Any], size: tuple[int, int] | None, channels: int | None
) -> tuple[Pixels, int | None]:
    """The pixels, and of an image of 16 bits the brightest there.

    `size` is (H, W); without `channels` a grey image has one, any other three.
    """
    with refusing(f"{name} cannot be read as an image"):
        if (picture := open_picture()) is None:
            raise ValueError("it is empty")
        with picture:
            if size is not None:
                picture.draft(None, (8 * size[1], 8 * size[0]))  # a JPEG far larger is decoded at a part of its size
            raw = str([tile.args for tile in getattr(picture, "tile", ())])  # how the file holds them
            ImageOps.exif_transpose(picture, in_place=True)
            bright = None if "I;12" in raw else _brightest(picture, raw)
            grey = picture.mode in {"1", "L", "LA", "La"} or picture.mode.startswith("I;16") or "LA;16" in raw
            shown = _opaque(picture, raw).convert("L" if channels == 1 or (channels is None and grey) else "RGB")
            if size is not None and shown.size != size[::-1]:
                whole = all(edge % n == 0 for edge, n in zip(shown.size, size[::-1]))
                method = Image.Resampling.BOX if whole else Image.Resampling.BICUBIC  # block means where they exist
                shown = ImageOps.fit(shown, size[::-1], method)  # the largest central part of that form, scaled
            return np.atleast_3d(np.asarray(shown)).transpose(2, 0, 1), bright


def _brightest(picture: Any, raw: str) -> int | None:
    """Of a picture of 16 bits; Pillow keeps all of them for grey alone, and the upper eight for colours."""
    if picture.mode.startswith("I;16"):
        return int(_wide(picture).max())
    if ";16" in raw and picture.mode in {"RGB", "RGBA"}:
        return 256 * int(max(high for _, high in picture.getextrema()[:3])) + 255
    return None


def _wide(picture: Any) -> Pixels:
    """The numbers of a grey picture of 16 bits, with white the highest."""
    pixels, white_is_zero = np.asarray(picture), getattr(picture, "tag_v2", {}).get(262) == 0
    return 65535 - pixels if white_is_zero else pixels


def _opaque(picture: Any, raw: str) -> Any:
    """The picture in eight bits, over white."""
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
    # a grey value is written from three equal ones without loss; palettes and others go by way of their colours
    return picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
