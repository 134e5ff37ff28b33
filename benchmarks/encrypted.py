"""One picture a call over TLS, as the real service is reached: the time of a whole call, next to the SDK's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import trustme

from benchmarks.contestants import ASYNC, CHAT, OURS, SDK, SYNC, UNREAD, WIRE
from benchmarks.lineup import present
from benchmarks.plain import called
from benchmarks.rounds import MEMORY, Bench, Row, compared
from benchmarks.server import serving

TRUSTED = "SSL_CERT_FILE"  # whom clients trust that are made while it is set
WHO = (UNREAD, SDK, CHAT, OURS, WIRE)


def measure(bench: Bench) -> Iterator[Row]:
    """Middling and large pictures into memory, in both halves."""
    with certified() as certificate, serving(certificate) as server:
        secured = replace(bench, server=server)
        for size in bench.sizes()[1:]:
            for half in (SYNC, ASYNC):
                found = called(secured, present(*WHO), size, MEMORY, half)
                yield from compared(found, SDK, measure="encrypted", unit="ms", size=size, where=MEMORY, half=half)


@contextmanager
def certified() -> Iterator[Path]:
    """A certificate of this machine, with its key, which clients trust that are made in the block."""
    authority, before = trustme.CA(), os.environ.get(TRUSTED)
    with tempfile.TemporaryDirectory() as folder:
        mine, trusted = Path(folder) / "mine.pem", Path(folder) / "trusted.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(mine))
        authority.cert_pem.write_to_path(str(trusted))
        os.environ[TRUSTED] = str(trusted)
        try:
            yield mine
        finally:
            os.environ.pop(TRUSTED)
            if before is not None:
                os.environ[TRUSTED] = before
