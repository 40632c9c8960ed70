"""Lets mkdocstrings read this project's docstrings: underlined sections of ``name: text`` lines, and bare doctests.

The lines under ``Parameters``, ``Returns``, ... become the indented blocks of the Google style, which griffe parses;
each doctest becomes a fenced block, where Markdown would see quotations; and subscripts and ``(*batch, *shape)`` are
escaped, where Markdown would see emphasis.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_TITLES = ("Parameters", "Attributes", "Returns", "Raises")
_CODE = re.compile(r"(`+.+?`+)", re.DOTALL)


def rewrite(text: str) -> str:
    """The docstring `text` with Google-style sections, fenced doctests and escaped subscripts.

    >>> print(rewrite("Doubles x.\\n\\nReturns\\n-------\\n2x"))
    Doubles x.
    <BLANKLINE>
    Returns:
        2x
    """
    lines: list[str] = []
    for block in re.split(r"\n[ \t]*\n", text):
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
        return _escape(line).replace(": ", "&#58; ")  # what stands before a colon is no type here
    names, colon, description = line.partition(": ") if re.match(r"[\w, ]+: ", line) else ("", "", line)
    return names.replace(", ", ",") + colon + _escape(description)


def _escape(text: str) -> str:
    """`text` with the underscores and the stars of unpacking escaped, outside of code."""
    parts = _CODE.split(text)
    parts[::2] = [re.sub(r"([(,] ?)\*(?=\w)", r"\1\\*", part.replace("_", r"\_")) for part in parts[::2]]
    return "".join(parts)


class Docstrings(griffe.Extension):
    """Rewrites every docstring as it is collected."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once an object of any kind is complete."""
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value)
