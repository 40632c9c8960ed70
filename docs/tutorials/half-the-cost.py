# %% [markdown]
# # A sampler at half the cost
#
# A network of diffusers that takes images of any size is the score of every level of
# `LowPass`: it becomes a sampler in stages with nothing to train. Here one is made and
# trained for half a minute, so that nothing is downloaded; with yours begin at "In
# stages". Then a level gets a small network of its own.

# %%
# %matplotlib inline
import tempfile
import time
import warnings

warnings.filterwarnings("ignore", message="IProgress")  # tqdm's bars without widgets

import matplotlib.pyplot as plt
import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.utils import logging

from subspace_sde import LowPass, gaussian_divergence, level_error, plan
from subspace_sde.diffusers import SubspacePipeline, pretrained
from subspace_sde.images import photos, to_unit
from subspace_sde.losses import denoising_score_matching
from subspace_sde.solvers import DPMSolver
from subspace_sde.statistics import PowerSpectrum, accumulate

logging.disable_progress_bar()
torch.manual_seed(0)
torch.set_num_threads(1)


def unet(size, channels=(32, 64)):
    return UNet2DModel(
        sample_size=size,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
    )


photographs = photos(16, train=4000, held_out=200)
images, held_out = to_unit(photographs.train), to_unit(photographs.held_out)
scheduler = DDPMScheduler(prediction_type="v_prediction", clip_sample=False)
network = unet(16)

# %% [markdown]
# ## A network
#
# `pretrained` reads from the two configs what the network predicts, and under which
# process: `model.score` is its score, for data `scale * pixels + offset`. The loop
# shows it images of three sizes in turn, for images of another size are what it will be
# asked about. Each small image is the low-pass of a large one.

# %%
model = pretrained((network, scheduler))
levels = [LowPass(model.shape, n) for n in (16, 12, 8)]
pixels = torch.from_numpy(model.scale * images + model.offset)
small = [level.restrict(pixels) / level.coordinate_scale for level in levels]


def of_v(sde, t):  # the squared error of v: that of the noise is α² times it
    return (sde.sigma(t) / sde.alpha(t)) ** 2


def train(score, network, sets, steps):
    optimizer = torch.optim.Adam(network.train().parameters())
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
    for step in range(steps):
        data = sets[step % len(sets)]
        x0 = data[torch.randint(len(data), (32,))]
        t = model.sde.t_min + (model.sde.T - model.sde.t_min) * torch.rand(32)
        rng = torch.Generator().manual_seed(step)
        loss = denoising_score_matching(score, x0, t, model.sde, rng, of_v).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    network.eval().requires_grad_(False)
    return loss.item()


loss = train(model.score, network, small, steps=150)
print(f"loss {loss:.3f}")

# %% [markdown]
# ## In stages
#
# Sizes, and some images like those that it draws: they say what the levels leave out,
# and from when on they may be used. The pipeline is called like every other one of
# diffusers. `whole` is the same without levels.

# %%
staged = SubspacePipeline.from_pipe((network, scheduler), [12, 8], images)
whole = SubspacePipeline(network, scheduler)
for pipe in (staged, whole):
    pipe.set_progress_bar_config(disable=True)
print(staged.process)


def draw(pipe, seed, num=16):
    noise = torch.Generator().manual_seed(seed)
    return pipe(num, noise, 20, solver=DPMSolver(), output_type="np").images


def time_ratio(one, other, rounds=3):
    seconds = np.zeros(2)
    for seed in range(rounds + 1):  # in turn, in case the machine does other work
        for i, pipe in enumerate((one, other)):
            started = time.perf_counter()
            draw(pipe, seed)
            if seed:  # the first round warms up
                seconds[i] += time.perf_counter() - started
    return seconds[1] / seconds[0]


print(f"{time_ratio(whole, staged):.2f} of the time, for the same 20 steps")

# %% [markdown]
# Samples of a network that has learned for half a minute, from the full model and in
# stages:


# %%
def show(sets):
    _, axes = plt.subplots(
        len(sets), 1, figsize=(9, 1.25 * len(sets)), layout="constrained"
    )
    for ax, (name, x) in zip(axes, sets.items()):
        ax.imshow(np.concatenate(x[:14], axis=1).clip(0, 1))
        ax.set_title(name, fontsize=9, loc="left")
        ax.set_axis_off()


photographs_16 = held_out.transpose(0, 2, 3, 1)
drawn = {"full model": draw(whole, 1), "in stages": draw(staged, 1)}
show({"photographs": photographs_16, **drawn})

# %% [markdown]
# ## May it serve these levels?
#
# A level may begin when two things hold. What it leaves out must be noise: D_F, which
# the images alone answer. And the network must know images of that size: `level_error`
# measures how much worse it predicts the noise there than at full size; below zero it
# is better. `plan` asks for both, and finds sizes and times itself.

# %%
candidates = [LowPass(model.shape, n) for n in range(6, 16, 2)]
scaled = accumulate(PowerSpectrum, np.asarray(pixels))
curves = gaussian_divergence(scaled.gaussian(), model.sde, candidates, center=True)
times = np.linspace(0.1, 0.95, 12).tolist()
small_pixels = torch.from_numpy(model.scale * held_out + model.offset)
errors = level_error(model.score, model.sde, candidates, small_pixels, times)
for level, curve, error in zip(candidates, curves, errors):
    t = curve.time_at(3e-3)
    excess = np.interp(t, error.times, error.excess)
    print(f"{level.shape[-1]:2}: D_F = 0.003 at t = {t:.2f}; level error {excess:.4f}")
best = plan(candidates, curves, 3e-3, errors=errors, tolerance=1e-2, max_levels=2)
print(best.subspaces, f"{best.cost:.0%} of the pixels")

# %%
planned = SubspacePipeline.from_pipe((network, scheduler), best, images)
planned.set_progress_bar_config(disable=True)
show({"full model": drawn["full model"], "by the plan": draw(planned, 1)})
print(f"{time_ratio(whole, planned):.2f} of the time")

# %% [markdown]
# The time falls less than the pixels: 16 × 16 of them hardly keep a processor busy, and
# every call costs something besides. Larger images come closer.

# %% [markdown]
# ## Two networks
#
# A level may have a network of its own, smaller than the full one, trained on the small
# images alone. Here that of 8 × 8, the last level of `staged`, in a few seconds; the
# other two levels stay with the first network.

# %%
own = unet(8, channels=(32, 32))
last = pretrained((own, scheduler))
_ = train(last.score, own, small[2:], steps=90)
two = SubspacePipeline(network, scheduler, unet_2=own, process=staged.process)
two.set_progress_bar_config(disable=True)
show({"one network": drawn["in stages"], "two networks": draw(two, 1)})

# %% [markdown]
# It is saved and loaded like any pipeline, networks and levels in one folder.

# %%
with tempfile.TemporaryDirectory() as folder:
    two.save_pretrained(folder)
    again = SubspacePipeline.from_pretrained(folder)
again.set_progress_bar_config(disable=True)
assert np.array_equal(draw(again, 1, num=2), draw(two, 1, num=2))

# %%
again.process.subspaces
