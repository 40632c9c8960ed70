"""Networks that people have, from diffusers (extra ``diffusers``): their process, their score, their times."""

from .loading import NetworkScore, Pretrained, pretrained

__all__ = ["NetworkScore", "Pretrained", "pretrained"]
