"""Networks that people have, from diffusers (extra ``diffusers``): their process, their score, their times."""

from .loading import NetworkScore, Pretrained, pretrained
from .schedulers import from_scheduler

__all__ = ["NetworkScore", "Pretrained", "from_scheduler", "pretrained"]
