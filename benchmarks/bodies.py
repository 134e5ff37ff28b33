"""Answers of the service with pictures of any size, each picture new and each a valid PNG.

What is sent is prepared but for a serial number, so that a server gives it away without work. Nothing in here sends.
"""

from __future__ import annotations

import base64
import json
import random
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

SIZES = {"64 KB": 64_000, "2 MB": 2_000_000, "12 MB": 12_000_000}
PARTIALS = 3
SERIAL_DIGITS = 11

_HOLE = re.compile(rb"@(serial|start|rest\d)@")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@dataclass(frozen=True)
class Picture:
    """A PNG of noise, which no compressor makes smaller, as a photograph's bytes are.

    Its first 63 bytes hold a serial number in a text chunk. That is a multiple of three, so that their base64 is
    followed by that of the rest, which is always the same.

    Args:
        size: About how many bytes.
        seed: Pictures of another seed have nothing in common but their first bytes.
    """

    size: int
    seed: int = 0

    @property
    def edge(self) -> int:
        """Width and height in pixels."""
        return int((self.size / 3) ** 0.5)

    def start(self, serial: int) -> bytes:
        """The bytes that differ from picture to picture."""
        head = _chunk(b"IHDR", struct.pack(">IIBBBBB", self.edge, self.edge, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"tEXt", b"Serial\0" + b"%0*d" % (SERIAL_DIGITS, serial))

    @cached_property
    def rest(self) -> bytes:
        """All other bytes."""
        row = self.edge * 3
        noise = random.Random(self.seed).randbytes(self.edge * row)
        rows = b"".join(b"\0" + noise[at : at + row] for at in range(0, len(noise), row))
        return _chunk(b"IDAT", zlib.compress(rows, 0)) + _chunk(b"IEND", b"")

    def numbered(self, serial: int) -> bytes:
        """The whole picture."""
        return self.start(serial) + self.rest

    @property
    def exact(self) -> int:
        """How many bytes it really has."""
        return len(self.numbered(0))


def serial_of(picture: bytes) -> int:
    """The number that a picture was given."""
    at = picture.index(b"Serial\0") + len(b"Serial\0")
    return int(picture[at : at + SERIAL_DIGITS])


class Body:
    """A body with holes where each answer has something of its own.

    Args:
        content_type: As the service names it.
        text: The body, with `@serial@`, `@start@` and `@rest0@` … for the pictures' base64.
        pictures: The final one first, then the partial ones.
    """

    def __init__(self, content_type: str, text: str, pictures: Sequence[Picture] = ()) -> None:
        self.content_type = content_type
        self._pictures = pictures
        rests = {b"rest%d" % number: base64.b64encode(picture.rest) for number, picture in enumerate(pictures)}
        self._pieces = [rests.get(piece, piece) for piece in _HOLE.split(text.encode())]
        self.length = sum(map(len, self.filled(0)))

    def filled(self, serial: int) -> list[bytes]:
        """The pieces of one answer, in order; long ones are not copied."""
        fill = {b"serial": b"%0*d" % (SERIAL_DIGITS, serial)}
        for picture in self._pictures[:1]:
            fill[b"start"] = base64.b64encode(picture.start(serial))
        return [fill.get(piece, piece) for piece in self._pieces]


def plain(size: int) -> Body:
    """One JSON answer with a picture of so many bytes."""
    return Body("application/json", json.dumps(_response()), [Picture(size)])


def words() -> Body:
    """One JSON answer without a picture."""
    return Body("application/json", json.dumps(_response(output=[_message()])))


def streamed(size: int) -> Body:
    """The same as events, after partial pictures, each as large as the final one.

    One partial more comes than was asked for and equals the final picture, whose base64 comes twice more after
    it: so it is in recordings of the live service.
    """
    frames = [json.dumps({**event, "sequence_number": number}) for number, event in enumerate(_events())]
    told = "".join(f"event: {json.loads(frame)['type']}\ndata: {frame}\n\n" for frame in frames)
    return Body("text/event-stream; charset=utf-8", told, [Picture(size, seed) for seed in range(PARTIALS + 1)])


def _call() -> dict[str, Any]:
    return {
        "id": "ig_@serial@",
        "type": "image_generation_call",
        "status": "completed",
        "action": "generate",
        "background": "opaque",
        "output_format": "png",
        "quality": "high",
        "result": "@start@@rest0@",
        "revised_prompt": "A red fox in the snow, at dusk.",
        "size": "1024x1024",
    }


def _message() -> dict[str, Any]:
    words = {"type": "output_text", "text": "Here is the fox.", "annotations": [], "logprobs": []}
    return {"id": "msg_@serial@", "type": "message", "status": "completed", "role": "assistant", "content": [words]}


def _response(**changes: Any) -> dict[str, Any]:
    tool = {"type": "image_generation", "model": "gpt-image-2", "size": "auto", "quality": "auto"}
    usage = {
        "input_tokens": 666,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 59,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 725,
    }
    response = {
        "id": "resp_@serial@",
        "object": "response",
        "created_at": 1_749_922_683,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "gpt-5.4",
        "output": [_call(), _message()],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": True,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [tool],
        "usage": usage,
        "metadata": {},
    }
    return {**response, **changes}


def _events() -> list[dict[str, Any]]:
    """The events of one response in the order in which they were recorded."""
    early = _response(output=[], status="in_progress", usage=None)
    here = {"item_id": "ig_@serial@", "output_index": 0}
    pending = {"id": "ig_@serial@", "type": "image_generation_call", "status": "in_progress"}
    drawing = "response.image_generation_call"
    partials = [
        {
            "type": f"{drawing}.partial_image",
            **here,
            "partial_image_index": index,
            "partial_image_b64": f"@start@@rest{rest}@",
            "output_format": "png",
        }
        for index, rest in enumerate([*range(1, PARTIALS + 1), 0])
    ]
    return [
        {"type": "response.created", "response": early},
        {"type": "response.in_progress", "response": early},
        {"type": "response.output_item.added", "output_index": 0, "item": pending},
        {"type": f"{drawing}.in_progress", **here},
        {"type": f"{drawing}.generating", **here},
        *partials,
        {"type": f"{drawing}.completed", **here},
        {"type": "response.output_item.done", "output_index": 0, "item": _call()},
        *_words(),
        {"type": "response.completed", "response": _response()},
    ]


def _words() -> list[dict[str, Any]]:
    """The events of the message after the picture."""
    message = _message()
    [words] = message["content"]
    here = {"item_id": message["id"], "output_index": 1, "content_index": 0}
    empty = {**words, "text": ""}
    pending = {**message, "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": 1, "item": pending},
        {"type": "response.content_part.added", **here, "part": empty},
        {"type": "response.output_text.delta", **here, "delta": words["text"], "logprobs": []},
        {"type": "response.output_text.done", **here, "text": words["text"], "logprobs": []},
        {"type": "response.content_part.done", **here, "part": words},
        {"type": "response.output_item.done", "output_index": 1, "item": message},
    ]
