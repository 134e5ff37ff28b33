"""How long it takes to get the pictures out of a body, ways side by side: `python -m benchmarks.extract`.

Each round times every way once, so that the ratios compare like with like; the table shows medians.
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


class Nowhere(Sink):
    """A sink that keeps nothing."""

    def write(self, data: bytes) -> None:
        """Forget them."""

    def close(self, error: str | None = None) -> None:
        assert error is None


def picture(megabytes: int) -> bytes:
    """Noise that begins as a PNG does."""
    return b"\x89PNG\r\n\x1a\n" + random.Random(megabytes).randbytes(megabytes * 1_000_000)


def body(encoded: str, *, escape: bool = False) -> bytes:
    """A response with one picture."""
    call = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": encoded}
    text = json.dumps({"id": "resp_1", "object": "response", "output": [call]})
    return (text.replace("/", "\\/") if escape else text).encode()


def stream(encoded: str) -> bytes:
    """Three partials and the final picture twice, as the service sends them."""
    partial = {"type": "response.image_generation_call.partial_image", "item_id": "ig_1"}
    item = {"id": "ig_1", "type": "image_generation_call", "result": encoded}
    events = [{**partial, "partial_image_index": n, "partial_image_b64": encoded} for n in range(4)]
    events += [{"type": "response.output_item.done", "item": item}]
    events += [{"type": "response.completed", "response": {"output": [item]}}]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def chunks(data: bytes) -> list[bytes]:
    """A body as it comes from a socket."""
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def standard(parts: Parts) -> bytes:
    """The standard library's way."""
    return base64.b64decode(json.loads(b"".join(parts))["output"][0]["result"])


def parsed(parts: Parts) -> Any:
    """The standard library's way without decoding."""
    return json.loads(b"".join(parts))


def extracted(parts: Parts, sink: Callable[[], Any] = Bytes) -> Any:
    """Our way."""
    extractor = Extractor(lambda _: sink())
    return from_json(b"".join([*map(extractor.feed, parts), extractor.finish()]))


def dropped(parts: Parts) -> Any:
    """Our way with pictures that nobody wants."""
    return extracted(parts, lambda: None)


def sdk_events(parts: Parts) -> list[Any]:
    """The SDK's way with a stream, without its models."""
    found = []
    for event in SSEDecoder().iter_bytes(iter(parts)):
        data = json.loads(event.data)
        encoded = data.get("partial_image_b64") or data.get("item", {}).get("result")
        found.append(encoded and base64.b64decode(encoded))
    return found


def extracted_events(parts: Parts) -> list[Any]:
    """Our way with a stream."""
    extractor, reader = Extractor(lambda _: Bytes()), EventReader()
    events = [event for part in parts for event in reader.feed(extractor.feed(part))]
    return [from_json(event) for event in events + reader.feed(extractor.finish()) + reader.finish()]


def seconds(way: Way, parts: Parts) -> float:
    """How long a way takes."""
    start = time.perf_counter()
    way(parts)
    return time.perf_counter() - start


def peak(way: Way, parts: Parts) -> int:
    """How many bytes a way holds at the most."""
    tracemalloc.start()
    way(parts)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def compare(title: str, data: bytes, baseline: Way, **ways: Way) -> None:
    """Print a table."""
    parts = chunks(data)
    rounds = [[seconds(way, parts) for way in (baseline, *ways.values())] for _ in range(ROUNDS)]
    print(f"\n{title}, {len(data) / 1e6:.1f} MB of text in chunks of 64 KB")
    print(f"  {'way':<34}{'ms':>8}{'MB/s':>8}{'ratio':>8}{'peak KB':>10}")
    for column, (name, way) in enumerate({baseline.__name__: baseline, **ways}.items()):
        median = statistics.median(round_[column] for round_ in rounds)
        ratio = statistics.median(round_[column] / round_[0] for round_ in rounds)
        rate = len(data) / median / 1e6
        memory = peak(way, parts) / 1024
        print(f"  {name:<34}{median * 1e3:>8.2f}{rate:>8.0f}{ratio:>8.3f}{memory:>10.0f}")


def main() -> None:
    """Print all tables."""
    for megabytes in (2, 12):
        encoded = base64.b64encode(picture(megabytes)).decode()
        ways = {
            "extracted into memory": extracted,
            "extracted into nowhere": lambda parts: extracted(parts, Nowhere),
            "dropped": dropped,
        }
        compare(f"JSON, {megabytes} MB picture", body(encoded), standard, **ways)
        compare("the same with escaped slashes", body(encoded, escape=True), standard, **ways)
    encoded = base64.b64encode(picture(2)).decode()
    compare("SSE, six times a 2 MB picture", stream(encoded), sdk_events, extracted=extracted_events)
    prose = body("No picture, but a long text. " * 300_000)
    compare("JSON without a picture", prose, parsed, extracted=extracted)


if __name__ == "__main__":
    main()
