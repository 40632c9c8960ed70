"""Training and held-out images: parted by the seed, alike for every source."""

import numpy as np
import pytest

from subspace_sde.images import load
from tests.images.writing import assert_holds, encoded, refusal, write_folder, write_parquet


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
@pytest.mark.parametrize("source", ["builtin", ".", "somebody/some-data"])
def test_a_size_below_one_is_refused(source, size):
    assert refusal(source, size) == f"size must be at least 1, got {size}"
