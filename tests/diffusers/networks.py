"""Small networks of diffusers with random weights."""

import torch
from diffusers import UNet2DModel

SHAPE = (3, 8, 12)


def unet(**config):
    """A real `UNet2DModel` in float64 for SHAPE, which it halves once."""
    torch.manual_seed(0)
    given = {
        "sample_size": SHAPE[1:],
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
        "layers_per_block": 1,
        **config,
    }
    return UNet2DModel(**given).double().eval()


def noise(num, seed=1):
    return torch.randn((num, *SHAPE), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
