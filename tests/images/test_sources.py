"""Images from every source, and one clear sentence for each way in which they can be wrong."""

import io
import os
import pickle
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from subspace_sde import images
from subspace_sde.images import load, photos, save_grid, to_unit, unit_batches


@pytest.fixture
def pixels():
    """Twenty-three images (N, H, W, 3), 5 high and 6 wide, no two pixels of a place alike."""
    levels = np.tile(11 * np.arange(23, dtype=np.uint8)[:, None], 5 * 6 * 3)
    return np.random.default_rng(0).permuted(levels, axis=0).reshape(23, 5, 6, 3)


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


# ----------------------------------------------------------------------------------------------- units and batches


def test_to_unit_is_the_float32_next_to_each_fraction_of_255():
    unit = to_unit(np.arange(256, dtype=np.uint8))
    assert unit.dtype == np.float32 and unit[0] == 0 and unit[255] == 1
    for k, u in enumerate(unit):
        assert abs(Fraction(float(u)) - Fraction(k, 255)) <= Fraction(float(np.spacing(u))) / 2


@pytest.mark.parametrize("dtype", ["float32", "int64", "int8"])
def test_to_unit_refuses_what_is_not_uint8(dtype):
    with pytest.raises(ValueError, match=f"must be uint8, got {dtype}"):
        to_unit(np.zeros(3, dtype=dtype))


@pytest.mark.parametrize("size", [1, 5, 23, 1024])
def test_unit_batches_are_the_images_in_order(pixels, size):
    batches = list(unit_batches(pixels, size))
    assert [len(b) for b in batches] == [min(size, 23 - i) for i in range(0, 23, size)]
    np.testing.assert_array_equal(np.concatenate(batches), to_unit(pixels))


def test_unit_batches_refuse_at_the_call():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        unit_batches(np.zeros((2, 3, 4, 4), dtype=np.uint8), 0)


# -------------------------------------------------------------------------------------------------------- the split


def test_a_folder_is_split_by_its_seed(tmp_path, pixels):
    folder = write_folder(tmp_path / "in", pixels)
    found, again, other = load(folder, seed=3), load(str(folder), seed=3), load(folder, seed=4)
    for x in (found, other):
        assert_holds(x, pixels)
    np.testing.assert_array_equal(found.train, again.train)
    np.testing.assert_array_equal(found.held_out, again.held_out)
    assert found.name == again.name == str(folder)
    assert not np.array_equal(found.held_out, other.held_out)
    assert found != again and len({found, again}) == 2  # by identity: arrays have no truth value


def test_every_source_gives_the_same_split(tmp_path, pixels):
    paths = [write_folder(tmp_path / "in", pixels), tmp_path / "x.npz", tmp_path / "x.parquet"]
    np.savez(paths[1], pixels)
    write_parquet(paths[2], [encoded(x) for x in pixels])
    for size in (None, 4):
        first, *others = [load(path, size, seed=5) for path in paths]
        for other in others:
            np.testing.assert_array_equal(other.train, first.train)
            np.testing.assert_array_equal(other.held_out, first.held_out)


@pytest.mark.parametrize("size", [0, -3])
@pytest.mark.parametrize("source", ["photos", ".", "somebody/some-data"])
def test_a_size_below_one_is_refused(source, size):
    assert refusal(source, size) == f"size must be at least 1, got {size}"


@pytest.mark.parametrize("size", [8.0, "8"])
def test_a_size_that_is_no_integer_is_refused(size):
    with pytest.raises(TypeError, match="integer"):
        load("photos", size)


# ----------------------------------------------------------------------------------------------------------- folders


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


@pytest.mark.parametrize("suffix", ["png", "BMP", "gif", "webp", "tif", "jpg", "JPEG"])
def test_every_suffix_is_read(tmp_path, suffix):
    for name in "ab":
        Image.new("RGB", (6, 5), (200, 100, 50)).save(
            tmp_path / f"{name}.{suffix}", **({"lossless": True} if suffix == "webp" else {"quality": 100})
        )
    lossy = 2 if suffix.startswith("j") or suffix == "JPEG" else 0  # levels: colours are rounded twice on the way
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
        found = only_image(tmp_path)
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


def test_mixed_sizes_are_refused_unless_a_size_is_given(tmp_path):
    plain(size=(6, 5)).save(tmp_path / "a.png")
    plain(size=(5, 6)).save(tmp_path / "b.png")
    message = refusal(tmp_path)
    assert f"mixed sizes: {tmp_path / 'b.png'} is 5 x 6, the first 6 x 5; give a size" in message
    assert load(tmp_path, size=7).shape == (3, 7, 7)


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
    assert refusal(tmp_path).startswith(f"the folder {tmp_path} holds no images (.bmp, .gif, ")
    plain().save("one.png")
    assert refusal(tmp_path).startswith(f"{tmp_path} holds 1 of the two images that are needed")
    assert refusal("one.png") == "one.png is neither a folder of images nor an .npz or .parquet file"
    for missing in ("gone.npz", "gone.parquet", "./gone", "/gone/away", "a/b/c", "gone.jpg"):
        assert refusal(missing) == f"{missing.removeprefix('./')} does not exist"
    assert refusal(Path("gone")) == "gone does not exist"
    assert "empty string" in refusal("")


def test_a_path_named_photos_is_a_folder(tmp_path, monkeypatch, pixels):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", pixels)
    for source in (Path("photos"), "./photos"):
        assert_holds(load(source), pixels)


# --------------------------------------------------------------------------------------------------------------- npz


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("first", [True, False], ids=["channels first", "channels last"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_of_either_layout_and_any_float(tmp_path, pixels, dtype, first, save):
    values = pixels if dtype == "uint8" else (pixels / 255).astype(dtype)
    save(tmp_path / "x.npz", labels=np.arange(23), images=values.transpose(0, 3, 1, 2) if first else values)
    os.rename(tmp_path / "x.npz", tmp_path / "X.NPZ")
    assert_holds(load(tmp_path / "X.NPZ"), pixels)


@pytest.mark.parametrize("off", [-0.4, 0.0, 0.4])
def test_floats_go_to_the_nearest_level(tmp_path, off):
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1).repeat(3, axis=3)
    np.savez(tmp_path / "x.npz", np.clip((levels + off) / 255, 0, 1))
    assert_holds(load(tmp_path / "x.npz"), levels)


def test_an_npz_is_cropped_and_scaled(tmp_path):
    wide = np.full((2, 4, 12, 3), 200, dtype=np.uint8)
    wide[:, :, 4:8] = 10
    for layout in (wide, wide.transpose(0, 3, 1, 2), wide / 255):
        np.savez(tmp_path / "x.npz", layout)
        np.testing.assert_array_equal(only_image(tmp_path / "x.npz", size=4), np.full((4, 4, 3), 10))


class Trap:
    """Unpacked, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_unpacked(tmp_path, pixels):
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    np.savez(tmp_path / "x.npz", names=trap)
    assert "names of pickled objects" in refusal(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", names=trap, images=pixels)
    assert_holds(load(tmp_path / "x.npz"), pixels)
    (tmp_path / "y.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert refusal(tmp_path / "y.npz") == f"{tmp_path / 'y.npz'} is not an .npz file"
    assert not (tmp_path / "sprung").exists()


def ones(value, at=7):
    values = np.full((9, 4, 5, 3), 0.5, dtype=np.float32)
    values[at, 1, 2, 0] = value
    return values


WRONG_ARRAYS = {
    "no colours": (
        np.zeros((9, 4, 5), np.uint8),
        "no array of shape (N, H, W, 3) or (N, 3, H, W), but images (9, 4, 5)",
    ),
    "one channel": (np.zeros((9, 4, 5, 1), np.uint8), "but images (9, 4, 5, 1)"),
    "flat": (np.zeros((9, 60), np.uint8), "but images (9, 60)"),
    "scalar": (np.uint8(3), "but images ()"),
    "no height": (np.zeros((9, 0, 5, 3), np.uint8), "but images (9, 0, 5, 3)"),
    "none": (np.zeros((0, 4, 5, 3), np.uint8), "holds 0 of the two images that are needed"),
    "one": (np.zeros((1, 4, 5, 3), np.uint8), "holds 1 of the two images that are needed"),
    "int64": (np.zeros((9, 4, 5, 3), np.int64), "these are int64"),
    "uint16": (np.zeros((9, 4, 5, 3), np.uint16), "these are uint16"),
    "bool": (np.zeros((9, 4, 5, 3), bool), "these are bool"),
    "complex": (np.zeros((9, 4, 5, 3), complex), "these are complex128"),
    "strings": (np.full((9, 4, 5, 3), "a"), "these are <U1"),
    "NaN": (ones(np.nan), "floats in [0, 1] without NaN; these are float32"),
    "above": (ones(1 + 1e-6), "floats in [0, 1] without NaN; these are float32"),
    "below": (ones(-1e-9), "floats in [0, 1] without NaN; these are float32"),
    "infinite": (ones(np.inf), "floats in [0, 1] without NaN; these are float32"),
    "0 to 255": (ones(255.0), "floats in [0, 1] without NaN; these are float32"),
}


@pytest.mark.parametrize("kind", WRONG_ARRAYS)
def test_wrong_arrays_are_refused(tmp_path, kind):
    array, sentence = WRONG_ARRAYS[kind]
    np.savez(tmp_path / "x.npz", images=array)
    message = refusal(tmp_path / "x.npz")
    assert str(tmp_path / "x.npz") in message and sentence in message
    if array.dtype == np.float32:
        assert message.startswith("image 7 of ")


def test_broken_npz_files_are_named(tmp_path, pixels):
    path = tmp_path / "x.npz"
    np.savez(path, images=pixels)
    whole = path.read_bytes()
    with open(tmp_path / "x.npy", "wb") as file:
        np.save(file, pixels)
    not_npz = [b"", b"some text", whole[: len(whole) // 2], (tmp_path / "x.npy").read_bytes()]
    for content in not_npz:
        path.write_bytes(content)
        assert refusal(path) == f"{path} is not an .npz file"
    path.write_bytes(flipped(whole, len(whole) // 2))
    assert refusal(path).startswith(f"{path} cannot be used as an .npz file of images (Bad CRC-32")
    np.savez(path)
    assert "but nothing" in refusal(path)


# ----------------------------------------------------------------------------------------------------------- Parquet


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
def test_parquet_columns_of_bytes(tmp_path, pixels, kind):
    contents = [encoded(x) for x in pixels]
    pq.write_table(pa.table({"name": ["x"] * 23, "data": pa.array(contents, kind)}), tmp_path / "x.parquet")
    assert_holds(load(tmp_path / "x.parquet"), pixels)


def test_parquet_prefers_the_schema_of_the_hub(tmp_path, pixels):
    hashes = pa.array([b"no image"] * 23, pa.binary())
    write_parquet(tmp_path / "X.PARQUET", [encoded(x) for x in pixels], hash=hashes)
    assert_holds(load(tmp_path / "X.PARQUET"), pixels)


def test_parquet_of_several_row_groups_and_batches(tmp_path):
    many = np.arange(600, dtype=np.uint16).view(np.uint8).reshape(600, 1, 2, 1).repeat(3, axis=3)
    table = pa.table({"img": pa.array([{"bytes": encoded(x)} for x in many])})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=290)
    assert_holds(load(tmp_path / "x.parquet"), many)


ROWS = {
    "text": (b"not an image", "of no known format"),
    "truncated": (BROKEN["truncated.png"], "truncated"),
    "missing": (None, "it is empty"),
    "empty": (b"", "it is empty"),
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("row", [1, 300])
def test_a_broken_row_is_named(tmp_path, kind, row):
    content, reason = ROWS[kind]
    contents = [encoded(plain((1, 2, 3), (64, 64)))] * 302
    contents[row] = content
    path = write_parquet(tmp_path / "x.parquet", contents)
    message = refusal(path)
    assert message.startswith(f"row {row} of {path} cannot be read as an image (") and reason in message


def test_a_parquet_file_without_images_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1, 2], "img": [{"path": "a"}, {"path": "b"}]}), path)
    message = refusal(path)
    assert message.startswith(f"{path} cannot be used") and "no image column" in message and "'label'" in message
    assert "holds 0 of the two" in refusal(write_parquet(path, []))
    assert "holds 1 of the two" in refusal(write_parquet(path, [encoded(plain())]))


def test_a_broken_parquet_file_is_named(tmp_path, pixels):
    path = write_parquet(tmp_path / "x.parquet", [encoded(x) for x in pixels])
    whole = path.read_bytes()
    for content in (
        b"",
        b"some text",
        whole[: len(whole) // 2],
        whole[:-8] + b"\xff" + whole[-7:],
    ):  # no length of the footer
        path.write_bytes(content)
        assert refusal(path).startswith(f"{path} cannot be used as a Parquet file of images (")
    path.write_bytes(whole[:4] + b"\xff" * 200 + whole[204:])  # the footer is whole, the pages are not
    assert refusal(path).startswith(f"{path} cannot be read to its end (")


# --------------------------------------------------------------------------------------------------------------- hub


@pytest.fixture
def publish(monkeypatch):
    """``publish(img=[...])``: the data set of these columns is what the hub gives; the calls are noted."""

    def publish(**columns):
        calls = []
        features = datasets.Features({k: datasets.Image() if k == "img" else datasets.Value("int64") for k in columns})
        data = datasets.Dataset.from_dict(columns, features)
        monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: calls.append((args, kwargs)) or data)
        return calls

    return publish


@pytest.mark.parametrize("name", ["data-set", "some.body/data_set-1.5", "data.v2"])
def test_a_name_on_the_hub_is_loaded(publish, pixels, name):
    calls = publish(label=range(23), img=[{"bytes": encoded(x), "path": None} for x in pixels])
    found = load(name)
    assert calls == [((name,), {"split": "train"})] and found.name == name
    assert_holds(found, pixels)


@pytest.mark.parametrize("kind", ROWS)
def test_a_broken_row_on_the_hub_is_named(publish, kind):
    content = ROWS[kind][0]
    publish(img=[{"bytes": encoded(plain()), "path": None}, content and {"bytes": content, "path": None}])
    assert refusal("some/data").startswith("row 1 of some/data cannot be read as an image (")


def test_data_without_images_on_the_hub_are_refused(publish):
    publish(label=[1, 2])
    assert refusal("some/data").endswith("gave no images of that name (no image column, but ['label'])")


def test_the_first_line_of_the_hubs_error_is_told(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("Config name is missing.\nPlease pick one among many:\n- a\n- b")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    assert refusal("some/data").endswith("gave no images of that name (Config name is missing.)")


def test_the_hubs_own_reader_without_a_network(tmp_path, pixels):
    """In a process of its own, since the hub's client reads its environment when it is imported."""
    write_folder(tmp_path / "train", pixels)
    program = """
import sys
import numpy as np
from subspace_sde import images
found = images._split("local", images._hub(sys.argv[1]), None, 0)  # `load` itself would read it as a folder
np.savez(sys.argv[2], np.concatenate([found.train, found.held_out]))
images.load("nobody/nothing-of-that-name")
"""
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", program, str(tmp_path / "train"), str(tmp_path / "x.npz")]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120)
    assert_holds(load(tmp_path / "x.npz"), pixels)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "Retrying" not in done.stderr
    assert last.startswith("ValueError: nobody/nothing-of-that-name is nothing here, and the hub gave no images of")


# ------------------------------------------------------------------------------------------------------- photographs


@pytest.fixture
def tagged(monkeypatch):
    """Two pictures whose colour says where a pixel lies: (column / 4, row / 4, picture); a third too small at 32."""

    def picture(index, width, height):
        row, column = np.indices((height, width))
        return Image.fromarray(np.stack([column // 4, row // 4, np.full_like(row, index)], -1).astype(np.uint8))

    pictures = [picture(0, 640, 424), picture(1, 512, 500), picture(2, 200, 100)]
    monkeypatch.setattr(images, "_photographs", lambda: pictures)
    return pictures


@pytest.mark.parametrize("size", [16, 32, 64])
def test_crops_come_from_their_own_region_at_three_scales(tagged, size):
    found = photos(size, train=180, held_out=90, seed=1)
    assert found.shape == (3, size, size)
    for crops, is_train in ((found.train, True), (found.held_out, False)):
        scales = []
        for column, row, index in crops.astype(int):
            assert index.min() == index.max() < (3 if size == 16 else 2)
            picture = tagged[index[0, 0]]
            boundary = (picture.width - 4 * size) // 4  # in the units of the tags; the edge is a multiple of four
            assert column.max() < boundary if is_train else column.min() >= boundary
            scale = round(4 * (column[0, -1] - column[0, 0]) / (size - 1))
            scales.append(scale)
            # neighbours on a side are `scale` pixels apart, and each tag is rounded once by the mean that gave it
            across = np.arange(size) * scale / 4
            np.testing.assert_allclose(column, np.broadcast_to(column[0, 0] + across, (size, size)), atol=1)
            np.testing.assert_allclose(row, np.broadcast_to(row[0, 0] + across[:, None], (size, size)), atol=1)
        assert {s: scales.count(s) for s in scales} == dict.fromkeys((1, 2, 4), len(crops) // 3)
        assert len({c.tobytes() for c in crops}) > len(crops) // 2


@pytest.mark.parametrize("size", [7, 20, 31])
def test_no_pixel_of_a_crop_holds_any_of_the_other_region(monkeypatch, size):
    """The boundary lies at no multiple of the scales: a mean across it would show."""
    picture = np.zeros((301, 451, 3), dtype=np.uint8)
    picture[:, 451 - 4 * size :] = 255
    monkeypatch.setattr(images, "_photographs", lambda: [Image.fromarray(picture)])
    found = photos(size, train=300, held_out=300)
    assert not found.train.any() and (found.held_out == 255).all()


def test_every_place_of_a_region_is_cut(monkeypatch):
    """With 1000 crops at full scale, a column is missed with a probability below 25 · (24/25)¹⁰⁰⁰ < 10⁻¹⁶."""
    row, column = np.indices((40, 64))
    picture = np.stack([column, row, 0 * row], -1).astype(np.uint8)
    monkeypatch.setattr(images, "_photographs", lambda: [Image.fromarray(picture)])
    found = photos(8, train=3000, held_out=3000)
    for crops, columns in ((found.train, range(0, 32 - 8 + 1)), (found.held_out, range(32, 64 - 8 + 1))):
        whole = crops[crops[:, 0, 0, 1] - crops[:, 0, 0, 0] == 1]  # neighbours one pixel apart: not reduced
        assert len(whole) == 1000
        assert {int(c) for c in whole[:, 0, 0, 0]} == set(columns)
        assert {int(r) for r in whole[:, 1, 0, 0]} == set(range(40 - 8 + 1))


def test_the_seed_alone_decides_the_crops(tagged):
    a, b, c = (photos(16, train=30, held_out=30, seed=s) for s in (2, 2, 3))
    for name in ("train", "held_out"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert not np.array_equal(getattr(a, name), getattr(c, name))


def test_load_cuts_the_crops_of_photos(tagged):
    found, direct = load("photos", 8, seed=6), photos(8, seed=6)
    assert found.name == "photos" and found.train.shape == (20_000, 3, 8, 8) and len(found.held_out) == 2_000
    np.testing.assert_array_equal(found.train, direct.train)
    np.testing.assert_array_equal(found.held_out, direct.held_out)


def test_the_photographs_are_there(monkeypatch):
    pictures = images._photographs()
    monkeypatch.setattr(images, "_photographs", lambda: pictures)
    assert len(pictures) == 7 and {p.mode for p in pictures} == {"RGB"}
    found = photos(92, train=6, held_out=3)  # the largest size, as the docstring says
    assert found.train.shape == (6, 3, 92, 92) and found.train.std() > 10
    with pytest.raises(ValueError, match="crops of 93 x 93: the largest are 92"):
        photos(93)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"train": 0}, {"held_out": -1}])
def test_photos_refuses_counts_below_one(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
        photos(**wrong)


# -------------------------------------------------------------------------------------------------------------- grid


def read(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.asarray(picture)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize(("num", "columns", "zoom"), [(23, 8, 1), (16, 8, 3), (1, 1, 2), (3, 5, 1)])
def test_a_grid_holds_the_pixels(tmp_path, pixels, dtype, num, columns, zoom):
    chosen = pixels[:num].transpose(0, 3, 1, 2)
    save_grid(chosen if dtype == "uint8" else (chosen / 255).astype(dtype), tmp_path / "g.png", columns, zoom)
    sheet = read(tmp_path / "g.png")
    rows = (num + columns - 1) // columns
    assert sheet.shape == ((rows * 6 + 1) * zoom, (columns * 7 + 1) * zoom, 3)
    np.testing.assert_array_equal(sheet, sheet[::zoom, ::zoom].repeat(zoom, 0).repeat(zoom, 1))
    sheet = sheet[::zoom, ::zoom].copy()
    for i in range(num):
        part = sheet[i // columns * 6 + 1 :, i % columns * 7 + 1 :][:5, :6]
        np.testing.assert_array_equal(part, pixels[i])
        part[:] = 255
    assert (sheet == 255).all()  # the rest is border
    assert os.listdir(tmp_path) == ["g.png"]


def test_a_grid_clips(tmp_path):
    values = np.asarray([-np.inf, -0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.7, np.inf])
    save_grid(np.broadcast_to(values, (1, 3, 1, 8)), tmp_path / "g.PNG", 1, 1)
    assert read(tmp_path / "g.PNG")[1, 1:-1, 0].tolist() == [0, 0, 0, 0, 1, 255, 255, 255]


GOOD = np.zeros((2, 3, 4, 4))


@pytest.mark.parametrize(
    ("array", "name", "options", "sentence"),
    [
        (GOOD[0], "g.png", {}, r"shape \(N, 3, H, W\), at least one; got \(3, 4, 4\)"),
        (GOOD[:0], "g.png", {}, r"at least one; got \(0, 3, 4, 4\)"),
        (GOOD[:, :1], "g.png", {}, r"got \(2, 1, 4, 4\)"),
        (GOOD * np.nan, "g.png", {}, "without NaN"),
        (GOOD.astype(int), "g.png", {}, "uint8 or floats without NaN, got int64"),
        (GOOD, "g.jpg", {}, "g.jpg must end in .png"),
        (GOOD, "g.png", {"columns": 0}, "columns must be at least 1, got 0"),
        (GOOD, "g.png", {"zoom": 0}, "zoom must be at least 1, got 0"),
    ],
)
def test_a_grid_refuses_and_leaves_the_old_one(tmp_path, array, name, options, sentence):
    (tmp_path / name).write_text("the old one")
    with pytest.raises(ValueError, match=sentence):
        save_grid(array, tmp_path / name, **options)
    assert (tmp_path / name).read_text() == "the old one"


def test_a_full_disk_leaves_the_old_grid(tmp_path, monkeypatch):
    def fill(picture, file, **options):
        Path(file).write_bytes(b"half of")
        raise OSError(28, "No space left on device", str(file))

    (tmp_path / "g.png").write_text("the old one")
    monkeypatch.setattr(Image.Image, "save", fill)
    with pytest.raises(OSError, match="No space left"):
        save_grid(GOOD, tmp_path / "g.png")
    assert os.listdir(tmp_path) == ["g.png"] and (tmp_path / "g.png").read_text() == "the old one"
