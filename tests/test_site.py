"""What the site shows: code that fits its boxes, what pyproject.toml says, and nothing of another host."""

import ast
import importlib.util
import re
import tomllib
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
SOURCES = [source for folder in ("subspace_sde", "backends") for source in sorted((REPOSITORY / folder).rglob("*.py"))]
WIDTH = 88  # docs/stylesheets/width.css makes the boxes as wide

FENCED = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXTERNAL = re.compile(r"https?://")


def code_of_page(text: str) -> list[str]:
    """The lines of the fenced blocks of a page."""
    return [line for block in FENCED.findall(text) for line in block.splitlines()]


def code_of_source(text: str) -> list[str]:
    """The lines of the examples and of the formulas, which are indented, in the docstrings of a module."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    blocks = [block for docstring in docstrings for block in docstring.split("\n\n")]
    examples = [block for block in blocks if block.startswith(">>>")]
    formulas = [re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks if block.startswith("    ")]
    return [line for block in (*examples, *formulas) for line in block.splitlines()]


def too_long(lines: list[str]) -> list[str]:
    return [line for line in lines if len(line) > WIDTH]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_code_of_pages_fits_its_boxes(page):
    assert too_long(code_of_page(page.read_text())) == []


def test_code_of_docstrings_fits_its_boxes():
    found = {str(path.relative_to(REPOSITORY)): too_long(code_of_source(path.read_text())) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_long_lines_are_found():
    long, fits = "x" * (WIDTH + 1), "x" * WIDTH
    assert too_long(code_of_page(f"{long}\n\n```python\n{fits}\n{long}\n```\n\n```\n{fits}\n```\n{long}\n")) == [long]
    docstring = f'"""What it says.\n\n    {long}\n\n{long}\n\n>>> {long[4:]}\n>>> {fits[4:]}\n"""'
    assert [len(line) for line in too_long(code_of_source(docstring))] == [WIDTH + 1] * 2


def test_the_badges_say_what_pyproject_says():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    badges = re.findall(r"img\.shields\.io/badge/([^)]*)", (REPOSITORY / "README.md").read_text())
    version = project["requires-python"].removeprefix(">=")
    assert badges == [f"python-%E2%89%A5{version}-blue", f"licence-{project['license']}-blue"]


def test_the_site_is_configured_to_fetch_nothing():
    site = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())
    files = [*site["extra_javascript"], *site["extra_css"]]
    assert site["theme"]["font"] is False
    assert [file for file in files if EXTERNAL.match(file) or not (DOCS / file).is_file()] == []


@pytest.mark.parametrize("urls", [[], ["Documentation, https://a.example", "Repository, https://b.example/c"]])
def test_the_home_page_has_the_version_and_where_there_is_one_the_repository(urls, monkeypatch):
    specification = importlib.util.spec_from_file_location("version", DOCS / "version.py")
    hook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hook)
    package = Message()
    package["Version"], package["License-Expression"] = "1.2.3", "MIT"
    for url in urls:
        package["Project-URL"] = url
    monkeypatch.setattr(hook, "metadata", lambda name: package)
    home = hook.on_page_markdown("# Home\n\nText.\n", page=SimpleNamespace(is_homepage=True))
    link = " · [Repository](https://b.example/c)" if urls else ""
    assert home == f"# Home\n\nVersion 1.2.3, MIT licence{link}\n\nText.\n"
    assert hook.on_page_markdown("# Other\n", page=SimpleNamespace(is_homepage=False)) == "# Other\n"
