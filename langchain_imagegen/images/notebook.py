"""What notebooks and pages show, as pure functions of bytes and plain values.

It knows nothing of the package's types, so that each type may call it for its own view.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


def missing(name: str, why: str) -> dict[str, Any]:
    """Return the MIME bundle of a picture whose bytes cannot be read."""
    text = f"{name} is not at hand: {why}"
    return {"text/html": f"<p>{escape(text)}</p>", "text/plain": text}


@dataclass(frozen=True)
class Shown:
    """A picture among several: its bytes, or else why they cannot be read."""

    name: str
    mime_type: str
    data: bytes = b""
    why_missing: str = ""

    def html(self) -> str:
        """Return the picture, or what is said in its place."""
        if self.why_missing:
            return str(missing(self.name, self.why_missing)["text/html"])
        return img(self.data, self.mime_type, alt=self.name, width=320)


def pictures(shown: Sequence[Shown], *, caption: str) -> dict[str, Any]:
    """Return the MIME bundle of several pictures; a single one is shown as itself."""
    absent = [f"{each.name} is not at hand: {each.why_missing}" for each in shown if each.why_missing]
    text = "\n".join([caption, *absent])
    if len(shown) == 1 and not absent:
        return picture(shown[0].data, shown[0].mime_type, alt=f"{shown[0].name}: {caption}")
    figures = "".join(
        f'<figure style="display:inline-block;margin:4px">{each.html()}'
        f"<figcaption>{escape(each.name)}</figcaption></figure>"
        for each in shown
    )
    return {"text/html": f"<div>{figures}<p>{escape(caption)}</p></div>", "text/plain": text}


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
