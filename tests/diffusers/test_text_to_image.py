"""Text to image: every adapter does what diffusers' own pipeline does, step by step, at several sizes."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline

from subspace_sde import LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.diffusers import from_scheduler, pretrained
from subspace_sde.scores import guided, shared
from subspace_sde.solvers import DDIM
from tests.diffusers.text_networks import (
    FEATURES,
    PIPELINES,
    POOLED,
    STABLE_DIFFUSION,
    WORDS,
    conditional_unet,
    flux,
    sd3,
    text,
)

# numpy asks torch's tensors, which diffusers gives it, for an argument that they do not know
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NUM = 2


def latents(size, seed=1, num=NUM):
    return torch.randn((num, 4, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def their_run(name, size, x, weight):
    """Latents after every step of diffusers' pipeline, (steps, num, 4, *size)."""
    pipe, seen = PIPELINES[name](), []
    (words, pooled), (no_words, no_pooled) = text(NUM, 1), text(NUM, 2)
    given = {"prompt_embeds": words, "guidance_scale": weight, "output_type": "latent"}
    height, width = (2 * n for n in size)  # its autoencoder halves once
    if name.startswith("FLUX"):
        given |= {"pooled_prompt_embeds": pooled, "latents": FluxPipeline._pack_latents(x, NUM, 4, *size)}
    else:
        given |= {"negative_prompt_embeds": no_words, "latents": x}
    if name == "Stable Diffusion 3":
        given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": no_pooled}
    steps = {"num_inference_steps": 4}
    if "Stable Diffusion 1" not in name and "Stable Diffusion 2" not in name:
        steps = {"num_inference_steps": 3, "sigmas": [0.9, 0.6, 0.3]}  # which its shift moves

    def keep(pipe, step, t, kept):
        found = kept["latents"]
        seen.append(FluxPipeline._unpack_latents(found, height, width, 2) if name.startswith("FLUX") else found)
        return kept

    pipe.set_progress_bar_config(disable=True)
    pipe(height=height, width=width, callback_on_step_end=keep, **steps, **given)
    return torch.stack(seen)


def conditions(name, weight):
    """What the same is here: the condition, and what stands for none."""
    found = []
    for words, pooled in (text(NUM, 1), text(NUM, 2)):
        given = {"encoder_hidden_states": words}
        if "Stable Diffusion 1" not in name and "Stable Diffusion 2" not in name:
            given["pooled_projections"] = pooled
        if name == "FLUX.1 dev":
            given["guidance"] = torch.full((NUM,), weight)
        found.append(given)
    return found


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (12, 4)], ids=str)
@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_is_diffusers_own(name, size):
    x, weight = latents(size), 2.5
    expected = their_run(name, size, x, weight)
    model = pretrained(PIPELINES[name]())
    given, none = conditions(name, weight)
    times = from_scheduler(model.scheduler)
    score = guided(model.score, 1.0 if name.startswith("FLUX") else weight, none)
    process = SubspaceSDE(model.sde.between(times[-1], times[0]), NestedSubspaces([], (4, *size)), [], [])
    denoise = len(times) == len(expected)  # its last step ends at σ = 0
    found = sample(process, [score], NUM, DDIM(), times, noise=x, condition=given, trajectory=True, denoise=denoise)
    states = [state for _, _, state in found.trajectory[1:]] + [found.x] * denoise
    assert len(states) == len(expected)
    for ours, theirs in zip(states, expected):
        assert float((ours - theirs).norm() / theirs.norm()) < 2e-6
    assert float((expected[-1] - x).norm() / x.norm()) > 0.1


def test_what_is_read_of_a_pipeline():
    found = {name: pretrained(pipe()) for name, pipe in PIPELINES.items()}
    for name, model in found.items():
        assert (
            model.latent and model.classes is None and model.shape == (4, *((128,) * 2 if "FLUX" in name else (8, 8)))
        )
        assert model.score.multiple_of == 2
    scales = {name: (model.scale, round(model.offset, 6)) for name, model in found.items()}
    assert scales["Stable Diffusion 1.5"] == scales["Stable Diffusion 2.1"] == (0.18215, 0.0)
    assert scales["Stable Diffusion 3"] == (1.5305, round(-1.5305 * 0.0609, 6))
    assert scales["FLUX.1 dev"] == (0.3611, round(-0.3611 * 0.1159, 6))
    bare = pretrained((conditional_unet(), DDIMScheduler(**STABLE_DIFFUSION)))
    assert (bare.latent, bare.scale, bare.offset) == (True, 1.0, 0.0)


@pytest.mark.parametrize("name", PIPELINES)
def test_leading_axes_times_of_a_batch_and_the_only_array(name):
    model, (given, _) = pretrained(PIPELINES[name]()), conditions(name, 2.0)
    x, t = latents((4, 6)), torch.tensor([0.3, 0.7], dtype=torch.float64)
    whole = model.score(x, t, given)
    alone = torch.cat(
        [model.score(x[i : i + 1], float(t[i]), {k: c[i : i + 1] for k, c in given.items()}) for i in (0, 1)]
    )
    torch.testing.assert_close(whole, alone, rtol=1e-9, atol=1e-9)
    leading = model.score(x[:, None], t[:, None], {k: c[:, None] for k, c in given.items()})
    torch.testing.assert_close(leading, whole[:, None], rtol=1e-12, atol=1e-12)
    as_numpy = model.score(x, t, {k: c.numpy() for k, c in given.items()})
    torch.testing.assert_close(as_numpy, whole, rtol=0, atol=0)
    if len(given) == 1:
        torch.testing.assert_close(model.score(x, t, given["encoder_hidden_states"]), whole, rtol=0, atol=0)


@pytest.mark.parametrize(
    "kind", [conditional_unet, sd3, lambda: flux(guidance_embeds=True)], ids=["unet", "sd3", "flux"]
)
def test_half_precision_stays_inside_the_network(kind):
    network = kind().to(torch.bfloat16)
    flow = type(network).__name__ != "UNet2DConditionModel"
    scheduler = FlowMatchEulerDiscreteScheduler() if flow else DDIMScheduler(**STABLE_DIFFUSION)
    model, x, t = pretrained((network, scheduler)), latents((8, 4)).float(), 0.6
    words, pooled = (c.float() for c in text(NUM, 1))
    given = {"encoder_hidden_states": words}
    if flow:
        given |= {"pooled_projections": pooled}
    if "Flux" in type(network).__name__:
        given |= {"guidance": torch.full((NUM,), 3.5)}
    seen = []
    hook = network.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((*args, *kwargs.values())), with_kwargs=True
    )
    found = model.score(x, t, given)
    hook.remove()
    assert found.dtype == torch.float32
    assert sum(a.dtype == torch.bfloat16 for a in seen[0]) == (3 if flow else 2)  # x and what was embedded
    said = model.sde.f(t) * x - 0.5 * model.sde.g(t) ** 2 * found if flow else -model.sde.sigma(t) * found
    half = said.to(torch.bfloat16)  # what the network said, in its own digits: the conversion lost none of them
    torch.testing.assert_close(said, half.float(), rtol=2e-6 if not flow else 1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PIPELINES)
def test_one_network_serves_every_level(name):
    model, (given, none) = pretrained(PIPELINES[name]()), conditions(name, 2.0)
    none = {key: c[:1] for key, c in none.items()}  # one for all
    nested = NestedSubspaces.from_subspaces([LowPass((4, 8, 12), (6, 8)), LowPass((4, 8, 12), (4, 4))])
    sde = model.sde.between(0.01, 0.99)
    process = SubspaceSDE(sde, nested, [0.4, 0.6], [0.3, 0.5])
    scores = shared(guided(model.score, 1.5, none), sde, nested)
    found = sample(process, scores, NUM, DDIM(), 6, condition=given, chunk=1)  # in the network's own kind
    assert found.x.shape == (NUM, 4, 8, 12) and min(found.evaluations) > 0 and found.x.dtype == torch.float64
    # a level is asked at c times the noise: log_snr(t') = log_snr(t) + 2 log c, and s = r s'(r z, t')
    c, t, z = 2 * np.sqrt(1.5), 0.8, latents((4, 4), 5)
    then = sde.time_at_log_snr(sde.log_snr(t) + 2 * np.log(c))
    r = sde.alpha(then) / (sde.alpha(t) * c)
    expected = r * guided(model.score, 1.5, none)(r * z, then, given)
    torch.testing.assert_close(scores[2](z, t, given), expected, rtol=1e-9, atol=1e-9)


def test_what_is_asked_wrongly_is_refused():
    model, x = pretrained(PIPELINES["Stable Diffusion 3"]()), latents((4, 4))
    words, pooled = text(NUM, 1)
    right = {"encoder_hidden_states": words, "pooled_projections": pooled}
    for condition, sentence in (
        ((), r"takes encoder_hidden_states and pooled_projections, as the pipeline's encode_prompt gives them: give a"),
        ((words,), r"give a mapping of these names as the condition, got Tensor"),
        (((words, pooled),), r"give a mapping of these names as the condition, got tuple"),
        (({"encoder_hidden_states": words},), r"as the condition, got encoder_hidden_states$"),
        (({**right, "text": pooled},), r"got encoder_hidden_states and pooled_projections and text"),
        (({**right, "pooled_projections": pooled[:1]},), r"condition\['pooled_projections'\] takes one entry for each"),
        (
            ({**right, "pooled_projections": pooled[:, 1:]},),
            rf"has {POOLED} features a sample in this network, got shape",
        ),
        (
            ({**right, "encoder_hidden_states": words[..., :2]},),
            rf"encoder_hidden_states has words of {FEATURES} features a sample",
        ),
        (
            ({**right, "encoder_hidden_states": words[:, 0]},),
            rf"words of {FEATURES} features .*, got shape \(2, {FEATURES}\)",
        ),
        (
            ({**right, "pooled_projections": pooled[:, None]},),
            rf"has {POOLED} features .*, got shape \(2, 1, {POOLED}\)",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.score(x, 0.5, *condition)
    for bad, sentence in (
        (latents((5, 4)), "a height of 5"),
        (latents((4, 14)), r"knows the places of at most 12 × 12 latents, by its pos_embed_max_size, got 4 × 14"),
        (x[:, :3], r"takes latents, \(\*batch, 4, height, width\), got \(2, 3, 4, 4\): encode images to latents first"),
        (x[:, :1], r"takes latents, \(\*batch, 4, height, width\), got \(2, 1, 4, 4\)$"),
        (x[0, 0], r"takes latents, .* got \(4, 4\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.score(bad, 0.5, right)
    with pytest.raises(TypeError, match=r"takes torch tensors, got ndarray: sample\(..., like="):
        model.score(x.numpy(), 0.5, right)
    guided_flux = pretrained(PIPELINES["FLUX.1 dev"]())
    with pytest.raises(ValueError, match=r"guidance has one number a sample in this network, got shape \(2, 1\)"):
        guided_flux.score(x, 0.5, {**right, "guidance": torch.ones((NUM, 1))})
    with pytest.raises(ValueError, match="and guidance: give a mapping"):
        guided_flux.score(x, 0.5, right)
    assert WORDS == words.shape[1]


@pytest.mark.parametrize(
    ("network", "scheduler", "sentence"),
    [
        (
            lambda: sd3(),
            DDIMScheduler,
            "SD3Transformer2DModel goes with a scheduler of the family 'flow', got one of 'betas'",
        ),
        (lambda: conditional_unet(), FlowMatchEulerDiscreteScheduler, "family 'betas', got one of 'flow'"),
        (lambda: conditional_unet(in_channels=9), DDIMScheduler, "out_channels=4 of the network is unknown here"),
        (lambda: sd3(out_channels=8), FlowMatchEulerDiscreteScheduler, "out_channels=8 of the network is unknown here"),
        (
            lambda: flux(in_channels=32, out_channels=16),  # of FLUX.1 Depth, which sees an image beside x
            FlowMatchEulerDiscreteScheduler,
            "out_channels=16 of the network is unknown here: known are as many as its in_channels=32",
        ),
        (lambda: conditional_unet(sample_size=None), DDIMScheduler, "sample_size of the network is None"),
        (lambda: conditional_unet(num_class_embeds=4), DDIMScheduler, "num_class_embeds=4 of the network is unknown"),
        (
            lambda: conditional_unet(time_cond_proj_dim=4),
            DDIMScheduler,
            "time_cond_proj_dim=4 of the network is unknown",
        ),
        (
            lambda: conditional_unet(cross_attention_dim=(8, 8)),
            DDIMScheduler,
            r"cross_attention_dim=\(8, 8\) of the network",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(network, scheduler, sentence):
    with pytest.raises(ValueError, match=sentence):
        pretrained((network(), scheduler()))


def test_from_a_folder(tmp_path):
    pipe = PIPELINES["Stable Diffusion 3"]()
    for part in ("transformer", "scheduler", "vae"):
        getattr(pipe, part).save_pretrained(tmp_path / part)
    model, x = pretrained(tmp_path), latents((4, 4))
    assert (model.scale, model.offset) == (1.5305, -1.5305 * 0.0609)
    words, pooled = text(NUM, 1)
    given = {"encoder_hidden_states": words, "pooled_projections": pooled}
    expected = pretrained(pipe).score(x, 0.5, given)
    model.network.double()
    torch.testing.assert_close(model.score(x, 0.5, given), expected, rtol=1e-12, atol=1e-12)
