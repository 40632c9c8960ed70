"""Latents in the network's units, and how those of small images lie: closed forms, and a small real autoencoder."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, VQModel

from subspace_sde import VP, Basis, Downsampling, LowPass
from subspace_sde.diffusers import decode_latents, encode_images, levels_of
from subspace_sde.scores import change_process
from tests.diffusers.text_networks import autoencoder

SHAPE, SMALL = (3, 12, 8), (3, 6, 4)
PICTURES = np.random.default_rng(0).random((11, *SHAPE))


def band_limited(num=11, shape=SHAPE, small=SMALL):
    """Images that are nothing but the small ones they make: in [0, 1], so that nothing is cut."""
    level = LowPass(shape, small[1:])
    low = level.project(np.random.default_rng(1).standard_normal((num, *shape)))
    return 0.5 + 0.3 * low / np.abs(low).max()


class Linear:
    """An autoencoder whose latents are A (2x − 1) g + b, with a gain and an offset that depend on the height."""

    dtype, device = torch.float64, torch.device("cpu")

    def __init__(self, gain=lambda height: 1.0, offset=lambda height: 0.0, mixing=None, **config):
        self.gain, self.offset, self.config = gain, offset, {"scaling_factor": 0.5, "shift_factor": 0.25, **config}
        self.mixing = torch.eye(3, dtype=torch.float64) if mixing is None else torch.as_tensor(mixing)
        self.seen = []

    def encode(self, x):
        self.seen.append(x)
        height = x.shape[-2]
        z = torch.einsum("dc,nchw->ndhw", self.mixing, x) * self.gain(height)
        z = z + torch.as_tensor(self.offset(height)).reshape(-1, 1, 1)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

    def decode(self, z):
        return SimpleNamespace(sample=z)


MIXING = np.asarray([[1.0, 0.2, 0.0], [-0.3, 0.8, 0.1], [0.0, 0.5, 1.2]])
SHIFTS = np.asarray([0.5, -1.0, 2.0])


@pytest.mark.parametrize("kind", [LowPass(SHAPE, SMALL[1:]), Downsampling(SHAPE, 2)], ids=["lowpass", "blocks"])
def test_a_linear_autoencoder_in_closed_form(kind):
    # u = s (g' A y + b' − shift), and of the large latents the level's y is s (g A y + b − shift)
    large, small = (lambda v: lambda height: v[height == 6])((1.4, 0.7)), (0.5, 1.0)
    vae = Linear(large, lambda height: SHIFTS * small[height == 6], MIXING)
    images = (
        band_limited()
        if isinstance(kind, LowPass)
        else np.full((4, *SHAPE), 0.0) + np.linspace(0, 1, 4)[:, None, None, None]
    )
    found = levels_of(vae, images, kind)
    s, shift, gain = 0.5, 0.25, 0.7 / 1.4
    offset = s * (SHIFTS * 1.0 - shift) - gain * s * (SHIFTS * 0.5 - shift)
    assert found.gain == pytest.approx(gain, rel=1e-9)
    np.testing.assert_allclose(found.offset, offset.reshape(3, 1, 1), rtol=0, atol=1e-9)
    assert found.residual < 1e-7 and found.coordinate_scale == pytest.approx(2.0)
    np.testing.assert_allclose(found.gains, gain, rtol=1e-6)


def test_channels_with_gains_of_their_own_are_in_the_residual():
    each = np.asarray([0.8, 1.0, 1.3])
    vae = Linear(
        lambda height: torch.as_tensor(each if height == 6 else np.ones(3)).reshape(3, 1, 1), scaling_factor=2.0
    )
    images = band_limited()
    found = levels_of(vae, images, LowPass(SHAPE, SMALL[1:]))
    y = 2 * (2 * LowPass(SHAPE, SMALL[1:]).restrict(images) / 2 - 1 - 0.25)
    variances = y.var(axis=(0, 2, 3))
    gain = (each * variances).sum() / variances.sum()
    assert found.gain == pytest.approx(gain, rel=1e-9)
    np.testing.assert_allclose(found.gains, each, rtol=1e-9)
    assert found.residual == pytest.approx(np.sqrt(((each - gain) ** 2 * variances).mean()), rel=1e-9)
    assert found.spread == pytest.approx(np.sqrt((each**2 * variances).mean()), rel=1e-9)
    assert found.noise == pytest.approx(2 * found.residual / gain, rel=1e-9)
    for part in (f"{gain:.3g} times", f"rms of {found.residual:.3g}", "from 0.8 to 1.3", f"above {found.noise:.3g}"):
        assert part in found.sentence


@pytest.mark.parametrize(
    "kind", [LowPass((4, 6, 4), (4, 3)), Downsampling((4, 6, 4), (1, 2))], ids=["lowpass", "blocks"]
)
@pytest.mark.parametrize("batched", [False, True])
def test_a_real_autoencoder_against_least_squares(kind, batched):
    vae, pictures = autoencoder(scaling_factor=0.7, shift_factor=0.1), 0.1 * PICTURES + 0.8 * band_limited()
    found = levels_of(vae, [pictures[:5], torch.tensor(pictures[5:])] if batched else pictures, kind)
    edges = (8, 6) if isinstance(kind, LowPass) else (12, 4)
    smaller = LowPass(SHAPE, edges)
    small = smaller.restrict(pictures) / smaller.coordinate_scale

    def latents(x):
        with torch.no_grad():
            return 0.7 * (vae.encode(torch.tensor(2 * x - 1)).latent_dist.mean.numpy() - 0.1)

    u, y = latents(small), kind.restrict(latents(pictures)) / kind.coordinate_scale
    channels = np.broadcast_to(np.eye(4)[:, None, None, :], (*u.shape[1:], 4))
    columns = np.concatenate([y[..., None], np.broadcast_to(channels, (*u.shape, 4))], axis=-1).reshape(-1, 5)
    answer, left = np.linalg.lstsq(columns, u.reshape(-1), rcond=None)[:2]
    assert found.gain == pytest.approx(answer[0], rel=1e-8)
    np.testing.assert_allclose(found.offset.ravel(), answer[1:], rtol=0, atol=1e-8)
    assert found.residual == pytest.approx(np.sqrt(left[0] / u.size), rel=1e-6)


def test_change_process_takes_what_is_found():
    # where a y + b is exact, a score of latents of N(m, v) is that of the level's N((m − b) c/a, v c²/a²)
    vae = Linear(lambda height: 0.5 if height == 6 else 1.0, lambda height: SHIFTS * (height == 6), scaling_factor=1.0)
    level, sde = LowPass(SHAPE, SMALL[1:]), VP()
    found = levels_of(vae, band_limited(), level)
    m, v, c = np.asarray([0.3, -0.2, 0.1]).reshape(3, 1, 1), 0.4, 2.0

    def normal(mean, variance):
        return lambda x, t: (sde.alpha(t) * mean - x) / (sde.alpha(t) ** 2 * variance + sde.sigma(t) ** 2)

    score = change_process(normal(m, v), sde, sde, found.gain, found.offset, found.coordinate_scale)
    x = np.random.default_rng(3).standard_normal((2, *SMALL))
    mean = (m - found.offset) / found.gain * c
    np.testing.assert_allclose(score(x, 0.6), normal(mean, v * c**2 / found.gain**2)(x, 0.6), rtol=1e-9)


def test_encode_and_decode_are_in_the_networks_units():
    vae = Linear()
    z = encode_images(vae, PICTURES)
    np.testing.assert_allclose(z.numpy(), 0.5 * (2 * PICTURES - 1 - 0.25), atol=1e-12)
    assert max(len(x) for x in vae.seen) == 8  # images at a time
    np.testing.assert_allclose(decode_latents(vae, z).numpy(), PICTURES, atol=1e-12)
    assert decode_latents(vae, z + 10).max() == 1 and decode_latents(vae, z - 10).min() == 0
    bare = Linear(scaling_factor=None, shift_factor=None)
    np.testing.assert_allclose(encode_images(bare, PICTURES).numpy(), 2 * PICTURES - 1, atol=1e-12)


@pytest.mark.parametrize("key", ["latents_mean", "latents_std"])
def test_a_scale_of_each_channel_is_refused(key):
    vae = Linear(**{key: [1.0, 2.0, 3.0]})
    for call in (encode_images, decode_latents):
        with pytest.raises(ValueError, match="latents_mean and latents_std of the autoencoder are unknown here"):
            call(vae, PICTURES)


def test_one_that_is_offloaded_is_asked_where_it_will_be():
    vae = Linear()
    vae._hf_hook = SimpleNamespace(execution_device=torch.device("meta"))
    assert decode_latents(vae, np.zeros((2, 3, 4, 4))).device.type == "meta"
    vae._hf_hook = SimpleNamespace()
    assert decode_latents(vae, np.zeros((2, 3, 4, 4))).device.type == "cpu"


def test_real_autoencoders_in_half_precision_and_without_a_law():
    vae = autoencoder(scaling_factor=0.7).to(torch.bfloat16)
    z = encode_images(vae, PICTURES[:2].astype(np.float32))
    assert z.dtype == torch.float32 and z.shape == (2, 4, 6, 4)
    assert decode_latents(vae, z).dtype == torch.float32
    quantised = VQModel(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        scaling_factor=0.5,
    ).double()
    with torch.no_grad():
        expected = 0.5 * quantised.encode(torch.tensor(2 * PICTURES[:1] - 1)).latents
    torch.testing.assert_close(encode_images(quantised, PICTURES[:1]), expected)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((2, 3, 12, 8), dtype=np.uint8), r"images are floats \(N, channels, H, W\) in \[0, 1\], got uint8"),
        (PICTURES[0], r"got float64 and shape \(3, 12, 8\)"),
        (2 * PICTURES - 1, r"images lie in \[0, 1\], got values from -1 to"),
        (PICTURES[:0], "no images were given"),
    ],
)
def test_what_are_no_images(images, sentence):
    for call in (lambda: encode_images(Linear(), images), lambda: levels_of(Linear(), images, LowPass(SHAPE, 4))):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_refusals():
    flat = np.full((3, *SHAPE), 0.5)
    for vae, images, subspace, sentence in (
        (
            Linear(),
            PICTURES,
            Basis(np.eye(288)[:, :8], SHAPE),
            "has no coordinate_scale: its coordinates are no smaller",
        ),
        (
            Linear(),
            PICTURES,
            LowPass((3, 8, 8), 4),
            r"latents of shape \(3, 12, 8\), the subspace is one of arrays of \(3, 8, 8\)",
        ),
        (Linear(), flat, LowPass(SHAPE, 4), "are all alike: a gain cannot be read off them"),
        (
            Linear(lambda h: 1.0 if h == 12 else -1.0),
            PICTURES,
            LowPass(SHAPE, 4),
            r"\(a gain of -1\): a network of them cannot",
        ),
        (Linear(), [], LowPass(SHAPE, 4), "no images were given"),
    ):
        with pytest.raises(ValueError, match=sentence):
            levels_of(vae, images, subspace)
    for latents in (np.zeros((2, 4, 4)), np.zeros((2, 3, 4, 4), dtype=int), np.zeros((0, 3, 4, 4))):
        with pytest.raises(ValueError, match=r"latents are floats \(N, channels, h, w\), got"):
            decode_latents(Linear(), latents)
    with pytest.raises(TypeError, match="`vae` takes an autoencoder of diffusers, got DDIMScheduler"):
        encode_images(DDIMScheduler(), PICTURES)
