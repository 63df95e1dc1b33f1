"""How both sides read their settings: a TOML file, and over it the environment; validated once, at the start.

Most installations set nothing in the environment. pydantic-settings, 4 MB and a tenth of a second of a small node, is
therefore loaded only where a variable names one of the settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from shared.errors import InputError
from shared.tls.diagnosis import split_address

#: Between the names of a nested setting in a variable: ``MATIC_FLASH__CONNECT_TIMEOUT``.
_NESTED = "__"


def _address(value: str) -> str:
    try:
        split_address(value)
    except InputError as error:
        raise ValueError(error.message) from error
    return value


#: host:port to serve on; checked, because gRPC takes a port beyond 65535 and serves on another one.
ListenAddress = Annotated[str, AfterValidator(_address)]


class SettingsModel(BaseModel):
    """Base of all settings. Unknown names are refused: a misspelt one must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


M = TypeVar("M", bound=SettingsModel)


def load_settings(model: type[M], file: Path | None, *, prefix: str) -> M:
    """Return the settings of ``file``, if there is one, overridden by variables that begin with ``prefix``.

    Raises:
        InputError: not readable, not TOML, or not valid; the message names the setting.
    """
    where = f"settings {file}" if file else "settings from the environment"
    try:
        values = tomllib.loads(file.read_text("utf-8")) if file else {}
        return _with_environment(model, values, prefix) if _named(model, prefix) else model.model_validate(values)
    except FileNotFoundError as error:
        raise InputError(f"cannot read {where}: no such file", cure="name another file with --config") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"cannot use {where}: {name}: {first['msg']}", cure=f"correct {name}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {where}: {error}", cure="correct the file's TOML") from error


def _named(model: type[SettingsModel], prefix: str) -> bool:
    """Whether any variable sets a field, whole or in part; names are compared as pydantic-settings does."""
    names = {f"{prefix}{field}".lower() for field in model.model_fields}
    return any(variable.lower().partition(_NESTED)[0] in names for variable in os.environ)


def _with_environment(model: type[M], values: Mapping[str, object], prefix: str) -> M:
    from pydantic_settings import (  # noqa: PLC0415 - see the module
        BaseSettings,
        InitSettingsSource,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
    )

    class Environment(model, BaseSettings):  # type: ignore[misc, valid-type] # mypy takes no variable for a base
        model_config = SettingsConfigDict(env_prefix=prefix, env_nested_delimiter=_NESTED)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no dotenv here
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no secret files here
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Environment before file."""
            return init_settings, env_settings, InitSettingsSource(settings_cls, dict(values))

    return model.model_validate(dict(Environment()))
