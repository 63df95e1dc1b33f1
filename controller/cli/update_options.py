"""The options that describe one update; the same for one node and for a rollout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from controller.cli.parse import parse_instant, parse_window
from shared import wire
from shared.messages import UpdateSpec
from shared.proto import common_pb2 as pb

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--source", required=True, metavar="URL", help="Where the image is: http://, https:// or file://."),
    click.option("--sha256", required=True, metavar="HEX", help="SHA-256 of the image, 64 hexadecimal digits."),
    click.option("--version", default="", metavar="TEXT", help="Version the image must turn out to be."),
    click.option("--size", type=click.IntRange(1, 2**63 - 1), metavar="BYTES",
                 help="Size of the image; default: what the source announces."),
    click.option("--architecture", default="", metavar="NAME", help="Machine type the image is for, as uname -m says."),
    click.option("--compatible", default="", metavar="MODEL", help="Node model the image is for."),
    click.option("--health-check-timeout", type=float, default=300.0, metavar="SECONDS", show_default=True,
                 help="After the switch, health must be reached within this time."),
    click.option("--health-check-interval", type=float, default=10.0, metavar="SECONDS", show_default=True,
                 help="Time between two rounds of health checks."),
    click.option("--health-check-retries", type=click.IntRange(0, 2**31 - 1), default=30, metavar="N",
                 show_default=True, help="Rounds after the first one."),
    click.option("--at", metavar="INSTANT", help="Not before: 2026-01-27T02:00:00Z, or +30m."),
    click.option("--window", metavar="WINDOW", help='Switch only inside, like "sat,sun 02:00 +120m Europe/Berlin".'),
    click.option("--pre-hook", default="", metavar="NAME", help="Program in the node's hook folder to run before."),
    click.option("--post-hook", default="", metavar="NAME", help="Likewise, after the end."),
    click.option("--lift-denial", is_flag=True, help="Install even a version that the node has rolled back from."),
)  # fmt: skip


def update_options(function: F) -> F:
    """Add the options; the command hands them on to ``build_update``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def build_update(options: dict[str, Any], *, auto_rollback: bool) -> pb.UpdateSpec:
    """Return the update that the options describe, checked as the server will check it.

    Raises:
        InputError: naming the field and its value.
    """
    image = {name: options[name] for name in ("source", "sha256", "version", "size", "architecture", "compatible")}
    health = {
        "timeout": options["health_check_timeout"],
        "retry_interval": options["health_check_interval"],
        "max_retries": options["health_check_retries"],
    }
    update = {
        "image": image,
        "auto_rollback": auto_rollback,
        "health": health,
        "start_at": parse_instant(options["at"], datetime.now(UTC)) if options["at"] else None,
        "window": parse_window(options["window"]) if options["window"] else None,
        "pre_update_hook": options["pre_hook"],
        "post_update_hook": options["post_hook"],
        "lift_denial": options["lift_denial"],
    }
    try:
        return wire.update_to_proto(UpdateSpec.model_validate(update))
    except ValidationError as error:
        raise wire.invalid(error, "update") from error
