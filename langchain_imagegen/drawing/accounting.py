"""What others see of a drawing's tokens: LangChain's callbacks and tracers as model runs, OpenTelemetry as a span.

LangChain counts tokens where a model run ends (`get_usage_metadata_callback`, LangSmith). So each model of a finished
drawing gets a run of its own below the run of the drawing, without content: no chat stream shows it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_imagegen.drawing.telemetry import OPERATION, provider_name, record_span
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.usage import ImageUsage, ResponseTokens

Piece: TypeAlias = "PartialImage | ImageResult"
_HIDDEN = ["nostream"]  # LangGraph's tag for runs that are no part of a chat


@dataclass(frozen=True)
class ModelRun:
    """The tokens of one model in a response."""

    model: str
    usage: UsageMetadata
    host: str = ""
    prompt: str = ""

    def settings(self) -> dict[str, Any]:
        """Return what the callbacks of the run are configured with; the `ls_` names are LangSmith's."""
        provider = {"openai": "openai", "azure.ai.openai": "azure"}[provider_name(self.host)]
        metadata = {"ls_provider": provider, "ls_model_name": self.model, "ls_model_type": "chat"}
        return {"local_tags": _HIDDEN, "local_metadata": metadata}

    def result(self) -> LLMResult:
        """Return the end of the run: the tokens, and no content."""
        message = AIMessage("", usage_metadata=self.usage, response_metadata={"model_name": self.model})
        return LLMResult(generations=[[ChatGeneration(message=message)]])


def report(callbacks: Any, runs: list[ModelRun]) -> None:
    """Tell callbacks of model runs that have ended."""
    for each in runs:
        manager = CallbackManager.configure(callbacks, **each.settings())
        for run in manager.on_llm_start({"name": OPERATION}, [each.prompt], name=OPERATION):
            run.on_llm_end(each.result())


async def areport(callbacks: Any, runs: list[ModelRun]) -> None:
    """Async twin of `report`."""
    for each in runs:
        manager = AsyncCallbackManager.configure(callbacks, **each.settings())
        for run in await manager.on_llm_start({"name": OPERATION}, [each.prompt], name=OPERATION):
            await run.on_llm_end(each.result())


def callbacks_here() -> Any:
    """Return the callbacks of the node of a graph that runs here; None outside a graph."""
    try:
        from langgraph.config import get_config

        return get_config().get("callbacks")
    except (ImportError, RuntimeError):
        return None


def image_run(model: str | None, usage: ImageUsage | None, host: str, prompt: str) -> list[ModelRun]:
    """Return the run of an image model, if its tokens are known."""
    if model is None or usage is None or not usage.total_tokens:
        return []
    counted = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=usage.input_token_details,  # type: ignore[typeddict-item]  # kinds of an image model
        output_token_details=usage.output_token_details,  # type: ignore[typeddict-item]
    )
    return [ModelRun(model, counted, host, prompt)]


class Account:
    """Keeps the account of one drawing: the runs of its models, and its span from beginning to end.

    Args:
        manager: LangChain's callbacks of the run that draws, if there is one.
        prompt: What is drawn.
        image_model: The image model that is asked for.
        keep: Puts what arrives where it belongs, before anybody is told, and returns it.
    """

    def __init__(self, manager: Any, prompt: str, image_model: str | None, keep: Callable[[Piece], Piece]) -> None:
        self._keep = keep
        self._manager, self._prompt, self._image_model = manager, prompt, image_model
        self._result: ImageResult | None = None

    def __enter__(self) -> Self:
        self._began = time.time_ns()
        return self

    def follow(self, pieces: Generator[Piece]) -> Generator[Piece]:
        """Yield what arrives of the drawing."""
        with self, closing(pieces):
            for piece in pieces:
                kept = self._keep(piece)
                self.note(kept)
                yield kept

    async def afollow(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """Async twin of `follow`."""
        with self:
            async with aclosing(pieces):
                async for piece in pieces:
                    kept = self._keep(piece)
                    await self.anote(kept)
                    yield kept

    def note(self, piece: object) -> None:
        """Tell the callbacks of the tokens of a result; a partial picture has none."""
        runs = list(self._runs(piece))
        if runs and (callbacks := self._callbacks):
            report(callbacks, runs)

    async def anote(self, piece: object) -> None:
        """Async twin of `note`."""
        runs = list(self._runs(piece))
        if runs and (callbacks := self._callbacks):
            await areport(callbacks, runs)

    @property
    def _callbacks(self) -> Any:
        """The callbacks of the runs below; None if nobody follows this one, since to set them up takes a while."""
        return self._manager.get_child() if self._manager and self._manager.handlers else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        result = self._result
        if result is not None:
            usage = result.image_usage
            record_span(
                result.image.image_model or self._image_model,
                self._began,
                host=result.image.provider,
                prompt=self._prompt,
                response_id=result.response_id,
                usage=None if result.from_ledger else usage,
                tokens=None if result.from_ledger else ResponseTokens.of(usage, result.usage, result.model),
            )
        elif isinstance(error, Exception):
            record_span(self._image_model, self._began, prompt=self._prompt, error=type(error).__name__)

    def _runs(self, piece: object) -> Iterator[ModelRun]:
        """Yield the run of each model that took tokens; none for pictures of the ledger, which were paid for before."""
        if not isinstance(piece, ImageResult):
            return
        self._result = piece
        if piece.from_ledger:
            return
        host = piece.image.provider
        if piece.usage is not None and piece.model is not None:
            yield ModelRun(piece.model, piece.usage, host, self._prompt)
        yield from image_run(piece.image.image_model, piece.image_usage, host, self._prompt)
