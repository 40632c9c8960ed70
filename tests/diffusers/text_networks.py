"""Small networks of text to image with random weights, in diffusers' own pipelines, and what they are asked with."""

from functools import cache

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

WORDS, FEATURES, POOLED = 3, 8, 6
STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def autoencoder(**config):
    torch.manual_seed(0)
    given = {
        "block_out_channels": (4, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 2,
        "layers_per_block": 1,
        **config,
    }
    return AutoencoderKL(**given).double().eval()


def conditional_unet(**config):
    torch.manual_seed(0)
    given = {
        "sample_size": 8,
        "block_out_channels": (4, 8),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": FEATURES,
        "norm_num_groups": 2,
        "attention_head_dim": 2,
        "layers_per_block": 1,
        **config,
    }
    return UNet2DConditionModel(**given).double().eval()


def sd3(**config):
    torch.manual_seed(0)
    given = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 4,
        "num_attention_heads": 2,
        "caption_projection_dim": 8,
        "joint_attention_dim": FEATURES,
        "pooled_projection_dim": POOLED,
        "pos_embed_max_size": 6,
        **config,
    }
    return SD3Transformer2DModel(**given).double().eval()


def flux(**config):
    torch.manual_seed(0)
    given = {
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": FEATURES,
        "pooled_projection_dim": POOLED,
        "axes_dims_rope": (2, 2, 4),
        **config,
    }
    return FluxTransformer2DModel(**given).double().eval()


def stable_diffusion(prediction_type="epsilon"):
    scheduler = DDIMScheduler(prediction_type=prediction_type, **STABLE_DIFFUSION)
    vae = autoencoder(scaling_factor=0.18215)
    nothing = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    return StableDiffusionPipeline(
        vae=vae, unet=conditional_unet(), scheduler=scheduler, requires_safety_checker=False, **nothing
    )


def stable_diffusion_3():
    kinds = ("", "_2", "_3")
    nothing = {f"{part}{kind}": None for part in ("text_encoder", "tokenizer") for kind in kinds}
    vae = autoencoder(scaling_factor=1.5305, shift_factor=0.0609)
    return StableDiffusion3Pipeline(
        transformer=sd3(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, **nothing
    )


def flux_pipeline(guidance):
    nothing = {f"{part}{kind}": None for part in ("text_encoder", "tokenizer") for kind in ("", "_2")}
    vae = autoencoder(scaling_factor=0.3611, shift_factor=0.1159)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return FluxPipeline(transformer=flux(guidance_embeds=guidance), scheduler=scheduler, vae=vae, **nothing)


PIPELINES = {
    "Stable Diffusion 1.5": cache(stable_diffusion),
    "Stable Diffusion 2.1": cache(lambda: stable_diffusion("v_prediction")),
    "Stable Diffusion 3": cache(stable_diffusion_3),
    "FLUX.1 dev": cache(lambda: flux_pipeline(guidance=True)),
    "FLUX.1 schnell": cache(lambda: flux_pipeline(guidance=False)),
}


def text(num, seed):
    """An embedded text and its summary for each of `num` samples."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((num, WORDS, FEATURES), (num, POOLED))
    )
