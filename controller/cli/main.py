"""The entry point: runs a command, and turns whatever it raises into stderr and an exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from controller.cli.exits import Ended, Exit, of_error
from controller.cli.tree import root
from shared.errors import FleetError, InputError

#: What a write to a disk without room says.
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run osctl and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run osctl and return its exit code."""
    # gRPC's C core logs refused handshakes to stderr in its own words; ours say what they mean.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: nobody wants to read it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a symbol gets a replacement, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    stdout = sys.stdout
    try:
        _check_encoding(arguments)
        result = root().main(arguments, prog_name="osctl", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        # click ends so after printing completions, and when nobody reads stdout any more: then it has replaced it.
        return int(end.code or 0) if sys.stdout is stdout else Exit.PIPE_CLOSED
    except BrokenPipeError:  # in the last flush
        _give_stdout_up()
        return Exit.PIPE_CLOSED
    except OSError as error:
        if error.errno not in _FULL:
            return _explain(error, as_json=_wants_json(arguments))
        _give_stdout_up()
        message, cure = (
            f"cannot write output: {error.strerror}",
            "send it elsewhere, and look before you repeat a change",
        )
        return _explain(InputError(message, cure=cure), as_json=_wants_json(arguments))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
        return _explain(error, as_json=_wants_json(arguments))
    return result if isinstance(result, int) else Exit.DONE


def _give_stdout_up() -> None:
    """Send the rest nowhere: Python flushes once more at exit, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_encoding(arguments: list[str]) -> None:
    """Refuse bytes that are no text: no message could carry them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"cannot read argument {argument!r}: it is not UTF-8", cure="write it in UTF-8") from error


def _explain(error: BaseException, *, as_json: bool) -> int:
    """Say on stderr what ended the command, and return the exit code for it."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message())
            return Exit.USAGE
        case click.ClickException():
            message = error.format_message().rstrip(".")
            return _complain(Exit.USAGE, "invalid_input", message, _usage_cure(error), as_json=as_json)
        case FleetError():
            return _complain(of_error(error), error.kind, error.message, error.cure, as_json=as_json)
        case Ended():
            return _complain(error.code, error.code.name.lower(), error.message, error.cure, as_json=as_json)
        case click.Abort() | KeyboardInterrupt():
            return _complain(Exit.INTERRUPTED, "interrupted", "interrupted", "", as_json=as_json)
    if os.environ.get("OSCTL_DEBUG"):
        sys.excepthook(type(error), error, error.__traceback__)
    message = f"osctl met an unexpected {type(error).__name__}: {error}"
    cure = "run it again with OSCTL_DEBUG=1 and report what it prints"
    return _complain(Exit.BUG, "internal", message, cure, as_json=as_json)


def _wants_json(arguments: list[str]) -> bool:
    """Whether errors are for scripts; asked before parsing, which itself can fail."""
    flat = " ".join(arguments).replace("=", " ")
    return any(form in f" {flat} " for form in (" -o json ", " --output json ", " -ojson "))


def _usage_cure(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else "see osctl --help"


def _complain(code: Exit, kind: str, message: str, cure: str, *, as_json: bool) -> int:
    if as_json:
        document = {"error": {"kind": kind, "message": message, "cure": cure, "exit_code": int(code)}}
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
    else:
        click.echo(f"error: {message}", err=True)
        if cure:
            click.echo(f"cure: {cure}", err=True)
    return code
