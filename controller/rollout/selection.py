"""Which nodes are meant: by name, by label selector, or all. The selector is kubectl's equality syntax.

``key=value`` (or ``==``), ``key!=value`` (also true where the label is missing), ``key`` (present), ``!key`` (absent);
all terms joined by commas must hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import InputError

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_TERM = re.compile(rf"(?:(?P<absent>!)\s*)?(?P<key>{_KEY})(?:\s*(?P<op>==|!=|=)\s*(?P<value>{_VALUE}))?")
_LABEL_KEY = re.compile(_KEY)
_LABEL_VALUE = re.compile(_VALUE)
_CURE = "write terms like site=berlin, tier!=prod, canary or !legacy, joined by commas"


class Ask(StrEnum):
    """What one term of a selector asks of a label."""

    EQUAL = "="
    NOT_EQUAL = "!="
    PRESENT = "present"
    ABSENT = "absent"


@dataclass(frozen=True)
class Term:
    """One term of a selector."""

    key: str
    ask: Ask
    value: str = ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with ``labels`` fits."""
        if self.ask is Ask.PRESENT:
            return self.key in labels
        if self.ask is Ask.ABSENT:
            return self.key not in labels
        return (labels.get(self.key) == self.value) == (self.ask is Ask.EQUAL)


@dataclass(frozen=True)
class Selector:
    """A parsed selector: every term must hold."""

    terms: tuple[Term, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with ``labels`` fits."""
        return all(term.matches(labels) for term in self.terms)


def _term(text: str, whole: str) -> Term:
    found = _TERM.fullmatch(text.strip())
    if found is None or (found["absent"] and found["op"]):
        raise InputError(f"cannot read selector {whole!r}: {text.strip()!r} is not a term", cure=_CURE)
    if found["op"] is None:
        return Term(found["key"], Ask.ABSENT if found["absent"] else Ask.PRESENT)
    return Term(found["key"], Ask.NOT_EQUAL if found["op"] == "!=" else Ask.EQUAL, found["value"])


def parse_selector(text: str) -> Selector:
    """Read a selector.

    Raises:
        InputError: it is empty or a term cannot be read; the message quotes that term.
    """
    if not text.strip():
        raise InputError("cannot read selector: it is empty", cure="name all nodes instead, or write a term")
    return Selector(tuple(_term(part, text) for part in text.split(",")))


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that no selector could name.

    Raises:
        InputError: a key or value has characters outside A-Z a-z 0-9 . _ - (and / in keys).
    """
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise InputError(f"cannot use label {key!r}: keys are letters, digits and . _ / - inside")
        if not _LABEL_VALUE.fullmatch(value):
            raise InputError(f"cannot use label {key}={value!r}: values are letters, digits and . _ - inside")


@dataclass(frozen=True)
class Selection:
    """Exactly one of the three is set: names, a selector, or all.

    Raises:
        InputError: none or several are set, or a name is given twice.
    """

    nodes: tuple[str, ...] = ()
    selector: str = ""
    all: bool = False

    def __post_init__(self) -> None:
        if (bool(self.nodes), bool(self.selector), self.all).count(True) != 1:
            raise InputError("cannot choose nodes: name nodes, a selector or all, and only one of them")
        twice = sorted(name for name, times in Counter(self.nodes).items() if times > 1)
        if twice:
            raise InputError(f"cannot choose nodes: {', '.join(twice)} named twice")


#: Every registered node.
ALL = Selection(all=True)
