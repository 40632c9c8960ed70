"""The training-free way: the levels of a pipeline from a plan, or from sizes and data; and latents."""

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, LDMPipeline, VQModel
from scipy.fft import dctn

from subspace_sde import VE, LowPass, SubspaceSDE, gaussian_divergence, plan
from subspace_sde.diffusers import SubspacePipeline, encode_images, pretrained
from subspace_sde.statistics import PowerSpectrum
from tests.diffusers.networks import SHAPE, unet
from tests.diffusers.pipelines import LEVELS, SIZES, pictures, quiet, scheduler, seeded
from tests.diffusers.text_networks import PIPELINES


def given_pipe(**config):
    return DDIMPipeline(unet(**config), scheduler())


def test_sizes_are_left_where_the_data_say_so():
    data, threshold = pictures(), 0.05
    pipe = quiet(SubspacePipeline.from_pipe(given_pipe(), SIZES, data, threshold))
    in_range, sde, process = 2 * data - 1, pipe.process.sde, pipe.process
    assert process.subspaces == LEVELS
    power = (dctn(in_range, axes=(-2, -1), norm="ortho") ** 2).mean(0)
    centred = power - dctn(in_range.mean(0), axes=(-2, -1), norm="ortho") ** 2
    for k, (height, width) in enumerate(SIZES, start=1):
        kept = np.zeros(SHAPE, dtype=bool)
        kept[:, :height, :width] = True
        n = (~kept).sum()
        v = power[~kept].sum() / n
        mean_energy = (power - centred)[~kept].sum()

        def divergence(t, kept=kept, n=n, v=v, mean_energy=mean_energy):
            alpha, sigma = sde.alpha(t) ** 2, sde.sigma(t) ** 2
            c, tau = 1 / (alpha * v + sigma), alpha * centred[~kept] + sigma
            return (((1 - c * tau) ** 2 / tau).sum() + c**2 * alpha * mean_energy) / c / n

        assert divergence(process.times[k - 1]) == pytest.approx(threshold, rel=2e-2)
        before = np.zeros(SHAPE, dtype=bool)
        before[:, : SIZES[k - 2][0], : SIZES[k - 2][1]] = True
        lost = before & ~kept if k > 1 else ~kept
        assert process.complement_variances[k - 1] == pytest.approx(power[lost].mean(), rel=1e-6)
    batched = SubspacePipeline.from_pipe(given_pipe(), SIZES, iter([data[:13], data[13:]]), threshold).process
    np.testing.assert_allclose(batched.times, process.times, rtol=1e-9)
    assert pipe(1, num_inference_steps=8, output_type="np").images.shape == (1, 8, 12, 3)


def test_a_plan_of_this_network():
    data, pipe = pictures(), given_pipe()
    model = pretrained(pipe)
    candidates = [LowPass(SHAPE, size) for size in [(6, 10), *SIZES]]
    spectrum = PowerSpectrum(SHAPE).update(2 * data - 1).gaussian()
    curves = gaussian_divergence(spectrum, model.sde, candidates)
    best = plan(candidates, curves, 0.05, multiple_of=2)
    found = SubspacePipeline.from_pipe(pipe, best, data).process
    assert found.subspaces == best.subspaces and len(best.times)
    np.testing.assert_allclose(found.times, best.times, rtol=1e-9)
    expected = SubspaceSDE.fit(model.sde, best.subspaces, best.times, 2 * data - 1).complement_variances
    np.testing.assert_allclose(found.complement_variances, expected, rtol=1e-12)
    elsewhere = plan(candidates, gaussian_divergence(spectrum, VE(), candidates), 0.05)
    with pytest.raises(ValueError, match=r"the plan is one of VE\(.*, the network's process is Tabulated"):
        SubspacePipeline.from_pipe(pipe, elsewhere, data)
    other = given_pipe(sample_size=(16, 16))
    with pytest.raises(
        ValueError, match=r"plan is one of arrays of shape \(3, 8, 12\), the network's are \(3, 16, 16\)"
    ):
        SubspacePipeline.from_pipe(other, best, data)


@pytest.mark.parametrize(
    ("sizes", "data", "threshold", "sentence"),
    [
        (SIZES, lambda: 2 * pictures() - 1, 0.05, r"images lie in \[0, 1\], got values from -"),
        (SIZES, lambda: pictures()[:, :, :4], 0.05, r"data have the shape \(3, 8, 12\), got \(3, 4, 12\)$"),
        (SIZES, lambda: pictures(), 1e-9, r"the size \(6, 8\) does not meet the threshold 1e-09: the smallest D_F"),
        ([(5, 6)], lambda: pictures(), 0.05, "has 5: take 4 or 6"),
        ([(16, 16)], lambda: pictures(), 0.05, "size|16"),
        (SIZES, lambda: [list(pictures())], 0.05, "each batch must be one array"),
    ],
)
def test_what_does_not_fit_a_pipe(sizes, data, threshold, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        SubspacePipeline.from_pipe(given_pipe(), sizes, data(), threshold)


def test_a_network_that_takes_a_text_is_sampled_otherwise():
    with pytest.raises(
        ValueError, match="SD3Transformer2DModel takes a text, which no SubspacePipeline encodes: sample"
    ):
        SubspacePipeline.from_pipe(PIPELINES["Stable Diffusion 3"](), SIZES, pictures())


# -- latents


def latent_pipe():
    torch.manual_seed(1)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vqvae = VQModel(block_out_channels=(4, 8), norm_num_groups=2, scaling_factor=0.5, **kinds).double().eval()
    return quiet(LDMPipeline(vqvae, unet(sample_size=8), scheduler()))


def test_latents_are_decoded():
    theirs = latent_pipe()
    pipe = quiet(SubspacePipeline(theirs.unet, theirs.scheduler, theirs.vqvae))
    torch.set_default_dtype(torch.float64)  # in which their pipeline draws
    try:
        expected = theirs(1, seeded(3)[0], num_inference_steps=10, output_type="np").images
    finally:
        torch.set_default_dtype(torch.float32)
    found = pipe(1, seeded(3)[0], 10, output_type="np").images
    assert found.shape == (1, 16, 16, 3) and found.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_pixels_are_no_latents():
    theirs, images = latent_pipe(), np.random.default_rng(0).random((30, 3, 16, 16))
    with pytest.raises(ValueError, match=r"data have the shape \(3, 8, 8\), got \(3, 16, 16\): encode images first"):
        SubspacePipeline.from_pipe(theirs, [4], images)
    z = encode_images(theirs.vqvae, images)
    pipe = quiet(SubspacePipeline.from_pipe(theirs, [4], z, threshold=1.0))
    level = LowPass((3, 8, 8), 4)
    assert pipe.process.complement_variances[0] == pytest.approx(
        float((level.reject(z) ** 2).sum()) / 30 / 144, rel=1e-6
    )
    assert pipe.vae is theirs.vqvae
    assert pipe(1, num_inference_steps=6, output_type="pt").images.shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="latents are floating-point numbers, got int64"):
        SubspacePipeline.from_pipe(theirs, [4], np.zeros((2, 3, 8, 8), dtype=np.int64))
