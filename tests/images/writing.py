"""Images on disk in every format, and what is said of those that cannot be read."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from subspace_sde.images import load


def encoded(picture, format="PNG", **options):
    stream = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(stream, format, **options)
    return stream.getvalue()


def plain(colour=(9, 8, 7), size=(6, 5)):
    return Image.new("RGB", size, colour)


def write_folder(folder, arrays):
    folder.mkdir()
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{i:03}.png")
    return folder


def write_parquet(path, contents, **columns):
    """The schema of the hub's image data sets: a struct of bytes and path, and a label."""
    rows = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(contents)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = {**columns, "img": pa.array(rows, kind), "label": pa.array(range(len(rows)), pa.int64())}
    pq.write_table(pa.table(table), path)
    return path


def refusal(source, *args, **kwargs):
    """The message of the refusal: one line, and no longer than a reader will read."""
    with pytest.raises(ValueError) as caught:
        load(source, *args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and "object at 0x" not in message and len(message) < 400, message
    return message


def assert_holds(found, pixels):
    """`found` is a split of exactly these images (N, H, W, 3), each kept once, a tenth held out."""
    together = np.concatenate([found.train, found.held_out])
    assert found.train.dtype == found.held_out.dtype == np.uint8
    assert found.shape == together.shape[1:] == (3, *pixels.shape[1:3])
    assert len(found.held_out) == max(1, len(pixels) // 10)
    assert sorted(x.tobytes() for x in together) == sorted(np.moveaxis(x, -1, 0).tobytes() for x in pixels)


def only_image(folder, **kwargs):
    """The pixels (H, W, 3) of a folder whose images are all the same."""
    found = load(folder, **kwargs)
    first = found.train[0]
    assert all(np.array_equal(first, x) for x in (*found.train, *found.held_out))
    return first.transpose(1, 2, 0)


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


NOISE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
BROKEN = {
    "truncated.png": encoded(NOISE)[:5000],
    "truncated.jpg": encoded(NOISE, "JPEG")[:1500],
    "truncated.gif": encoded(NOISE, "GIF")[:2000],
    "truncated.webp": encoded(NOISE, "WEBP")[:500],
    "flipped.png": flipped(encoded(NOISE), 100),
    "header-only.png": encoded(NOISE)[:40],
    "text.png": b"this is not an image",
    "text.jpg": b"neither is this",
    "empty.bmp": b"",
    "zeros.tif": bytes(100),
}
ROWS = {
    "text": (b"not an image", "of no known format"),
    "truncated": (BROKEN["truncated.png"], "truncated"),
    "missing": (None, "it is empty"),
    "empty": (b"", "it is empty"),
}
