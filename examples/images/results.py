"""What the commands write into the folder of a run: whole or not at all, with what it was made from.

Asked for the same again, they find it instead of computing it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from subspace_sde.files import parse_json, whole
from subspace_sde.images import Images


def write_json(path: Path, content: Any) -> None:
    """Write `content`, whole or not at all."""
    text = json.dumps(content, indent=1)
    with whole(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def read_json(path: Path, stage: str) -> Any:
    """What a stage wrote, or a ValueError that says to run it first."""
    if not path.exists():
        raise ValueError(f"{path} is missing: run `python -m examples.images {stage}` with the same --out first")
    return _parsed(path)


def found_again(path: Path, inputs: dict[str, Any]) -> Any:
    """What a stage wrote when it was made from the same `inputs`, or None."""
    content = _parsed(path) if path.exists() else {}
    return content if content.get("inputs") == json.loads(json.dumps(inputs)) else None


def kept(file: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The arrays in `file`; where it is missing they are computed, and written whole or not at all."""
    if not file.exists():
        arrays = compute()
        with whole(file) as fresh, fresh.open("wb") as stream:
            np.savez(stream, **arrays)
    with np.load(file) as found:
        return dict(found)


def folder_of(settings: dict[str, Any], out: Path) -> Path:
    """The folder in which a stage keeps what it makes from these settings."""
    return out / "chunks" / hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def fingerprint(images: Images) -> str:
    """The training images in sixteen letters."""
    return digest(images.train)


def digest(pixels: np.ndarray[Any, Any]) -> str:
    """The content of an array in sixteen letters."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:16]


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_json(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not what a stage wrote ({error}): remove it, and run that stage again") from error
