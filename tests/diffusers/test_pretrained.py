"""`pretrained`: each convention against what diffusers computes by itself, and what is refused."""

import math
import sys

import diffusers
import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from subspace_sde import EDM, VE, VP, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, sample
from subspace_sde.diffusers import pretrained
from subspace_sde.scores import at_level, change_process, denoiser, probability_flow, shared
from subspace_sde.sdes import Tabulated
from subspace_sde.solvers import DDIM
from tests.diffusers.networks import SHAPE, noise, unet

PLAIN = {"clip_sample": False}


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@torch.no_grad()
def raw(net, x, label, **more):
    return net(x, label * torch.ones(len(x), dtype=torch.float64), **more).sample


# ---- what each scheduler means


@pytest.mark.parametrize("predicts", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("i", [0, 500, 999])
def test_betas(predicts, i):
    net, scheduler = unet(), diffusers.DDPMScheduler(prediction_type=predicts, **PLAIN)
    model, x = pretrained((net, scheduler)), noise(2)
    scheduler.set_timesteps(1000)
    out = raw(net, x, i)
    theirs = scheduler.step(out, i, x, generator=torch.Generator()).pred_original_sample
    with torch.no_grad():
        found = denoiser(model.score, model.sde)(x, (i + 1) / 1000)
    torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-3)  # their ᾱ is of float32
    assert (model.shape, model.scale, model.offset, model.classes, model.latent) == (SHAPE, 2.0, -1.0, None, False)


@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "linear", "beta_start": 2e-4, "beta_end": 0.01, "num_train_timesteps": 500},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": [0.01, 0.02, 0.05, 0.1, 0.3, 0.5]},
    ],
)
def test_schedules(config):
    scheduler = diffusers.DDIMScheduler(**config, **PLAIN)
    sde = pretrained((unet(), scheduler)).sde
    alpha_bar = np.cumprod(1 - scheduler.betas.double().numpy())
    count = len(alpha_bar)
    times = (np.arange(count) + 1.0) / count
    assert (sde.t_min, sde.T) == (1 / count, 1.0)
    np.testing.assert_allclose(sde.alpha(times) ** 2, alpha_bar, rtol=1e-9)
    np.testing.assert_allclose(sde.sigma(times) ** 2, 1 - alpha_bar, rtol=1e-9)
    if "trained_betas" in config:
        np.testing.assert_allclose(scheduler.betas, config["trained_betas"], rtol=1e-6)


def test_a_score_of_the_ve_sde():
    net = unet(time_embedding_type="fourier", center_input_sample=True)
    model, x = pretrained((net, diffusers.ScoreSdeVeScheduler(sigma_max=348.0))), noise(2)
    assert model.sde == VE(0.01, 348.0) and (model.scale, model.offset) == (1.0, 0.0)
    for t in (0.0, 0.3, 1.0):  # σ below 1 too
        with torch.no_grad():
            found = model.score(x, t)
        torch.testing.assert_close(found, raw(net, x, model.sde.sigma(t)), rtol=1e-12, atol=0)
        assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("kind", [diffusers.EDMEulerScheduler, diffusers.EDMDPMSolverMultistepScheduler])
def test_edm(kind, predicts):
    scheduler, net, x = kind(sigma_max=50.0, sigma_data=0.4, prediction_type=predicts), unet(), noise(2)
    model = pretrained((net, scheduler))
    assert model.sde == EDM(0.002, 50.0)
    for sigma in (0.01, 0.7, 30.0):
        out = raw(net, scheduler.precondition_inputs(x, sigma), 0.25 * math.log(sigma))
        theirs = scheduler.precondition_outputs(x, out, sigma)
        with torch.no_grad():
            found = denoiser(model.score, model.sde)(x, sigma)
        torch.testing.assert_close(found, theirs, rtol=1e-6, atol=1e-6)


def test_consistency():
    scheduler, net, x = diffusers.CMStochasticIterativeScheduler(clip_denoised=False), unet(), noise(2)
    with pytest.warns(UserWarning, match="a consistency network predicts where the probability flow ends"):
        model = pretrained((net, scheduler))
    scheduler.set_timesteps(4)
    sigma = float(scheduler.sigmas[1])
    t = scheduler.timesteps[1]
    assert float(t) == pytest.approx(250 * math.log(sigma), rel=1e-6)
    out = raw(net, scheduler.scale_model_input(x, t), t)
    skip, scale = scheduler.get_scalings_for_boundary_condition(torch.tensor(sigma, dtype=torch.float64))
    theirs = skip * x + scale * out
    with torch.no_grad():
        found = denoiser(model.score, model.sde)(x, sigma)
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow(shift):
    """The shift is the grid's alone: one and the same score."""
    model, x, net = pretrained((unet(), diffusers.FlowMatchEulerDiscreteScheduler(shift=shift))), noise(2), unet()
    assert model.sde == RectifiedFlow()
    for t in (0.001, 0.4, 0.999):
        with torch.no_grad():
            velocity = probability_flow(model.score, model.sde)(x, t)
        torch.testing.assert_close(velocity, raw(net, x, 1000 * t), rtol=1e-7, atol=1e-7)


# ---- how the network is called


def test_a_time_is_a_tensor_and_keeps_its_fraction():
    net = unet()
    model, x = pretrained((net, diffusers.DDPMScheduler(**PLAIN))), noise(2)
    t = 950.9 / 1000
    with torch.no_grad():
        found = model.score(x, t) * -model.sde.sigma(t)
        assert torch.equal(net(x, 949.9).sample, net(x, 949).sample)  # what a Python float comes to
        assert not torch.allclose(found, net(x, 949.9).sample, rtol=1e-4)
        torch.testing.assert_close(found, raw(net, x, 949.9), rtol=1e-9, atol=1e-9)


def test_any_leading_axes_and_a_time_for_each_sample():
    model, x = pretrained((unet(), diffusers.DDPMScheduler(**PLAIN))), noise(6)
    t = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    with torch.no_grad():
        single = torch.stack([model.score(one, float(u)) for one, u in zip(x, t)])
        torch.testing.assert_close(model.score(x, t), single, rtol=1e-4, atol=1e-5)  # labels are of float32
        twice = model.score(x.reshape(2, 3, *SHAPE), t.reshape(2, 3))
        torch.testing.assert_close(twice.reshape(x.shape), model.score(x, t), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model.score(x, t[0]), model.score(x, float(t[0])), rtol=1e-4, atol=1e-5)


def test_half_precision_stays_inside():
    model = pretrained((unet().to(torch.bfloat16), diffusers.DDPMScheduler(**PLAIN)))
    exact = pretrained((unet(), diffusers.DDPMScheduler(**PLAIN)))
    x = noise(2)
    with torch.no_grad():
        found = model.score(x.float(), 0.5)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), exact.score(x, 0.5), rtol=0.1, atol=0.05)


def test_weights_may_be_kept_narrower_than_they_are_computed_with():
    net, x = unet(), noise(2)
    net.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float64)
    assert next(net.parameters()).dtype == torch.float8_e4m3fn
    model = pretrained((net, diffusers.DDPMScheduler(**PLAIN)))
    with torch.no_grad():
        found = model.score(x, 0.5)
    torch.testing.assert_close(found, -raw(net, x, 499.0) / model.sde.sigma(0.5), rtol=1e-12, atol=1e-12)


def test_what_torch_has_compiled():
    net, x, scheduler = unet(), noise(2), diffusers.DDPMScheduler(**PLAIN)
    model = pretrained((torch.compile(net, backend="eager"), scheduler))
    with torch.no_grad():
        torch.testing.assert_close(model.score(x, 0.5), pretrained((net, scheduler)).score(x, 0.5))


def test_a_time_of_another_library():
    model = pretrained((unet(), diffusers.DDPMScheduler(**PLAIN)))
    with pytest.raises(TypeError, match="t is a number or, as x is, a torch tensor, got ndarray"):
        model.score(noise(2), np.asarray([0.5, 0.5]))


def test_learned_variances_are_left_out():
    net = unet(out_channels=6)
    model, x = pretrained((net, diffusers.DDPMScheduler(variance_type="learned_range", **PLAIN))), noise(2)
    with torch.no_grad():
        found = model.score(x, 0.5) * -model.sde.sigma(0.5)
    torch.testing.assert_close(found, raw(net, x, 499)[:, :3], rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="out_channels=6 of the network does not fit its in_channels=3"):
        pretrained((net, diffusers.DDPMScheduler(**PLAIN)))
    with pytest.raises(ValueError, match="out_channels=4 of the network does not fit"):
        pretrained((unet(out_channels=4), diffusers.DDPMScheduler(variance_type="learned", **PLAIN)))


def test_one_network_serves_every_level():
    model = pretrained((unet(), diffusers.DDPMScheduler(**PLAIN)))
    levels = NestedSubspaces.from_subspaces([LowPass(SHAPE, (6, 8)), LowPass(SHAPE, (4, 6))])
    scores = shared(model.score, model.sde, levels)
    process = SubspaceSDE(model.sde, levels, [0.4, 0.6], [0.1, 0.1])
    found = sample(process, scores, 2, DDIM(), steps=6, like=tensor(0.0))
    assert found.x.shape == (2, *SHAPE) and sum(found.evaluations) == 6
    with pytest.raises(ValueError, match="takes lengths that are multiples of 2"):
        at_level(model.score, model.sde, LowPass(SHAPE, (5, 8)))
    moved = change_process(model.score, model.sde, VE(), model.scale, model.offset)  # of pixels in [0, 1]
    with torch.no_grad():
        assert moved(noise(1), 0.5).shape == (1, *SHAPE)


def test_a_network_in_training_is_warned_of():
    model = pretrained((unet().train(), diffusers.DDPMScheduler(**PLAIN)))
    process = SubspaceSDE(model.sde, NestedSubspaces([], SHAPE), [], [])
    with pytest.warns(UserWarning, match="a network in training mode"):
        sample(process, [model.score], 1, DDIM(), steps=2, like=tensor(0.0))


def test_class_labels():
    net = unet(num_class_embeds=4)
    model, x = pretrained((net, diffusers.DDPMScheduler(**PLAIN))), noise(2)
    assert model.classes == 4
    labels = torch.tensor([3, 0])
    with torch.no_grad():
        found = model.score(x, 0.5, labels) * -model.sde.sigma(0.5)
        again = model.score(x, 0.5, np.asarray([3, 0])) * -model.sde.sigma(0.5)
    torch.testing.assert_close(found, raw(net, x, 499, class_labels=labels), rtol=1e-9, atol=1e-9)
    assert torch.equal(found, again)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ((), "the network takes class labels, 0 to 3, one a sample: give a condition"),
        ((None,), "the network takes class labels, 0 to 3"),
        ((torch.tensor([0, 4]),), "class labels must lie in 0 to 3, got 0 to 4"),
        ((torch.tensor([-1, 3]),), "class labels must lie in 0 to 3, got -1 to 3"),
        ((torch.tensor([0.0, 1.0]),), "class labels are whole numbers, got torch.float32"),
        ((torch.tensor([0, 1, 2]),), r"one class label a sample, 2 of them, got shape \(3,\)"),
    ],
)
def test_class_labels_that_are_none(labels, sentence):
    model = pretrained((unet(num_class_embeds=4), diffusers.DDPMScheduler(**PLAIN)))
    with pytest.raises(ValueError, match=sentence):
        model.score(noise(2), 0.5, *labels)


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (
            torch.zeros(1, 3, 9, 12),
            ValueError,
            "its height and width are multiples of 2, got a height of 9: take 8 or 10",
        ),
        (torch.zeros(1, 3, 8, 1), ValueError, "got a width of 1: take 2"),
        (torch.zeros(1, 4, 8, 12), ValueError, r"the network takes \(\*batch, 3, height, width\), got \(1, 4, 8, 12\)"),
        (torch.zeros(8, 12), ValueError, r"the network takes \(\*batch, 3, height, width\), got \(8, 12\)"),
        (np.zeros((1, 3, 8, 12)), TypeError, r"the network takes torch tensors, got ndarray: .*like=torch.zeros"),
        (
            torch.zeros(1, 3, 8, 12, device="meta"),
            ValueError,
            "x lies on meta, the network on cpu: move",
        ),
    ],
)
def test_an_x_that_is_none(x, error, sentence):
    model = pretrained((unet(), diffusers.DDPMScheduler(**PLAIN)))
    with pytest.raises(error, match=sentence):
        model.score(x, 0.5)
    if error is ValueError and x.device.type == "cpu":
        with pytest.raises(error, match="the network knows no class labels: leave the condition out"):
            model.score(noise(1), 0.5, torch.tensor([0]))


# ---- what is said, and what is refused


@pytest.mark.parametrize(
    ("scheduler", "sentence"),
    [
        (
            diffusers.DDPMScheduler(),
            r"its estimate of x\(0\) at each step \(clip_sample=True\), which is not followed",
        ),
        (
            diffusers.DDIMScheduler(clip_sample=False, thresholding=True),
            r"\(thresholding=True\), which is not",
        ),
        (diffusers.DDIMScheduler(thresholding=True), r"\(clip_sample=True and thresholding=True\)"),
    ],
)
def test_clipping_is_said_not_to_be_followed(scheduler, sentence):
    with pytest.warns(UserWarning, match=sentence) as told:
        pretrained((unet(), scheduler))
    assert len(told) == 1 and told[0].filename == __file__


def test_zero_terminal_snr():
    scheduler = diffusers.DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction", **PLAIN)
    with pytest.warns(UserWarning, match=r"zero terminal SNR: .* ends one step below, at T = 0.999") as told:
        model = pretrained((unet(), scheduler))
    assert told[0].filename == __file__
    assert model.sde.T == 0.999 and 0 < model.sde.alpha(0.999) < 1e-3
    before = model.sde.alpha(0.5) ** 2
    assert before == pytest.approx(float(scheduler.alphas_cumprod[499]), rel=1e-5)


@pytest.mark.parametrize(
    ("network", "scheduler", "sentence"),
    [
        (
            {},
            diffusers.LCMScheduler(),
            "the scheduler LCMScheduler is unknown here, and its conventions are not",
        ),
        ({}, diffusers.DDPMScheduler(prediction_type="odd"), "prediction_type='odd' of the scheduler is unknown here"),
        (
            {},
            diffusers.EDMEulerScheduler(prediction_type="sample"),
            "prediction_type='sample' of the scheduler",
        ),
        (
            {},
            diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
            "use_flow_sigmas=True of the scheduler is unknown here: known is False",
        ),
        (
            {},
            diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction"),
            "timestep_type='continuous' of the scheduler is unknown here",
        ),
        (
            {},
            diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
            "invert_sigmas=True of the scheduler",
        ),
        (
            {},
            diffusers.ScoreSdeVeScheduler(),
            "time_embedding_type='positional' of the network .* 'fourier'",
        ),
        (
            {"time_embedding_type": "fourier"},
            diffusers.DDPMScheduler(**PLAIN),
            "does not go .* for 'positional'",
        ),
        (
            {"class_embed_type": "timestep"},
            diffusers.DDPMScheduler(**PLAIN),
            "class_embed_type='timestep' .* unknown",
        ),
        ({"sample_size": None}, diffusers.DDPMScheduler(**PLAIN), "sample_size of the network is None"),
    ],
)
def test_what_is_not_known_is_refused_by_name(network, scheduler, sentence):
    with pytest.raises(ValueError, match=sentence):
        pretrained((unet(**network), scheduler))


def test_sizes_are_one_number_or_two():
    for size, shape in ((8, (3, 8, 8)), ([8, 12], (3, 8, 12))):
        assert pretrained((unet(sample_size=size), diffusers.DDPMScheduler(**PLAIN))).shape == shape


@pytest.mark.parametrize("source", [3, None, (1, 2), [unet], UNet2DModel, VP()])
def test_another_kind_of_source(source):
    with pytest.raises(TypeError, match="`source` takes a folder, a name on the hub, a pipeline of diffusers or"):
        pretrained(source)


def test_without_diffusers(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    for source in (tmp_path, "google/ddpm-cifar10-32"):
        with pytest.raises(ImportError, match=r'need it: pip install "subspace-sde\[diffusers\]"'):
            pretrained(source)


def test_another_network():
    other = diffusers.AutoencoderKL(block_out_channels=(32,))
    with pytest.raises(ValueError, match="the network AutoencoderKL is unknown here: known are UNet2DModel, "):
        pretrained((other, diffusers.DDPMScheduler(**PLAIN)))


# ---- pipelines


def test_a_pipeline():
    net, scheduler = unet(), diffusers.DDIMScheduler(**PLAIN)
    model = pretrained(diffusers.DDIMPipeline(unet=net, scheduler=scheduler))
    assert model.network is net and isinstance(model.sde, Tabulated)


def test_a_pipeline_of_latents():
    net = unet(in_channels=4, out_channels=4)
    autoencoder = diffusers.AutoencoderKL(block_out_channels=(32,), scaling_factor=0.5, shift_factor=0.25)
    pipe = diffusers.LDMPipeline(vqvae=autoencoder, unet=net, scheduler=diffusers.DDIMScheduler(**PLAIN))
    model = pretrained(pipe)
    assert model.latent and (model.scale, model.offset) == (0.5, -0.125)
    with pytest.raises(ValueError, match="it knows latents, encode pixels with its autoencoder first"):
        model.score(noise(1), 0.5)
