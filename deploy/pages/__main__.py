"""``python -m deploy.pages``: write the printed pages of docs/reference."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.pages import commands, errors, messages, settings

FOLDER = Path(__file__).parents[2] / "docs/reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": commands.render,
    "errors.md": errors.render,
    "messages.md": messages.render,
    "settings.md": settings.render,
}


def main() -> None:
    """Write every page."""
    for name, render in PAGES.items():
        (FOLDER / name).write_text(render(), encoding="utf-8")
        sys.stdout.write(f"{FOLDER / name}\n")


if __name__ == "__main__":
    main()
