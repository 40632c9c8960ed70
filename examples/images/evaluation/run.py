"""The evaluation of a run folder: every plan's samples, and training images in their place, as JSON, Markdown, PNG."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from math import floor, log10
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from subspace_sde.files import whole
from subspace_sde.images import Images
from subspace_sde.plotting import save
from subspace_sde.plotting.figures import new_figure

from ..bulk import read_shards, settings_of, whole_of
from ..results import digest, fingerprint, found_again, read_json, write_json
from ..sampling import load_samples
from ..tables import console, show_table
from .measuring import Reference, in_place_of_samples, measure
from .networks import Features

FILE, IN_BULK = "evaluation.json", "evaluation-bulk.json"
BETTER = {"precision": "higher", "recall": "higher", "cosine": "higher", "PSNR": "higher"}


class Sets(NamedTuple):
    """What was drawn: a word for all of it, and of each plan its samples and how many they are."""

    key: str
    nums: Mapping[str, int]
    load: Callable[[str], np.ndarray[Any, Any]]


def evaluate_run(
    images: Images, out: Path, network: Features, seed: int = 0, resamplings: int = 20, bulk: bool = False
) -> dict[str, Any]:
    """`measure` of every plan that `sample` drew in this folder, and of as many training images in place of samples.

    Those of OUT/samples.json or, in ``bulk``, those that were drawn plan by plan into OUT/shards. All plans count with
    the number that each has. Features are kept under ``features``, and the whole is found again by a call with the same
    images, samples, network and settings.

    Returns
    -------
    rows: for ``training images`` and every plan its figures, each [value, standard error].
    note: why there is no Fréchet distance, where there is none; else empty.
    samples, training, held out, network, inputs: what was compared; of a few training images, fewer than samples.

    Raises ValueError where `sample` has not run on these images, where plans in bulk were drawn differently, and where
    `measure` does.
    """
    drawn, file = (_in_bulk(out), out / IN_BULK) if bulk else (_side_by_side(images, out), out / FILE)
    num = min(drawn.nums.values())
    inputs = {
        "data": _content(images), "samples": drawn.key, "num": num, "network": network.digest, "seed": seed,
        "resamplings": resamplings,
    }  # fmt: skip
    found = found_again(file, inputs)
    if found is None:
        reference = Reference(images.held_out, network, out / "features")
        some = in_place_of_samples(images.train, num, seed)
        rows = {"training images": measure(some, reference, None, seed, resamplings)}
        full = drawn.load("full")[:num] if "full" in drawn.nums else None
        for name in drawn.nums:
            x, pairs = (full, None) if name == "full" else (drawn.load(name)[:num], full)
            rows[name] = measure(x, reference, pairs, seed, resamplings)
        found = {
            "inputs": inputs, "network": network.name, "samples": num, "training": len(some),
            "held out": len(images.held_out), "rows": rows, "note": reference.no_frechet(num),
        }  # fmt: skip
        write_json(file, found)
        found = json.loads(json.dumps(found))
    with whole(file.with_suffix(".md")) as fresh:
        fresh.write_text(markdown(found), encoding="utf-8")
    plot(found, file.with_suffix(".png"))
    return dict(found)


def _side_by_side(images: Images, out: Path) -> Sets:
    """The samples of OUT/samples.json."""
    drawn = read_json(out / "samples.json", "sample")
    if drawn.get("data") != fingerprint(images):
        raise ValueError(
            f"{out / 'samples.json'} is not of these images: run `sample` on them with the same --out first"
        )
    nums = {name: plan["num"] for name, plan in drawn["plans"].items()}
    return Sets(drawn["key"], nums, lambda name: load_samples(out, drawn, name))


def _in_bulk(out: Path) -> Sets:
    """The samples of all the plans in OUT/shards, the full model's first."""
    folders = {folder.name: folder for folder in (out / "shards").glob("*/")}
    folders = {name: folders[name] for name in sorted(folders, key=lambda name: (name != "full", name))}
    nums = {name: whole_of(folder) for name, folder in folders.items()}
    nums = {name: num for name, num in nums.items() if num}
    if not nums:
        raise ValueError(f"{out / 'shards'} holds no samples: draw some by `sample --plan PLAN` with the same --out")
    about = {name: settings_of(folders[name]) for name in nums}
    for settings in about.values():
        settings["full network"] = settings["networks"][0] if settings["networks"] else ""
    for what in ("full network", "solver", "steps", "seed", "device"):
        if len({settings[what] for settings in about.values()}) > 1:
            each = ", ".join(f"{name}: {settings[what]}" for name, settings in about.items())
            raise ValueError(f"the plans in {out / 'shards'} differ in their {what} ({each}): draw them with the same")
    key = hashlib.sha256(json.dumps([nums, about]).encode()).hexdigest()[:16]
    return Sets(key, nums, lambda name: read_shards(folders[name]))


def evaluation_of(images: Images, out: Path) -> dict[str, Any] | None:
    """What a report needs: `evaluate_run`'s result and ``table``, the cells as text; None where there is none of these.

    The samples in the folder are those that were evaluated, or it is None too.
    """
    path, drawn = out / FILE, out / "samples.json"
    if not path.exists() or not drawn.exists():
        return None
    found, key = read_json(path, "evaluate"), read_json(drawn, "sample")["key"]
    if (found["inputs"]["data"], found["inputs"]["samples"]) != (_content(images), key):
        return None
    return {**found, "table": table(found)}


def _content(images: Images) -> list[str]:
    return [digest(images.train), digest(images.held_out)]


def table(found: dict[str, Any]) -> list[list[str]]:
    """A line of names, and one for each figure: the sets are columns."""
    figures = list(dict.fromkeys(name for row in found["rows"].values() for name in row))
    lines = [["", *found["rows"]]]
    for name in figures:
        arrow = "↑" if BETTER.get(name) else "↓"
        lines.append([f"{name} {arrow}", *(told(row[name]) if name in row else "" for row in found["rows"].values())])
    return lines


def told(figure: list[float]) -> str:
    """Value and error, to two digits of the error.

    >>> told([0.123456, 0.0123]), told([5.0, 0.0])
    ('0.123 ± 0.012', '5')
    """
    value, error = figure
    if not error > 0:
        return f"{value:g}"
    digits = max(0, 1 - floor(log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def in_words(found: dict[str, Any]) -> str:
    """What was compared, in a sentence."""
    training = f", {found['training']} training images" if found["training"] < found["samples"] else ""
    return (
        f"{found['samples']} samples of each{training}, {found['held out']} held-out images, "
        f"features of {found['network']}"
    )


def markdown(found: dict[str, Any]) -> str:
    """The table as Markdown."""
    head, *lines = table(found)
    rows = [head, ["---", *("---:" for _ in head[1:])], *lines]
    text = "".join("| " + " | ".join(row) + " |\n" for row in rows)
    note = f"\nNo Fréchet distance: {found['note']}.\n" if found["note"] else ""
    return f"{in_words(found)}; ± one standard error; ↓ lower is better, ↑ higher.\n\n{text}{note}"


def plot(found: dict[str, Any], path: Path) -> None:
    """A panel for each figure, a line for each set, bars of two standard errors to either side."""
    rows = found["rows"]
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    figure = new_figure((11, 1.1 + (0.8 + 0.22 * len(rows)) * -(-len(names) // 3)))
    for axes, name in zip(figure.subplots(-(-len(names) // 3), 3, squeeze=False).flat, names):
        shown = {row: figures[name] for row, figures in rows.items() if name in figures}
        values, errors = np.asarray(list(shown.values())).T
        axes.errorbar(values, range(len(shown)), xerr=2 * errors, fmt="o", color="#0072B2", ms=4, capsize=2)
        axes.set_yticks(range(len(shown)), list(shown), fontsize=8)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_title(f"{name} ({BETTER.get(name, 'lower')} is better)", fontsize=9)
        axes.tick_params(axis="x", labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in figure.axes[len(names) :]:
        axes.axis("off")
    figure.suptitle(f"{in_words(found)}, ± two standard errors", fontsize=9)
    save(figure, path)


def show_evaluation(found: dict[str, Any]) -> None:
    """The table in the terminal."""
    head, *lines = table(found)
    show_table(f"{in_words(found)}; ± one standard error", ["figure", *head[1:]], lines)
    if found["note"]:
        console.print(f"no Fréchet distance: {found['note']}", highlight=False)
