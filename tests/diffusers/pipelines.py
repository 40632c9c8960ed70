"""Pipelines of small networks with random weights."""

import numpy as np
import torch
from diffusers import DDIMScheduler
from scipy.fft import idctn

from subspace_sde import LowPass, NestedSubspaces, SubspaceSDE
from subspace_sde.diffusers import SubspacePipeline, pretrained
from tests.diffusers.networks import SHAPE, unet

SIZES = [(6, 8), (4, 6)]
LEVELS = NestedSubspaces.from_subspaces([LowPass(SHAPE, size) for size in SIZES])
NULL = 3


def scheduler(**config):
    """One that ends at half the noise of DDPM's, at which a random network's images are not all black and white."""
    return DDIMScheduler(**{"clip_sample": False, "beta_end": 0.002, **config})


def seeded(*numbers):
    return [torch.Generator().manual_seed(n) for n in numbers]


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def levels(model=None, subspaces=LEVELS, times=(0.3, 0.6)):
    sde = pretrained((unet(), scheduler())).sde if model is None else model.sde
    return SubspaceSDE(sde, subspaces, times, [0.3, 0.5][: len(times)])


def pipeline(process="levels", steps="leading", **given):
    network = given.pop("unet", None) or unet()
    process = levels() if process == "levels" else process
    return quiet(SubspacePipeline(network, scheduler(timestep_spacing=steps), process=process, **given))


def labelled(**given):
    return pipeline(unet=unet(num_class_embeds=4), null_label=NULL, **given)


def pictures(num=40):
    """Images in [0, 1] whose power falls with the frequency."""
    rough = np.random.default_rng(0).standard_normal((num, *SHAPE)) / (1 + np.hypot(*np.indices(SHAPE[1:]))) ** 1.5
    found = idctn(rough, axes=(-2, -1), norm="ortho")
    return 0.5 + 0.45 * found / np.abs(found).max()
