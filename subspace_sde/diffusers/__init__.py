"""Networks that people have, from diffusers (extra ``diffusers``): their process, their score, their times."""

from typing import TYPE_CHECKING, Any

from .conventions import library
from .latents import SmallLatents, decode_latents, encode_images, levels_of
from .loading import NetworkScore, Pretrained, pretrained
from .schedulers import from_scheduler

if TYPE_CHECKING:
    from .pipeline import SubspacePipeline

__all__ = [
    "NetworkScore",
    "Pretrained",
    "SmallLatents",
    "SubspacePipeline",
    "decode_latents",
    "encode_images",
    "from_scheduler",
    "levels_of",
    "pretrained",
]


def __getattr__(name: str) -> Any:
    if name == "SubspacePipeline":  # its class is one of diffusers', which takes seconds to import
        library()
        from .pipeline import SubspacePipeline

        return SubspacePipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
