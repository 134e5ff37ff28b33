"""The mask of a request: a picture that the user names, or one drawn from a region in the size of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.conversation.references import Source
from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.fitness import lacks_alpha
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.regions import Region, union
from langchain_imagegen.images.sniffing import sniff
from langchain_imagegen.options.validation import shown
from langchain_imagegen.storage.store import ImageStore


def resolve_mask(
    given: Any,
    sources: Sequence[Source],
    previous: Sequence[GeneratedImage],
    resolve: Callable[[list[Any]], list[Source]],
    store: ImageStore,
) -> tuple[Source | None, Region | None]:
    """Return the picture of a mask, and the region from which it was drawn.

    Args:
        given: A region, its JSON form, a list of regions or a reference to a picture; `None` is no mask.
        sources: The prepared pictures of the edit. A mask applies to the first.
        previous: The pictures of the previous response, to one of which it applies where there are no sources.
        resolve: Finds and prepares the pictures that references name.
        store: Where the drawn mask is put.

    Raises:
        OptionError: The region does not fit the picture, or the mask names no picture or several.
    """
    if given is None:
        return None, None
    region = region_in(given)
    if region is None:
        return _one_source(resolve([given])), None
    target = _target(region, sources, previous)
    if not (target.width and target.height):
        raise OptionError(f"mask={region} needs the size of {target.handle}, which is not known: give a mask picture")
    size, kind = _pixels_sent(target, store)
    # Pixels count in the picture as it was given, turned upright; what is sent may be smaller.
    scale = max(target.width, target.height) / max(size)
    seen = (round(size[0] * scale), round(size[1] * scale))
    from langchain_imagegen.images.masks import mask_of

    return upload(mask_of(region, size, seen=seen, mime_type=kind), store), region


def check_mask(mask: Source, store: ImageStore) -> None:
    """Refuse a picture as a mask if it has no alpha channel, which the service requires; one read elsewhere passes.

    Raises:
        OptionError: It has none.
    """
    if not isinstance(mask, GeneratedImage):
        return
    try:
        data = mask.read() if mask.sent_sha256 is None else store.get(mask.sent_sha256, mask.sent_mime_type)
    except ImageStoreError:
        return  # the request cannot be built without these bytes, and says so
    if lacks_alpha(data):
        raise OptionError(
            f"mask={mask.handle!r} has no alpha channel: a mask is a PNG or WebP of the size of the first picture, "
            "transparent where that may change; box(…) or polygon(…) makes one"
        )


def region_in(given: Any) -> Region | None:
    """Return the region that a mask gives as a value, as JSON or as a list; None for anything else.

    Raises:
        OptionError: It is the JSON form of a region and not valid, a list of numbers, or of regions and something else.
    """
    if isinstance(given, Region):
        return given
    if isinstance(given, Mapping) and "shapes" in given:
        try:
            return Region.model_validate(given)
        except ValidationError:
            raise OptionError(f"mask={shown(given)} is no region: its JSON is what Region.model_dump() gives") from None
    if isinstance(given, (list, tuple)) and given:
        if len(given) > 1 and all(isinstance(each, (int, float)) for each in given):
            raise OptionError(
                f"mask={shown(given)} is no region: give box(x, y, width, height) or polygon([(x, y), …])"
            )
        regions = [region_in(each) for each in given]
        known = [region for region in regions if region is not None]
        if known and len(known) < len(regions):
            raise OptionError("mask takes one picture or several regions, not both in one list")
        return union(known) if known else None
    return None


def _target(region: Region, sources: Sequence[Source], previous: Sequence[GeneratedImage]) -> GeneratedImage:
    """Return the picture that a mask applies to.

    Raises:
        OptionError: It is not known here, or an SVG, which has no pixels.
    """
    image = sources[0] if sources else previous[0] if len(previous) == 1 else None
    if not isinstance(image, GeneratedImage):
        named = f"of which only the address is known ({shown(_address(image))})" if image else "which is not known here"
        raise OptionError(
            f"mask={region} needs the size of the picture it applies to, {named}: give the picture itself as "
            "images=[…], as bytes, a Path or a GeneratedImage"
        )
    if image.mime_type == "image/svg+xml" and not image.sent_sha256:
        raise OptionError(f"mask={region} does not go with {image.handle}: it is an SVG, which has no pixels")
    return image


def _address(source: Any) -> str:
    return source.url or source.file_id or source.call_id or ""


def _pixels_sent(image: GeneratedImage, store: ImageStore) -> tuple[tuple[int, int], str]:
    """Return the size and format in which a picture is sent."""
    if image.sent_sha256 is None:
        return (image.width or 0, image.height or 0), image.mime_type
    media = sniff(store.get(image.sent_sha256, image.sent_mime_type))
    assert media is not None  # the copy was made here
    return (media.width or 0, media.height or 0), media.mime_type


def _one_source(sources: list[Source]) -> Source:
    """Return the one image that a mask names.

    Raises:
        OptionError: The mask names no image, or several.
    """
    if len(sources) != 1:
        raise OptionError(f"mask must name one image, it names {len(sources)}")
    return sources[0]
