"""Statistics over the processes of a `torch.distributed` group, each with its own share of the data."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np


def total(value: Any, group: Any) -> np.ndarray[Any, Any]:
    """The sum over the processes of a group."""
    import torch.distributed as dist

    tensor = _tensor(np.ascontiguousarray(value, dtype=np.float64), group)
    dist.all_reduce(tensor, group=group)
    found: np.ndarray[Any, Any] = tensor.cpu().numpy()
    return found


def check_alike(description: str, group: Any) -> None:
    """A ValueError on every process of a group unless they all give the same description."""
    import torch
    import torch.distributed as dist

    digest = _tensor(np.frombuffer(sha256(description.encode()).digest(), np.uint8).copy(), group)
    found = [torch.empty_like(digest) for _ in range(dist.get_world_size(group))]
    dist.all_gather(found, digest, group=group)
    if other := [rank for rank, theirs in enumerate(found) if not torch.equal(theirs, found[0])]:
        raise ValueError(
            f"process {other[0]} of the group holds other statistics than process 0: "
            "reduce those of one kind and of equal shapes, patches or subspaces on all of them"
        )


def _tensor(value: np.ndarray[Any, Any], group: Any) -> Any:
    """A tensor where the group can send it."""
    import torch
    import torch.distributed as dist

    place = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend(group) == "nccl" else "cpu"
    return torch.as_tensor(value, device=place)
