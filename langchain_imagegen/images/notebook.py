"""What notebooks and pages show, as pure functions of bytes and plain values.

It knows nothing of the package's types, so that each type may call it for its own view.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

DEEPEST = 12  # indents; a long row of edits stays on the page
INLINE = 256_000  # bytes of a picture that is shown as it is; a larger one is shown as a preview
WHOLE = 2_000_000  # bytes of a picture that is shown as it is where no preview can be made
EDGE = 1024  # pixels of the longer edge of a preview
SEVERAL = 512  # the same of a picture among others
EMPTY = "no picture yet"
_LONGEST_TEXT = 200  # characters of a prompt in a plain-text view

# What every notebook front end draws by itself; the others go through an <img>.
NATIVE = frozenset({"image/png", "image/jpeg", "image/gif"})


@dataclass(frozen=True)
class View:
    """What a notebook shows, and a terminal as one line; `value._repr_mimebundle_()` gives the same."""

    bundle: Mapping[str, Any]

    def __repr__(self) -> str:
        return str(self.bundle["text/plain"])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        return dict(self.bundle)


def picture(data: bytes, mime_type: str, *, alt: str, edge: int | None = EDGE) -> dict[str, Any]:
    """Return the MIME bundle of one picture: the picture itself up to `INLINE` bytes, or else a preview.

    A smaller `edge` allows fewer bytes, in proportion to its pixels.

    Args:
        data: The picture.
        mime_type: Its format.
        alt: What it shows.
        edge: Pixels of the longer edge of a preview; `None` shows the picture itself, whatever its size.
    """
    text = shorten(alt)
    small, kind, about = _to_show(data, mime_type, edge, preview="JPEG")
    if about:
        text = f"{text} ({about})"
    if not small:
        return {"text/html": f"<p>{escape(text)}</p>", "text/plain": text}
    if kind in NATIVE:
        return {kind: base64.b64encode(small).decode(), "text/plain": text}
    return {"text/html": img(small, kind, alt=alt), "text/plain": text}


def _to_show(
    data: bytes, mime_type: str, edge: int | None, *, preview: Literal["WEBP", "JPEG"] = "WEBP"
) -> tuple[bytes, str, str]:
    """Return what is shown of a picture, its format, and what is said about a preview."""
    if edge is None or len(data) <= INLINE * min(1.0, (edge / EDGE) ** 2):
        return data, mime_type, ""
    from langchain_imagegen.images.pillow import preview_of

    made = preview_of(data, edge, kind=preview)
    size = f"{len(data) / 1e6:.1f} MB" if len(data) >= 100_000 else f"{len(data) / 1e3:.0f} KB"
    if made is None:
        why = f"not shown: it has {size}, and no preview can be made; view(edge=None) shows it"
        return (data, mime_type, "") if len(data) <= WHOLE else (b"", mime_type, why)
    if len(made[0]) >= len(data):
        return data, mime_type, ""
    return *made, f"preview of {size}"


def shorten(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text in one line of at most `longest` characters."""
    line = " ".join(text[: 2 * longest].split())
    return line if len(line) <= longest and len(text) <= 2 * longest else f"{line[: longest - 1]}…"


def line(text: str) -> dict[str, Any]:
    """Return the MIME bundle of a line of text."""
    return {"text/html": f"<p>{escape(text)}</p>", "text/plain": text}


def missing(name: str, why: str) -> dict[str, Any]:
    """Return the MIME bundle of a picture whose bytes cannot be read."""
    return line(f"{name} is not at hand: {why}")


@dataclass(frozen=True)
class Shown:
    """A picture among several: its bytes, or else why they cannot be read, and what stands below it."""

    name: str
    mime_type: str
    data: bytes = b""
    why_missing: str = ""
    facts: tuple[str, ...] = ()

    def html(self, edge: int | None = SEVERAL, width: int = 320) -> str:
        """Return the picture, or what is said in its place."""
        if self.why_missing:
            return str(missing(self.name, self.why_missing)["text/html"])
        small, kind, about = _to_show(self.data, self.mime_type, edge)
        return img(small, kind, alt=self.name, width=width) if small else f"<p>{escape(about)}</p>"


def pictures(
    shown: Sequence[Shown], *, caption: str, notes: Sequence[str] = (), edge: int | None = EDGE
) -> dict[str, Any]:
    """Return the MIME bundle of several pictures; a single one without notes is shown as itself.

    Args:
        shown: The pictures.
        caption: What is said of all of them.
        notes: Failures and warnings, a line each.
        edge: As for `picture`, of a single one; several have at most `SEVERAL` pixels, unless it is `None`.
    """
    absent = [f"{each.name} is not at hand: {each.why_missing}" for each in shown if each.why_missing]
    text = "\n".join([shorten(caption), *absent, *notes])
    if len(shown) == 1 and not absent and not notes:
        return picture(shown[0].data, shown[0].mime_type, alt=f"{shown[0].name}: {caption}", edge=edge)
    figures = "".join(figure(each, edge and min(edge, SEVERAL)) for each in shown)
    lines = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return {"text/html": f"<div>{figures}<p>{escape(caption)}</p>{lines}</div>", "text/plain": text}


def figure(shown: Shown, edge: int | None, width: int = 320) -> str:
    """Return a picture with its name, and what is known of it, as HTML."""
    width = min(width, edge or width)
    facts = "".join(f'<p style="margin:0;font-size:.85em;opacity:.8">{escape(fact)}</p>' for fact in shown.facts)
    return (
        f'<figure style="display:inline-block;vertical-align:top;margin:4px;max-width:{width}px">'
        f"{shown.html(edge, width)}<figcaption>{escape(shown.name)}</figcaption>{facts}</figure>"
    )


_shown_live: set[tuple[int, str]] = set()


def note_shown(names: str) -> None:
    """Note that the notebook cell that runs now shows these pictures, and need not show them again as its value."""
    shell = notebook_shell()
    if shell is not None:
        _shown_live.add((shell.execution_count, names))


def has_shown(names: str) -> bool:
    """Return True if `note_shown` was called in the cell that runs now."""
    return bool(_shown_live) and (getattr(notebook_shell(), "execution_count", None), names) in _shown_live


def notebook_shell() -> Any:
    """Return IPython's shell in a kernel of Jupyter, VS Code or Colab; None in a terminal and without IPython."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


def img(data: bytes, mime_type: str, *, alt: str, width: int = 512) -> str:
    """Return an HTML `<img>` with the picture inside; the scripts of an SVG do not run there."""
    source = escape(f"data:{mime_type};base64,{base64.b64encode(data).decode()}", quote=True)
    return f'<img alt="{escape(alt, quote=True)}" src="{source}" style="max-width:min(100%,{int(width)}px)"/>'


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
    if not nodes:
        return EMPTY, f"<p>{EMPTY}</p>"
    text = "\n".join(
        f"{'   ' * depth}{node['name']}  {node['label']}" for node, depth in zip(nodes, depths, strict=True)
    )
    rows = "".join(
        f'<div style="margin-left:{depth * 3}em;padding:3px 0;display:flex;gap:8px;align-items:center">'
        f"{node.get('picture', '')}<code>{escape(node['name'])}</code> {escape(node['label'])}</div>"
        for node, depth in zip(nodes, depths, strict=True)
    )
    return text, f"<div>{rows}</div>"
