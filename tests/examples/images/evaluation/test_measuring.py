"""All figures of a set: error bars, pairs, halves, and what is refused."""

import numpy as np
import pytest
import torch

from examples.images.evaluation import Features, Reference, measure
from examples.images.quality import compare
from subspace_sde.images import to_unit

# 27 features, the means of nine blocks
PIXELS = Features(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(3), torch.nn.Flatten()), "pixels")


def draw(n, rng, shift=0.0):
    """Images of 9 × 9 pixels: a brightness for each, and noise on blocks and on pixels."""
    x = (
        0.5
        + shift
        + 0.15 * rng.normal(size=(n, 3, 1, 1))
        + (0.08 + shift) * np.kron(rng.normal(size=(n, 3, 3, 3)), np.ones((3, 3)))
    )
    x += 0.05 * rng.normal(size=x.shape)
    return (255 * x.clip(0, 1)).round().astype(np.uint8)


def test_the_figures_are_those_of_the_whole_sets():
    rng = np.random.default_rng(0)
    x, y = draw(40, rng, 0.05), draw(60, rng)
    reference = Reference(y, PIXELS)
    found = measure(x, reference, resamplings=3)
    plain = compare(to_unit(x), to_unit(y))
    assert found["pixel sliced Wasserstein"][0] == plain["sliced wasserstein"]
    assert found["colour"][0] == plain["colour"]
    assert found["bands"][0] == pytest.approx(np.sqrt(np.mean(np.square(plain["bands"]))))
    assert found == measure(to_unit(x), Reference(to_unit(y), PIXELS), resamplings=3)  # floats are rounded to 8 bits
    assert found != measure(x, reference, resamplings=3, seed=1)
    assert list(found)[:2] == ["FD-pixels", "KD-pixels"] and "PSNR" not in found


def test_grey_images_are_colours_that_agree():
    grey = draw(50, np.random.default_rng(6))[:, :1]
    found = measure(grey[:25], Reference(grey[25:], PIXELS), grey[25:], resamplings=2)
    x, y = (part.repeat(3, axis=1) for part in (grey[:25], grey[25:]))
    assert found == measure(x, Reference(y, PIXELS), y, resamplings=2)


def test_error_bars_are_the_spread_over_fresh_draws():
    rng = np.random.default_rng(1)
    fresh, errors = [], []
    for i in range(30):
        base = draw(60, rng, 0.05)
        full = (base + rng.normal(0, 9, base.shape)).clip(0, 255).astype(np.uint8)
        found = measure(base, Reference(draw(70, rng), PIXELS), full, resamplings=20 if i < 6 else 2)
        fresh.append([value for value, _ in found.values()])
        if i < 6:
            errors.append([error for _, error in found.values()])
    ratio = dict(zip(found, np.mean(errors, axis=0) / np.std(fresh, axis=0, ddof=1)))
    assert len(ratio) == 10 and all(0.6 < r < 1.9 for r in ratio.values()), ratio


def test_pairs():
    rng = np.random.default_rng(2)
    full = draw(50, rng)
    reference = Reference(draw(60, rng), PIXELS)
    near = (full + rng.integers(-5, 6, full.shape)).clip(0, 255).astype(np.uint8)
    same, close, unrelated = (
        measure(x, reference, full, resamplings=5) for x in (full, near, np.roll(full, 1, axis=0))
    )
    assert same["cosine"][0] == pytest.approx(1) and same["PSNR"] == (pytest.approx(10 * np.log10(12 * 255**2)), 0)
    assert close["PSNR"][0] == pytest.approx(10 * np.log10(255**2 / 10), abs=0.3)  # ±5 has variance 10
    assert close["cosine"][0] > 0.98 and abs(unrelated["cosine"][0]) < 0.2
    assert close["PSNR"][0] > unrelated["PSNR"][0] + 15


def test_too_few_for_a_frechet_distance_leaves_it_out_and_says_why():
    rng = np.random.default_rng(3)
    reference = Reference(draw(40, rng), PIXELS)
    found = measure(draw(27, rng), reference, resamplings=2)
    assert "FD-pixels" not in found and "KD-pixels" in found
    assert "27 features needs 28 samples" in reference.no_frechet(27)
    assert reference.no_frechet(28) == "" and "FD-pixels" in measure(draw(28, rng), reference, resamplings=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": draw(15, np.random.default_rng(4))}, "15 samples are too few to measure, 16 is the least"),
        ({"samples": np.zeros((20, 3, 9, 10), np.uint8)}, r"of \(3, 9, 9\), the samples of \(3, 9, 10\)"),
        ({"samples": np.zeros((20, 27), np.uint8)}, r"shape \(N, 3, H, W\) or"),
        ({"samples": np.full((20, 3, 9, 9), 1.5)}, r"floats in \[0, 1\]"),
        ({"samples": np.full((20, 3, 9, 9), np.nan)}, "without NaN"),
        ({"full": draw(19, np.random.default_rng(4))}, "pairs need as many"),
        ({"resamplings": 1}, "2 resamplings or more"),
    ],
)
def test_refusals(change, message):
    rng = np.random.default_rng(5)
    arguments = {"samples": draw(20, rng), "reference": Reference(draw(30, rng), PIXELS)}
    with pytest.raises(ValueError, match=message):
        measure(**arguments | change)


def test_no_held_out_images_are_left_or_too_small_ones():
    with pytest.raises(ValueError, match="0 held-out images are left, and 16 is the least"):
        Reference(np.zeros((0, 3, 9, 9), np.uint8), PIXELS)
    with pytest.raises(ValueError, match=r"images of 9 x 9 or more .* got \(9, 8\)"):
        Reference(np.zeros((20, 3, 9, 8), np.uint8), PIXELS)
