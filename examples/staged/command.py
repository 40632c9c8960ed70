"""What both commands do around their comparison: one sentence for bad settings, and the files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from .comparison import Comparison, record, table


def run(
    name: str, find: Callable[[], Comparison], draw: Callable[[Comparison, Path], None], out: Path, settings: Any
) -> None:
    """Print the table, and write OUT/name.png and OUT/name.json."""
    started = time.perf_counter()
    try:
        found = find()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    out.mkdir(parents=True, exist_ok=True)
    draw(found, out / f"{name}.png")
    seconds = time.perf_counter() - started
    content = {**settings, **record(found), "all seconds": seconds}
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(found))
    typer.echo(f"{seconds:.0f} s in all; see {out / f'{name}.png'} and {out / f'{name}.json'}")
