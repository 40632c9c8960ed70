"""The report of a run: one HTML page, its pictures inside, made from what the stages wrote."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from subspace_sde import __version__
from subspace_sde.files import whole
from subspace_sde.images import Images, save_grid, to_unit

from .divergences import plot_divergence, untrained
from .evaluation.run import evaluation_of, in_words, told
from .levels import Level
from .quality import BANDS, band_power, compare, floor
from .results import fingerprint, read_json, write_json
from .sampling import load_samples

PICTURES = {
    "plan.png": "the plan: as wide as its share of the steps, as high as one costs",
    "cost.png": "what the best plan of at most K levels costs",
    "gaussian-divergence.png": "D_F of a Gaussian with the images' statistics, of subspaces of half the size",
    "projections.png": "training images, and what those subspaces keep of them",
    "basis.png": "the images' leading principal components",
}
RESTORED = ("inpaint", "colourise", "upscale")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def write_report(images: Images, models: dict[str, Level], out: Path, seed: int = 0) -> Path:
    """Measure the samples against held-out images, draw the pictures, and write ``report.html``.

    Raises ValueError where a stage before it has not run in this folder.
    """
    stages = {"analysis": "analyse", "divergence": "divergence", "samples": "sample"}
    found = {file: read_json(out / f"{file}.json", stage) for file, stage in stages.items()}
    plans = found["samples"]["plans"]
    plot_divergence(found["divergence"], out / "divergence.png")
    num = min(plan["num"] for plan in plans.values())
    real = to_unit(images.held_out)
    sets = {p: load_samples(out, found["samples"], p)[:num] for p in plans}
    quality = {"training images": floor(images.train, real, num, seed)}
    quality |= {name: compare(x, real, seed) for name, x in sets.items()}
    write_json(out / "quality.json", quality)
    plot_samples(sets, real, plans, out / "samples.png")
    plot_bands({"training images": to_unit(images.train[:2000]), **sets}, real, out / "spectrum.png")
    save_grid(real[:32], out / "held-out.png", zoom=3)
    evaluation = evaluation_of(images, out)
    page = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("report.html.j2")
    text = page.render(
        result=result_of(found["samples"], quality, num, found["analysis"]["data"], evaluation),
        untrained=untrained(found["divergence"]),
        made=made(),
        analysis=found["analysis"],
        divergence=found["divergence"],
        samples=found["samples"],
        plans=plans,
        quality=quality,
        num=num,
        held_out=len(real),
        recipes=_recipes(models),
        sde=repr(next(iter(models.values())).sde),
        bands=BANDS,
        pictures=PICTURES,
        evaluation=evaluation,
        evaluated=in_words(evaluation) if evaluation else "",
        likelihood=_application(out, "likelihood", images),
        restored=[r for command in RESTORED if (r := _application(out, command, images)) is not None],
        interpolation=_application(out, "interpolate", images),
    )
    path = out / "report.html"
    with whole(path) as fresh:
        fresh.write_text(inlined(text, out), encoding="utf-8")
    return path


def result_of(
    samples: dict[str, Any], quality: dict[str, Any], num: int, data: str, evaluation: dict[str, Any] | None = None
) -> str:
    """The result in one sentence: the plan that samples fastest, its time, and its quality beside what bounds it.

    Where the samples were evaluated, the first of those figures too.
    """
    plans = {name: plan for name, plan in samples["plans"].items() if plan["levels"]}
    seconds = {name: f"{plan['seconds per sample']:.2g}" for name, plan in samples["plans"].items()}
    if not plans:
        return f"On {data} no subspace is used: the full model alone was sampled, in {seconds['full']} s an image."
    name = min(plans, key=lambda n: plans[n]["ratio"])
    plan, levels = plans[name], [*reversed(plans[name]["levels"]), "full size"]
    times = ", ".join(f"{t:.3f}" for t in reversed(plan["times"]))
    distance = {n: f"{q['sliced wasserstein']:.3f}" for n, q in quality.items()}
    spread = quality["training images"]["sliced wasserstein spread"]
    further = ""
    if evaluation and name in evaluation["rows"]:
        figure, own = next(iter(evaluation["rows"][name].items()))
        further = f"; {figure} {told(own)}, of the full model {told(evaluation['rows']['full'][figure])}"
    return (
        f"On {data} the plan {' → '.join(levels)} (t = {times}) samples in {plan['ratio']:.2f} of the full "
        f"model's time, {seconds[name]} s an image instead of {seconds['full']}, and its samples lie {distance[name]} "
        f"from held-out images by sliced Wasserstein distance ({num} of each; those of the full model "
        f"{distance['full']}, training images {distance['training images']} ± {spread:.3f}){further}."
    )


def made() -> dict[str, str]:
    """When and by what the report is made."""
    called, *arguments = sys.argv
    command = ["python", "-m", "examples.images"] if Path(called).name == "__main__.py" else [Path(called).name]
    return {
        "command": shlex.join([*command, *arguments]),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        "version": __version__,
    }


def inlined(page: str, folder: Path) -> str:
    """The page with its pictures inside, so that it is one file.

    Raises ValueError for a picture that is missing.
    """

    def inside(found: re.Match[str]) -> str:
        path = folder / html.unescape(found[1])
        if not path.exists():
            raise ValueError(f"{path} is missing: run the stage that draws it again, with the same --out")
        return f'src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"'

    return re.sub(r'src="([^":]+\.png)"', inside, page)


def _recipes(models: dict[str, Level]) -> dict[str, Any]:
    """How each network was trained; one that several levels share stands there once."""
    levels: dict[str, list[str]] = {}
    for name, level in models.items():
        levels.setdefault(level.digest, []).append(name)
    return {", ".join(names): models[names[0]].recipe for names in levels.values()}


def _application(out: Path, command: str, images: Images) -> Any:
    """What a command that puts the levels to use found on these images, or None."""
    path = out / f"{command}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found if found.get("data") == fingerprint(images) else None


def plot_samples(sets: dict[str, Any], real: Any, plans: dict[str, Any], path: Path) -> None:
    """Held-out images, and the samples of every plan from the same x(T), side by side."""
    figure, panels = plt.subplots(1, len(sets) + 1, figsize=(3 * (len(sets) + 1), 4.3), layout="constrained")
    for axes, (name, x) in zip(panels, {"held-out images": real, **sets}.items()):
        rows = [np.concatenate(list(x[i : i + 4]), axis=-1) for i in range(0, min(len(x) // 4 * 4, 20), 4)]
        if rows:
            axes.imshow(np.concatenate(rows, axis=-2).transpose(1, 2, 0), interpolation="nearest")
        title = name
        if name in plans:
            levels = [*(level.partition(":")[2] for level in reversed(plans[name]["levels"])), "full size"]
            title = f"{name}: {' → '.join(levels)}\n{plans[name]['ratio']:.2f} of the time" if len(levels) > 1 else name
        axes.set_title(title, fontsize=11)
        axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def plot_bands(sets: dict[str, Any], real: Any, path: Path) -> None:
    """Power in each frequency band, over that of the held-out images."""
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    reference = band_power(real)
    centres = (np.arange(BANDS) + 0.5) / BANDS
    for colour, (name, x) in zip(("0.6", *COLOURS), sets.items()):
        axes.plot(centres, band_power(x) / reference, "o-", color=colour, label=name, ms=4)
    axes.axhline(1, color="0.4", lw=1, ls="--")
    axes.set(yscale="log", xlabel="spatial frequency (1 is the highest along an axis)", ylabel="power / held-out power")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
