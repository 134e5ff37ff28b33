"""The ladder: how a request names each picture (its rung), and which rung comes next when one has failed.

Pure functions of a `Drawing`; `flows` sends the requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from langchain_imagegen.api.service_errors import SERVICE_ID, is_lost_reference
from langchain_imagegen.conversation.references import Remote, Source
from langchain_imagegen.errors import ServiceError
from langchain_imagegen.images.image import GeneratedImage, Origin, Rung, is_kept_by
from langchain_imagegen.images.regions import Region
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import Api, ImageOptions, Reference

if TYPE_CHECKING:
    from langchain_imagegen.drawing.allowances import Allowance
    from langchain_imagegen.drawing.executions import Key
    from langchain_imagegen.drawing.listeners import Listener

Rungs = Mapping[str, "Rung | None"]
"""The rung that names each source, keyed by `key_of`; `None` for a source that the service fetches itself."""


WAYS: dict[str, tuple[Rung, ...]] = {
    "auto": ("call_id", "bytes"),
    "call_id": ("call_id", "bytes"),
    "response_id": ("response_id", "call_id", "bytes"),
    "bytes": ("bytes",),
}


@dataclass(frozen=True)
class Drawing:
    """A prepared request: references resolved, options merged and checked. It holds no image bytes."""

    model: str
    prompt: str
    options: ImageOptions
    provider: str = ""
    api: Api = "responses"
    turns: tuple[tuple[str, str], ...] = ()
    earlier: tuple[GeneratedImage, ...] = ()
    sources: tuple[Source, ...] = ()
    mask: Source | None = None
    region: Region | None = None
    tool_choice: object = None
    previous_response_id: str | None = None
    previous: tuple[GeneratedImage, ...] = ()
    conversation: str | Mapping[str, Any] | None = None
    instructions: str | None = None
    store: bool | None = None
    reference: Reference = "auto"
    stream: bool = False
    background: bool = False
    resumed: str | None = None
    patience: float = math.inf
    max_retries: int = 2
    max_wait: float = 120.0
    check_options: bool = True
    fallbacks: tuple[ImageOptions, ...] = ()
    edits: bool = False
    reasoning: Mapping[str, Any] | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    place: int | None = None
    key: Key | None = field(default=None, compare=False)
    listeners: tuple[Listener, ...] = field(default=(), compare=False)
    allowance: Allowance | None = field(default=None, compare=False)
    failed: tuple[str, ...] = field(default=(), compare=False)

    @property
    def asks_for_partials(self) -> bool:
        """True if the caller asked for partial pictures; an error carries them even where only the result is wanted."""
        return bool(self.options.partial_images)

    def trace(self) -> dict[str, Any]:
        """Return the request as tracers and callbacks see it: small JSON without image bytes."""
        images = [_traced(source) for source in self.sources]
        fields = {
            "prompt": self.prompt,
            "model": self.model,
            "options": self.options.sent(),
            "images": images,
            "mask": _traced(self.mask) if self.mask else None,
            "region": str(self.region) if self.region else None,
            "previous_response_id": self.previous_response_id,
            "turns": [list(turn) for turn in self.turns],
            "response_id": self.resumed,
        }
        return {key: value for key, value in fields.items() if value}


def rung_of(source: Source, drawing: Drawing) -> Rung | None:
    """Return the first rung that can name a source, or None for a source that the service fetches itself."""
    if isinstance(source, Remote):
        return "call_id" if source.call_id else None
    return next((rung for rung in WAYS[drawing.reference] if _can(source, rung, drawing)), "bytes")


def _can(image: GeneratedImage, rung: Rung, drawing: Drawing) -> bool:
    if rung in image.dead_rungs:
        return False
    if rung == "bytes":
        return True
    if not is_kept_by(drawing.provider, image):
        return False
    if rung == "call_id":
        return True
    chained = drawing.previous_response_id or image.response_id
    alone = {getattr(source, "response_id", None) for source in drawing.sources} == {image.response_id}
    return bool(image.response_id) and alone and chained == image.response_id and not drawing.conversation


def context_of(drawing: Drawing) -> tuple[GeneratedImage, ...]:
    """Return the pictures of earlier turns to send as context: all that have an id, and always the latest one."""
    asked = {key_of(source) for source in drawing.sources}
    earlier = {image.id: image for image in drawing.earlier if image.id not in asked}
    by_id = tuple(image for image in earlier.values() if _can(image, "call_id", drawing))
    latest = tuple(earlier.values())[-1:]
    return by_id if not latest or latest[0] in by_id else (*by_id, *latest)


def next_rung(drawing: Drawing, rungs: Rungs, error: ServiceError) -> Drawing | None:
    """Return the drawing to try next after a lost reference, or None if the error is about something else."""
    if not is_lost_reference(error):
        return None
    if drawing.previous and drawing.previous_response_id and drawing.previous_response_id in str(error):
        return _name_previous_pictures(drawing, error)
    lost = lost_sources(drawing, rungs, error)
    return drop_rung(drawing, lost, rungs, error) if lost else None


def _name_previous_pictures(drawing: Drawing, error: ServiceError) -> Drawing:
    """Return the drawing with the pictures of the lost previous response as its sources, as the memory knows them."""
    return replace(
        drawing,
        previous_response_id=None,
        previous=(),
        sources=(*drawing.previous, *drawing.sources),
        edits=True,
        failed=(*drawing.failed, f"response_id: {error}"),
    )


def lost_sources(drawing: Drawing, rungs: Rungs, error: ServiceError) -> list[Source]:
    """Return the sources that the service no longer knows: those that the error names, else all sent by id."""
    by_id = [s for s in (*context_of(drawing), *drawing.sources) if rungs.get(key_of(s)) in ("call_id", "response_id")]
    blamed = [source for source in by_id if any(id in str(error) for id in _ids(source))]
    if not blamed and SERVICE_ID.search(str(error)):
        return []  # the error names another object, such as a file or the previous response
    return [source for source in blamed or by_id if isinstance(source, GeneratedImage)]


def drop_rung(drawing: Drawing, lost: Sequence[Source], rungs: Rungs, error: ServiceError) -> Drawing:
    """Return the drawing with the failed rung of each lost source marked as dead."""
    dead = {key_of(source): rungs[key_of(source)] for source in lost}

    def mark_dead(source: Any) -> Any:
        rung = dead.get(key_of(source))
        return source.model_copy(update={"dead_rungs": (*source.dead_rungs, rung)}) if rung else source

    failures = tuple(f"{rung}: {error}" for rung in dict.fromkeys(dead.values()))
    return replace(
        drawing,
        sources=tuple(map(mark_dead, drawing.sources)),
        earlier=tuple(map(mark_dead, drawing.earlier)),
        failed=(*drawing.failed, *failures),
    )


def finish_result(drawing: Drawing, result: ImageResult, rungs: Rungs) -> ImageResult:
    """Return the result with the rung that named its sources, and a warning if the service drew instead of editing."""
    lost = (image for image in drawing.earlier if image.dead_rungs)
    known = (*lost, *(source for source in drawing.sources if isinstance(source, GeneratedImage)))
    named = drawing.sources or context_of(drawing)
    rung = _weakest([rungs.get(key_of(source)) for source in named])
    if drawing.previous_response_id and rung is None:
        rung = "response_id"
    warnings = [
        *result.warnings,
        *drawing.warnings,
        *(f"an earlier way to name the image failed and the next was used: {why}" for why in drawing.failed),
    ]
    images = result.images
    if not drawing.sources and not drawing.previous_response_id and not drawing.earlier:
        rung = None
    elif any(image.action == "generate" for image in images):
        if drawing.edits:
            warnings.append("the service drew a new picture instead of editing the one it was given")
        images = tuple(_without_parents(image) for image in images)
        rung = None if all(image.action == "generate" for image in images) else rung
    return result.model_copy(update={"images": images, "rung": rung, "warnings": tuple(warnings), "sources": known})


def _without_parents(image: GeneratedImage) -> GeneratedImage:
    return image.model_copy(update={"parents": ()}) if image.action == "generate" else image


def _weakest(rungs: Sequence[Rung | None]) -> Rung | None:
    order: tuple[Rung, ...] = ("bytes", "call_id", "response_id")
    return next((rung for rung in order if rung in rungs), None)


def origin_of(drawing: Drawing) -> Origin:
    """Return the provenance that goes into the records of the drawn pictures."""
    parents = [key_of(source) for source in drawing.sources if isinstance(source, GeneratedImage) or source.call_id]
    if not drawing.sources:
        parents = [image.id for image in (drawing.previous or drawing.earlier)[-1:]]
    return Origin(
        provider=drawing.provider,
        prompt=drawing.prompt or None,
        parents=tuple(parents),
        image_model=drawing.options.model,
        stored=drawing.store is not False,
        partial_images=drawing.options.partial_images or 0,
    )


def key_of(source: Source) -> str:
    """Return the key that identifies a source within a request: its id or its address."""
    return source.id if isinstance(source, GeneratedImage) else source.call_id or source.file_id or source.url or ""


def _ids(source: Source) -> tuple[str, ...]:
    if isinstance(source, Remote):
        return (source.call_id or "",)
    return (source.id, *source.companion_ids, *([source.response_id] if source.response_id else []))


def _traced(source: Source) -> dict[str, Any]:
    if isinstance(source, GeneratedImage):
        return source.record()
    named = {"url": source.url, "file_id": source.file_id, "call_id": source.call_id}
    return {key: value for key, value in named.items() if value}
