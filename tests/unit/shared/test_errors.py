"""Every error keeps the house rules; these tests read the classes, so a new one is covered by itself."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys

import pytest

from shared.errors import FleetError, TransportError, all_errors


def classes() -> list[type[FleetError]]:
    found, todo = [], [FleetError]
    while todo:
        cls = todo.pop()
        found.append(cls)
        todo.extend(cls.__subclasses__())
    return [cls for cls in found if cls.__module__ == FleetError.__module__]


def test_every_kind_is_unique_and_leads_back_to_its_class() -> None:
    assert {cls.kind: cls for cls in classes()} == {
        kind: cls for kind, cls in all_errors().items() if cls.__module__ == FleetError.__module__
    }
    assert len({cls.kind for cls in classes()}) == len(classes())


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.kind)
def test_an_error_says_what_it_means(cls: type[FleetError]) -> None:
    assert "kind" in vars(cls)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.kind)
    assert cls.__name__.endswith("Error")
    assert str(cls()) == (cls.__doc__ or "").splitlines()[0]
    assert str(cls()).endswith(".")


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.kind)
def test_an_error_survives_being_copied_and_pickled(cls: type[FleetError]) -> None:
    error = cls("cannot read x: gone", cure="look again")

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert type(twin) is cls
        assert (str(twin), twin.message, twin.cure) == ("cannot read x: gone", "cannot read x: gone", "look again")


def test_a_message_is_never_empty() -> None:
    assert FleetError("").message == "Something in MaticOS Fleet went wrong."
    assert FleetError().cure == ""


def test_errors_work_where_docstrings_are_stripped() -> None:
    program = "from shared.errors import SlotError; print(SlotError(), SlotError('cannot x: y'))"

    done = subprocess.run([sys.executable, "-OO", "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout == "slot_error cannot x: y\n"


def test_what_waiting_cannot_mend_is_not_retriable() -> None:
    lasting = {cls.kind for cls in classes() if issubclass(cls, TransportError) and not cls.retriable}

    assert lasting == {"tls_refused", "source_refused"}
