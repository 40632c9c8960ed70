"""Writes the installed version where a page says ``{{ version }}``."""

from importlib.metadata import version
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page, with the version in it."""
    return markdown.replace("{{ version }}", version("subspace-sde"))
