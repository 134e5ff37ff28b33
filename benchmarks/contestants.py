"""The interface of the compared clients ("contestants"), and the shelf where they put their pictures.

`lineup` lists the contestants. Each measure has a module of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem

from langchain_imagegen import ImageStore

MODEL = "gpt-5.4"
PROMPT = "draw a fox"
TOOL = {"type": "image_generation", "model": "gpt-image-2"}
KEY = "none"

FLOOR, SDK, CHAT, PYDANTIC, AGENTS = "raw socket", "openai SDK", "ChatOpenAI", "pydantic-ai", "Agents SDK"
UNREAD = "openai SDK, body thrown away"
OURS, READ, WIRE = "langchain_imagegen", "langchain_imagegen + read()", "ChatOpenAI + http_clients()"
AIOHTTP = f"{OURS} over aiohttp"

WIRED, CHAINED = f"{OURS}, wire=True", f"{OURS}, chained"
WORDS, CHAINED_WORDS, BASE = "words alone", "words alone, chained", "langchain-core"

SYNC, ASYNC = "sync", "async"


class Shelf:
    """The place where contestants put their pictures: memory or a folder.

    Args:
        folder: The folder; `None` means memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.store = ImageStore(folder / "store" if folder else "memory://benchmarks")
        self._numbers = itertools.count()
        self._others = folder / "others" if folder else None

    def keep(self, data: bytes) -> bytes:
        """Keep a picture for a contestant that does not use the image store, and return it."""
        if self._others:
            self._others.mkdir(exist_ok=True)
            (self._others / f"{next(self._numbers)}.png").write_bytes(data)
        return data

    def clear(self) -> None:
        """Remove all pictures, so that every call starts under the same conditions."""
        MemoryFileSystem.store.clear()
        for path in self.folder.iterdir() if self.folder else ():
            shutil.rmtree(path)


class Contestant:
    """One client that draws pictures, with or without partial ones.

    Args:
        url: The service's base URL.
        shelf: Where the pictures go.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[tuple[str, ...]] = (SYNC, ASYNC)

    def __init__(self, url: str, shelf: Shelf) -> None:
        self.url, self.shelf = url, shelf

    @classmethod
    def missing(cls) -> list[str]:
        """Return the modules that this contestant needs and that are not installed."""
        return [name for name in cls.needs if find_spec(name) is None]

    def draw(self) -> Any:
        """Draw one picture."""
        raise NotImplementedError

    async def adraw(self) -> Any:
        """Async twin of `draw`."""
        raise NotImplementedError

    def stream(self) -> Iterator[Any]:
        """Yield the partial pictures, if the client provides any, and the final one last."""
        raise NotImplementedError

    def astream(self) -> AsyncIterator[Any]:
        """Async twin of `stream`."""
        raise NotImplementedError

    def draw_many(self, loop: asyncio.AbstractEventLoop, count: int) -> list[Any]:
        """Draw `count` pictures concurrently."""

        async def gather_all() -> list[Any]:
            return await asyncio.gather(*(self.adraw() for _ in range(count)))

        return loop.run_until_complete(gather_all())

    def read(self, drawn: Any) -> bytes:
        """Return the bytes of a drawn picture."""
        data: bytes = drawn
        return data

    async def aclose(self) -> None:
        """Close the connections."""
