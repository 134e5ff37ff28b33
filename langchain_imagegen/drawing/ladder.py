"""The ladder: by which way a request names each picture, and what is left when a way has failed.

Pure functions of a `Drawing`; the flow in `flows` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_imagegen.api.service_errors import SERVICE_ID, is_lost_reference
from langchain_imagegen.conversation.references import Remote, Source
from langchain_imagegen.errors import ServiceError
from langchain_imagegen.images.image import GeneratedImage, Origin, Rung
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import Api, ImageOptions, Reference

Rungs = Mapping[str, "Rung | None"]
"""By which way each source is named, by `key_of`; `None` for what the service fetches by itself."""


WAYS: dict[str, tuple[Rung, ...]] = {
    "auto": ("call_id", "bytes"),
    "call_id": ("call_id", "bytes"),
    "response_id": ("response_id", "call_id", "bytes"),
    "bytes": ("bytes",),
}


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
    reasoning: Mapping[str, Any] | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    place: int | None = None
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


def rung_of(source: Source, drawing: Drawing) -> Rung | None:
    """The first way of naming a source that can work; `None` for what the service finds by itself."""
    if isinstance(source, Remote):
        return "call_id" if source.call_id else None
    return next((rung for rung in WAYS[drawing.reference] if _can(source, rung, drawing)), "bytes")


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


def context_of(drawing: Drawing) -> tuple[GeneratedImage, ...]:
    """The pictures of earlier turns that go along unasked: those with an id, else the latest by its bytes."""
    asked = {key_of(source) for source in drawing.sources}
    earlier = {image.id: image for image in drawing.earlier if image.id not in asked}
    by_id = tuple(image for image in earlier.values() if _can(image, "call_id", drawing))
    latest = tuple(earlier.values())[-1:]
    return by_id if not latest or latest[0] in by_id else (*by_id, *latest)


def descended(drawing: Drawing, rungs: Rungs, error: ServiceError) -> Drawing | None:
    """The same drawing without the way that failed; `None` where the error is about something else."""
    if not is_lost_reference(error):
        return None
    if drawing.previous and drawing.previous_response_id and drawing.previous_response_id in str(error):
        return _unchained(drawing, error)
    lost = lost_sources(drawing, rungs, error)
    return without(drawing, lost, rungs, error) if lost else None


def _unchained(drawing: Drawing, error: ServiceError) -> Drawing:
    """The response to continue is gone: its pictures, which the memory knows, are named by themselves."""
    return replace(
        drawing,
        previous_response_id=None,
        previous=(),
        sources=(*drawing.previous, *drawing.sources),
        edits=True,
        failed=(*drawing.failed, f"response_id: {error}"),
    )


def lost_sources(drawing: Drawing, rungs: Rungs, error: ServiceError) -> list[Source]:
    """The sources that the error says the service does not know: those that it names, else all named by id."""
    by_id = [s for s in (*context_of(drawing), *drawing.sources) if rungs.get(key_of(s)) in ("call_id", "response_id")]
    blamed = [source for source in by_id if any(id in str(error) for id in _ids(source))]
    if not blamed and SERVICE_ID.search(str(error)):
        return []  # it is about something else, say a file or the previous response
    return [source for source in blamed or by_id if isinstance(source, GeneratedImage)]


def without(drawing: Drawing, lost: Sequence[Source], rungs: Rungs, error: ServiceError) -> Drawing:
    """The same drawing with a way less to name each lost source."""
    dead = {key_of(source): rungs[key_of(source)] for source in lost}

    def aged(source: Any) -> Any:
        rung = dead.get(key_of(source))
        return source.model_copy(update={"dead_rungs": (*source.dead_rungs, rung)}) if rung else source

    told = tuple(f"{rung}: {error}" for rung in dict.fromkeys(dead.values()))
    return replace(
        drawing,
        sources=tuple(map(aged, drawing.sources)),
        earlier=tuple(map(aged, drawing.earlier)),
        failed=(*drawing.failed, *told),
    )


def concluded(drawing: Drawing, result: ImageResult, rungs: Rungs) -> ImageResult:
    """The result with how its sources were named, and a warning where an edit was not one."""
    aged = (image for image in drawing.earlier if image.dead_rungs)
    known = (*aged, *(source for source in drawing.sources if isinstance(source, GeneratedImage)))
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
        images = tuple(_orphaned(image) for image in images)
        rung = None if all(image.action == "generate" for image in images) else rung
    return result.model_copy(update={"images": images, "rung": rung, "warnings": tuple(warnings), "sources": known})


def _orphaned(image: GeneratedImage) -> GeneratedImage:
    return image.model_copy(update={"parents": ()}) if image.action == "generate" else image


def _weakest(rungs: Sequence[Rung | None]) -> Rung | None:
    order: tuple[Rung, ...] = ("bytes", "call_id", "response_id")
    return next((rung for rung in order if rung in rungs), None)


def origin_of(drawing: Drawing) -> Origin:
    """What the records of the pictures say of where they come from."""
    parents = [key_of(source) for source in drawing.sources if isinstance(source, GeneratedImage) or source.call_id]
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


def key_of(source: Source) -> str:
    """What tells a source from the others of a request: its id, or its address."""
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
