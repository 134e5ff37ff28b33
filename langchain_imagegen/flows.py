"""Drawing as generator flows: they yield steps, are sent what the steps gave, and return the result.

Every decision about sending stands here, once for sync and async: retries, and the ladder of ways to name a source.
No client, no sleep and no file: the transport carries the steps out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from langchain_imagegen import wire, wire_images
from langchain_imagegen.artifacts import GeneratedImage, ImageResult, Origin, Rung
from langchain_imagegen.errors import (
    ConnectionLostError,
    ImageGenerationError,
    ImageStoreError,
    RateLimitError,
    ServiceError,
    UnknownImageError,
)
from langchain_imagegen.failures import is_lost_reference
from langchain_imagegen.options import ImageOptions
from langchain_imagegen.references import Remote, Source

Api = Literal["responses", "images"]
Reference = Literal["auto", "call_id", "response_id", "bytes"]

LONGEST_WAIT = 120.0  # seconds; a service that asks for more gets its error handed on


@dataclass(frozen=True)
class Call:
    """Send a request that draws; gives an `ImageResult`."""

    api: Api
    body: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True)
class Wait:
    """Wait; gives nothing."""

    seconds: float


@dataclass(frozen=True)
class Read:
    """Read an image out of its store; gives a data URL."""

    image: GeneratedImage


Step: TypeAlias = "Call | Wait | Read"
Flow: TypeAlias = "Generator[Step, Any, ImageResult]"


@dataclass(frozen=True)
class Drawing:
    """A request made ready: references resolved, options merged and checked, nothing heavy in it."""

    model: str
    prompt: str
    options: ImageOptions
    provider: str = ""
    api: Api = "responses"
    turns: tuple[tuple[str, str], ...] = ()
    earlier: tuple[GeneratedImage, ...] = ()
    sources: tuple[Source, ...] = ()
    mask: Source | None = None
    tool_choice: object = None
    previous_response_id: str | None = None
    previous: tuple[GeneratedImage, ...] = ()
    conversation: str | Mapping[str, Any] | None = None
    instructions: str | None = None
    store: bool | None = None
    reference: Reference = "auto"
    stream: bool = False
    max_retries: int = 2
    edits: bool = False
    failed: tuple[str, ...] = field(default=(), compare=False)

    def trace(self) -> dict[str, Any]:
        """The request as tracers and callbacks see it: small JSON."""
        images = [_told(source) for source in self.sources]
        told = {
            "prompt": self.prompt,
            "model": self.model,
            "options": self.options.sent(),
            "images": images,
            "mask": _told(self.mask) if self.mask else None,
            "previous_response_id": self.previous_response_id,
            "turns": [list(turn) for turn in self.turns],
        }
        return {key: value for key, value in told.items() if value}


def draw(drawing: Drawing) -> Flow:
    """Draw or edit, naming each source by the first way that works.

    Raises:
        UnknownImageError: no way is left to name a source; it tells each and why it failed.
    """
    while True:
        call, rungs = yield from _compose(drawing)
        try:
            result = yield from _with_retries(call, drawing.max_retries)
        except ServiceError as error:
            lost = _lost_sources(drawing, rungs, error)
            if not lost:
                raise
            drawing = _without(drawing, lost, rungs, error)
        else:
            return _concluded(drawing, result, rungs)


def retry_delay(error: ImageGenerationError, attempt: int) -> float | None:
    """Seconds to wait before the same request is sent again; `None`: it must not be, it may have been paid for.

    Sent again is only what certainly drew nothing: a connection that never stood, a rate limit, a fault before a body.
    """
    backoff = min(0.5 * 2.0**attempt, 8.0)
    if isinstance(error, ConnectionLostError):
        return None if error.sent else backoff
    if isinstance(error, ServiceError) and error.retryable is False:
        return None
    if isinstance(error, RateLimitError) and error.status == 429:
        asked = backoff if error.retry_after is None else error.retry_after
        return asked if asked <= LONGEST_WAIT else None
    if isinstance(error, ServiceError) and (error.status or 0) >= 500:
        return min(error.retry_after or backoff, LONGEST_WAIT)
    return None


def _with_retries(call: Call, retries: int) -> Flow:
    for attempt in range(retries + 1):
        try:
            return (yield call)
        except ImageGenerationError as error:
            delay = retry_delay(error, attempt)
            if delay is None or attempt == retries:
                raise
        yield Wait(delay)
    raise AssertionError("unreachable")


# --- the ladder -------------------------------------------------------------------------------------------------


def rung_of(source: Source, drawing: Drawing) -> Rung | None:
    """The first way of naming a source that can work; `None` for what the service finds by itself."""
    if isinstance(source, Remote):
        return "call_id" if source.call_id else None
    ways: dict[str, tuple[Rung, ...]] = {
        "auto": ("call_id", "bytes"),
        "call_id": ("call_id", "bytes"),
        "response_id": ("response_id", "call_id", "bytes"),
        "bytes": ("bytes",),
    }
    return next((rung for rung in ways[drawing.reference] if _can(source, rung, drawing)), "bytes")


def _can(image: GeneratedImage, rung: Rung, drawing: Drawing) -> bool:
    if rung in image.dead_rungs:
        return False
    if rung == "bytes":
        return True
    known_here = image.origin == "model" and image.stored is not False
    if not known_here or image.id.startswith("sha256:") or image.provider not in ("", drawing.provider):
        return False
    if rung == "call_id":
        return True
    chained = drawing.previous_response_id or image.response_id
    alone = {getattr(source, "response_id", None) for source in drawing.sources} == {image.response_id}
    return bool(image.response_id) and alone and chained == image.response_id and not drawing.conversation


def _compose(drawing: Drawing) -> Generator[Step, Any, tuple[Call, dict[str, Rung | None]]]:
    """The request for the ways that are left, and the way by which it names each source."""
    if drawing.api == "images":
        tool = drawing.options.tool()
        body = wire_images.build_body(drawing.prompt, tool, stream=drawing.stream)
        return Call("images", body, _origin(drawing)), {}
    rungs = {_key(source): rung_of(source, drawing) for source in (*_context(drawing), *drawing.sources)}
    named: list[wire.Item] = []
    parts: list[wire.Item] = []
    for source in (*_context(drawing), *drawing.sources):
        rung = rungs[_key(source)]
        if rung == "call_id":
            named += _call_items(source, named)
        elif rung != "response_id":
            parts.append(wire.image_part(**(yield from _address(source, drawing))))
    mask = None
    if drawing.mask is not None:
        mask = wire.mask_field(**(yield from _address(drawing.mask, drawing)))
    return Call("responses", _body(drawing, named, parts, mask, rungs), _origin(drawing)), rungs


def _body(
    drawing: Drawing,
    named: Sequence[wire.Item],
    parts: Sequence[wire.Item],
    mask: wire.Item | None,
    rungs: Mapping[str, Rung | None],
) -> dict[str, Any]:
    turns = [wire.turn(role, text) for role, text in drawing.turns]
    chained = next((s.response_id for s in drawing.sources if rungs[_key(s)] == "response_id"), None)  # type: ignore[union-attr]
    return wire.build_body(
        model=drawing.model,
        items=[*turns, *named, wire.user_turn(drawing.prompt, parts)],
        tool=drawing.options.tool(mask),
        tool_choice=drawing.tool_choice,
        previous_response_id=drawing.previous_response_id or chained,
        conversation=drawing.conversation,
        instructions=drawing.instructions,
        store=drawing.store,
        stream=drawing.stream or None,
    )


def _context(drawing: Drawing) -> tuple[GeneratedImage, ...]:
    """The pictures of earlier turns that go along unasked: those with an id, else the latest by its bytes."""
    asked = {_key(source) for source in drawing.sources}
    earlier = {image.id: image for image in drawing.earlier if image.id not in asked}
    by_id = tuple(image for image in earlier.values() if _can(image, "call_id", drawing))
    latest = tuple(earlier.values())[-1:]
    return by_id if not latest or latest[0] in by_id else (*by_id, *latest)


def _call_items(source: Source, before: Sequence[wire.Item]) -> list[dict[str, Any]]:
    if isinstance(source, Remote):
        return [{"type": wire.CALL, "id": source.call_id}]
    return wire.call_items(source, [item["id"] for item in before])


def _address(source: Source, drawing: Drawing) -> Generator[Step, Any, dict[str, str | None]]:
    if isinstance(source, Remote):
        return {"url": source.url, "file_id": source.file_id}
    try:
        return {"url": (yield Read(source))}
    except ImageStoreError as error:
        tried = "; ".join((*drawing.failed, f"bytes: {error}"))
        raise UnknownImageError(
            f"{source.handle} can no longer be edited, every way to name it failed: {tried}",
            known=[source.handle],
        ) from error


def _lost_sources(drawing: Drawing, rungs: Mapping[str, Rung | None], error: ServiceError) -> list[Source]:
    """The sources that the error says the service does not know: those that it names, else all named by id."""
    if not is_lost_reference(error):
        return []
    by_id = [s for s in (*_context(drawing), *drawing.sources) if rungs.get(_key(s)) in ("call_id", "response_id")]
    blamed = [source for source in by_id if any(id in str(error) for id in _ids(source))]
    return [source for source in blamed or by_id if isinstance(source, GeneratedImage)]


def _without(
    drawing: Drawing, lost: Sequence[Source], rungs: Mapping[str, Rung | None], error: ServiceError
) -> Drawing:
    """The same drawing with a way less to name each lost source."""
    dead = {_key(source): rungs[_key(source)] for source in lost}

    def aged(source: Any) -> Any:
        rung = dead.get(_key(source))
        return (
            source.model_copy(update={"dead_rungs": (*source.dead_rungs, rung)}).bind(source._store) if rung else source
        )

    told = tuple(f"{rung}: {error}" for rung in dict.fromkeys(dead.values()))
    return replace(
        drawing,
        sources=tuple(map(aged, drawing.sources)),
        earlier=tuple(map(aged, drawing.earlier)),
        failed=(*drawing.failed, *told),
    )


def _concluded(drawing: Drawing, result: ImageResult, rungs: Mapping[str, Rung | None]) -> ImageResult:
    """The result with how its sources were named, and a warning where an edit was not one."""
    known = tuple(source for source in drawing.sources if isinstance(source, GeneratedImage))
    rung = _weakest([rungs.get(_key(source)) for source in drawing.sources])
    if drawing.previous_response_id and rung is None:
        rung = "response_id"
    warnings = [
        *result.warnings,
        *(f"an earlier way to name the image failed and the next was used: {why}" for why in drawing.failed),
    ]
    images = result.images
    if not drawing.sources and not drawing.previous_response_id and not drawing.earlier:
        rung = None
    elif any(image.action == "generate" for image in images):
        if drawing.edits:
            warnings.append("the service drew a new picture instead of editing the one it was given")
        images = tuple(_orphaned(image) for image in images)
        rung = None if all(image.action == "generate" for image in images) else rung
    return result.model_copy(update={"images": images, "rung": rung, "warnings": tuple(warnings), "sources": known})


def _orphaned(image: GeneratedImage) -> GeneratedImage:
    return image.model_copy(update={"parents": ()}) if image.action == "generate" else image


def _weakest(rungs: Sequence[Rung | None]) -> Rung | None:
    order: tuple[Rung, ...] = ("bytes", "call_id", "response_id")
    return next((rung for rung in order if rung in rungs), None)


def _origin(drawing: Drawing) -> Origin:
    parents = [_key(source) for source in drawing.sources if isinstance(source, GeneratedImage) or source.call_id]
    if not drawing.sources:
        parents = [image.id for image in (drawing.previous or drawing.earlier)[-1:]]
    return Origin(
        provider=drawing.provider,
        prompt=drawing.prompt,
        parents=tuple(parents),
        image_model=drawing.options.model,
        stored=drawing.store is not False,
        partial_images=drawing.options.partial_images or 0,
    )


def _key(source: Source) -> str:
    return source.id if isinstance(source, GeneratedImage) else source.call_id or source.file_id or source.url or ""


def _ids(source: Source) -> tuple[str, ...]:
    if isinstance(source, Remote):
        return (source.call_id or "",)
    return (source.id, *source.companion_ids, *([source.response_id] if source.response_id else []))


def _told(source: Source) -> dict[str, Any]:
    if isinstance(source, GeneratedImage):
        return source.record()
    named = {"url": source.url, "file_id": source.file_id, "call_id": source.call_id}
    return {key: value for key, value in named.items() if value}
