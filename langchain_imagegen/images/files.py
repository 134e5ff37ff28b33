"""A file that is whole or not there, for pictures that users save; the store's own files are written in `places`."""

from __future__ import annotations

import secrets
from pathlib import Path


def write_whole(target: Path, data: bytes) -> None:
    """Write `data` under the name `target` at once or not at all; its folder must be there."""
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
