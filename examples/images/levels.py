"""One level of an image model: its subspace, its network, its score, and the file that holds them.

A level is trained on ``subspace.restrict(x0)`` under the same SDE as every other (eq. 8), so a level file is complete
in itself and any two levels of one data set can be put into one plan. A shared network has one file for all its levels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from subspace_sde import VE, Identity, IsotropicSDE, Subspace
from subspace_sde.analysis import subspace_named
from subspace_sde.arrays import Score, positive_integer, sizes
from subspace_sde.border import checked
from subspace_sde.files import parse_json, whole
from subspace_sde.scores import at_level, from_denoiser, precondition
from subspace_sde.specification import build, specify

SHARED = "shared.safetensors"
"""The file of a network that is every level's."""
FORMAT, VERSION = "subspace_sde level", 1  # of the files that training writes, its state too
SDE: IsotropicSDE = VE(0.01, 50.0)
"""That which every level is trained under."""


def file_name(name: str) -> str:
    """The file of a level: ``lowpass:20`` is kept in ``lowpass-20.safetensors``."""
    return name.replace(":", "-") + ".safetensors"


def check_version(path: Path, version: Any, mend: str) -> None:
    """A ValueError unless this is the version of the format that is read here; `mend` is for older ones."""
    if str(version) == str(VERSION):
        return
    if version is None:
        raise ValueError(f"{path} carries no version of its format, and version {VERSION} is read here: {mend}")
    if str(version).isdecimal() and int(version) > VERSION:
        mend = "update subspace_sde and its examples"
    raise ValueError(f"{path} has version {version} of its format, and version {VERSION} is read here: {mend}")


def check_kind(folder: Path, shared: bool) -> None:
    """A ValueError where a folder already holds networks of the other kind: a shared one, or a network for each level.

    What belongs to which could not be told any more.
    """
    if shared and (folder / file_name("full")).exists():
        raise ValueError(f"{folder} holds a network for each level: give the shared one another --out")
    if not shared and (folder / SHARED).exists():
        raise ValueError(f"{folder} holds a network for all levels: give a network for each another --out")


def check_sizes(subspace: Subspace, halvings: int) -> None:
    """A ValueError for images that a U-Net cannot halve so often; it says what it can."""
    _, *edges = subspace.shape
    whole, full = 2**halvings, subspace.ambient_shape[1:]
    if any(n % whole for n in edges):
        fit = [n for n in range(whole, min(full), whole) if all(n * e % (min(full) * whole) == 0 for e in full)]
        raise ValueError(
            f"images of {edges[0]} x {edges[1]} cannot be halved {halvings} times: choose a size divisible by {whole}"
            + (f" (lowpass of {', '.join(map(str, fit))})" if fit and subspace.dim < subspace.ambient_dim else "")
            + ", or fewer channels"
        )


def unet(shape: tuple[int, ...], channels: tuple[int, ...], layers: int) -> torch.nn.Module:
    """A diffusers U-Net for images of `shape`, with attention at its coarsest resolution.

    Raises ValueError where the edges cannot be halved once for each further entry of `channels`.
    """
    from diffusers import UNet2DModel  # seconds to import, and not every command needs a network

    halvings = len(channels) - 1
    check_sizes(Identity(shape), halvings)
    network: torch.nn.Module = UNet2DModel(
        sample_size=shape[1:],
        in_channels=shape[0],
        out_channels=shape[0],
        layers_per_block=layers,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * halvings + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * halvings,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    return network


@checked
@dataclass
class Level:
    """A subspace, the network trained on its coordinates, and what is needed to turn the one into a score.

    Attributes
    ----------
    name: as on the command line, ``lowpass:20``; a subspace of your own has a name without a colon.
    sde, subspace: the process, and U_k in the full space.
    mean, sigma_data: of the coordinates' entries, for the preconditioning.
    channels, layers: the U-Net's width at each resolution, and its blocks at each.
    recipe: how it was trained, for people to read.
    digest: of the file it came from, to know it again.
    shared: the levels that the network was trained for, ``full`` first; none where it has one level of its own.
    """

    name: str
    sde: IsotropicSDE
    subspace: Subspace
    mean: float
    sigma_data: float
    channels: tuple[int, ...]
    layers: int
    network: torch.nn.Module
    recipe: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    shared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("sigma_data", self.sigma_data)):
            if not math.isfinite(value):
                raise ValueError(f"{name} is a finite number, got {value}")
        if not self.sigma_data > 0:
            raise ValueError(f"sigma_data is positive, got {self.sigma_data}")
        self.channels, self.layers = sizes("channels", self.channels), positive_integer("layers", self.layers)
        own = ":" not in self.name and self.name != "full"  # a subspace of the user's own class
        if not own and self.subspace != subspace_named(self.name, self.subspace.ambient_shape):
            raise ValueError(f"{self.name} is another subspace than {self.subspace!r}")
        self.shared = tuple(self.shared)
        if self.shared and (self.shared[0] != "full" or self.name not in self.shared):
            raise ValueError(f"{self.name} is none of the levels of its network, {', '.join(map(str, self.shared))}")

    def at(self, name: str) -> Level:
        """Another level of a shared network; a ValueError for one that it was not trained for."""
        if name not in self.shared:
            raise ValueError(
                f"the shared network was trained for {', '.join(self.shared)}, not for {name}: train it for that too "
                f"(train --shared --level {name} ...), in another --out"
            )
        return replace(self, name=name, subspace=subspace_named(name, self.subspace.ambient_shape))

    @property
    def score(self) -> Score:
        """s_k(x, t), with x of shape (batch, *subspace.shape); of a shared network, wherever it knows σ(t)/c."""

        def raw(inputs: Any, c_noise: Any) -> Any:
            noise = torch.as_tensor(c_noise, dtype=inputs.dtype, device=inputs.device)
            # the U-Net's sinusoids are made for step numbers: 100 c_noise spans about as much
            return self.network(inputs, 100 * noise.expand(inputs.shape[0])).sample.to(inputs.dtype)

        score = from_denoiser(precondition(raw, self.sde, self.sigma_data, self.mean), self.sde)
        return at_level(score, self.sde, self.subspace) if self.shared and self.name != "full" else score

    def save(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write the level as safetensors, whole or not at all: an older file stays until the new one is complete."""
        about = {
            "name": self.name,
            "sde": specify(self.sde),
            "subspace": specify(self.subspace),
            "mean": self.mean,
            "sigma_data": self.sigma_data,
            "channels": self.channels,
            "layers": self.layers,
            "data_range": [0.0, 1.0],
            "recipe": self.recipe,
            "shared": self.shared,
        }
        tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in self.network.state_dict().items()}
        metadata = {"format": FORMAT, "version": str(VERSION), "level": json.dumps(about)}
        with whole(path) as fresh:
            try:
                save_file(tensors, fresh, metadata=metadata)
            except SafetensorError as error:
                raise OSError(f"{error}: is the disk full?") from error

    @classmethod
    def load(cls, path: Path, device: str | torch.device = "cpu") -> Level:
        """The level in a file that `save` wrote, ready to sample from.

        Raises ValueError for a file that is missing, corrupt, of something else, or of another version of the format.
        """
        if not path.exists():
            raise ValueError(f"{path} does not exist: train that level first (python -m examples.images train)")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                weights = {k: file.get_tensor(k) for k in file.keys()}
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is not a readable safetensors file ({error})") from error
        if not metadata.get("format", "").startswith(FORMAT):  # before there were versions, more followed
            raise ValueError(f"{path} holds no level of this example (its format is {metadata.get('format')!r})")
        check_version(path, metadata.get("version"), "remove it and train that level again")
        try:
            about = dict(parse_json(metadata["level"]))
            if about.pop("data_range") != [0.0, 1.0]:
                raise ValueError("its data range is not [0, 1]")
            about |= {"sde": build(about["sde"]), "subspace": build(about["subspace"])}
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            level = cls(**about, network=torch.nn.Identity(), digest=digest)  # checks, before a network is built
            widest = max((n for w in weights.values() for n in w.shape), default=0)
            if max(level.layers, len(level.channels)) > len(weights) or max(level.channels) > widest:
                raise ValueError("its weights are those of a smaller network")
            if not all(torch.isfinite(w).all() for w in weights.values()):
                raise ValueError("its weights hold NaN or infinity")
            level.network = unet(level.subspace.shape, level.channels, level.layers)
            level.network.load_state_dict({k: v.float() for k, v in weights.items()})
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path} does not fit the level that it describes: {error}") from error
        level.network.eval().requires_grad_(False).to(device)
        return level


def load_levels(
    folder: Path, names: Sequence[str], shape: tuple[int, int, int], device: torch.device
) -> dict[str, Level]:
    """The named levels in a folder of weights, of its shared network where it has one, or of a network each.

    Raises ValueError for one of another image shape, subspace or SDE, or one that the shared network does not have.
    """
    if (folder / SHARED).exists():
        one = Level.load(folder / SHARED, device)
        models = {n: one.at(n) for n in names}
    else:
        models = {n: Level.load(folder / file_name(n), device) for n in names}
    for name, level in models.items():
        if level.subspace.ambient_shape != tuple(shape):
            raise ValueError(
                f"{folder / file_name(name)} was trained on images of shape {level.subspace.ambient_shape}, "
                f"these have {tuple(shape)}"
            )
        if specify(level.subspace) != specify(subspace_named(name, shape)):
            raise ValueError(f"{folder / file_name(name)} holds the level {level.name}, not {name}")
        if specify(level.sde) != specify(models[names[0]].sde):
            raise ValueError(f"{folder / file_name(name)} was trained under {level.sde!r}, {names[0]} under another")
    return models
