"""A sheet as HTML: a table whose rows and columns are labelled by what varies. No script runs, and nothing is fetched.

Pictures are enlarged by a check box, which is hidden. JupyterLab drops the style sheet of a notebook that it does not
trust yet, and keeps most inline styles; the table can be read there too.
"""

from __future__ import annotations

import math
from html import escape

from langchain_imagegen.experiments.cell import Cell
from langchain_imagegen.experiments.plan import shorten
from langchain_imagegen.experiments.results import Results
from langchain_imagegen.experiments.views import preview
from langchain_imagegen.images.cost import dollars

_EDGE = 512  # pixels of the previews in a notebook, about 20 KB each
_SMALLEST = 192  # the same of a large sheet, in which a picture is shown with 180
_MANY = 24  # pictures, from which on the previews get smaller, so that the notebook stays below 1 MB or so
_WIDTH = 180  # pixels of a picture as shown
_ALIGNED = ' style="text-align:left;vertical-align:top"'
_STYLE = """
.imagegen-sheet{border-collapse:collapse;font:13px/1.35 system-ui,sans-serif;text-align:left}
.imagegen-sheet tr{background:none!important}
.imagegen-sheet :is(th,td){padding:6px 8px;text-align:left!important;vertical-align:top!important;white-space:normal}
.imagegen-sheet th{font-weight:600;max-width:16em}
.imagegen-sheet td{border:1px solid #8884}
.imagegen-sheet td.picked{outline:3px solid #2f7d32;outline-offset:-3px}
.imagegen-sheet input{position:absolute;opacity:0;width:1px;height:1px}
.imagegen-sheet img{width:180px;max-width:none;height:auto;display:block;cursor:zoom-in;border-radius:3px}
.imagegen-sheet input:checked+img{width:auto;max-width:min(1024px,90vw);cursor:zoom-out}
.imagegen-sheet input:focus-visible+img{outline:2px solid #06c}
.imagegen-sheet small{display:block;max-width:24em;opacity:.75}
.imagegen-sheet .error{max-width:180px;color:#b3261e}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{margin:2rem;font:15px/1.5 system-ui,sans-serif}}</style></head>
<body><h1>{title}</h1><p>{summary}</p>{sheet}</body></html>
"""


def edge_for(count: int) -> int:
    """Return the pixels of the longer edge of each of so many previews: fewer in a large sheet."""
    return min(_EDGE, max(_SMALLEST, round(_EDGE * math.sqrt(_MANY / max(count, 1)))))


def html_of(sheet: Results, *, edge: int | None) -> str:
    """Return a sheet as a table with previews; `edge=None` embeds the originals."""
    layout = sheet.layout
    labelled = any(layout.rows)
    at = {layout.places[cell.variation, cell.attempt]: cell for cell in sheet}
    head = "".join(f"<th{_ALIGNED}>{escape(label)}</th>" for label in (*([""] if labelled else []), *layout.columns))
    rows = []
    for row, label in enumerate(layout.rows):
        cells = (at.get((row, column)) for column in range(len(layout.columns)))
        shown = "".join("<td></td>" if cell is None else _cell(sheet, cell, edge) for cell in cells)
        name = f'<th scope="row"{_ALIGNED}>{escape(label)}</th>' if labelled else ""
        rows.append(f"<tr>{name}{shown}</tr>")
    table = f'<table class="imagegen-sheet"><tr>{head}</tr>{"".join(rows)}</table>'
    return f'<style>{_STYLE}</style><div style="overflow-x:auto">{table}</div>'


def page_of(sheet: Results) -> str:
    """Return a sheet as a page of its own with the original pictures inside."""
    return _PAGE.format(title=escape(sheet.name), summary=escape(repr(sheet)), sheet=html_of(sheet, edge=None))


def _cell(sheet: Results, cell: Cell, edge: int | None) -> str:
    if cell.result is None:
        told = escape(str(cell.error or "not drawn yet"))
        return f'<td{_ALIGNED}><b>{cell.name}</b> <div class="error">{told}</div>{_remarks(cell)}</td>'
    image = cell.result.image
    picture = preview(image, edge=edge, alt=image.revised_prompt or image.prompt or "", width=_WIDTH)
    hidden = 'style="position:absolute;opacity:0"'
    enlarge = f'<label><input type="checkbox" {hidden} aria-label="enlarge {cell.name}"/>{picture}</label>'
    words = shorten(sheet.variations[cell.variation].prompt or image.revised_prompt or "")
    facts = f"<div><small>{escape(words)}</small></div><div><small>{escape(' · '.join(_facts(cell)))}</small></div>"
    marked = ' class="picked"' if cell.picked else ""
    return f"<td{marked}{_ALIGNED}><b>{cell.name}</b>{enlarge}{facts}{_remarks(cell)}</td>"


def _facts(cell: Cell) -> list[str]:
    """Return tokens, dollars and seconds, as far as they are known."""
    result = cell.result
    if result is None:
        return []
    usage, total = result.image_usage, cell.cost().total
    facts = [
        f"{usage.total_tokens:,} tokens" if usage else "",
        dollars(total) if total is not None else "",
        f"{cell.seconds:.1f} s" if cell.seconds else "",
        "bought before" if result.from_ledger else "",
    ]
    return [fact for fact in facts if fact]


def _remarks(cell: Cell) -> str:
    rating = f"★ {cell.rating:g}" if cell.rating is not None else ""
    return "".join(f"<div><small>{escape(text)}</small></div>" for text in (rating, *cell.notes) if text)
