"""What notebooks and pages show, as pure functions of bytes and plain values.

It knows nothing of the package's types, so that each type may call it for its own view.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

DEEPEST = 12  # indents; a long row of edits stays on the page

# What every notebook front end draws by itself; the others go through an <img>.
NATIVE = frozenset({"image/png", "image/jpeg", "image/gif"})


def picture(data: bytes, mime_type: str, *, alt: str) -> dict[str, Any]:
    """Return the MIME bundle of one picture."""
    if mime_type in NATIVE:
        return {mime_type: base64.b64encode(data).decode(), "text/plain": alt}
    return {"text/html": img(data, mime_type, alt=alt), "text/plain": alt}


def pictures(shown: Sequence[tuple[bytes, str, str]], *, caption: str) -> dict[str, Any]:
    """Return the MIME bundle of several pictures `(bytes, MIME type, name)`; a single one is shown as itself."""
    if len(shown) == 1:
        data, mime_type, name = shown[0]
        return picture(data, mime_type, alt=f"{name}: {caption}")
    figures = "".join(
        f'<figure style="display:inline-block;margin:4px">{img(data, mime_type, alt=name, width=320)}'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for data, mime_type, name in shown
    )
    return {"text/html": f"<div>{figures}<p>{escape(caption)}</p></div>", "text/plain": caption}


def img(data: bytes, mime_type: str, *, alt: str, width: int = 512) -> str:
    """Return an HTML `<img>` with the picture inside; the scripts of an SVG do not run there."""
    source = escape(f"data:{mime_type};base64,{base64.b64encode(data).decode()}", quote=True)
    return f'<img alt="{escape(alt, quote=True)}" src="{source}" style="max-width:{int(width)}px"/>'


def thumbnail(data: bytes, *, alt: str, edge: int = 72) -> str:
    """Return a small `<img>` of a picture; return nothing where Pillow is missing, or cannot or must not read it."""
    from langchain_imagegen.images.pillow import shrink

    small = shrink(data, edge)
    return img(small, "image/jpeg", alt=alt, width=edge) if small else ""


def tree(nodes: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the family tree of images as text and as HTML.

    Args:
        nodes: Each below its parent, with `name`, `label`, `depth` and, where there is one, `picture` (HTML).
    """
    depths = [min(node["depth"], DEEPEST) for node in nodes]
    text = "\n".join(
        f"{'   ' * depth}{node['name']}  {node['label']}" for node, depth in zip(nodes, depths, strict=True)
    )
    rows = "".join(
        f'<div style="margin-left:{depth * 3}em;padding:3px 0;display:flex;gap:8px;align-items:center">'
        f"{node.get('picture', '')}<code>{escape(node['name'])}</code> {escape(node['label'])}</div>"
        for node, depth in zip(nodes, depths, strict=True)
    )
    return text, f"<div>{rows}</div>"
