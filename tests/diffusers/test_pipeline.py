"""The pipeline: diffusers' own images without levels, ours with them, saved and loaded, moved and asked wrongly."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DPMSolverMultistepScheduler

from subspace_sde import (
    VE,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    SubspaceSDE,
    sample,
)
from subspace_sde.diffusers import SubspacePipeline, from_scheduler, pretrained
from subspace_sde.scores import guided, shared
from subspace_sde.solvers import DDIM, DPMSolver, Heun
from tests.diffusers.networks import SHAPE, unet
from tests.diffusers.pipelines import LEVELS, NULL, SIZES, labelled, levels, pipeline, quiet, scheduler, seeded

# numpy asks torch's tensors, which diffusers gives it, for an argument that they do not know
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


# -- the same as diffusers, and as `sample`


@pytest.mark.parametrize("steps", ["leading", "trailing"])
@pytest.mark.parametrize("many", [False, True], ids=["one generator", "a list"])
def test_without_levels_it_is_ddim_pipeline(steps, many):
    pipe = pipeline(None, steps)
    theirs = quiet(DDIMPipeline(pipe.unet, pipe.scheduler))
    ours, expected = (
        p(
            batch_size=2, generator=seeded(5, 6) if many else seeded(5)[0], num_inference_steps=10, output_type="np"
        ).images
        for p in (pipe, theirs)
    )
    assert ours.shape == (2, 8, 12, 3)
    inside = (expected > 0) & (expected < 1)
    assert inside.mean() > 0.2
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("solver", [None, DPMSolver(), Heun()])
def test_with_levels_it_is_sample(solver):
    pipe, model, process = pipeline(), pretrained((unet(), scheduler())), levels()
    found = pipe(2, seeded(5)[0], 12, solver, output_type="pt").images
    model.scheduler.set_timesteps(12)
    times, generator = from_scheduler(model.scheduler), seeded(5)[0]
    sde = model.sde.between(times[-1], times[0])
    staged = SubspaceSDE(sde, LEVELS, process.times, process.complement_variances)
    noise = torch.randn((2, *staged.shape(2)), generator=generator, dtype=torch.float64)
    scores = shared(model.score, model.sde, LEVELS)
    solver = DDIM() if solver is None else solver
    x = sample(staged, scores, 2, solver, times, generator, noise=noise, denoise=True).x
    torch.testing.assert_close(found, (x / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-4)
    assert ((found > 0) & (found < 1)).double().mean() > 0.2


@pytest.mark.parametrize("offset", [0, 1])  # with none its last time is that noise already
def test_a_scheduler_that_ends_at_noise_is_not_denoised(offset):
    pipe = pipeline(None)
    pipe.scheduler = scheduler(set_alpha_to_one=False, steps_offset=offset, beta_start=0.01)
    theirs = quiet(DDIMPipeline(pipe.unet, pipe.scheduler))
    ours, expected = (
        p(1, generator=seeded(5)[0], num_inference_steps=10, output_type="np").images for p in (pipe, theirs)
    )
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-5)


def test_an_image_depends_on_its_own_generator_alone():
    pipe = pipeline()
    run = {"num_inference_steps": 8, "output_type": "pt"}
    three = pipe(3, seeded(1, 2, 3), **run).images
    two = pipe(2, seeded(3, 1), **run).images
    torch.testing.assert_close(two, three[[2, 0]], rtol=0, atol=1e-9)
    generators = seeded(1, 2)
    first, second = (pipe(2, generators, **run).images for _ in range(2))
    torch.testing.assert_close(first, three[:2], rtol=0, atol=1e-9)
    assert (first - second).abs().max() > 0.01  # they have moved on


def test_without_a_generator_it_is_torchs_own():
    pipe, found = pipeline(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(pipe(1, num_inference_steps=6, output_type="pt").images)
    assert torch.equal(found[0], found[1]) and (found[0] - found[2]).abs().max() > 0.01


# -- classes


def test_labels_and_guidance():
    pipe = labelled()
    model = pretrained((pipe.unet, pipe.scheduler))
    for weight, labels in ((1.0, [1, 2]), (2.5, [1, 2]), (2.5, torch.tensor([1, 2])), (0.0, 1)):
        found = pipe(2, seeded(5)[0], 8, class_labels=labels, guidance_scale=weight, output_type="pt").images
        pipe.scheduler.set_timesteps(8)
        times, generator = from_scheduler(pipe.scheduler), seeded(5)[0]
        process = SubspaceSDE(model.sde.between(times[-1], times[0]), LEVELS, levels().times, [0.3, 0.5])
        noise = torch.randn((2, *process.shape(2)), generator=generator, dtype=torch.float64)
        scores = [guided(s, weight, NULL) for s in shared(model.score, model.sde, LEVELS)]
        condition = torch.tensor([1, 2] if labels != 1 else [1, 1]) if not isinstance(labels, torch.Tensor) else labels
        x = sample(process, scores, 2, DDIM(), times, generator, noise=noise, denoise=True, condition=condition).x
        torch.testing.assert_close(found, (x / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "the network takes class labels, 0 to 3: give class_labels"),
        ({"class_labels": 4}, "class labels lie in 0 to 3, got 4 to 4"),
        ({"class_labels": [0, -1]}, "class labels lie in 0 to 3, got -1 to 0"),
        ({"class_labels": [0, 1, 2]}, r"one for each of the 2 images, got shape \(3,\)"),
        ({"class_labels": [0.0, 1.0]}, "class labels are whole numbers, got torch.float32"),
    ],
)
def test_labels_that_are_none(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        labelled()(2, num_inference_steps=4, **given)


def test_what_takes_a_network_of_classes():
    with pytest.raises(ValueError, match="the network knows no class labels: leave class_labels out"):
        pipeline()(1, class_labels=0)
    with pytest.raises(ValueError, match="null_label is one of the network's 0 class labels, got 0"):
        pipeline(null_label=0)
    with pytest.raises(ValueError, match="null_label is one of the network's 4 class labels, got 4"):
        pipeline(unet=unet(num_class_embeds=4), null_label=4)
    without = pipeline(unet=unet(num_class_embeds=4))
    with pytest.raises(ValueError, match=r"a class label that stands for none: SubspacePipeline\(..., null_label=10\)"):
        without(1, class_labels=0, guidance_scale=2.0)


# -- networks of their own


def test_levels_may_have_networks_of_their_own():
    small = unet(sample_size=SIZES[0], layers_per_block=2)
    pipe, calls = pipeline(unet_1=small), []
    for name in ("unet", "unet_1"):
        hook = lambda module, given, name=name: calls.append((name, tuple(given[0].shape[1:])))  # noqa: E731
        getattr(pipe, name).register_forward_pre_hook(hook)
    pipe(1, num_inference_steps=10, output_type="pt")
    assert set(calls) == {("unet", SHAPE), ("unet_1", (3, 6, 8)), ("unet", (3, 4, 6))}  # level 2 has none
    with pytest.raises(ValueError, match="unet_3 is the network of a level that is not there: the process has K = 2"):
        pipeline(unet_3=small)
    with pytest.raises(ValueError, match="unet_1 is the network of a level that is not there: the process has K = 0"):
        pipeline(None, unet_1=small)


def test_coordinates_that_are_no_smaller_images_have_networks_of_their_own():
    patches = PatchBasis(SHAPE, 2, np.linalg.qr(np.random.default_rng(0).standard_normal((12, 5)))[0])
    process = levels(subspaces=NestedSubspaces([patches]), times=[0.4])
    own = unet(sample_size=(4, 6), in_channels=5, out_channels=5)
    pipe = pipeline(process, unet_1=own)
    seen = []
    own.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    pipe(1, seeded(3)[0], 6, output_type="pt")
    start = torch.randn((1, 5, 4, 6), generator=seeded(3)[0], dtype=torch.float64)
    torch.testing.assert_close(seen[0], start, rtol=0, atol=1e-12)  # x(T) itself, at the noise of its own t
    with pytest.raises(ValueError, match="has no coordinate_scale"):
        pipeline(process)


# -- as diffusers users know it


def test_outputs():
    pipe = pipeline()
    run = {"num_inference_steps": 4}
    tensors = pipe(2, seeded(1)[0], output_type="pt", **run).images
    arrays = pipe(2, seeded(1)[0], output_type="np", **run).images
    pictures = pipe(2, seeded(1)[0], **run).images
    (as_tuple,) = pipe(2, seeded(1)[0], return_dict=False, **run)
    assert tensors.shape == (2, *SHAPE) and float(tensors.min()) >= 0 and float(tensors.max()) <= 1
    np.testing.assert_array_equal(arrays, tensors.permute(0, 2, 3, 1).numpy())
    for picture, same, array in zip(pictures, as_tuple, arrays):
        np.testing.assert_array_equal(np.asarray(picture), (array * 255).round().astype(np.uint8))
        assert picture == same
    for wrong in ("latent", "jpeg"):
        with pytest.raises(ValueError, match=rf"of 3 channels is one of \('pil', 'np', 'pt'\), got '{wrong}'"):
            pipe(output_type=wrong)
    four = pipeline(None, unet=unet(in_channels=4, out_channels=4))
    assert four(1, num_inference_steps=3, output_type="np").images.shape == (1, 8, 12, 4)
    with pytest.raises(ValueError, match=r"of 4 channels is one of \('np', 'pt'\), got 'pil'"):
        four(1, num_inference_steps=3)


def test_callbacks_and_the_progress_bar(capsys):
    pipe, seen = pipeline(), []

    def look(asked, step, t, kept):
        assert asked is pipe
        seen.append((step, t, tuple(kept["latents"].shape)))
        return kept

    pipe.set_progress_bar_config(desc="stages")
    pipe(1, num_inference_steps=8, output_type="pt", callback_on_step_end=look)
    assert [step for step, _, _ in seen] == list(range(7))  # the eighth of DDIM is that to clean data
    assert {shape for _, _, shape in seen} == {(1, *SHAPE), (1, 3, 6, 8), (1, 3, 4, 6)}
    assert all(a[1] > b[1] for a, b in zip(seen, seen[1:]))
    assert "stages: 100%" in capsys.readouterr().err
    quiet(pipe)(1, num_inference_steps=4, output_type="pt", callback_on_step_end=lambda *given: None)
    pipe(1, num_inference_steps=4, output_type="pt", callback_on_step_end=lambda *given: {"prompt_embeds": None})
    assert not capsys.readouterr().err
    with pytest.raises(ValueError, match="gave other latents, which are not taken"):
        pipe(1, num_inference_steps=4, callback_on_step_end=lambda p, i, t, kept: {"latents": kept["latents"] + 1})

    def stop(*given):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        pipe(1, num_inference_steps=4, callback_on_step_end=stop)


def test_half_precision_is_the_networks_own():
    pipe, kinds = pipeline().to(torch.bfloat16), set()
    assert pipe.dtype == torch.bfloat16
    found = pipe(
        1,
        num_inference_steps=4,
        output_type="pt",
        callback_on_step_end=lambda p, i, t, k: kinds.add(k["latents"].dtype),
    )
    assert kinds == {torch.float32} and found.images.dtype == torch.float32


def test_offloaded_networks_are_brought_when_they_are_called():
    pipe = pipeline(unet_1=unet(sample_size=SIZES[0]))
    run = {"num_inference_steps": 6, "output_type": "pt"}
    expected = pipe(1, seeded(1)[0], **run).images
    pipe.enable_model_cpu_offload(device="cpu")
    for _ in range(2):
        torch.testing.assert_close(pipe(1, seeded(1)[0], **run).images, expected, rtol=0, atol=0)
        assert all(hasattr(module, "_hf_hook") for module in (pipe.unet, pipe.unet_1))
    away = pipe.unet  # what lies elsewhere is brought by its hook, and is not refused before
    pipe.remove_all_hooks()
    away.to("meta")
    with pytest.raises(ValueError, match="x lies on cpu, the network on meta: move one to the other"):
        pretrained(pipe).score(torch.zeros((1, *SHAPE)), 0.5)
    away._hf_hook = None
    with pytest.raises(Exception, match="meta") as error:
        pretrained(pipe).score(torch.zeros((1, *SHAPE)), 0.5)
    assert "move one to the other" not in str(error.value)


def test_generators_that_do_not_fit():
    pipe = pipeline()
    with pytest.raises(ValueError, match="holds one for each of the 3 images, got 2"):
        pipe(3, seeded(1, 2))
    for wrong in (7, [7], ["a"]):
        with pytest.raises(TypeError, match=r"`generator` takes a torch.Generator, or a list of them, got"):
            pipe(1, wrong)
    pipe.to("meta")
    for given in (seeded(1)[0], seeded(1)):
        with pytest.raises(
            ValueError, match=r"the generator is on cpu, the pipeline on meta: .* torch.Generator\('meta'\)"
        ):
            pipe(1, given)


def test_steps_and_levels_that_do_not_fit():
    with pytest.raises(ValueError, match="num_inference_steps must be at least 2, got 1"):
        pipeline(None)(1, num_inference_steps=1)
    with pytest.raises(ValueError, match="3 levels need at least as many steps, got 2"):
        pipeline()(1, num_inference_steps=3)
    late = pipeline(levels(times=(0.3, 0.9)))
    with pytest.raises(
        ValueError, match=r"from t = 0.001 to 0.751, and the levels are left at 0.3, 0.9: take more steps"
    ):
        late(1, num_inference_steps=4)
    other = SubspaceSDE(VE(), LEVELS, [0.3, 0.6], [0.3, 0.5])
    with pytest.raises(ValueError, match=r"the process is one of VE\(.*, the network's is Tabulated"):
        pipeline(other)
    wider = NestedSubspaces([LowPass((3, 8, 8), 4)])
    with pytest.raises(
        ValueError, match=r"levels are those of arrays of shape \(3, 8, 8\), the network's are \(3, 8, 12\)"
    ):
        pipeline(levels(subspaces=wider, times=[0.4]))
    odd = NestedSubspaces([LowPass(SHAPE, (5, 6))])
    with pytest.raises(ValueError, match=r"multiples of 2, its `multiple_of`, and .* has 5: take 4 or 6"):
        pipeline(levels(subspaces=odd, times=[0.4]))
    for broken in ({}, {"subspaces": 1}, {**pipeline().config.process, "subspaces": {"kind": "VE"}}):
        with pytest.raises(ValueError, match="these are no levels of a pipeline"):
            pipeline(broken)


def test_a_switch_is_the_networks_and_no_schedulers():
    pipe = pipeline()
    before = pipe.process
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    assert pipe.process.times == before.times
    pipe.scheduler = scheduler(beta_schedule="squaredcos_cap_v2")
    after = pipe.process
    assert after.times != before.times
    for a, b in zip(before.times, after.times):
        assert after.sde.log_snr(b) == pytest.approx(before.sde.log_snr(a), abs=1e-9)
    assert pipe(1, num_inference_steps=30, output_type="pt").images.shape == (1, *SHAPE)


# -- saved and loaded

FRESH = """
import sys, torch, numpy as np
from subspace_sde.diffusers import SubspacePipeline
pipe = SubspacePipeline.from_pretrained(sys.argv[1], dtype=torch.float64)
pipe.set_progress_bar_config(disable=True)
generators = [torch.Generator().manual_seed(n) for n in (1, 2)]
run = {"class_labels": [0, 2], "guidance_scale": 2.0, "output_type": "np"}
np.save(sys.argv[2], pipe(2, generators, 8, **run).images)
"""


def test_what_is_saved_gives_the_same_images_in_a_fresh_process(tmp_path):
    mean = np.random.default_rng(0).standard_normal(SHAPE)
    process = SubspaceSDE(levels().sde, LEVELS, (0.3, 0.6), [0.3, 0.5], mean)
    pipe = labelled(process=process, unet_2=unet(sample_size=SIZES[1], num_class_embeds=4, layers_per_block=2))
    expected = pipe(2, seeded(1, 2), 8, class_labels=[0, 2], guidance_scale=2.0, output_type="np").images
    pipe.save_pretrained(tmp_path / "saved")
    files = {str(f.relative_to(tmp_path / "saved")) for f in (tmp_path / "saved").rglob("*") if f.is_file()}
    weights = {f"{name}/diffusion_pytorch_model.safetensors" for name in ("unet", "unet_2")}
    configs = {"model_index.json", "unet/config.json", "unet_2/config.json", "scheduler/scheduler_config.json"}
    assert files == weights | configs
    content = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert content["process"]["complement_variances"] == [0.3, 0.5] and content["null_label"] == NULL
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", FRESH, tmp_path / "saved", tmp_path / "images.npy"],
        check=True,
    )
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), expected, rtol=0, atol=1e-6)
    again = SubspacePipeline.from_pretrained(tmp_path / "saved", dtype=torch.float64, process=None, unet_2=None)
    assert again.process.K == 0 and again.unet_2 is None
