"""What is said of a reference that names no image of a conversation, or several."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_imagegen.errors import UnknownImageError
from langchain_imagegen.images.result import ImageResult

_LISTED = 20
_QUOTED = 40  # characters of a reference


def unknown_image(
    reference: object, known: Sequence[str], *, rivals: Sequence[str] = (), forgotten: bool = False
) -> UnknownImageError:
    """Return the error for a reference.

    Args:
        reference: What was given.
        known: The handles of all images, the oldest first.
        rivals: The handles of those that the reference may name.
        forgotten: Whether it names an image that was forgotten.
    """
    if rivals:
        names = ", ".join(rivals[:_LISTED])
        more = f" and {len(rivals) - _LISTED} others" if len(rivals) > _LISTED else ""
        problem = f"{_quoted(reference)} names several images: {names}{more}; {_advice(reference)}"
    elif forgotten:
        problem = f"the image {_quoted(reference)} was deleted; {_listed(known)}"
    else:
        problem = f"no image {_quoted(reference)}; {_listed(known)}"
    return UnknownImageError(problem, known=known)


def _quoted(reference: object) -> str:
    return repr(reference[:_QUOTED] if isinstance(reference, str) else reference)[: _QUOTED + 2]


def _advice(reference: object) -> str:
    return "give one of its images" if isinstance(reference, ImageResult) else "use more digits"


def _listed(known: Sequence[str]) -> str:
    if not known:
        return "there is no image in this conversation yet: draw one first"
    more = f"{len(known) - _LISTED} older, " if len(known) > _LISTED else ""
    return f"known here, oldest first: {more}{', '.join(known[-_LISTED:])}; or 'last'"
