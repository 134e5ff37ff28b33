"""Pictures of a sheet as HTML: small copies for a notebook, the originals for a page of their own."""

from __future__ import annotations

from html import escape

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.image import GeneratedImage, data_url
from langchain_imagegen.images.pillow import preview_of


def preview(
    image: GeneratedImage, *, edge: int | None, style: str = "", alt: str = "", width: int | None = None
) -> str:
    """Return an `<img>` with a copy inside, or a note that the bytes are gone.

    Args:
        image: The picture. Scripts of an SVG do not run in an `<img>`.
        edge: The longest edge of the copy in pixels; `None` embeds the original.
        style: CSS of the element.
        alt: What a screen reader says; the handle if empty.
        width: Pixels in which it is shown where the page's CSS is not allowed.
    """
    try:
        data, kind = image.read(), image.mime_type
    except ImageStoreError as error:
        return f"<em>{escape(str(error))}</em>"
    if edge is not None:
        data, kind = preview_of(data, edge) or (data, kind)
    source = data_url(kind, data)
    attributes = {"alt": alt or image.handle, "src": source, "style": style, "width": str(width or "")}
    written = (f'{name}="{escape(value, quote=True)}"' for name, value in attributes.items() if value)
    return f"<img {' '.join(written)}/>"
