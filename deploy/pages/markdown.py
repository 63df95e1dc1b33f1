"""Pieces of Markdown that the pages share, and comments taken from the source: said once, shown everywhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def head(title: str, text: str) -> str:
    """Return the first lines of a page."""
    return (
        f"# {title}\n\n<!-- Printed by `python -m deploy.pages`. Do not edit: a test compares. -->\n\n{text.strip()}\n"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar inside a cell is escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def comments(model: type) -> dict[str, str]:
    """Return the ``#:`` comment of each field or member, from the source of the class."""
    found = re.findall(r"^    (\w+)(?:: [^#\n]*| = [^#\n]*)  #: (.*)$", inspect.getsource(model), re.MULTILINE)
    return {name: _plain(text) for name, text in found}


def _plain(text: str) -> str:
    """Say a comment in the words of a page: no Python values."""
    for python, word in (("``", "`"), ("None: ", "if not set: "), ("False: ", "no: "), ("True: ", "yes: ")):
        text = text.replace(python, word)
    return text


def first_line(documented: object) -> str:
    """Return the first line of a docstring."""
    return _plain((inspect.getdoc(documented) or "").partition("\n")[0])
