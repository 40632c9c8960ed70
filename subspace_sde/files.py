"""Files that are whole or not there, and the JSON in them, which says its format and version."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .arrays import is_integer


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A path to write to, whose file takes the name `path` when the block has ended, and vanishes where it fails.

    So there is the old file or the new one, never half of it. Folders above it are made.

    Raises OSError with one sentence where the file cannot be written: a full disk, a folder or a device of that name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole(Path(folder) / "a.txt") as fresh:
    ...         _ = fresh.write_text("all of it", encoding="utf-8")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a pipe, a socket or a device, whose place no file may take: give another name")
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield fresh
        os.replace(fresh, path)
    except OSError as error:
        kept = "; the older file is unharmed" if path.exists() else ""
        raise OSError(f"{path} could not be written ({error.strerror or error}){kept}") from error
    finally:
        if fresh.is_file():
            fresh.unlink()


def parse_json(text: str) -> Any:
    """What a JSON text says; a ValueError where it gives a key twice, or is nested too deeply.

    >>> parse_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' stands there twice
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands there twice")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def write_content(path: str | Path, kind: str, version: int, content: dict[str, Any]) -> None:
    """Write `content` as JSON, whole or not at all, behind its format, ``subspace_sde`` and `kind`, and the version."""
    about = {"format": f"subspace_sde {kind}", "version": version}
    text = json.dumps({**about, **content}, indent=1, allow_nan=False)
    with whole(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


@contextmanager
def reading_content(path: str | Path, kind: str, version: int) -> Iterator[dict[str, Any]]:
    """What `write_content` wrote; a ValueError for another file or version, and for what fails with it in the block."""
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
        _check_format(content, kind, version)
        yield content
    except KeyError as error:
        raise ValueError(f"{path} holds no {kind} of subspace_sde: it lacks {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no {kind} of subspace_sde: {error}") from error


def _check_format(content: Any, kind: str, read: int) -> None:
    name, format = content.get("format") if isinstance(content, dict) else None, f"subspace_sde {kind}"
    if not isinstance(name, str) or not name.startswith(format):
        raise ValueError(f"it does not say that its format is {format!r}")
    version = content.pop("version", None)
    if content.pop("format") != format or version is None:
        raise ValueError(f"it carries no version of the format, and only version {read} is read: make the {kind} anew")
    if not is_integer(version) or version != read:
        raise ValueError(
            f"its format is version {version!r}, and this subspace_sde reads version {read}: "
            f"take the subspace_sde that wrote it, or make the {kind} anew"
        )
