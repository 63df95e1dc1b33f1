"""The documentation as tests read it: pages, fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Every page, README first.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT_CODE = re.compile(r"# exit code (\d+)$")


def name_of(page: Path) -> str:
    """Return the page's path from the root, as a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [text for found, text in _FENCE.findall(page.read_text()) if found == language]


@dataclass(frozen=True)
class Command:
    """One whole command of a block, over as many lines as it takes, and how it is documented to end."""

    text: str
    exit_code: int


def commands(block: str) -> Iterator[Command]:
    """Yield the commands of an ``sh`` block; ``# exit code N`` at the end says which code but 0 is right."""
    pending = ""
    for line in block.splitlines(keepends=True):
        pending += line
        if not pending.strip() or not _whole(pending):
            continue
        text = pending.strip()
        pending = ""
        found = _EXIT_CODE.search(text)
        yield Command(text, int(found[1]) if found else 0)
    assert not pending.strip(), f"this never ends: {pending}"


def _whole(text: str) -> bool:
    """Whether the shell would run this, and not ask for more lines."""
    if text.rstrip().endswith("\\"):
        return False
    return subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode == 0
