"""`Comparison`: two pictures under a slider, or several side by side. HTML and CSS only, for any notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from langchain_imagegen.experiments.views import preview
from langchain_imagegen.images import notebook
from langchain_imagegen.images.image import GeneratedImage, shown

_WIDTH = 480  # pixels


class Comparison:
    """Pictures with their names, as a notebook shows them."""

    def __init__(self, pictures: Sequence[tuple[str, GeneratedImage]]) -> None:
        self.pictures = tuple(pictures)

    def side_by_side(self) -> Comparison:
        """Return the same pictures without a slider."""
        return _SideBySide(self.pictures)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(f'{name}: {image.handle}' for name, image in self.pictures)})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        if len(self.pictures) == 2:
            return {"text/html": _slider(*self.pictures), "text/plain": repr(self)}
        return self._beside_each_other()

    def _beside_each_other(self) -> dict[str, Any]:
        each = [shown(image, name=f"{name} · {image.handle}") for name, image in self.pictures]
        return notebook.pictures(each, caption=", ".join(name for name, _ in self.pictures))


class _SideBySide(Comparison):
    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        return self._beside_each_other()


def _slider(left: tuple[str, GeneratedImage], right: tuple[str, GeneratedImage]) -> str:
    """Return two pictures on top of each other; the upper one is as wide as its frame, which the mouse resizes."""
    frame = f"position:relative;width:{_WIDTH}px;max-width:100%;line-height:0"
    upper = (
        "position:absolute;top:0;left:0;bottom:0;width:50%;min-width:16px;max-width:100%;overflow:hidden;resize:horizontal;"
        "border-right:2px solid #fff;box-shadow:1px 0 0 #0008"
    )
    style = f"width:{_WIDTH}px;max-width:none"
    over = preview(left[1], edge=2 * _WIDTH, style=style)
    return (
        f'<div style="{frame}">{preview(right[1], edge=2 * _WIDTH, style="width:100%")}'
        f'<div style="{upper}" title="drag the lower corner">{over}</div></div>'
        f'<p style="line-height:1.4">{escape(left[0])} ◂ drag the lower corner of the frame ▸ {escape(right[0])}</p>'
    )
