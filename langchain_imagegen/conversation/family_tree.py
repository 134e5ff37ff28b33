"""The family tree of images as a notebook shows it: which image stands below which, and what is said of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.cost import dollars
from langchain_imagegen.images.image import GeneratedImage


def tree_order(parents: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, int]]:
    """Yield each id below the first of its parents, with its depth; a circle of parents begins anywhere.

    Args:
        parents: The known parents of each id, in the order of the ids.
    """
    below: dict[str | None, list[str]] = {}
    for id, known in parents.items():
        below.setdefault(next(iter(known), None), []).append(id)
    shown: set[str] = set()
    for root in (*below.get(None, ()), *parents):
        ahead = [(root, 0)]
        while ahead:
            id, depth = ahead.pop()
            if id not in shown:
                shown.add(id)
                yield id, depth
                ahead += [(child, depth + 1) for child in reversed(below.get(id, ()))]


def tree_node(
    image: GeneratedImage, name: str, depth: int, *, others: Sequence[str] = (), deleted: bool = False
) -> dict[str, Any]:
    """Return what the tree shows of an image.

    Args:
        image: The image.
        name: Its handle.
        depth: How far it is indented.
        others: Handles of the parents below which it does not stand.
        deleted: Whether an image that it was made from was forgotten.
    """
    picture, problem = _thumbnail(image, name)
    notes = [f"with {', '.join(others)}"] if others else []
    notes += ["made from an image that was deleted"] if deleted else []
    notes += [problem] if problem else []
    label = label_of(image)
    told = f"{label} ({'; '.join(notes)})" if notes else label
    facts = facts_of(image)
    return {"name": name, "label": f"{told} · {facts}" if facts else told, "depth": depth, "picture": picture}


def label_of(image: GeneratedImage) -> str:
    """Return what an image shows, in at most 80 characters."""
    return (image.prompt or image.revised_prompt or "sent by the user")[:80]


def facts_of(image: GeneratedImage) -> str:
    """Return what is known of size, quality, image tokens, price and seconds of an image, in one line."""
    size = f"{image.width}x{image.height}" if image.width and image.height else image.size
    counts = (image.tokens and image.tokens.image) or {}
    tokens = f"{sum(counts.values()):,} tokens" if counts else None
    total = image.cost().total if tokens else None
    price = None if total is None else dollars(total)
    seconds = None if image.seconds is None else f"{image.seconds:.1f} s"
    return " · ".join(fact for fact in (size, image.quality, tokens, price, seconds) if fact)


def _thumbnail(image: GeneratedImage, name: str) -> tuple[str, str]:
    """Return a small picture as HTML, or else why there is none."""
    try:
        return notebook.thumbnail(image.read(), alt=name), ""
    except ImageStoreError:  # the tree is worth seeing without it
        return "", "its bytes are not at hand"
