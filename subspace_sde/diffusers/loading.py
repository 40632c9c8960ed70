"""`pretrained`: a network of diffusers, its process and its score."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..arrays import Score
from ..border import checked
from ..sdes import IsotropicSDE
from ..shown import Shown
from .conventions import convention
from .files import autoencoder_in, folder_of, network_in, scheduler_in
from .latents import units
from .networks import Network, UNet2D, plain
from .text_to_image import TEXT_TO_IMAGE


class NetworkScore:
    """The score of a network: ``score(x, t)`` or, with a condition, ``score(x, t, condition)``, x a torch tensor.

    The condition is an array of class labels, or of an embedded text (`subspace_sde.diffusers.text_to_image`).

    Attributes
    ----------
    network: the network behind it, whose device its x has.
    multiple_of: which lengths it takes; `subspace_sde.scores.at_level` asks for it.
    """

    def __init__(self, score: Score, network: Any, multiple_of: int) -> None:
        self._score, self.network, self.multiple_of = score, network, multiple_of

    def __call__(self, x: Any, t: Any, *condition: Any) -> Any:
        return self._score(x, t, *condition)


@dataclass(frozen=True, eq=False, repr=False)
class Pretrained(Shown):
    """What `pretrained` returns.

    Attributes
    ----------
    score: of what the network was trained on, ``scale * pixels + offset``, under `sde`: x of shape
        (*batch, *shape), of other heights and widths too, t a float or an array over the batch.
    sde: the process under which it was trained.
    shape: (channels, height, width) of what it was trained on.
    scale, offset: of its data, where pixels lie in [0, 1], or where an autoencoder gives latents, of those. The
        autoencoder comes with a folder or a pipeline; of a pair it is not known, and these are those of pixels, or, of
        a network that takes a text, 1 and 0.
    classes: how many class labels it takes, as the condition; None for a network without.
    latent: whether it works on the latents of an autoencoder.
    network, scheduler: of diffusers, as they were loaded or given.
    """

    score: Score = field(repr=False)
    sde: IsotropicSDE
    shape: tuple[int, ...]
    scale: float
    offset: float
    classes: int | None
    latent: bool
    network: Any = field(repr=False)
    scheduler: Any = field(repr=False)


@checked
def pretrained(source: Any) -> Pretrained:
    """A network that somebody trained, and what its configs say of it.

    Parameters
    ----------
    source: a folder as diffusers writes it, a name on the hub, a pipeline, or a pair (network, scheduler).

    A warning says what the scheduler does beside and a score does not: clipping or thresholding of its estimates of
    x(0), and the last step of a schedule with zero terminal SNR, where no score exists.

    Raises
    ------
    TypeError: another kind of source.
    ValueError: a scheduler, a prediction type or another field of a config that is not known here; a checkpoint that
        is a pickle; weights that do not fit their config; a hub that does not answer. When the score is called: class
        labels missing or out of range, sizes that the network cannot halve, another number of channels.

    >>> import diffusers
    >>> blocks = {
    ...     "block_out_channels": (32,),
    ...     "down_block_types": ["DownBlock2D"],
    ...     "up_block_types": ["UpBlock2D"],
    ... }
    >>> network = diffusers.UNet2DModel(sample_size=16, **blocks)
    >>> model = pretrained((network.eval(), diffusers.DDPMScheduler(clip_sample=False)))
    >>> model.shape, model.scale, model.offset, round(model.sde.log_snr(1.0), 2)
    ((3, 16, 16), 2.0, -1.0, -10.12)
    """
    network, scheduler, autoencoder = _parts(source)
    told = convention(scheduler)
    raw = _asked(network, told.family, scheduler.config.get("variance_type"), autoencoder is not None)
    for sentence in told.unfollowed:
        warnings.warn(sentence, stacklevel=3)
    scale, offset = _range_of_latents(autoencoder or {}) if raw.latent else (told.scale, told.offset)
    score = NetworkScore(told.score(raw), network, raw.multiple_of)
    return Pretrained(score, told.sde, raw.shape, scale, offset, raw.classes, raw.latent, network, scheduler)


def _asked(network: Any, family: str, variance_type: Any, latent: bool) -> Network:
    """The network as it is asked; a ValueError for one that is not known here."""
    kind = type(plain(network)).__name__
    if kind == "UNet2DModel":
        learns = None if variance_type is None else str(variance_type).startswith("learned")
        return UNet2D(network, family, learns, latent)
    if kind not in TEXT_TO_IMAGE:
        raise ValueError(f"the network {kind} is unknown here: known are UNet2DModel, {', '.join(TEXT_TO_IMAGE)}")
    return TEXT_TO_IMAGE[kind](network, family)


def _parts(source: Any) -> tuple[Any, Any, Mapping[str, Any] | None]:
    """Network, scheduler, and the config of the autoencoder whose latents the network knows, if it does."""
    if isinstance(source, (str, Path)):
        folder = folder_of(source)
        return network_in(folder), scheduler_in(folder), autoencoder_in(folder)
    if isinstance(source, tuple) and len(source) == 2 and all(hasattr(part, "config") for part in source):
        return source[0], source[1], None
    network = next(
        (n for n in (getattr(source, name, None) for name in ("unet", "transformer")) if n is not None), None
    )
    if network is not None and hasattr(source, "scheduler"):
        autoencoder = getattr(source, "vae", None) or getattr(source, "vqvae", None)
        return network, source.scheduler, None if autoencoder is None else autoencoder.config
    raise TypeError(
        "`source` takes a folder, a name on the hub, a pipeline of diffusers or a pair (network, scheduler), "
        f"got {type(source).__name__}"
    )


def _range_of_latents(config: Mapping[str, Any]) -> tuple[float, float]:
    """a and b of a z + b, what the network knows of the latents z: (z − shift_factor) scaling_factor."""
    scale, shift = units(config)
    return scale, -scale * shift
