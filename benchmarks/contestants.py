"""What every way of getting a picture has in common, and the shelf on which its pictures end.

Which ways there are stands in `lineup`; what is measured about them, in the modules of the measures.
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
    """Where pictures end: in memory, or in a folder.

    Args:
        folder: `None` is memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.store = ImageStore(folder / "store" if folder else "memory://benchmarks")
        self._numbers = itertools.count()
        self._others = folder / "others" if folder else None

    def keep(self, data: bytes) -> bytes:
        """Put a picture here, as one does who has no store."""
        if self._others:
            self._others.mkdir(exist_ok=True)
            (self._others / f"{next(self._numbers)}.png").write_bytes(data)
        return data

    def clear(self) -> None:
        """Forget all pictures, so that each call begins alike."""
        MemoryFileSystem.store.clear()
        for path in self.folder.iterdir() if self.folder else ():
            shutil.rmtree(path)


class Contestant:
    """One way from a request to a picture, or to a picture after its partial ones.

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
        """Modules without which this cannot run."""
        return [name for name in cls.needs if find_spec(name) is None]

    def draw(self) -> Any:
        """One picture."""
        raise NotImplementedError

    async def adraw(self) -> Any:
        """Async twin of `draw`."""
        raise NotImplementedError

    def stream(self) -> Iterator[Any]:
        """Partial pictures, as far as they are given, and the final one last."""
        raise NotImplementedError

    def astream(self) -> AsyncIterator[Any]:
        """Async twin of `stream`."""
        raise NotImplementedError

    def crowd(self, loop: asyncio.AbstractEventLoop, count: int) -> list[Any]:
        """So many pictures at once."""

        async def gathered() -> list[Any]:
            return await asyncio.gather(*(self.adraw() for _ in range(count)))

        return loop.run_until_complete(gathered())

    def read(self, drawn: Any) -> bytes:
        """The bytes of what was drawn."""
        data: bytes = drawn
        return data

    async def aclose(self) -> None:
        """Give connections back."""
