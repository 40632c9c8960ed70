"""Where networks and schedulers lie: a folder as diffusers writes it, or a name on the hub. No pickle is read."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from .conventions import library, scheduler_from
from .text_to_image import TEXT_TO_IMAGE

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_PICKLES = {".bin", ".ckpt", ".pkl", ".pt", ".pth"}
_NETWORKS = ("UNet2DModel", *TEXT_TO_IMAGE)
_PLACES = ("", "unet", "transformer")
_VARIANTS = ["*.fp16.*", "*.bf16.*", "*.non_ema.*"]
_HOW = (
    "load it yourself, weights = torch.load(file, weights_only=True) and network.load_state_dict(weights), and give "
    "pretrained((network, scheduler)), or save it anew as safetensors"
)


def folder_of(source: str | Path) -> Path:
    """The folder that `source` names: its path, or a name on the hub, whose files are in the hub's cache or fetched.

    Raises ValueError for what does not exist, a single file, and a hub that does not give it.
    """
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists():
        if path.suffix in _PICKLES:
            raise ValueError(f"{path} is a pickle, which can run any code as it is read, and is refused: {_HOW}")
        raise ValueError(f"{path} is a file: give the folder with the config beside the weights")
    if isinstance(source, Path) or not _HUB_NAME.fullmatch(source):
        raise ValueError(
            f"{path} does not exist: give a folder, a name on the hub like google/ddpm-cifar10-32, a "
            "pipeline, or a pair (network, scheduler)"
        )
    library()
    from huggingface_hub import snapshot_download

    # the network alone: a pattern's * goes through folders, and repositories hold many gigabytes beside it
    weights = [f"{place}diffusion_pytorch_model*.safetensors" for place in ("", "unet/", "transformer/")]
    try:
        return Path(snapshot_download(source, allow_patterns=["*.json", *weights], ignore_patterns=_VARIANTS))
    except Exception as error:
        raise ValueError(
            f"the hub gave no {source} ({type(error).__name__}), and no folder here has that name: where there is no "
            f"connection, give the folder of a copy, pretrained('path/to/{source.split('/')[1]}')"
        ) from error


def network_in(folder: Path) -> Any:
    """The network in a folder: at its root, or under ``unet/`` or ``transformer/``.

    Raises ValueError for a folder without one, a class or a field that is not known here, weights that are a pickle or
    do not fit the config.
    """
    places = [folder / place for place in _PLACES]
    place = next((place for place in places if _class_in(place) in _NETWORKS), None)
    if place is None:
        seen = [f"{_class_in(place)} in {place}" for place in places if _class_in(place)]
        found = ", ".join(seen) or "no config.json of one"
        raise ValueError(f"{folder} holds no network that is known here ({', '.join(_NETWORKS)}), but {found}")
    kind = getattr(library(), _class_in(place))
    for key in _json(place / "config.json"):
        if not key.startswith("_") and key not in inspect.signature(kind).parameters:
            raise ValueError(f"unknown field {key!r} in {place / 'config.json'}: what it means is not guessed")
    if not any(place.glob("*.safetensors")):
        pickles = sorted(file.name for file in place.iterdir() if file.suffix in _PICKLES)
        held = f"a pickle, {pickles[0]}, which can run any code as it is read," if pickles else "none"
        raise ValueError(f"{place} has no weights as safetensors, but {held}: {_HOW}")
    try:
        network, told = kind.from_pretrained(place, use_safetensors=True, output_loading_info=True)
    except Exception as error:  # of safetensors, torch, accelerate and diffusers
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"the weights and the config in {place} do not match: {said[0]}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(str, told[what])):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(
                f"the weights and the config in {place} do not match: {what.removesuffix('_keys')} {names[0]}{more}"
            )
    return network.eval()


def scheduler_in(folder: Path) -> Any:
    """The scheduler in a folder: at its root, or under ``scheduler/``; a ValueError for a folder without one."""
    for file in (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"):
        if file.is_file():
            return scheduler_from(_json(file))
    raise ValueError(f"{folder} has no scheduler_config.json, neither there nor under scheduler/")


def autoencoder_in(folder: Path) -> dict[str, Any] | None:
    """The config of the autoencoder beside the network, its class's own values where it says none; None without one."""
    for place in (folder / "vae", folder / "vqvae"):
        if name := _class_in(place):
            kind = getattr(library(), name, None)
            if kind is None:
                raise ValueError(f"the autoencoder {name} in {place} is unknown to diffusers")
            usual = {key: parameter.default for key, parameter in inspect.signature(kind).parameters.items()}
            return usual | _json(place / "config.json")
    return None


def _class_in(place: Path) -> str:
    file = place / "config.json"
    return str(_json(file).get("_class_name", "")) if file.is_file() else ""


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds no config, but a {type(found).__name__}")
    return found
