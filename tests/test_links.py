"""What the project says of itself exists: links, anchors, cross references, paths and dotted names."""

import importlib
import importlib.util
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest

REPOSITORY = Path(__file__).parent.parent
FOLDERS = ("subspace_sde", "backends", "docs", "tests", "benchmarks", "examples")

PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(page for folder in FOLDERS for page in (REPOSITORY / folder).rglob("*.md"))]
)
SOURCES = sorted(source for folder in FOLDERS for source in (REPOSITORY / folder).rglob("*.py"))
TEXTS = [*PAGES, *(source for source in SOURCES if source != Path(__file__)), REPOSITORY / "Makefile"]

EXTENSIONS = ["attr_list", "tables", "toc", "pymdownx.superfences", "pymdownx.arithmatex"]  # those of mkdocs.yml
CONFIGURATION = {"pymdownx.superfences": {"relaxed_headers": True}}
REFERENCE = re.compile(r"\]\[(subspace_sde[\w.]*)\]")
NAME = re.compile(r"\bsubspace_sde(?:_\w+)?(?:\.[^\W\d]\w*)+")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
COMMAND = re.compile(r"-m ((?:benchmarks|examples)[\w.]*)")
ENTRY_POINTS = "subspace_sde.backends"  # a group's name, and no module's


class Html(HTMLParser):
    """The links, the anchors and the words outside of code of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors, self.words, self.code = [], set(), "", 0
        self.feed(markdown.markdown(text, extensions=EXTENSIONS, extension_configs=CONFIGURATION))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.code += tag == "code"
        self.anchors |= {attributes.get("id")}
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]

    def handle_endtag(self, tag):
        self.code -= tag == "code"

    def handle_data(self, data):
        self.words += "" if self.code else data


@cache
def read(page: Path) -> Html:
    return Html(page.read_text())


@cache
def exists(name: str) -> bool:
    """Whether `name` is a module, or what can be reached from one; a dataclass has its fields."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if part in getattr(found, "__dataclass_fields__", {}):
                return part == parts[-1]
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def wrong_links(page: Path) -> list[str]:
    wrong = []
    for link in read(page).links:
        if re.match(r"[a-z]+:", link):
            continue  # another site: nothing is fetched
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(link)
        elif anchor.startswith("subspace_sde"):
            wrong += [] if exists(anchor) else [link]
        elif anchor and not (target.suffix == ".md" and anchor in read(target).anchors):
            wrong.append(link)
    return wrong + [name for name in REFERENCE.findall(read(page).words) if not exists(name)]


def wrong_names(text: str, folder: Path) -> list[str]:
    paths = [path.rstrip("./") for path in PATH.findall(text)]
    return [
        *(path for path in paths if not any(REPOSITORY.glob(path)) and not (folder / path).exists()),
        *(name for name in NAME.findall(text) if name != ENTRY_POINTS and not exists(name)),
        *(name for name in COMMAND.findall(text) if importlib.util.find_spec(name.rstrip(".")) is None),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_anchors_and_cross_references_lead_somewhere(page):
    assert wrong_links(page) == []


def test_paths_and_dotted_names_exist():
    wrong = {str(text.relative_to(REPOSITORY)): wrong_names(text.read_text(), text.parent) for text in TEXTS}
    assert {place: names for place, names in wrong.items() if names} == {}


def test_what_is_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One heading {#one}\n\n## Two words\n\n[a](#one) [b](#two-words) [c](#three) [d](other.md) ![e](no.png)\n"
        "[f](https://example.org/no) [`g`][subspace_sde.grids] [h][subspace_sde.sampling.grid]\n\n`[i](code.md)`\n"
    )
    assert wrong_links(page) == ["#three", "other.md", "no.png", "subspace_sde.grids"]
    gone = ["subspace_sde/grids.py", "subspace_sde.closed_form.f", "benchmarks.no"]
    text = "`{}`, `{}`, `-m {}`, `subspace_sde/cli.py`, `subspace_sde.planning.Plan.times`, `-m examples.images`"
    assert wrong_names(text.format(*gone), tmp_path) == gone
