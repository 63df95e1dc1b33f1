"""docs/reference/settings.md: every setting of the two services, from their pydantic classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from controller.settings import DEFAULT_FILE as CONTROLLER_FILE
from controller.settings import Intervals
from controller.settings import Settings as ControllerSettings
from deploy.pages.markdown import comments, head, table
from node_executor.flash.settings import FlashSettings
from node_executor.health.check import CheckSettings
from node_executor.health.checks.api import ApiOptions
from node_executor.health.checks.boot import BootOptions
from node_executor.health.checks.network import NetworkOptions
from node_executor.health.checks.service import ServiceOptions
from node_executor.settings import DEFAULT_FILE as AGENT_FILE
from node_executor.settings import Settings as AgentSettings

_TEXT = """
Both services read a TOML file, then the environment, which wins. Unknown names are refused. A setting inside a
table is named in the environment with two underscores: `MATIC_FLASH__ATTEMPTS=3`,
`MATIC_CONTROLLER_INTERVALS__TICK=0.5`. Values that are lists or tables are JSON in the environment.
"""

#: What needs no comment in the code, and one on a page.
_ELSE = {
    "node_id": "name of this node: 1 to 63 of a-z 0-9 . _ -",
    "flash": "how patient a transfer is",
    "intervals": "how often things are looked at",
    "longest_wait": "the doubling ends here",
    "redirects": "that are followed",
    "log_format": "one JSON object a line, or text for people; on stderr",
    "log_level": "least level that is logged",
}

_OPTIONS: dict[str, type[BaseModel]] = {
    "boot": BootOptions,
    "service": ServiceOptions,
    "network": NetworkOptions,
    "api": ApiOptions,
}


def render() -> str:
    """Return the page."""
    return "\n".join(
        [
            head("Settings", _TEXT),
            f"## The executor: `{AGENT_FILE}`\n\nEnvironment: `MATIC_` and the name in capitals.\n",
            _table(AgentSettings),
            "### `[flash]`\n\nTimes in seconds.\n",
            _table(FlashSettings),
            "### `[health.NAME]`\n\nOne table for each check, built in or installed.\n",
            _table(CheckSettings),
            *[f"### `[health.{name}.options]`\n\n{_table(model)}" for name, model in _OPTIONS.items()],
            f"## The controller: `{CONTROLLER_FILE}`\n\nEnvironment: `MATIC_CONTROLLER_` and the name in capitals.\n",
            _table(ControllerSettings),
            "### `[intervals]`\n\nSeconds.\n",
            _table(Intervals),
        ]
    )


def _table(model: type[BaseModel]) -> str:
    said = comments(model)
    rows = [
        (f"`{name}`", _type(field.annotation), _default(field), said.get(name) or _ELSE[name])
        for name, field in model.model_fields.items()
    ]
    return table(("Setting", "Type", "Default", "Meaning"), rows)


def _type(annotation: Any) -> str:  # noqa: ANN401 - whatever a field may be annotated with
    values = get_args(annotation)
    if values and all(isinstance(value, str) for value in values):
        return " or ".join(f"`{value}`" for value in values)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {int: "integer", float: "number", str: "text", bool: "yes or no", Path: "path", type(None): "nothing"}
    if annotation in names:
        return names[annotation]
    text = str(annotation)
    if text.startswith(("dict", "collections.abc.Mapping", "typing.Mapping")):
        return "table"
    if text.startswith("tuple"):
        return "list of texts"
    parts = [_type(value) for value in values if value is not type(None)]
    return " or ".join(dict.fromkeys(parts)) or text


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel) or value == {}:
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value)}`"
