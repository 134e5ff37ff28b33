"""Response bodies of the service with pictures of any size, each of them a valid PNG with its own serial number.

A body is prepared except for the serial number, so that the server sends it without further work.
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

_PLACEHOLDER = re.compile(rb"@(serial|start|rest\d)@")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@dataclass(frozen=True)
class Picture:
    """A PNG of noise, which compresses no better than the bytes of a photograph.

    Its first 63 bytes include a serial number in a text chunk. Since 63 is a multiple of three, the base64 of the
    rest does not depend on the serial number.

    Args:
        size: The approximate number of bytes.
        seed: Pictures with different seeds share only their first bytes.
    """

    size: int
    seed: int = 0

    @property
    def edge(self) -> int:
        """The width and height in pixels."""
        return int((self.size / 3) ** 0.5)

    def start(self, serial: int) -> bytes:
        """Return the first 63 bytes, which contain the serial number."""
        head = _chunk(b"IHDR", struct.pack(">IIBBBBB", self.edge, self.edge, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"tEXt", b"Serial\0" + b"%0*d" % (SERIAL_DIGITS, serial))

    @cached_property
    def rest(self) -> bytes:
        """The remaining bytes, which do not depend on the serial number."""
        row = self.edge * 3
        noise = random.Random(self.seed).randbytes(self.edge * row)
        rows = b"".join(b"\0" + noise[at : at + row] for at in range(0, len(noise), row))
        return _chunk(b"IDAT", zlib.compress(rows, 0)) + _chunk(b"IEND", b"")

    def data(self, serial: int) -> bytes:
        """Return the whole PNG with this serial number."""
        return self.start(serial) + self.rest

    @property
    def byte_count(self) -> int:
        """The exact number of bytes."""
        return len(self.data(0))


def serial_of(picture: bytes) -> int:
    """Return the serial number of a picture."""
    at = picture.index(b"Serial\0") + len(b"Serial\0")
    return int(picture[at : at + SERIAL_DIGITS])


class Body:
    """A response body with placeholders for what differs between answers.

    Args:
        content_type: The value of the header.
        text: The body. `@serial@` stands for the serial number, `@start@` and `@rest0@` … for base64 of the pictures.
        pictures: The final picture first, then the partial ones.
    """

    def __init__(self, content_type: str, text: str, pictures: Sequence[Picture] = ()) -> None:
        self.content_type = content_type
        self._pictures = pictures
        rests = {b"rest%d" % number: base64.b64encode(picture.rest) for number, picture in enumerate(pictures)}
        self._pieces = [rests.get(piece, piece) for piece in _PLACEHOLDER.split(text.encode())]
        self.length = sum(map(len, self.pieces(0)))

    def pieces(self, serial: int) -> list[bytes]:
        """Return the body of one answer in pieces, without copying the long ones."""
        values = {b"serial": b"%0*d" % (SERIAL_DIGITS, serial)}
        for picture in self._pictures[:1]:
            values[b"start"] = base64.b64encode(picture.start(serial))
        return [values.get(piece, piece) for piece in self._pieces]


def json_body(size: int) -> Body:
    """Return a JSON answer with a picture of about `size` bytes."""
    return Body("application/json", json.dumps(_response()), [Picture(size)])


def text_body() -> Body:
    """Return a JSON answer with text and no picture."""
    return Body("application/json", json.dumps(_response(output=[_message()])))


def stream_body(size: int) -> Body:
    """Return an event stream with partial pictures and a final one, each of about `size` bytes.

    As in recordings of the live service, the stream has one partial picture more than requested. That one equals
    the final picture, whose base64 follows two more times.
    """
    frames = [json.dumps({**event, "sequence_number": number}) for number, event in enumerate(_events())]
    text = "".join(f"event: {json.loads(frame)['type']}\ndata: {frame}\n\n" for frame in frames)
    return Body("text/event-stream; charset=utf-8", text, [Picture(size, seed) for seed in range(PARTIALS + 1)])


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
    part = {"type": "output_text", "text": "Here is the fox.", "annotations": [], "logprobs": []}
    return {"id": "msg_@serial@", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


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
    """Return the events of one response in recorded order."""
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
        *_message_events(),
        {"type": "response.completed", "response": _response()},
    ]


def _message_events() -> list[dict[str, Any]]:
    """Return the events of the message after the picture."""
    message = _message()
    [part] = message["content"]
    here = {"item_id": message["id"], "output_index": 1, "content_index": 0}
    empty = {**part, "text": ""}
    pending = {**message, "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": 1, "item": pending},
        {"type": "response.content_part.added", **here, "part": empty},
        {"type": "response.output_text.delta", **here, "delta": part["text"], "logprobs": []},
        {"type": "response.output_text.done", **here, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **here, "part": part},
        {"type": "response.output_item.done", "output_index": 1, "item": message},
    ]
