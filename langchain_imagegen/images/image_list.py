"""`ImageList`: a list of images that a notebook shows side by side."""

from __future__ import annotations

from typing import Any

from langchain_imagegen.images import notebook
from langchain_imagegen.images.image import GeneratedImage, shown

_MOST = 24  # pictures in one view


class ImageList(list[GeneratedImage]):
    """A list like any other, whose first 24 pictures a notebook shows."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        if not self:
            return {"text/plain": "[]"}
        pictures = [shown(image, facts=[notebook.shorten(image.prompt or "", 80)]) for image in self[:_MOST]]
        more = f"the first {_MOST} of " if len(self) > _MOST else ""
        html = notebook.pictures(pictures, caption=f"{more}{len(self)} picture{'s' * (len(self) > 1)}")
        return {**html, "text/plain": repr(self)}
