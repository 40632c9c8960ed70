"""The device that networks run on: picked, and described with the versions of what runs there."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def pick_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one, then MPS, then the CPU. Each process of a launch has its own CUDA device."""
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if device == "cuda" and "LOCAL_RANK" in os.environ and (count := torch.cuda.device_count()):
        device = f"cuda:{int(os.environ['LOCAL_RANK']) % count}"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {device!r} is not to be had here: {str(error).splitlines()[0]}") from error
    return torch.device(device)


def machine(device: torch.device) -> str:
    """The hardware and versions, in words."""
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {_processor()}"
    return f"{what}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
