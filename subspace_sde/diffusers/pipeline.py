"""A pipeline of diffusers that samples by Algorithm 1: called, saved, loaded and moved as every other one.

Its components are classes of diffusers, so that to read a saved one takes this module and nothing else; what it knows
beside them, its levels, is plain JSON in ``model_index.json``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ImagePipelineOutput, SchedulerMixin, UNet2DModel, VQModel

from ..arrays import Score
from ..border import checked
from ..planning.plans import Plan
from ..process import SubspaceSDE
from ..sampling import Step, sample
from ..scores import at_level, guided
from ..solvers import DDIM, Solver
from ..subspaces import NestedSubspaces
from .latents import decode_latents
from .levels import as_json, fitted, from_json
from .loading import Pretrained, pretrained
from .networks import plain
from .schedulers import ends_at_noise, from_scheduler

_OWN = ("unet_1", "unet_2", "unet_3", "unet_4")


@checked
class SubspacePipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers has no types
    """Sampling in stages with networks of diffusers.

    Parameters
    ----------
    unet: the network of the full space, and of every level that has none of its own.
    scheduler: what `pretrained` reads the process from; it may be replaced by another one of the same network.
    vae: of a network of latents.
    unet_1 … unet_4: networks of the levels 1 … 4, trained under the same scheduler: on smaller images where the level's
        coordinates are `coordinate_scale` times such, on the coordinates themselves where they are none.
    process: the levels, a `SubspaceSDE` of ``pretrained((unet, scheduler)).sde`` and of data in the network's range; or
        its JSON, as it is in a saved pipeline. Without it there is the full space alone.
    null_label: the class label that stands for none, for guidance.

    Raises ValueError for levels of another shape or process, or of sizes that the network cannot halve, and for what
    `pretrained` does not know.

    >>> from diffusers import DDIMScheduler
    >>> small = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    >>> unet = UNet2DModel(
    ...     8,
    ...     down_block_types=("DownBlock2D",) * 2,
    ...     up_block_types=("UpBlock2D",) * 2,
    ...     **small,
    ... )
    >>> pipe = SubspacePipeline(unet.eval(), DDIMScheduler(clip_sample=False))
    >>> pipe.set_progress_bar_config(disable=True)
    >>> pipe(batch_size=2, num_inference_steps=3, output_type="np").images.shape
    (2, 8, 8, 3)
    """

    model_cpu_offload_seq = "unet_4->unet_3->unet_2->unet_1->unet->vae"
    _optional_components: ClassVar = ["vae", *_OWN]

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: SchedulerMixin,
        vae: AutoencoderKL | VQModel | None = None,
        unet_1: UNet2DModel | None = None,
        unet_2: UNet2DModel | None = None,
        unet_3: UNet2DModel | None = None,
        unet_4: UNet2DModel | None = None,
        process: SubspaceSDE | dict[str, Any] | None = None,
        null_label: int | None = None,
    ) -> None:
        super().__init__()
        own = dict(zip(_OWN, (unet_1, unet_2, unet_3, unet_4)))
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae, **own)
        model = pretrained(self)
        if isinstance(process, SubspaceSDE):
            if process.sde != model.sde:
                raise ValueError(
                    f"the process is one of {process.sde!r}, the network's is {model.sde!r}: make it with "
                    "pretrained((unet, scheduler)).sde"
                )
            process = as_json(process)
        if null_label is not None and not (model.classes and 0 <= null_label < model.classes):
            raise ValueError(f"null_label is one of the network's {model.classes or 0} class labels, got {null_label}")
        self.register_to_config(process=process, null_label=null_label)
        self._scores(model, self.process)  # checks

    @classmethod
    @checked
    def from_pipe(
        cls,
        pipe: Any,
        plan: Plan | Sequence[Any],
        data: Any,
        threshold: float = 3e-3,
        null_label: int | None = None,
    ) -> Self:
        """The training-free way: the network of a pipeline serves every level.

        Parameters
        ----------
        pipe: a pipeline of diffusers, or what else `pretrained` takes.
        plan: made for this network: under ``pretrained(pipe).sde`` and from data in its range. Or sizes, [24, 16] or
            [(24, 32), (16, 24)] say: `LowPass` levels, each left where a Gaussian model of the data says so.
        data: images in [0, 1], (N, *shape) or an iterable of such batches, read once; for a network of latents what
            `encode_images` makes of them. They give the variances of the complements.
        threshold: on D_F, for sizes.

        Raises ValueError for a plan of another shape or process, data of another shape or range, a size that does not
        meet the threshold or that the network cannot halve, and a network that takes a text.
        """
        model = pretrained(pipe)
        if not isinstance(plain(model.network), UNet2DModel):
            raise ValueError(
                f"{type(plain(model.network)).__name__} takes a text, which no SubspacePipeline encodes: "
                "sample(process, shared(pretrained(pipe).score, ...), condition=...), and decode what it gives"
            )
        vae = next((v for v in (getattr(pipe, name, None) for name in ("vae", "vqvae")) if v is not None), None)
        process = fitted(model, plan, data, threshold)
        return cls(model.network, model.scheduler, vae, process=process, null_label=null_label)

    @property
    def process(self) -> SubspaceSDE:
        """The levels, under the process of the present scheduler."""
        return self._process(pretrained(self))

    @checked
    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: Any = None,
        num_inference_steps: int = 50,
        solver: Solver | None = None,
        class_labels: Any = None,
        guidance_scale: float = 1.0,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., Any] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draw `batch_size` images.

        Parameters
        ----------
        generator: a `torch.Generator` of the pipeline's device, or a list of one for each image: then an image depends
            on its own generator alone, whatever the batch.
        num_inference_steps: of the scheduler, whose times are taken; they are shared among the levels.
        solver: `DDIM()` without it.
        class_labels: one for all images, or one for each, where the network has classes.
        guidance_scale: w of classifier-free guidance; other than 1 it takes the pipeline's `null_label`.
        output_type: "pil", "np" (N, H, W, channels) or "pt" (N, channels, H, W), the latter two in [0, 1].
        return_dict: False gives a tuple (images,).
        callback_on_step_end: called as (pipe, step, t, {"latents": x}), with the time t of the process and x of the
            level. It may look, and raise; another x is not taken.

        Raises ValueError for class labels that are missing or out of range, a generator on another device, too few
        steps for the levels, and an output that these images do not have.
        """
        model, like = pretrained(self), self._like()
        channels = model.shape[0] if self.vae is None else 3
        outputs = ("pil", "np", "pt") if channels in (1, 3) else ("np", "pt")
        if output_type not in outputs:
            raise ValueError(f"output_type of images of {channels} channels is one of {outputs}, got {output_type!r}")
        condition = self._labels(class_labels, batch_size, model, like)
        times, denoise = self._times(num_inference_steps)
        process = self._process(model, times)
        sde = process.sde
        scores = self._scores(model, process)
        null = self.config.null_label
        if guidance_scale != 1:
            if null is None:
                raise ValueError(
                    "guidance takes a network with a class label that stands for none: "
                    "SubspacePipeline(..., null_label=10)"
                )
            scores = [guided(score, guidance_scale, null) for score in scores]  # type: ignore[arg-type, misc]
        noise, rng = _noise(generator, (batch_size, *process.shape(process.K)), like)
        with self.progress_bar(total=len(times) - 1) as bar:

            def report(step: Step) -> None:
                bar.update()
                if callback_on_step_end is not None:
                    found = callback_on_step_end(self, step.number - 1, step.t, {"latents": step.x})
                    if found and found.get("latents", step.x) is not step.x:
                        raise ValueError(
                            "callback_on_step_end gave other latents, which are not taken: it may look, and raise"
                        )

            x = sample(
                process,
                scores,
                batch_size,
                DDIM() if solver is None else solver,
                times,
                rng,
                noise=math.hypot(sde.alpha(sde.T), sde.sigma(sde.T)) * noise,  # that of data of unit variance
                denoise=denoise,
                condition=condition,
                callback=report,
            ).x
        images = self._images(x, model, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _like(self) -> torch.Tensor:
        """An array of the kind of x, which is in float32 at least."""
        return torch.zeros((), dtype=torch.promote_types(self.unet.dtype, torch.float32), device=self._execution_device)

    def _times(self, steps: int) -> tuple[Sequence[float], bool]:
        """The times of the scheduler, and whether its last step ends at clean data."""
        if steps < 2:
            raise ValueError(f"num_inference_steps must be at least 2, got {steps}")
        self.scheduler.set_timesteps(steps)
        if hasattr(self.scheduler, "set_sigmas"):
            self.scheduler.set_sigmas(steps)
        return from_scheduler(self.scheduler).tolist(), not ends_at_noise(self.scheduler)

    def _process(self, model: Pretrained, times: Sequence[float] | None = None) -> SubspaceSDE:
        """The levels on the part of the process that the times take."""
        if self.config.process is None:
            process = SubspaceSDE(model.sde, NestedSubspaces([], model.shape), [], [])
        else:
            process = from_json(self.config.process, model.sde)
        if times is None:
            return process
        if process.K and not times[-1] < process.times[0] <= process.times[-1] < times[0]:
            raise ValueError(
                f"the scheduler's steps reach from t = {times[-1]:.3g} to {times[0]:.3g}, and the levels are left at "
                f'{", ".join(f"{t:.3g}" for t in process.times)}: take more steps, or timestep_spacing="trailing"'
            )
        sde = model.sde.between(times[-1], times[0])
        return SubspaceSDE(sde, process.subspaces, process.times, process.complement_variances, process.mean)

    def _scores(self, model: Pretrained, process: SubspaceSDE) -> list[Score]:
        """s_0 … s_K; a ValueError for levels that the networks do not serve."""
        if process.shape(0) != model.shape:
            raise ValueError(
                f"the levels are those of arrays of shape {process.shape(0)}, the network's are {model.shape}"
            )
        own = [getattr(self, name) for name in _OWN]
        if idle := [name for name, network in zip(_OWN[process.K :], own[process.K :]) if network is not None]:
            raise ValueError(f"{idle[0]} is the network of a level that is not there: the process has K = {process.K}")
        scores: list[Score] = [model.score]
        for subspace, network in zip(process.subspaces[1:], own + [None] * process.K):
            score = model.score if network is None else pretrained((network, self.scheduler)).score
            bare = network is not None and subspace.coordinate_scale is None
            scores.append(score if bare else at_level(score, model.sde, subspace))
        return scores

    def _labels(self, labels: Any, count: int, model: Pretrained, like: torch.Tensor) -> Any:
        """(count,), or None where the network has no classes."""
        if model.classes is None:
            if labels is not None:
                raise ValueError("the network knows no class labels: leave class_labels out")
            return None
        if labels is None:
            raise ValueError(f"the network takes class labels, 0 to {model.classes - 1}: give class_labels")
        try:
            found = torch.as_tensor(labels)
        except (TypeError, RuntimeError, OverflowError) as error:
            raise TypeError(f"`class_labels` takes a whole number, or one for each image: {error}") from None
        if found.dtype.is_floating_point or found.dtype.is_complex or found.dtype == torch.bool:
            raise ValueError(f"class labels are whole numbers, got {found.dtype}")
        if tuple(found.shape) not in ((), (count,)):
            raise ValueError(
                f"give one class label, or one for each of the {count} images, got shape {tuple(found.shape)}"
            )
        if int(found.min()) < 0 or int(found.max()) >= model.classes:
            raise ValueError(
                f"class labels lie in 0 to {model.classes - 1}, got {int(found.min())} to {int(found.max())}"
            )
        return found.long().to(like.device).expand(count)

    def _images(self, x: torch.Tensor, model: Pretrained, output_type: str) -> Any:
        pixels = ((x - model.offset) / model.scale).clamp(0, 1) if self.vae is None else decode_latents(self.vae, x)
        if output_type == "pt":
            return pixels
        images: np.ndarray[Any, Any] = pixels.cpu().permute(0, 2, 3, 1).numpy()
        return images if output_type == "np" else self.numpy_to_pil(images)


def _noise(generator: Any, shape: tuple[int, ...], like: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Standard normal numbers as diffusers draws them, and the `rng` of what is drawn later."""
    each = generator if isinstance(generator, (list, tuple)) else [generator]
    for one in each:
        if not isinstance(one, torch.Generator) and generator is not None:
            raise TypeError(f"`generator` takes a torch.Generator, or a list of them, got {type(one).__name__}")
        if one is not None and one.device.type != like.device.type:
            raise ValueError(
                f"the generator is on {one.device}, the pipeline on {like.device}: make it with "
                f"torch.Generator({str(like.device)!r})"
            )
    kind: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    if each is not generator:
        noise, rng = torch.randn(shape, generator=generator, **kind), generator
        return noise, _seed(None, like) if generator is None else rng
    if len(each) != shape[0]:
        raise ValueError(f"a list of generators holds one for each of the {shape[0]} images, got {len(each)}")
    noise = torch.cat([torch.randn((1, *shape[1:]), generator=one, **kind) for one in each])
    return noise, [_seed(one, like) for one in each]


def _seed(generator: torch.Generator | None, like: torch.Tensor) -> int:
    return int(torch.randint(2**62, (), generator=generator, device=like.device))
