"""A service in its own process, for many drawings at once, so that its memory, threads and sockets are not counted.

The prompt alone decides the answer: `"<kind> <number>"`, where the kind is one of `KINDS` or `LATE`. The service
imports nothing of this package.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

KINDS = ("draw", "cut", "busy", "moderated")
LATE = "late"  # draws too, but only after three seconds

_ERRORS = {
    "busy": (429, {"code": "rate_limit_exceeded", "type": "requests", "message": "Too many at once."}),
    "moderated": (400, {"code": "moderation_blocked", "type": "image_generation_user_error", "message": "No."}),
}


def picture(size: int, number: int) -> bytes:
    """Return a PNG of about `size` bytes, a different one for each number."""
    return _start(number) + _rest(size)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _start(number: int) -> bytes:
    """Return the part that differs between pictures; its length divides by three, so its base64 has no padding."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"tEXt", b"Number\0%011d" % number)


@cache
def _rest(size: int) -> bytes:
    return _chunk(b"IDAT", random.Random(0).randbytes(size)) + _chunk(b"IEND", b"")


@cache
def _rest_in_base64(size: int) -> bytes:
    return base64.b64encode(_rest(size))


def _item(number: int) -> dict[str, Any]:
    return {"id": f"ig_{number}", "type": "image_generation_call", "status": "completed", "result": "@picture@"}


def _response(number: int) -> dict[str, Any]:
    tools = [{"type": "image_generation", "model": "gpt-image-2"}]
    return {"id": f"resp_{number}", "status": "completed", "output": [_item(number)], "tools": tools, "error": None}


def _events(number: int) -> bytes:
    done = {"type": "response.output_item.done", "output_index": 0, "item": _item(number)}
    events = (done, {"type": "response.completed", "response": _response(number)})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


@dataclass(frozen=True)
class Request:
    """One request, as the service reads it: `size` in bytes, `latency` in seconds."""

    size: int
    latency: float
    kind: str
    number: int
    stream: bool


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
    body = json.loads(await reader.readexactly(length))
    if not isinstance(body["input"], str):
        raise ConnectionError("this service cannot edit pictures")
    _, size, latency, *_ = lines[0].split()[1].split("/")
    kind, number = body["input"].split()
    return Request(int(size), int(latency) / 1000, kind, int(number), bool(body.get("stream")))


def _answer(request: Request) -> list[bytes]:
    if request.kind in _ERRORS:
        status, error = _ERRORS[request.kind]
        return _with_head(status, "application/json", [json.dumps({"error": error}).encode()])
    text = _events(request.number) if request.stream else json.dumps(_response(request.number)).encode()
    start, rest = base64.b64encode(_start(request.number)), _rest_in_base64(request.size)
    first, *others = text.split(b"@picture@")
    pieces = [first, *(piece for other in others for piece in (start, rest, other))]
    return _with_head(200, "text/event-stream" if request.stream else "application/json", pieces)


def _with_head(status: int, kind: str, pieces: list[bytes]) -> list[bytes]:
    length = sum(map(len, pieces))
    head = f"HTTP/1.1 {status} Answer\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nretry-after-ms: 1\r\n\r\n"
    return [head.encode(), *pieces]


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            request = await _read(reader)
            await asyncio.sleep(3 if request.kind == LATE else request.latency)
            pieces = _answer(request)
            if request.kind == "cut":
                writer.write(b"".join(pieces)[: sum(map(len, pieces)) // 4])
                break
            for piece in pieces:
                writer.write(piece)
            await writer.drain()
    with suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def _serve() -> None:
    server = await asyncio.start_server(_talk, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@dataclass(frozen=True)
class Crowd:
    """A running service."""

    port: int

    def base_url(self, size: int, latency: int = 0) -> str:
        """Return a base URL whose pictures have `size` bytes and take `latency` milliseconds."""
        return f"http://127.0.0.1:{self.port}/{size}/{latency}"


@contextmanager
def serving() -> Iterator[Crowd]:
    """Yield a started service, and kill its process after the block."""
    with subprocess.Popen([sys.executable, str(Path(__file__))], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Crowd(int(process.stdout.readline()))
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
