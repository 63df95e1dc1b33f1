"""Whether this node may install an update at all. Asked when an order comes, and again when its turn comes."""

from __future__ import annotations

from datetime import datetime

from node_executor.rollback import RollbackBook
from node_executor.state import NodeState
from shared.errors import DeniedVersionError, ExpiredOrderError, IncompatibleImageError, SlotInUseError
from shared.images import Image
from shared.messages import UpdateSpec

#: Names of one architecture in the wild, as ``uname -m`` prints it.
_ARCHITECTURES = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}


def check_fits(image: Image, architecture: str, compatible: str) -> None:
    """Check that the image is for this kind of node.

    Raises:
        IncompatibleImageError: another architecture, or another model.
    """
    wanted = _ARCHITECTURES.get(image.architecture, image.architecture)
    name = image.version or image.sha256[:12]
    if wanted and wanted != architecture:
        raise IncompatibleImageError(
            f"cannot install image {name}: it is for {wanted}, this node is {architecture}",
            cure="choose the image that was built for this architecture",
        )
    if image.compatible and image.compatible != compatible:
        raise IncompatibleImageError(
            f"cannot install image {name}: it is for {image.compatible!r}, this node is {compatible!r}",
            cure="choose the image for this model, or correct `compatible` in the node's settings",
        )


def check_not_denied(update: UpdateSpec, book: RollbackBook) -> None:
    """Check that this node has not rolled back from the image before.

    Raises:
        DeniedVersionError: it has, and the order does not lift that.
    """
    denied = book.denial(update.image)
    if denied is not None and not update.lift_denial:
        raise DeniedVersionError(
            f"cannot install {denied.version or denied.sha256[:12]}: this node rolled back from it at "
            f"{denied.at:%Y-%m-%dT%H:%M:%SZ} ({denied.reason})",
            cure="release a corrected version, or lift the denial in the order",
        )


def check_not_expired(name: str, expires_at: datetime | None, now: datetime) -> None:
    """Check that an order may still be started.

    Raises:
        ExpiredOrderError: its time is over.
    """
    if expires_at is not None and now > expires_at:
        raise ExpiredOrderError(
            f"cannot start {name}: it expired at {expires_at:%Y-%m-%dT%H:%M:%SZ}", cure="send a new order"
        )


def check_ground(state: NodeState) -> None:
    """Check that the running slot is proven: else the inactive one may be the only one that is (rule 2).

    Raises:
        SlotInUseError: it is not.
        BootloaderError: it cannot be found out.
    """
    running = state.ports.host.running_slot()
    if not state.ports.boot.status()[running].successful:
        raise SlotInUseError(
            f"cannot write slot {running.other()}: the running slot {running} is not proven good",
            cure="roll back, or wait until the running update has proven itself",
        )


def check_update(state: NodeState, update: UpdateSpec) -> None:
    """Check everything about an update but the ground under it and its expiry.

    Raises:
        IncompatibleImageError: not for this node.
        DeniedVersionError: rolled back from before.
    """
    check_fits(update.image, state.ports.host.architecture(), state.config.compatible)
    check_not_denied(update, state.book)
