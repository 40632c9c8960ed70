"""The built-in photographs: seven that ship with scikit-learn and scikit-image, cut into crops."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..arrays import sizes
from ..backend import seed_of
from ..border import checked
from .batches import Images, check_positive

_PHOTOGRAPHS = {  # natural colour photographs that ship with the two libraries
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "skimage": ("data", "astronaut.png chelsea.png coffee.png rocket.jpg motorcycle_left.png"),
}


@checked
def photos(size: int | Sequence[int] = 32, train: int = 20_000, held_out: int = 2_000, seed: int = 0) -> Images:
    """Crops of seven photographs at three scales (1, 1/2, 1/4); the held-out ones from a strip set apart before.

    `size` is an edge, or a height and a width. The strip is the right end of each photograph, four crops wide at full
    scale (one at the coarsest), and no training crop touches it. Photographs too small for crops of that size are left
    out; above 92 × 92 all are.
    """
    check_positive(train=train, held_out=held_out)
    height, width = edges(size)
    rng = np.random.default_rng(seed_of(seed))
    every = _photographs()
    # four crops high, and four wide in both regions
    pictures = [p for p in every if p.height // 4 >= height and p.width // 8 >= width]
    if not pictures:
        largest = max(min(p.height // 4, p.width // 8) for p in every)
        raise ValueError(f"no photograph is large enough for crops of {height} x {width}: the largest are {largest}")
    sets = []
    for is_train, total in ((True, train), (False, held_out)):
        sources = []
        for picture in pictures:
            edge = picture.width - 4 * width
            # cut before it is reduced: no pixel of one region then holds any of the other
            part = picture.crop((0, 0, edge, picture.height) if is_train else (edge, 0, picture.width, picture.height))
            sources += [np.asarray(part.reduce(scale)) for scale in (1, 2, 4)]
        crops = np.empty((total, 3, height, width), dtype=np.uint8)
        for i in range(total):
            whole = sources[i % len(sources)]
            top, left = (rng.integers(0, n - edge + 1) for n, edge in zip(whole.shape, (height, width)))
            crops[i] = whole[top : top + height, left : left + width].transpose(2, 0, 1)
        sets.append(crops)
    return Images("builtin", sets[0][rng.permutation(train)], sets[1][rng.permutation(held_out)])


def edges(size: int | Sequence[int]) -> tuple[int, int]:
    """(H, W) of an edge, or of both."""
    if isinstance(size, Sequence) or hasattr(size, "__len__"):
        found = sizes("size", size)
        if len(found) != 2:
            raise ValueError(f"size is one edge, or a height and a width, got {found}")
        return found[0], found[1]
    check_positive(size=size)
    return int(size), int(size)


def _photographs() -> list[Any]:
    found = []
    for package, (folder, names) in _PHOTOGRAPHS.items():
        spec = find_spec(package)  # where it lies, without importing it, which takes seconds
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f'the photographs lie in {package}, which is missing: pip install "subspace-sde[images]"')
        found += [Path(spec.submodule_search_locations[0]) / folder / name for name in names.split()]
    return [Image.open(io.BytesIO(file.read_bytes())).convert("RGB") for file in found]
