"""`write_gallery`: pictures as one HTML page that needs no server and no network.

The page holds previews, its script and its style. Texts reach it as JSON and are shown as text; the page's content
security policy runs no other script than its own. SVG is shown in `<img>`, where its scripts do not run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.files import free_path, save_picture
from langchain_imagegen.images.image import GeneratedImage, data_url
from langchain_imagegen.images.pillow import preview_of
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import EXTENSIONS

Originals: TypeAlias = Literal["beside", "embedded", "linked"] | None

_CONTENT = 4_900_000  # bytes of all texts and previews; with script and style, the page has less than 5 MB
_LARGEST = 60_000  # bytes of one preview
_WIDEST, _SMALLEST = 512, 64  # pixels of the longer edge of a preview
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="generator" content="langchain_imagegen.web.write_gallery">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head>
<body><header><h1>{title}<small><span id="count"></span>{summary}</small></h1>
<input id="search" type="search" placeholder="Search prompts, handles, options ( / )" aria-label="Search">
<button id="grid" type="button" aria-pressed="true">Grid</button>
<button id="tree" type="button" aria-pressed="false">Family tree</button>
<button id="theme" type="button" aria-label="Dark or light">◐</button></header>
<main><ul id="cards"></ul><p id="empty" hidden>No picture has all of these words.</p></main>
<dialog id="open" aria-label="Picture"></dialog>
<script type="application/json" id="data">{data}</script><script>{script}</script></body></html>
"""


@dataclass(frozen=True)
class Exhibit:
    """A picture of the page, with what is known of it beside its record.

    `dollars` and `seconds` are texts for people.
    """

    image: GeneratedImage
    tokens: int | None = None
    dollars: str | None = None
    seconds: str | None = None
    remarks: tuple[str, ...] = ()


def write_gallery(
    images: Any, path: str | os.PathLike[str], *, title: str | None = None, originals: Originals = "beside"
) -> Path:
    """Write a page with a search, the family tree, and a slider between each edit and its source; return its path.

    Args:
        images: Images, results, an `ImageMemory`, an `ImageLibrary`, the `Sheet` of an experiment, or a list of these.
        path: The HTML file. An earlier gallery there is replaced; any other file stays, and the page is numbered.
        title: The heading; `None`: the name of an experiment, or "Pictures".
        originals: Where the full pictures are: `"beside"` in a folder `<name>_files`, `"embedded"` in the page,
            `"linked"` by `image.url()`, which may expire; `None`: nowhere, the page has previews only.

    Raises:
        OptionError: There is no image, `path` names no file, or `originals` is none of these.
        ImageStoreError: `originals="linked"`, and the store has no addresses.
    """
    target = _file_at(path)
    kept = target.is_file() and not _is_gallery(target)
    return replace_page(images, free_path(target) if kept else target, title=title, originals=originals)


def replace_page(
    images: Any, path: str | os.PathLike[str], *, title: str | None = None, originals: Originals = "beside"
) -> Path:
    """Write the page of `write_gallery` over any file that is there, once all of it is made."""
    if originals not in ("beside", "embedded", "linked", None):
        raise OptionError(f"originals={originals!r} is 'beside', 'embedded', 'linked' or None")
    exhibits = list({each.image.handle: each for each in exhibits_of(images)}.values())
    if not exhibits:
        raise OptionError("write_gallery() has no image to show: give images, results, a memory, a library or a sheet")
    target = _file_at(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handles = {each.image.id: each.image.handle for each in exhibits}
    texts = [_texts(each, handles) for each in exhibits]
    room = (_CONTENT - len(_json(texts).encode())) // len(exhibits)
    budget = min(_LARGEST, room * 3 // 4)  # base64 adds a third
    shown = [
        text | _pictures(each.image, text["file"], budget, target, originals)
        for text, each in zip(texts, exhibits, strict=True)
    ]
    heading = title or getattr(images, "name", None) or "Pictures"
    target.write_text(_page(str(heading), shown, _total(images)), encoding="utf-8")
    return target


def _file_at(path: str | os.PathLike[str]) -> Path:
    """Return the file that a path names.

    Raises:
        OptionError: It names a folder.
    """
    text, target = os.fspath(path), Path(path).expanduser()
    if target.is_dir() or text.endswith(("/", os.sep)):
        example = f"{(text or '.').rstrip('/' + os.sep)}/gallery.html"
        raise OptionError(f"{text!r} is a folder: name the file to write, such as {example!r}")
    return target


def _is_gallery(path: Path) -> bool:
    """Return True for a page that `write_gallery` has written."""
    with path.open("rb") as page:
        return b'content="langchain_imagegen.web.write_gallery"' in page.read(1000)


def exhibits_of(source: Any) -> Iterable[Exhibit]:
    """Return the pictures of anything that has some, oldest first.

    Raises:
        OptionError: It has none by its nature, such as a text.
    """
    if isinstance(source, GeneratedImage):
        return [_exhibit(source)]
    if isinstance(source, ImageResult):
        return list(map(_exhibit, source.images))
    if hasattr(source, "rating") and hasattr(source, "result"):  # a cell of an experiment
        return _of_cell(source)
    if isinstance(getattr(source, "image", None), GeneratedImage):  # an entry of a library
        return [_exhibit(source.image, *getattr(source, "tags", ()))]
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes, Mapping)):
        return [exhibit for each in source for exhibit in exhibits_of(each)]
    raise OptionError(f"write_gallery() cannot show a {type(source).__name__}")


def _exhibit(image: GeneratedImage, *remarks: str) -> Exhibit:
    """Return a picture with the tokens, dollars and seconds of its record."""
    cost = image.cost()
    tokens = sum((image.tokens.image or {}).values()) if image.tokens else None
    seconds = f"{image.seconds:.1f} s" if image.seconds else None
    return Exhibit(image, tokens, str(cost) if cost.total else None, seconds, remarks)


def _of_cell(cell: Any) -> list[Exhibit]:
    rating = (f"rated {cell.rating:g}",) if cell.rating is not None else ()
    remarks = (*(("picked",) if cell.picked else ()), *rating, *cell.notes)
    return [_exhibit(image, *remarks) for image in (cell.result.images if cell.result else ())]


def _texts(exhibit: Exhibit, handles: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page's script reads of a picture, except its previews and where the original is."""
    image = exhibit.image
    return {
        "handle": image.handle,
        "prompt": image.prompt or "",
        "revised_prompt": image.revised_prompt or "",
        "parents": [handles[parent] for parent in image.parents if parent in handles],
        "quality": image.quality,
        "dollars": exhibit.dollars,
        "seconds": exhibit.seconds,
        "facts": _facts(exhibit),
        "file": f"{image.handle}.{EXTENSIONS.get(image.mime_type, 'bin')}",
    }


def _facts(exhibit: Exhibit) -> dict[str, Any]:
    image = exhibit.image
    drawn = image.created_at and image.created_at.strftime("%Y-%m-%d %H:%M")
    facts = {
        "handle": image.handle,
        "pixels": f"{image.width} x {image.height}" if image.width else None,
        "format": image.mime_type,
        "bytes": f"{image.size_bytes:,}",
        "model": image.image_model,
        "quality": image.quality,
        "background": image.background,
        "action": image.action,
        "tokens": f"{exhibit.tokens:,}" if exhibit.tokens else None,
        "price": exhibit.dollars,
        "time": exhibit.seconds,
        "drawn": drawn,
        "remarks": ", ".join(exhibit.remarks),
    }
    return {name: value for name, value in facts.items() if value}


def _pictures(image: GeneratedImage, file: str, budget: int, page: Path, originals: Originals) -> dict[str, str]:
    """Return preview and original as the page names them, or why there is none."""
    try:
        data = image.read()
    except ImageStoreError as error:
        return {"missing": str(error)}
    preview = _preview(data, budget)
    original = ""
    if originals == "embedded":
        original = data_url(image.mime_type, data)
    elif originals == "linked":
        original = image.url()
    elif originals == "beside":
        original = f"{_folder(page).name}/{save_picture(_folder(page) / file, data, name=image.handle).name}"
    if not preview and original and image.mime_type == "image/svg+xml":
        preview = original
    return {"preview": preview, "original": original}


def _preview(data: bytes, budget: int) -> str:
    """Return the largest preview within the budget as a data URL; nothing where Pillow is missing or cannot read it."""
    edge = _WIDEST
    while made := preview_of(data, edge):
        data, kind = made  # the next one is made from it, since it is much quicker to read than the picture
        if len(data) <= budget or edge == _SMALLEST:
            return data_url(kind, data)
        edge = max(_SMALLEST, int(edge * 0.95 * math.sqrt(max(budget, 0) / len(data))))  # bytes go with the area
    return ""


def _folder(page: Path) -> Path:
    return page.with_name(f"{page.stem}_files")


def _total(images: Any) -> str:
    """Return what the pictures cost, for those that can tell."""
    cost = images.cost() if callable(getattr(images, "cost", None)) else None
    return f" · {cost}" if cost is not None and cost.total else ""


def _page(title: str, shown: list[dict[str, Any]], summary: str) -> str:
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("gallery.css", "gallery.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src 'self' data: https: http: file:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    data = _json({"title": title, "images": shown})
    return _PAGE.format(
        policy=policy, title=escape(title), summary=escape(summary), style=style, data=data, script=script
    )


def _json(value: Any) -> str:
    """Return a value as JSON that no tag ends."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
