"""Says on the home page which version the site describes, and where its repository is.

Both are what the installed package says of itself: the address is that of
``Repository`` under ``[project.urls]`` of pyproject.toml, where there is one.
"""

from importlib.metadata import metadata
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page; that of the home page with a line below its title."""
    if not page.is_homepage:
        return markdown
    package = metadata("subspace-sde")
    urls = dict(url.split(", ", 1) for url in package.get_all("Project-URL") or ())
    line = f"Version {package['Version']}, {package['License-Expression']} licence"
    if "Repository" in urls:
        line += f" · [Repository]({urls['Repository']})"
    title, rest = markdown.split("\n", 1)
    return f"{title}\n\n{line}\n{rest}"
