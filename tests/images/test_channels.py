"""Grey images have one channel, unless others have colours or it is asked for otherwise; sizes need not be square."""

import numpy as np
import pytest
from PIL import Image

from subspace_sde.images import load, photographs
from tests.images.writing import encoded, plain, refusal, write_folder

GREYS = {
    "L": Image.new("L", (6, 5), 77),
    "bilevel": Image.new("1", (6, 5), 1),
    "alpha": Image.new("LA", (6, 5), (40, 255)),
    "16 bits": Image.fromarray(np.full((5, 6), 40_000, dtype=np.uint16)),
}


def whole(images):
    return np.concatenate([images.held_out, images.train])


@pytest.mark.parametrize("kind", GREYS)
def test_grey_images_stay_grey(tmp_path, kind):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encoded(GREYS[kind]))
    grey, colour = load(tmp_path), load(tmp_path, channels=3)
    assert grey.shape == (1, 5, 6) and colour.shape == (3, 5, 6)
    np.testing.assert_array_equal(whole(grey).repeat(3, axis=1), whole(colour))
    np.testing.assert_array_equal(whole(load(tmp_path, channels=1)), whole(grey))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("first", ["grey", "colours"])
def test_one_image_with_colours_makes_all_of_them_rgb(tmp_path, pixels, first, seed):
    greys = pixels[..., 0]
    write_folder(tmp_path / "in", [*greys[:11], *pixels[11:]] if first == "grey" else [*pixels[:11], *greys[11:]])
    found = load(tmp_path / "in", seed=seed)
    assert found.shape == (3, 5, 6)
    np.testing.assert_array_equal(whole(found), whole(load(tmp_path / "in", seed=seed, channels=3)))


def test_colours_become_grey_as_pillow_makes_them(tmp_path, pixels, monkeypatch):
    write_folder(tmp_path / "in", pixels)
    found = {image.tobytes() for image in whole(load(tmp_path / "in", channels=1))}
    assert found == {np.asarray(Image.fromarray(x).convert("L")).tobytes() for x in pixels}
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8))
    monkeypatch.setattr(photographs, "_photographs", lambda: [picture])
    colour, grey = load("builtin", 8), load("builtin", 8, channels=1)
    assert grey.train.shape == (20_000, 1, 8, 8)
    for i in range(20):
        expected = Image.fromarray(colour.train[i].transpose(1, 2, 0)).convert("L")
        np.testing.assert_array_equal(grey.train[i, 0], np.asarray(expected))


@pytest.mark.parametrize("layout", [(0, 3, 1, 2), (0, 1, 2, 3)])
def test_an_npz_of_one_channel(tmp_path, pixels, layout):
    np.savez(tmp_path / "x.npz", pixels[..., :1].transpose(layout))
    found = load(tmp_path / "x.npz")
    assert found.shape == (1, 5, 6)
    assert {x.tobytes() for x in whole(found)} == {x[..., 0].tobytes() for x in pixels}


def test_sizes_that_are_not_square(tmp_path):
    """Height first: the largest central part of that form."""
    wide = np.full((4, 12, 3), 200, dtype=np.uint8)
    wide[:, 2:10] = 10
    write_folder(tmp_path / "in", [wide, wide])
    found = load(tmp_path / "in", size=(4, 8))
    assert found.shape == (3, 4, 8) and (found.train == 10).all()
    assert load(tmp_path / "in", size=np.asarray([8, 2])).shape == (3, 8, 2)


def test_crops_that_are_not_square(monkeypatch):
    row, column = np.indices((40, 200))
    picture = np.stack([column, row, 0 * row], -1).astype(np.uint8)
    monkeypatch.setattr(photographs, "_photographs", lambda: [Image.fromarray(picture)])
    found = load("builtin", (5, 20))
    assert found.shape == (3, 5, 20)
    for crops, low, high in ((found.train, 0, 119), (found.held_out, 120, 199)):
        assert crops[:, 0].min() >= low and crops[:, 0].max() <= high
    with pytest.raises(ValueError, match="crops of 11 x 20: the largest are 10"):
        load("builtin", (11, 20))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": (4, 4, 4)}, "size is one edge, or a height and a width, got (4, 4, 4)"),
        ({"size": (4, 0)}, "size must hold positive integers, got (4, 0)"),
        ({"channels": 2}, "channels is 1 for grey or 3 for RGB, or None, got 2"),
    ],
)
def test_refusals(tmp_path, options, sentence):
    for name in "ab":
        plain().save(tmp_path / f"{name}.png")
    assert refusal(tmp_path, **options) == sentence
