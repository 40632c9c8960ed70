"""``reproduce``: the paper's study on one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import Batch, Channels, Data, Device, Layers, Num, Out, Precision, Rate, Seed, Size, read_images, width
from ..tables import PROCESSES, console, show_table

Budget = Annotated[float, typer.Option(help="Minutes for the cells, in this call.")]
Minutes = Annotated[float, typer.Option(help="Training of the separate networks in all, and again of the shared one.")]
Taken = Annotated[
    Path | None, typer.Option(help="A folder with trained levels in separate/ or shared/, used instead of training.")
]


def reproduce(
    budget: Budget,
    data: Data = None,
    out: Out = Path("runs/reproduce"),
    weights: Taken = None,
    size: Size = None,
    train_minutes: Minutes = 60.0,
    batch: Batch = 64,
    channels: Channels = "32,64,128",
    layers: Layers = 1,
    learning_rate: Rate = 1e-3,
    precision: Precision = "no",
    num: Num = 2100,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """The paper's study on these images: full models, block means and low-pass levels, by several solvers.

    Trains a network for each level and one for all, measures D_F, and then samples cell by cell, cheap and telling ones
    first, as far as the budget goes; each is kept, and another call goes on. Writes OUT/results: quality against cost,
    what solvers and levels save alone and together, and the paper's Tables 2 and 3 and Fig. 3 for these networks.
    """
    from ..devices import pick_device
    from ..evaluation import feature_network
    from ..evaluation.measuring import check_images, check_number
    from ..reproduction import CELLS, Study, networks
    from ..reproduction.page import saved_rows, write_page
    from ..training import Recipe

    if PROCESSES > 1:
        raise ValueError(f"reproduce is one process, not {PROCESSES}: call it without accelerate launch")
    held, place = read_images(data, size, out), pick_device(device)
    recipe = Recipe(
        steps=10**9, minutes=train_minutes, batch=batch, channels=width(channels), layers=layers,
        learning_rate=learning_rate, precision=precision, seed=seed,
    )  # fmt: skip
    judge = feature_network("auto", place)
    check_images(held.images.held_out)
    check_number(num)
    held.keep()
    trained = networks(held.images, out, recipe, held.about.data, place, weights)
    study = Study(held.images, trained, judge, out, num, seed, place)
    if study.no_frechet:
        console.print(study.no_frechet)
    for kind in trained:
        study.divergence(kind)  # here, so that what is written after Ctrl-C does not begin it again
    try:
        study.run(CELLS, budget, console.print)
    finally:
        if done := study.results(CELLS):
            page, savings = write_page(study, CELLS)
            show_table("cost, and what solvers and levels save", *saved_rows(savings, named=False))
            console.print(f"results: {page}")
    if not done:
        console.print(f"no cell is done yet: what was drawn is kept in {out}, and another call goes on with it")
