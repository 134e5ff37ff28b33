"""Which process something belongs to, and whether that process is gone for certain.

A process id says little by itself: it is used again, and every container counts from 1. On Linux the id of the
machine's boot, the namespace of process ids and the time at which the process started tell two processes apart;
elsewhere no process is ever said to be gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_DEAD = ("Z", "X", "x")  # states of a process whose parent has not yet asked how it ended


def this_process() -> dict[str, Any]:
    """Return who this process is, as JSON: `host` for people, and `machine`, `pid` and `started` for `is_gone`."""
    return _process(os.getpid())


def is_here(process: Mapping[str, Any]) -> bool:
    """Return True if it is certainly this process."""
    here = this_process()
    return bool(here["machine"]) and here == process


def is_gone(process: Mapping[str, Any]) -> bool:
    """Return True if the process certainly runs no longer; False where that cannot be known from here."""
    here, pid = this_process(), process.get("pid")
    if not here["machine"] or process.get("machine") != here["machine"] or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's, and runs
        return False
    state, started = _status(pid)
    return state in _DEAD or (started is not None and started != process.get("started"))


@lru_cache(maxsize=1)
def _process(pid: int) -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "started": _status(pid)[1]}


def _machine() -> str:
    """Return a name for all that shares process ids with this process; empty where there is no such name."""
    try:
        return f"{_BOOT.read_text(encoding='ascii').strip()} {_NAMESPACE.readlink()}"
    except (OSError, ValueError):
        return ""


def _status(pid: int) -> tuple[str | None, int | None]:
    """Return the state of a process and when it started, in ticks since boot; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None, None
