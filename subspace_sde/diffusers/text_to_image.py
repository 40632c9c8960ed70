"""Networks of latents that are asked with an embedded text: Stable Diffusion, Stable Diffusion 3, FLUX.

    UNet2DConditionModel    label: the step i  encoder_hidden_states
    SD3Transformer2DModel   label: 1000 t      encoder_hidden_states, pooled_projections
    FluxTransformer2DModel  label: t           the same, and guidance where the network
                                               has an embedding for it

The condition is a mapping of these names, which are the networks' own, to what the pipeline's ``encode_prompt`` gives,
one entry a sample; where there is one name, its array will do. x is (*batch, channels, height, width), in the network's
units: (z − shift_factor) scaling_factor of the autoencoder's latents z. A network in half precision computes in half
precision; x and what is returned keep their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import is_integer
from ..conditions import check_condition, flat
from .networks import Network

_SIZE_OF_FLUX = 128  # its config names none; that of its pipeline, for images of 1024 × 1024


class TextToImage(Network):
    """What they have in common.

    Attributes
    ----------
    takes: the names of its condition, and what a sample's entry of each has: words, features, (); None for any number.
    """

    family: str
    latent = True

    def __init__(self, module: Any, family: str, size: Any, channels: int, multiple_of: int, takes: Any) -> None:
        if family != self.family:
            raise ValueError(
                f"{type(module).__name__} goes with a scheduler of the family {self.family!r}, got one of {family!r}"
            )
        config = module.config
        if config.out_channels not in (None, config.in_channels):  # it is shown more than x: a mask, an image, edges
            raise ValueError(
                f"out_channels={config.out_channels} of the network is unknown here: known are as many as its "
                f"in_channels={config.in_channels}"
            )
        super().__init__(module, size, channels, multiple_of)
        self.takes = dict(takes)

    def _other_channels(self, channels: int, shape: tuple[int, ...]) -> str:
        hint = ": encode images to latents first, subspace_sde.diffusers.encode_images(vae, images)"
        return f"the network takes latents, (*batch, {self.shape[0]}, height, width), got {shape}" + hint * (
            channels == 3
        )

    def _given(self, condition: tuple[Any, ...], batch: tuple[int, ...], x: Any, dtype: Any) -> dict[str, Any]:
        import torch

        names = " and ".join(self.takes)
        if not condition or condition[0] is None:
            raise ValueError(
                f"the network takes {names}, as the pipeline's encode_prompt gives them: give a mapping of these names "
                "as the condition"
            )
        found = condition[0]
        if not isinstance(found, (Mapping, tuple, list)) and len(self.takes) == 1:
            found = {next(iter(self.takes)): found}
        if not isinstance(found, Mapping) or found.keys() != self.takes.keys():
            got = " and ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            raise ValueError(f"the network takes {names}: give a mapping of these names as the condition, got {got}")
        tensors = {name: torch.as_tensor(value, device=x.device) for name, value in found.items()}
        check_condition(tensors, batch)
        for name, takes in self.takes.items():
            rest = tuple(tensors[name].shape[len(batch) :])
            if len(rest) != len(takes) or any(n not in (None, m) for n, m in zip(takes, rest)):
                one = {0: "one number", 1: "{} features", 2: "words of {} features"}[len(takes)].format(*takes[-1:])
                raise ValueError(
                    f"{name} has {one} a sample in this network, got shape {tuple(tensors[name].shape)} for the batch "
                    f"{batch}"
                )
        # a number of guidance stays exact until the network embeds it
        return {name: c.to(dtype) if self.takes[name] else c for name, c in flat(tensors, batch).items()}


class UNet2DCondition(TextToImage):
    """A `UNet2DConditionModel`, of Stable Diffusion 1.5 or 2.1."""

    family = "betas"

    def __init__(self, module: Any, family: str) -> None:
        config = module.config
        for key in (
            "addition_embed_type",
            "class_embed_type",
            "num_class_embeds",
            "encoder_hid_dim_type",
            "time_cond_proj_dim",
        ):
            if config.get(key) is not None:
                raise ValueError(f"{key}={config[key]!r} of the network is unknown here: known is None")
        if not is_integer(config.cross_attention_dim):
            raise ValueError(f"cross_attention_dim={config.cross_attention_dim} of the network: known is one number")
        takes = {"encoder_hidden_states": (None, config.cross_attention_dim)}
        multiple_of = 2 ** (len(config.block_out_channels) - 1)
        super().__init__(module, family, config.sample_size, config.in_channels, multiple_of, takes)

    def _asked(self, x: Any, label: Any, given: dict[str, Any]) -> Any:
        return self.module(x, label, **given).sample


class SD3Transformer2D(TextToImage):
    """An `SD3Transformer2DModel`.

    Its table of positions is cropped at its centre: a small grid is taken from the middle of a large one.
    """

    family = "flow"

    def __init__(self, module: Any, family: str) -> None:
        config = module.config
        takes = {
            "encoder_hidden_states": (None, config.joint_attention_dim),
            "pooled_projections": (config.pooled_projection_dim,),
        }
        super().__init__(module, family, config.sample_size, config.in_channels, config.patch_size, takes)
        self._most = config.pos_embed_max_size * config.patch_size

    def _asked(self, x: Any, label: Any, given: dict[str, Any]) -> Any:
        if max(x.shape[-2:]) > self._most:
            raise ValueError(
                f"the network knows the places of at most {self._most} × {self._most} latents, by its "
                f"pos_embed_max_size, got {x.shape[-2]} × {x.shape[-1]}"
            )
        return self.module(hidden_states=x, timestep=label, **given).sample


class FluxTransformer2D(TextToImage):
    """A `FluxTransformer2DModel`: 2 × 2 latents are one token, and whole numbers say where each stands."""

    family = "flow"

    def __init__(self, module: Any, family: str) -> None:
        config = module.config
        takes = {
            "encoder_hidden_states": (None, config.joint_attention_dim),
            "pooled_projections": (config.pooled_projection_dim,),
            **({"guidance": ()} if config.guidance_embeds else {}),
        }
        super().__init__(module, family, _SIZE_OF_FLUX, config.in_channels // 4, 2, takes)

    def _asked(self, x: Any, label: Any, given: dict[str, Any]) -> Any:
        import torch

        size, channels, height, width = x.shape
        rows, columns = height // 2, width // 2
        tokens = x.reshape(size, channels, rows, 2, columns, 2).permute(0, 2, 4, 1, 3, 5)
        places = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in (1, rows, columns)))
        words = given["encoder_hidden_states"].shape[1]
        out = self.module(
            hidden_states=tokens.reshape(size, rows * columns, 4 * channels),
            timestep=label / 1000,  # the convention of flows gives 1000 t
            img_ids=places.float(),  # half precision would not tell places beyond 256 apart
            txt_ids=torch.zeros((words, 3), device=x.device),
            **given,
        ).sample
        image = out.reshape(size, rows, columns, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return image.reshape(size, channels, height, width)


TEXT_TO_IMAGE: dict[str, Callable[[Any, str], TextToImage]] = {
    "UNet2DConditionModel": UNet2DCondition,
    "SD3Transformer2DModel": SD3Transformer2D,
    "FluxTransformer2DModel": FluxTransformer2D,
}
"""By the names of diffusers' classes."""
