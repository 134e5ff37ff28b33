"""Compares ways to get the pictures out of a response body: `python -m benchmarks.extract`.

Each round times every way once, and ratios are taken within a round. The table shows medians over the rounds.
"""

from __future__ import annotations

import base64
import json
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from openai._streaming import SSEDecoder
from pydantic_core import from_json

from langchain_imagegen.streaming.decoder import Sink
from langchain_imagegen.streaming.events import EventReader
from langchain_imagegen.streaming.extractor import Extractor

Parts = list[bytes]
Way = Callable[[Parts], Any]

CHUNK = 65536
ROUNDS = 15


class Bytes(Sink, bytearray):
    """A sink that keeps the picture in memory."""

    write = bytearray.extend

    def close(self, error: str | None = None) -> None:
        assert error is None


class Discard(Sink):
    """A sink that keeps nothing."""

    def write(self, data: bytes) -> None:
        """Drop the bytes."""

    def close(self, error: str | None = None) -> None:
        assert error is None


def picture(megabytes: int) -> bytes:
    """Return noise that starts with the signature of a PNG."""
    return b"\x89PNG\r\n\x1a\n" + random.Random(megabytes).randbytes(megabytes * 1_000_000)


def body(encoded: str, *, escape: bool = False) -> bytes:
    """Return a JSON response with one picture."""
    call = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": encoded}
    text = json.dumps({"id": "resp_1", "object": "response", "output": [call]})
    return (text.replace("/", "\\/") if escape else text).encode()


def stream(encoded: str) -> bytes:
    """Return an event stream with four partial pictures and the final picture twice, as the service sends it."""
    partial = {"type": "response.image_generation_call.partial_image", "item_id": "ig_1"}
    item = {"id": "ig_1", "type": "image_generation_call", "result": encoded}
    events = [{**partial, "partial_image_index": n, "partial_image_b64": encoded} for n in range(4)]
    events += [{"type": "response.output_item.done", "item": item}]
    events += [{"type": "response.completed", "response": {"output": [item]}}]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def chunks(data: bytes) -> list[bytes]:
    """Split a body as it arrives from a socket."""
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def json_and_base64(parts: Parts) -> bytes:
    """Parse and decode with the standard library."""
    return base64.b64decode(json.loads(b"".join(parts))["output"][0]["result"])


def json_only(parts: Parts) -> Any:
    """Parse with the standard library, without decoding."""
    return json.loads(b"".join(parts))


def extract(parts: Parts, sink: Callable[[], Any] = Bytes) -> Any:
    """Extract the pictures while the body arrives, then parse the rest."""
    extractor = Extractor(lambda _: sink())
    return from_json(b"".join([*map(extractor.feed, parts), extractor.finish()]))


def drop(parts: Parts) -> Any:
    """Extract pictures that nobody wants, then parse the rest."""
    return extract(parts, lambda: None)


def sdk_events(parts: Parts) -> list[Any]:
    """Read a stream as the SDK does, without its models."""
    pictures = []
    for event in SSEDecoder().iter_bytes(iter(parts)):
        data = json.loads(event.data)
        encoded = data.get("partial_image_b64") or data.get("item", {}).get("result")
        pictures.append(encoded and base64.b64decode(encoded))
    return pictures


def extract_events(parts: Parts) -> list[Any]:
    """Extract the pictures of a stream while it arrives, then parse the events."""
    extractor, reader = Extractor(lambda _: Bytes()), EventReader()
    events = [event for part in parts for event in reader.feed(extractor.feed(part))]
    return [from_json(event) for event in events + reader.feed(extractor.finish()) + reader.finish()]


def seconds(way: Way, parts: Parts) -> float:
    """Return how long a way takes."""
    start = time.perf_counter()
    way(parts)
    return time.perf_counter() - start


def peak_bytes(way: Way, parts: Parts) -> int:
    """Return the peak memory of a way."""
    tracemalloc.start()
    way(parts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def compare(title: str, data: bytes, baseline: Way, **ways: Way) -> None:
    """Time all ways on one body and print a table."""
    parts = chunks(data)
    rounds = [[seconds(way, parts) for way in (baseline, *ways.values())] for _ in range(ROUNDS)]
    print(f"\n{title}, {len(data) / 1e6:.1f} MB of text in chunks of 64 KB")
    print(f"  {'way':<34}{'ms':>8}{'MB/s':>8}{'ratio':>8}{'peak KB':>10}")
    for column, (name, way) in enumerate({baseline.__name__: baseline, **ways}.items()):
        median = statistics.median(round_[column] for round_ in rounds)
        ratio = statistics.median(round_[column] / round_[0] for round_ in rounds)
        rate = len(data) / median / 1e6
        memory = peak_bytes(way, parts) / 1024
        print(f"  {name:<34}{median * 1e3:>8.2f}{rate:>8.0f}{ratio:>8.3f}{memory:>10.0f}")


def main() -> None:
    """Print all tables."""
    for megabytes in (2, 12):
        encoded = base64.b64encode(picture(megabytes)).decode()
        ways = {
            "extract into memory": extract,
            "extract and discard": lambda parts: extract(parts, Discard),
            "drop": drop,
        }
        compare(f"JSON, {megabytes} MB picture", body(encoded), json_and_base64, **ways)
        compare("the same with escaped slashes", body(encoded, escape=True), json_and_base64, **ways)
    encoded = base64.b64encode(picture(2)).decode()
    compare("SSE, six times a 2 MB picture", stream(encoded), sdk_events, extract=extract_events)
    prose = body("No picture, but a long text. " * 300_000)
    compare("JSON without a picture", prose, json_only, extract=extract)


if __name__ == "__main__":
    main()
