"""What the intake does with one message, and with the answers of ``take`` and ``refuse``."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import pytest
from celery.exceptions import Reject
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node_executor.intake import Intake
from shared.errors import DiskFullError, FleetError, StaleOrderError, StateFileError
from shared.messages import Order
from shared.signing import Signer
from tests.support.redis_nodes import new_order

SIGNER = Signer("controller", Ed25519PrivateKey.generate())


class Desk:
    """Takes what it gets, after raising ``troubles`` one by one."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.taken: list[str] = []
        self.refused: list[str] = []
        self.stop = threading.Event()

    def take(self, order: Order) -> None:
        """Take the order, unless there is trouble."""
        if self.troubles:
            raise self.troubles.pop(0)
        self.taken.append(order.id)

    def refuse(self, error: FleetError, _raw: object) -> None:
        """Note the refusal, unless there is trouble."""
        if self.troubles:
            raise self.troubles.pop(0)
        self.refused.append(error.kind)

    def intake(self) -> Intake:
        """Return the intake of this desk."""
        return Intake("n1", SIGNER.key.public_key(), self.take, self.refuse, self.stop, longest_wait=0.01)


def test_order_is_taken() -> None:
    desk = Desk()

    desk.intake().receive([SIGNER.seal(new_order("n1", 1))], {})

    assert desk.taken == ["order-1"]


def test_named_arguments_are_no_order() -> None:
    desk = Desk()

    desk.intake().receive([SIGNER.seal(new_order("n1", 1))], {"more": 1})

    assert (desk.taken, desk.refused) == ([], ["bad_envelope"])


@pytest.mark.parametrize(
    "trouble",
    [OSError(errno.ENOSPC, "full"), DiskFullError("full"), StateFileError("read-only")],
    ids=["ENOSPC", "disk_full", "state_file"],
)
def test_order_that_cannot_be_made_durable_is_tried_again(trouble: Exception) -> None:
    desk = Desk(trouble, trouble, trouble)

    desk.intake().receive([SIGNER.seal(new_order("n1", 1))], {})

    assert desk.taken == ["order-1"]
    assert desk.refused == []


def test_refusal_that_cannot_be_made_durable_is_tried_again() -> None:
    desk = Desk(OSError(errno.ENOSPC, "full"), OSError(errno.ENOSPC, "full"))

    desk.intake().receive([{}], {})

    assert desk.refused == ["bad_envelope"]


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [(StaleOrderError(), "stale_order"), (ValueError("a bug"), "internal")],
    ids=["refused", "bug"],
)
def test_order_that_cannot_be_taken_is_refused(trouble: Exception, kind: str) -> None:
    desk = Desk(trouble)

    desk.intake().receive([SIGNER.seal(new_order("n1", 1))], {})

    assert (desk.taken, desk.refused) == ([], [kind])


def test_refusal_that_fails_by_a_bug_is_dropped() -> None:
    desk = Desk(ValueError("a bug"))

    desk.intake().receive([{}], {})

    assert (desk.taken, desk.refused, desk.troubles) == ([], [], [])


@pytest.mark.parametrize(
    "message", [lambda: SIGNER.seal(new_order("n1", 1)), dict[str, object]], ids=["order", "no order"]
)
def test_stop_gives_the_message_back_while_nothing_is_durable(message: Callable[[], dict[str, object]]) -> None:
    desk = Desk(*[OSError(errno.ENOSPC, "full")] * 3)
    desk.stop.set()

    with pytest.raises(Reject) as rejected:
        desk.intake().receive([message()], {})

    assert vars(rejected.value)["requeue"]
