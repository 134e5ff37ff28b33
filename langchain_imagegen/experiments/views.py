"""Pictures of a sheet as HTML: small copies for a notebook, the originals for a page of their own."""

from __future__ import annotations

import base64
from html import escape

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.pillow import shrink


def preview(image: GeneratedImage, *, edge: int | None, style: str = "", alt: str = "") -> str:
    """Return an `<img>` with a copy inside, or a note that the bytes are gone.

    Args:
        image: The picture. Scripts of an SVG do not run in an `<img>`.
        edge: The longest edge of the copy in pixels; `None` embeds the original.
        style: CSS of the element.
        alt: What a screen reader says; the handle if empty.
    """
    try:
        data, kind = image.read(), image.mime_type
    except ImageStoreError as error:
        return f"<em>{escape(str(error))}</em>"
    small = shrink(data, edge) if edge is not None else None
    if small is not None:
        data, kind = small, "image/jpeg"
    source = f"data:{escape(kind, quote=True)};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(alt or image.handle, quote=True)}" src="{source}" style="{escape(style, quote=True)}"/>'
