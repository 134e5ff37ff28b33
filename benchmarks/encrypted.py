"""Measures the time of one call over TLS, compared with the SDK."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import trustme

from benchmarks.contestants import ASYNC, CHAT, OURS, SDK, SYNC, UNREAD, WIRE
from benchmarks.lineup import installed
from benchmarks.plain import call_times
from benchmarks.rounds import MEMORY, Bench, Row, comparison_rows
from benchmarks.server import start_server

TRUSTED = "SSL_CERT_FILE"  # clients created while it is set trust this certificate authority
CONTESTANTS = (UNREAD, SDK, CHAT, OURS, WIRE)


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the times for 2 MB and 12 MB pictures into memory, sync and async."""
    with trusted_certificate() as certificate, start_server(certificate) as server:
        secured = replace(bench, server=server)
        for size in bench.sizes()[1:]:
            for half in (SYNC, ASYNC):
                times = call_times(secured, installed(*CONTESTANTS), size, MEMORY, half)
                yield from comparison_rows(
                    times, SDK, measure="encrypted", unit="ms", size=size, where=MEMORY, half=half
                )


@contextmanager
def trusted_certificate() -> Iterator[Path]:
    """Yield the file of a certificate and key for this machine; clients created in the block trust it."""
    authority, before = trustme.CA(), os.environ.get(TRUSTED)
    with tempfile.TemporaryDirectory() as folder:
        certificate, trusted = Path(folder) / "certificate.pem", Path(folder) / "trusted.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        authority.cert_pem.write_to_path(str(trusted))
        os.environ[TRUSTED] = str(trusted)
        try:
            yield certificate
        finally:
            os.environ.pop(TRUSTED)
            if before is not None:
                os.environ[TRUSTED] = before
