"""Images of 16 bits: the right grey, white where they are transparent, and no contrast lost without a word."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from subspace_sde.images import load

GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6  # colour types of PNG
RAMP = np.arange(0, 65536, 2048, dtype=np.uint16).reshape(4, 8)


def png(values, kind, clear=None):
    """A PNG of 16 bits."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    transparent = b"" if clear is None else chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    parts = (chunk(b"IHDR", head), transparent, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values, bits=16, white_is_zero=False, big=False):
    """An uncompressed TIFF of grey values; of 12 bits two in three bytes."""
    end = ">" if big else "<"
    if bits == 16:
        data = values.astype(end + "u2").tobytes()
    else:
        a, b = values.reshape(-1, 2).T.astype(int)
        data = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=1).astype(np.uint8).tobytes()
    h, w = values.shape
    tags = [(256, w), (257, h), (258, bits), (259, 1), (262, 0 if white_is_zero else 1), (273, 8), (277, 1), (278, h)]
    tags += [(279, len(data))]
    directory = struct.pack(end + "H", len(tags)) + b"".join(
        struct.pack(end + "HHI", tag, 4, 1) + struct.pack(end + "I", value) for tag, value in tags
    )
    mark = b"MM" if big else b"II"
    return mark + struct.pack(end + "HI", 42, 8 + len(data)) + data + directory + b"\0\0\0\0"


def read(tmp_path, content, others=()):
    """The pixels of an image, (H, W, C), in a folder beside others."""
    for i, file in enumerate([content, content, *others]):
        (tmp_path / f"{i}.png").write_bytes(file)
    images = load(tmp_path)
    found = np.concatenate([images.train, images.held_out]).transpose(0, 2, 3, 1)
    return next(x for i, x in enumerate(found) if sum(np.array_equal(x, y) for y in found) >= 2)


@pytest.mark.parametrize("values", [RAMP, RAMP[:2], RAMP[::-1]])
def test_grey_keeps_its_upper_eight_bits(tmp_path, values):
    expected = (values >> 8)[..., None]
    for i, content in enumerate((png(values, GREY), tiff(values), tiff(values, big=True))):
        (tmp_path / str(i)).mkdir()
        np.testing.assert_array_equal(read(tmp_path / str(i), content), expected)


def test_white_is_zero(tmp_path):
    expected = (255 - (RAMP >> 8))[..., None]
    np.testing.assert_array_equal(read(tmp_path, tiff(RAMP, white_is_zero=True)), expected)


def test_twelve_bits_that_say_so(tmp_path):
    values = RAMP >> 4
    expected = (values >> 4)[..., None]
    np.testing.assert_array_equal(read(tmp_path, tiff(values, bits=12)), expected)


def test_what_is_transparent_is_white(tmp_path):
    clear = RAMP == RAMP[1, 2]
    for name, content in (
        ("grey", png(RAMP, GREY, [RAMP[1, 2]])),
        ("colours", png(np.repeat(RAMP[..., None], 3, axis=2), RGB, [RAMP[1, 2]] * 3)),
        ("grey, alpha", png(np.stack([RAMP, np.where(clear, 0, 65535)], axis=2), GREY_ALPHA)),
        ("colours, alpha", png(np.stack([RAMP] * 3 + [np.where(clear, 0, 65535)], axis=2), RGBA)),
    ):
        (tmp_path / name).mkdir()
        expected = np.where(clear, 255, RAMP >> 8)[..., None].repeat(1 if "grey" in name else 3, axis=2)
        np.testing.assert_array_equal(read(tmp_path / name, content), expected, err_msg=name)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["grey png", "tiff", "colours"])
def test_fewer_bits_that_were_not_scaled_are_refused(tmp_path, bits, kind):
    values = RAMP >> (16 - bits)
    if kind == "colours":
        content = png(np.repeat(values[..., None], 3, axis=2), RGB)
    else:
        content = tiff(values) if kind == "tiff" else png(values, GREY)
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(content)
    brightest = int(values.max()) if kind != "colours" else int(values.max()) // 256 * 256 + 255
    with pytest.raises(
        ValueError, match=f"of {tmp_path} are nowhere brighter than {brightest} of 65535, as where 10, 12"
    ):
        load(tmp_path)


def test_a_dark_image_among_bright_ones_stays_dark(tmp_path):
    dark = RAMP >> 4
    np.testing.assert_array_equal(read(tmp_path, png(dark, GREY), [png(RAMP, GREY)])[..., 0], dark >> 8)


def test_eight_bits_may_be_dark(tmp_path):
    stream = io.BytesIO()
    Image.new("L", (4, 4), 3).save(stream, "PNG")
    assert read(tmp_path, stream.getvalue()).max() == 3
