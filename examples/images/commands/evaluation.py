"""``evaluate``: the samples of every plan against held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Device, Out, Seed, Size, read_images

Network = Annotated[
    str,
    typer.Option(
        help="The feature network: inception, the FID's, of torch-fidelity and with its weights on disk or fetched; "
        "efficientnet-lite0, which comes with the extra; auto, the first that is to be had."
    ),
]
Bulk = Annotated[bool, typer.Option("--bulk", help="Those that sample --plan drew, one by one, into OUT/shards.")]
Resamplings = Annotated[int, typer.Option(min=2, help="Random halves that the error bars are taken from.")]


def evaluate(
    data: Data = None,
    out: Out = Path("runs/images"),
    size: Size = None,
    network: Network = "auto",
    bulk: Bulk = False,
    resamplings: Resamplings = 20,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Hold the samples of every plan against held-out images: FID and its kin, each with an error bar.

    Fréchet and kernel distance, precision, recall and sliced Wasserstein distance on the features of a network, three
    measures on pixels, and how near each sample is to the full model's from the same noise. Writes OUT/evaluation.json,
    .md and .png. A Fréchet distance needs more samples than the network has features (sample --num 2100); the others
    do with some hundred. With --bulk OUT/evaluation-bulk.json, .md and .png.
    """
    from ..devices import pick_device
    from ..evaluation import feature_network
    from ..evaluation.run import evaluate_run, show_evaluation

    held, judge = read_images(data, size, out), feature_network(network, pick_device(device))
    show_evaluation(evaluate_run(held.images, out, judge, seed, resamplings, bulk))
