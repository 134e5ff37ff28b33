"""Time and memory of one drawing next to `client.responses.create` and `base64.b64decode`, as ratios of one run.

Both talk to the same loopback server, a process of its own that answers at once with a prepared body, so that what is
measured is the client alone. Rounds alternate between the two; a ratio is taken within a round, its median is shown.

    python benchmarks/calls.py [rounds]
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import socket
import statistics
import struct
import sys
import tempfile
import time
import tracemalloc
import zlib
from pathlib import Path

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
MB = 1_000_000
PROMPT = "draw a fox"
TOOL = {"type": "image_generation", "model": "gpt-image-2"}


def png(size: int) -> bytes:
    """A valid PNG of about `size` bytes, of noise, as a photograph is to a compressor."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    edge = int((size / 3) ** 0.5)
    rows = b"".join(b"\0" + os.urandom(edge * 3) for _ in range(edge))
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def response(picture: bytes) -> dict:
    item = {
        "id": "ig_1",
        "type": "image_generation_call",
        "status": "completed",
        "action": "generate",
        "background": "opaque",
        "output_format": "png",
        "quality": "high",
        "result": base64.b64encode(picture).decode(),
        "revised_prompt": "A fox.",
        "size": "1024x1024",
    }
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "model": "gpt-5.4",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [TOOL],
        "store": True,
        "usage": usage,
    }


def events(picture: bytes) -> bytes:
    """Three partials of a quarter of the size each, the final as a fourth, and its two further copies."""
    whole = response(picture)
    item = whole["output"][0]
    early = base64.b64encode(png(len(picture) // 4)).decode()
    partials = [early, early, early, item["result"]]
    told = [{"type": "response.created", "response": {**whole, "output": [], "status": "in_progress"}}]
    told += [
        {
            "type": "response.image_generation_call.partial_image",
            "item_id": "ig_1",
            "output_index": 0,
            "partial_image_index": n,
            "partial_image_b64": data,
            "output_format": "png",
        }
        for n, data in enumerate(partials)
    ]
    told += [{"type": "response.output_item.done", "output_index": 0, "item": item}]
    told += [{"type": "response.completed", "response": whole}]
    frames = [{**event, "sequence_number": n} for n, event in enumerate(told)]
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in frames).encode()


def serve(listener: socket.socket, bodies: dict[str, tuple[str, bytes]]) -> None:
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        file = connection.makefile("rb")
        while line := file.readline():
            path, length = line.split()[1].decode(), 0
            while (header := file.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            file.read(length)
            kind, body = bodies[path.split("/")[1]]
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
        os._exit(0)


def start(bodies: dict[str, tuple[str, bytes]]) -> tuple[str, multiprocessing.Process]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listener, bodies), daemon=True)
    process.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", process


# --- the two sides


class Raw:
    """The SDK and the standard library, as in OpenAI's guide."""

    def __init__(self, url: str, folder: str | None) -> None:
        import openai

        self.folder = folder
        self.client = openai.OpenAI(base_url=url, api_key="none")
        self.aclient = openai.AsyncOpenAI(base_url=url, api_key="none")

    def keep(self, text: str) -> bytes:
        data = base64.b64decode(text)
        if self.folder:
            (Path(self.folder) / "raw.png").write_bytes(data)
        return data

    def draw(self) -> object:
        answer = self.client.responses.create(model="gpt-5.4", input=PROMPT, tools=[TOOL])
        return [self.keep(item.result) for item in answer.output if item.type == "image_generation_call"]

    async def adraw(self) -> object:
        answer = await self.aclient.responses.create(model="gpt-5.4", input=PROMPT, tools=[TOOL])
        return [self.keep(item.result) for item in answer.output if item.type == "image_generation_call"]

    def stream(self) -> float:
        began = first = time.perf_counter()
        for event in self.client.responses.create(model="gpt-5.4", input=PROMPT, tools=[TOOL], stream=True):
            if event.type.endswith("partial_image"):
                base64.b64decode(event.partial_image_b64)
                first = time.perf_counter() if event.partial_image_index == 0 else first
            elif event.type == "response.completed":
                self.keep(event.response.output[0].result)
        return first - began


class Ours:
    """`ImageGenerator` into a folder, or into a store in memory."""

    def __init__(self, url: str, folder: str | None) -> None:
        from langchain_imagegen import ImageGenerator, ImageStore

        store = ImageStore(folder or "memory://bench")
        self.generator = ImageGenerator(base_url=url, api_key="none", image_store=store)

    def draw(self) -> object:
        return self.generator.invoke(PROMPT)

    async def adraw(self) -> object:
        return await self.generator.ainvoke(PROMPT)

    def stream(self) -> float:
        began = first = time.perf_counter()
        for n, _ in enumerate(self.generator.stream(PROMPT, partial_images=3)):
            first = time.perf_counter() if n == 0 else first
        return first - began


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratio(raw, ours) -> tuple[float, float]:
    """Median of ours over raw, and raw's median in milliseconds."""
    raw(), ours()
    pairs = [(raw(), ours()) for _ in range(ROUNDS)]
    return statistics.median(b / a for a, b in pairs), 1000 * statistics.median(a for a, _ in pairs)


def peak(work, size: int) -> float:
    """Peak of traced memory over a call, as a multiple of the picture."""
    work()
    tracemalloc.start()
    work()
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return top / size


def main() -> None:
    """Print the table."""
    small, large = png(2 * MB), png(12 * MB)
    bodies = {
        "small": ("application/json", json.dumps(response(small)).encode()),
        "large": ("application/json", json.dumps(response(large)).encode()),
        "stream": ("text/event-stream", events(small)),
    }
    base, server = start(bodies)
    print(f"{'measure':<52}{'ours / raw':>12}{'raw':>12}")
    with tempfile.TemporaryDirectory() as folder:
        times(f"{base}/small", None, "2 MB, in memory")
        times(f"{base}/small", folder, "2 MB, into a file")
        times(f"{base}/large", folder, "12 MB, into a file")
        streams(f"{base}/stream")
        for name, path, size in (("2 MB", "small", len(small)), ("12 MB", "large", len(large))):
            peaks(f"{base}/{path}", folder, size, f"{name}, into a file")
            peaks(f"{base}/{path}", None, size, f"{name}, in memory")
    server.kill()


def times(url: str, folder: str | None, name: str) -> None:
    """Time per call, sync and async."""
    raw, ours = Raw(url, folder), Ours(url, folder)
    show(f"time per call, {name}, sync", *ratio(lambda: timed(raw.draw), lambda: timed(ours.draw)))
    loop = asyncio.new_event_loop()
    turns = [lambda side=side: timed(lambda: loop.run_until_complete(side.adraw())) for side in (raw, ours)]
    show(f"time per call, {name}, async", *ratio(*turns))
    loop.run_until_complete(raw.aclient.close())
    loop.run_until_complete(ours.generator.aclose())
    loop.close()


def streams(url: str) -> None:
    """Time of a whole stream, and until its first partial picture."""
    raw, ours = Raw(url, None), Ours(url, None)
    name = "stream, 3 partials and a final of 2 MB"
    show(f"{name}: total", *ratio(lambda: timed(raw.stream), lambda: timed(ours.stream)))
    show(f"{name}: first partial", *ratio(raw.stream, ours.stream))


def peaks(url: str, folder: str | None, size: int, name: str) -> None:
    """Peak memory of a call."""
    raw, ours = peak(Raw(url, folder).draw, size), peak(Ours(url, folder).draw, size)
    print(f"{f'peak memory, {name}, times the picture':<52}{ours:>12.2f}{raw:>10.2f} x")


def show(name: str, relative: float, milliseconds: float) -> None:
    """A row of the table."""
    print(f"{name:<52}{relative:>12.2f}{milliseconds:>10.1f} ms")


if __name__ == "__main__":
    main()
