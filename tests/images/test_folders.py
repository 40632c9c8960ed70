"""Folders of image files: every suffix and mode, and one clear sentence for each way to be wrong."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from subspace_sde.images import load
from tests.images.writing import BROKEN, NOISE, assert_holds, encoded, only_image, plain, refusal, write_folder


def test_a_folder_is_read_with_its_subfolders_and_without_hidden_files(tmp_path):
    folder = tmp_path / ".cache" / "in"  # a hidden folder above hides nothing
    (folder / "deep" / "er.png").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    plain().save(folder / "A.PNG")
    plain().save(folder / "deep" / "er.png" / "b.Tiff")
    plain((0, 0, 0)).save(folder / ".thumbnails" / "c.png")
    (folder / "._A.png").write_bytes(b"a resource fork of another system")
    (folder / "notes.txt").write_text("not an image")
    found = load(folder)
    assert (len(found.train), len(found.held_out)) == (1, 1)
    np.testing.assert_array_equal(found.train[0, :, 0, 0], [9, 8, 7])


LOSSY = 2  # levels: colours are rounded twice on the way
SUFFIXES = {
    **{suffix: (suffix.upper(), {}, 0) for suffix in ("png", "gif", "tga", "ppm")},
    **{suffix: ("JPEG", {"quality": 100}, LOSSY) for suffix in ("jpg", "JPEG", "jpe", "JFIF")},
    "BMP": ("BMP", {}, 0),
    "tif": ("TIFF", {}, 0),
    "webp": ("WEBP", {"lossless": True}, 0),
    "avif": ("AVIF", {"quality": 100}, LOSSY),
    "jp2": ("JPEG2000", {}, 0),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_read(tmp_path, suffix):
    format, options, lossy = SUFFIXES[suffix]
    for name in "ab":
        Image.new("RGB", (6, 5), (200, 100, 50)).save(tmp_path / f"{name}.{suffix}", format, **options)
    np.testing.assert_allclose(
        only_image(tmp_path).astype(float), np.broadcast_to([200, 100, 50], (5, 6, 3)), atol=lossy
    )


def over_white(colour, alpha):
    return tuple(round(c * alpha / 255 + 255 * (1 - alpha / 255)) for c in colour)


def palette(**options):
    picture = Image.new("P", (6, 5), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    return encoded(picture, options.pop("format", "PNG"), **options)


def sixteen_bits(value):
    return Image.fromarray(np.full((5, 6), value, dtype=np.uint16))


MODES = {  # the bytes of a file, and the colour that it shows
    "grey": (encoded(Image.new("L", (6, 5), 77)), (77, 77, 77)),
    "bilevel": (encoded(Image.new("1", (6, 5), 1)), (255, 255, 255)),
    "palette": (palette(), (10, 200, 30)),
    "CMYK": (encoded(Image.new("CMYK", (6, 5), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "16 bits": (encoded(sixteen_bits(40_000)), (156, 156, 156)),  # 40,000 / 256 = 156.25
    "16 bits, white": (encoded(sixteen_bits(65_535)), (255, 255, 255)),
    "16 bits, tiff": (encoded(sixteen_bits(40_000), "TIFF"), (156, 156, 156)),
    "opaque": (encoded(Image.new("RGBA", (6, 5), (10, 20, 30, 255))), (10, 20, 30)),
    "transparent": (encoded(Image.new("RGBA", (6, 5), (10, 20, 30, 0))), (255, 255, 255)),
    "half": (encoded(Image.new("RGBA", (6, 5), (10, 20, 30, 102))), over_white((10, 20, 30), 102)),
    "grey, alpha": (encoded(Image.new("LA", (6, 5), (40, 51))), over_white((40, 40, 40), 51)),
    "grey, one level clear": (encoded(Image.new("L", (6, 5), 77), transparency=77), (255, 255, 255)),
    "palette, clear": (palette(transparency=1), (255, 255, 255)),
    "palette, alphas": (palette(transparency=b"\xff\x66"), over_white((10, 200, 30), 102)),
    "gif, clear": (palette(format="GIF", transparency=1), (255, 255, 255)),
    "gif, animated": (
        encoded(plain((250, 0, 0)), "GIF", save_all=True, append_images=[plain((0, 250, 0))]),
        (250, 0, 0),
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_the_colour_that_it_shows(tmp_path, mode):
    content, colour = MODES[mode]
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = only_image(tmp_path, channels=3)
    np.testing.assert_array_equal(found, np.broadcast_to(np.asarray(colour, dtype=np.uint8), (5, 6, 3)))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_pixels_of_unknown_range_are_refused(tmp_path, dtype):
    for name in "ab":
        Image.fromarray(np.ones((5, 6), dtype=dtype)).save(tmp_path / f"{name}.tif")
    message = refusal(tmp_path)
    assert str(tmp_path / "a.tif") in message and "no known range" in message


def test_the_camera_is_held_upright(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    for name in "ab":
        Image.fromarray(pixels[0]).save(tmp_path / f"{name}.png", exif=exif)
    np.testing.assert_array_equal(only_image(tmp_path), np.rot90(pixels[0], -1))


def test_the_central_square_is_kept(tmp_path):
    wide = np.full((4, 12, 3), 200, dtype=np.uint8)
    wide[:, 4:8] = 10
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "b.png")
    np.testing.assert_array_equal(only_image(tmp_path, size=4), np.full((4, 4, 3), 10))


@pytest.mark.parametrize("shape", [(1024, 1024), (1024, 1300), (16, 16), (8, 8)])
def test_a_ramp_scaled_is_a_ramp(tmp_path, shape):
    """Down (a large JPEG is decoded at a fraction of its size) and up, interior pixels are those at their centres."""
    height, width = shape
    ramp = np.broadcast_to(np.linspace(0, 255, height)[:, None, None], (height, width, 3))
    for name in "ab":
        Image.fromarray(np.round(ramp).astype(np.uint8)).save(tmp_path / f"{name}.jpg", quality=100)
    centres = ((np.arange(16) + 0.5) * height / 16 - 0.5) * 255 / (height - 1)
    found = only_image(tmp_path, size=16).astype(float)
    np.testing.assert_allclose(found[2:-2], np.broadcast_to(centres[2:-2, None, None], (12, 16, 3)), atol=3)


def test_an_edge_divided_by_a_whole_number_gives_block_means(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    for name in "ab":
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    means = pixels.reshape(4, 3, 6, 3, 3).mean(axis=(1, 3))
    # Pillow rounds twice, once an axis
    np.testing.assert_allclose(only_image(tmp_path, size=(4, 6)).astype(float), means, atol=1)


def test_mixed_sizes_are_refused_unless_a_size_is_given(tmp_path):
    plain(size=(6, 5)).save(tmp_path / "a.png")
    plain(size=(5, 6)).save(tmp_path / "b.png")
    message = refusal(tmp_path)
    assert f"mixed sizes: {tmp_path / 'b.png'} is 6 x 5, the first 5 x 6 (height x width); give a size" in message
    assert load(tmp_path, size=7).shape == (3, 7, 7)


OPENS = {"truncated.png", "truncated.jpg", "truncated.gif", "flipped.png"}  # and fails later


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("size", [None, 4])
def test_a_broken_file_is_named(tmp_path, name, size):
    Image.fromarray(NOISE).save(tmp_path / "good.png")
    (tmp_path / name).write_bytes(BROKEN[name])
    if name in OPENS:
        Image.open(tmp_path / name).close()
    message = refusal(tmp_path, size)
    assert message.startswith(f"{tmp_path / name} cannot be read as an image (")


def test_a_link_to_nowhere_is_named(tmp_path):
    plain().save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'b.png'} cannot be read as an image (")


def test_a_huge_image_is_named(tmp_path, monkeypatch):
    for name in "ab":
        plain(size=(8, 8)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 31)  # more than twice this: an error of no usual kind
    assert refusal(tmp_path).startswith(f"{tmp_path / 'a.png'} cannot be read as an image (Image size (64 pixels)")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 63)
    with pytest.warns(Image.DecompressionBombWarning):
        assert only_image(tmp_path).shape == (8, 8, 3)


def test_what_is_not_there_or_too_little_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(tmp_path).startswith(f"the folder {tmp_path} holds no images (.avif, .bmp, .gif, ")
    plain().save("one.png")
    assert refusal(tmp_path).startswith(f"{tmp_path} holds 1 of the two images that are needed")
    assert refusal("one.png") == "one.png is neither a folder of images nor an .npz or .parquet file"
    for missing in ("gone.npz", "gone.parquet", "./gone", "/gone/away", "a/b/c", "gone.jpg"):
        assert refusal(missing) == f"{missing.removeprefix('./')} does not exist"
    assert refusal(Path("gone")) == "gone does not exist"
    assert "empty string" in refusal("")


@pytest.mark.parametrize("name", ["photos", "builtin"])
def test_a_folder_with_the_name_of_the_built_in_photographs_wins(tmp_path, monkeypatch, pixels, name):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / name, pixels)
    for source in (Path(name), f"./{name}"):
        assert_holds(load(source), pixels)
    with pytest.warns(UserWarning, match=f"^{name} is read as the folder of that name here, not as the built-in phot"):
        assert_holds(load(name), pixels)


def test_images_in_formats_that_are_not_read_are_counted_and_named(tmp_path, pixels):
    folder = write_folder(tmp_path / "in", pixels)
    for name in ["notes.txt", ".hidden.svg", *(f"{i:02}.svg" for i in range(11)), "x.heic"]:
        (folder / name).write_bytes(b"")
    with pytest.warns(UserWarning, match="left out: ") as warned:
        assert_holds(load(folder), pixels)
    message = str(warned[0].message)
    assert len(warned) == 1 and message.endswith(", 2 more, 12 in all, in formats that are not read")
    assert [f"{i:02}.svg" in message for i in range(11)] == [True] * 10 + [False] and "hidden" not in message
