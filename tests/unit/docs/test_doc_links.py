"""Links inside the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, name_of

_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def links(page: Path) -> list[str]:
    """Return the page's own links; what stands in code is none."""
    found = _LINK.findall(_CODE.sub("", page.read_text()))
    return [link for link in found if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    targets = [(link, *link.partition("#")[::2]) for link in links(page)]

    broken = []
    for link, path, anchor in targets:
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    todo = [PAGES[0]]
    while todo:
        page = todo.pop()
        reached.add(page)
        found = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"}
        todo += [target for target in found - reached if target.suffix == ".md"]

    assert sorted(map(str, set(PAGES) - reached)) == []


def test_files_that_the_text_names_exist() -> None:
    # A decision speaks of the time when it was taken, and is not edited.
    text = "".join(page.read_text() for page in PAGES if page.parent.name != "adr")

    named = re.findall(r"`((?:tests|deploy|shared|controller|node_executor|benchmarks)/[\w./*-]+)`", text)

    assert len(set(named)) > 10
    assert [name for name in sorted(set(named)) if not any(ROOT.glob(name.rstrip("/")))] == []
