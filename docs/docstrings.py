"""Lets mkdocstrings read this project's docstrings.

They have underlined sections of ``name: text`` lines, and bare doctests. The lines
under ``Parameters``, ``Returns``, ... become the indented blocks of the Google style,
which griffe parses; each doctest becomes a fenced block, where Markdown would see
quotations, and comes right after the summary; and subscripts and ``(*batch, *shape)``
are escaped, where Markdown would see emphasis.

A room is shown by the names that it exports. What a file of it opens with, its equation
mostly, is shown with the file's first function or class that is more than a record.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_TITLES = ("Parameters", "Attributes", "Returns", "Raises")
_CODE = re.compile(r"(`+.+?`+)", re.DOTALL)


def rewrite(text: str) -> str:
    """The docstring `text`: its summary, its examples as fenced blocks, then the rest.

    Sections are in Google's style.

    >>> text = "Doubles x.\\n\\nReturns\\n-------\\n2x\\n\\n>>> double(1)\\n2"
    >>> rewrite(text).split("\\n\\n")
    ['Doubles x.', '```pycon\\n>>> double(1)\\n2\\n```', 'Returns:\\n    2x']
    """
    lines: list[str] = []
    summary, *blocks = re.split(r"\n[ \t]*\n", text)
    for block in (
        summary,
        *sorted(blocks, key=lambda block: not block.startswith(">>>")),
    ):
        first, *rest = block.strip("\n").split("\n")
        if first.startswith(">>>"):
            lines += ["```pycon", first, *rest, "```"]
        elif block.startswith("    "):
            lines += block.split("\n")
        elif first in _TITLES and rest and set(rest[0]) == {"-"}:
            lines += [f"{first}:", *(f"    {_item(first, line)}" for line in rest[1:])]
        else:
            lines += _escape(block).split("\n")
        lines.append("")
    return "\n".join(lines).strip("\n")


def _item(title: str, line: str) -> str:
    if title == "Returns":
        # what stands before a colon is no type here
        return _escape(line).replace(": ", "&#58; ")
    names, colon, description = (
        line.partition(": ") if re.match(r"[\w, ]+: ", line) else ("", "", line)
    )
    return names.replace(", ", ",") + colon + _escape(description)


def _escape(text: str) -> str:
    """`text` with underscores and the stars of unpacking escaped, outside of code."""
    parts = _CODE.split(text)
    parts[::2] = [
        re.sub(r"([(,] ?)\*(?=\w)", r"\1\\*", part.replace("_", r"\_"))
        for part in parts[::2]
    ]
    return "".join(parts)


def _is_dataclass(obj: griffe.Object) -> bool:
    """Whether `obj` only holds what a function takes or returns."""
    return obj.is_class and any(
        "dataclass" in str(decorator.value) for decorator in obj.decorators
    )


class Docstrings(griffe.Extension):
    """Rewrites every docstring once a package is read."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Called before `on_object`: sorts the rooms' names as their files have them.

        What a file opens with goes to the first of its names.
        """
        for room in pkg.modules.values():
            if room.is_alias or not room.exports or not room.modules:
                continue
            names = {name: room[name].final_target for name in map(str, room.exports)}
            places = {
                name: (obj.module.name != "base", obj.module.path, obj.lineno)
                for name, obj in names.items()
            }
            order = sorted(names, key=places.__getitem__)
            room.members = {
                name: room.members[name] for name in (*order, *room.members)
            }
            for module in room.modules.values():
                defined = [
                    names[name] for name in order if names[name].module is module
                ]
                first = min(defined, key=_is_dataclass, default=None)
                if module.docstring and first and first.docstring:
                    summary, *rest = first.docstring.value.split("\n\n", 1)
                    first.docstring.value = "\n\n".join(
                        [summary, module.docstring.value, *rest]
                    )

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once an object of any kind is complete."""
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value)
