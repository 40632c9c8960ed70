"""What cannot be read as an image: all of it is named at once, or left out with a warning; nothing is waited for."""

import os
import re
import socket

import numpy as np
import pytest
from PIL import Image

from subspace_sde.images import load, save_grid, to_unit, unit_batches

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Five images, and ``spoil(n)`` adds n that are none."""
    for i, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"good-{i}.png")

    def spoil(number):
        for i in range(number):
            (tmp_path / f"bad-{i:02}.png").write_bytes(b"no image")
        return tmp_path

    return spoil


def refusal(source, **options):
    with pytest.raises(ValueError, match=r".") as refused:
        load(source, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def held(images):
    return {image.tobytes() for part in (images.train, images.held_out) for image in part.transpose(0, 2, 3, 1)}


@pytest.mark.parametrize("number", [1, 2, 10, 14])
def test_all_that_cannot_be_read_is_named(folder, number):
    path = folder(number)
    message = refusal(path)
    assert message.startswith(f"{path}/bad-00.png cannot be read as an image (of no known format)")
    assert re.findall(r"bad-(\d\d)", message) == [f"{i:02}" for i in range(min(number, 10))]
    assert (f"{number} of {5 + number} in all" in message) == (number > 1)
    assert ("4 more" in message) == (number == 14)
    assert message.endswith("; skip_bad (--skip-bad on the command line) goes on without")


@pytest.mark.parametrize("number", [1, 14])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_skip_bad_keeps_the_others_and_warns(folder, number, seed):
    path = folder(number)
    with pytest.warns(UserWarning, match=f"left out: .*bad-00.png.*{number} of {5 + number}") as warned:
        images = load(path, seed=seed, skip_bad=True)
    assert len(warned) == 1
    assert held(images) == {pixels.tobytes() for pixels in PIXELS}
    assert images.train.shape == (4, 3, 4, 6) and images.held_out.shape == (1, 3, 4, 6)


def test_skip_bad_changes_nothing_where_nothing_is_bad(folder):
    path = folder(0)
    np.testing.assert_array_equal(load(path, skip_bad=True).train, load(path).train)


def test_two_images_are_needed_all_the_same(folder, tmp_path):
    for i in range(1, 5):
        (tmp_path / f"good-{i}.png").unlink()
    with pytest.warns(UserWarning, match="left out"):
        assert "holds 1 of the two images" in refusal(folder(3), skip_bad=True)


def test_a_pipe_and_a_socket_are_not_waited_for(folder):
    path = folder(0)
    os.mkfifo(path / "a.png")
    os.mkfifo(path / "x.npz")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(path / "b.png"))
        message = refusal(path)
        assert "a.png cannot be read as an image (it is a pipe, a socket or a device); nor can" in message
        assert "b.png, 2 of 7 in all" in message
        with pytest.warns(UserWarning, match="2 of 7"):
            assert len(held(load(path, skip_bad=True))) == 5
    assert "x.npz is no file but a pipe, a socket or a device" in refusal(path / "x.npz")


def test_a_folder_that_cannot_be_read_is_no_empty_one(folder, monkeypatch):
    path = folder(0)
    (path / "closed").mkdir()
    (path / ".closed").mkdir()
    listed = os.scandir

    def scandir(folder):
        if "closed" in str(folder):
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for options in ({}, {"skip_bad": True}):
        message = refusal(path, **options)
        assert message == f"the folder {path}/closed cannot be read (Permission denied): its images would be missing"
    (path / "closed").rmdir()  # the hidden one is not looked into
    assert len(held(load(path))) == 5


def test_links_to_folders_are_followed_once(folder, tmp_path_factory):
    path, elsewhere = folder(0), tmp_path_factory.mktemp("elsewhere")
    Image.fromarray(PIXELS[0][::-1]).save(elsewhere / "other.png")
    (path / "link").symlink_to(elsewhere)
    (path / "again").symlink_to(elsewhere)
    (path / "loop").symlink_to(path)
    images = load(path)
    assert len(images.train) + len(images.held_out) == 6 == len(held(images))


def test_another_users_home(tmp_path):
    for source in ("~nobody-of-that-name/x", "~nobody-of-that-name"):
        assert refusal(source) == f"{source} does not exist: there is no user of that name here"


def test_masked_pixels_are_refused(tmp_path):
    masked = np.ma.masked_equal(PIXELS.transpose(0, 3, 1, 2), 7)
    for use in (to_unit, lambda x: list(unit_batches(x)), lambda x: save_grid(x, tmp_path / "x.png")):
        with pytest.raises(TypeError, match="a masked array cannot be used"):
            use(masked)
