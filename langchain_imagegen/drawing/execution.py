"""One call of a generator under way: the flow of its request, or its `around_image` functions around their requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing

from langchain_imagegen.drawing.around import Asked
from langchain_imagegen.drawing.ladder import Drawing
from langchain_imagegen.drawing.presence import Presence
from langchain_imagegen.drawing.request import prepare_asked
from langchain_imagegen.drawing.runner import Runner
from langchain_imagegen.drawing.settings import GeneratorSettings
from langchain_imagegen.drawing.steps import Flow
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.request import ImageRequest
from langchain_imagegen.storage.call_store import CallStore


class Execution:
    """Carries out the flows of one call.

    Args:
        runner: Sends the requests.
        settings: The generator.
        partials: Whether partial pictures are wanted.
    """

    def __init__(self, runner: Runner, settings: GeneratorSettings, *, partials: bool) -> None:
        self._runner, self._settings, self._partials = runner, settings, partials

    @property
    def presence(self) -> Presence:
        """What learns that the caller has gone."""
        return self._runner.presence

    @property
    def response_id(self) -> str | None:
        """The id of the latest response, as soon as it is known."""
        return self._runner.response_id

    def run(self, drawing: Drawing | Asked) -> Generator[PartialImage | ImageResult]:
        """Yield partial pictures as they arrive, if they are wanted, and the result last."""
        if isinstance(drawing, Asked):
            return drawing.run(lambda request: self._prepare_and_run(drawing, request))
        return self._runner.run(self._flow(drawing), self._store(), partials=self._partials)

    def arun(self, drawing: Drawing | Asked) -> AsyncGenerator[PartialImage | ImageResult]:
        """Return what `run` does, for async drawings."""
        if isinstance(drawing, Asked):
            return drawing.arun(lambda request: self._aprepare_and_run(drawing, request))
        return self._runner.arun(self._flow(drawing), self._store(), partials=self._partials)

    def _prepare_and_run(self, asked: Asked, request: ImageRequest) -> Generator[PartialImage | ImageResult]:
        yield from self.run(prepare_asked(asked, request, self._settings))

    async def _aprepare_and_run(
        self, asked: Asked, request: ImageRequest
    ) -> AsyncGenerator[PartialImage | ImageResult]:
        drawing = await asyncio.to_thread(prepare_asked, asked, request, self._settings)
        async with aclosing(self.arun(drawing)) as pieces:
            async for piece in pieces:
                yield piece

    def _flow(self, drawing: Drawing) -> Flow:
        """Return the steps of a request: those that buy the picture, and the library's entry if there is a library."""
        library = self._settings.library
        if library is None:
            return self._purchase(drawing)
        from langchain_imagegen.drawing.cataloguing import catalogued, check_library

        check_library(library, self._settings.chosen_store)  # a copy, or the environment, may name another store now
        return catalogued(self._purchase(drawing), library)

    def _purchase(self, drawing: Drawing) -> Flow:
        """Return the steps that buy a picture, which ask the ledger first if the request has a key."""
        if drawing.key is None:
            from langchain_imagegen.drawing.flows import draw

            return draw(drawing)
        from langchain_imagegen.drawing.purchase import buy_once

        store = self._settings.chosen_store
        return buy_once(drawing, drawing.key, store.ledger(self._settings.ledger_expires), store)

    def _store(self) -> CallStore:
        return CallStore(self._settings.chosen_store)
