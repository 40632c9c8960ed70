"""Crops of photographs: no pixel on both sides of the split, every place cut, the seed alone decides."""

import numpy as np
import pytest
from PIL import Image

from subspace_sde.images import load, photographs, photos


@pytest.fixture
def tagged(monkeypatch):
    """Two pictures whose colour says where a pixel lies: (column / 4, row / 4, picture); a third too small at 32."""

    def picture(index, width, height):
        row, column = np.indices((height, width))
        return Image.fromarray(np.stack([column // 4, row // 4, np.full_like(row, index)], -1).astype(np.uint8))

    pictures = [picture(0, 640, 424), picture(1, 512, 500), picture(2, 200, 100)]
    monkeypatch.setattr(photographs, "_photographs", lambda: pictures)
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
    monkeypatch.setattr(photographs, "_photographs", lambda: [Image.fromarray(picture)])
    found = photos(size, train=300, held_out=300)
    assert not found.train.any() and (found.held_out == 255).all()


def test_every_place_of_a_region_is_cut(monkeypatch):
    """With 1000 crops at full scale, a column is missed with a probability below 25 · (24/25)¹⁰⁰⁰ < 10⁻¹⁶."""
    row, column = np.indices((40, 64))
    picture = np.stack([column, row, 0 * row], -1).astype(np.uint8)
    monkeypatch.setattr(photographs, "_photographs", lambda: [Image.fromarray(picture)])
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


@pytest.mark.parametrize("name", ["builtin", "photos"])
def test_load_cuts_the_crops_of_photos(tagged, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("a file of that name is no folder")
    found, direct = load(name, 8, seed=6), photos(8, seed=6)
    assert found.name == "builtin" and found.train.shape == (20_000, 3, 8, 8) and len(found.held_out) == 2_000
    np.testing.assert_array_equal(found.train, direct.train)
    np.testing.assert_array_equal(found.held_out, direct.held_out)


def test_the_photographs_are_there(monkeypatch):
    pictures = photographs._photographs()
    monkeypatch.setattr(photographs, "_photographs", lambda: pictures)
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
