"""Runs the partitioning tools of the distribution, and turns their failures into our errors."""

from __future__ import annotations

import os
import subprocess

from shared.errors import BootloaderError

_TIMEOUT = 60.0  # seconds; a disk that hangs for longer is broken
_PACKAGES = {"sfdisk": "fdisk", "sgdisk": "gdisk", "wipefs": "util-linux"}


def run_tool(tool: str, *arguments: str, purpose: str) -> subprocess.CompletedProcess[str]:
    """Run ``tool`` and return what it said; ``purpose`` completes "cannot ...".

    Raises:
        BootloaderError: not installed, too slow, or a non-zero exit.
    """
    environment = {
        **os.environ,
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",  # an ordinary user's PATH lacks them on Debian
        "LC_ALL": "C",  # messages are looked at
        "LOCK_BLOCK_DEVICE": "0",  # the disk's lock is ours already
    }
    try:
        done = subprocess.run(
            [tool, *arguments],
            capture_output=True,
            check=False,
            env=environment,
            errors="replace",
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_TIMEOUT,
        )
    except FileNotFoundError as error:
        cure = f"install the package {_PACKAGES.get(tool, tool)}"
        raise BootloaderError(f"cannot {purpose}: {tool} is not installed", cure=cure) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BootloaderError(f"cannot {purpose}: {tool} failed: {error}") from error
    if done.returncode != 0:
        raise BootloaderError(f"cannot {purpose}: {tool} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done
