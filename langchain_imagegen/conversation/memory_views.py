"""What people see and keep of a memory: its family tree, a grid, a page, files in a folder, and a portable copy.

`memory` gives the images and their names; nothing here changes them.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, overload

from langchain_imagegen.conversation.family_tree import facts_of, label_of, tree_node, tree_order
from langchain_imagegen.conversation.portable import dump_memory
from langchain_imagegen.conversation.saving import save_images
from langchain_imagegen.images import notebook
from langchain_imagegen.images.files import free_path
from langchain_imagegen.images.image import GeneratedImage, shown

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{font:14px/1.5 system-ui,sans-serif;margin:2em}}
figcaption{{font-weight:600}}figure p{{margin:0;opacity:.7}}</style></head>
<body><h1>{title}</h1>{tree}<hr>{grid}</body></html>
"""


class MemoryViews(ABC):
    """Views and copies of the images of a conversation."""

    @abstractmethod
    def __iter__(self) -> Iterator[GeneratedImage]: ...

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def handle(self, reference: object) -> str:
        """Return the handle of an image."""

    @abstractmethod
    def has_forgotten(self, reference: object) -> bool:
        """Return True if a handle or id names an image that was forgotten here."""

    @abstractmethod
    def to_records(self) -> list[dict[str, Any]]:
        """Return the memory as plain JSON."""

    @abstractmethod
    def _parents(self, id: str) -> Sequence[str]:
        """Return the ids of the known images that an image was made from."""

    def grid(self, *, columns: int | None = None, edge: int = notebook.SEVERAL) -> notebook.View:
        """Return all pictures side by side with handle, prompt, size, quality, tokens, price and seconds.

        Args:
            columns: How many stand in a row, shrunk if the page is narrower; `None`: as many as fit.
            edge: Pixels of the longer edge of a preview at most.
        """
        html, lines = [], []
        for image in self:
            label, facts, name = label_of(image), facts_of(image), self.handle(image)
            unbroken = facts.replace(" ", "\u00a0").replace("\u00a0·\u00a0", " · ")  # no line ends before a unit
            html.append(notebook.figure(shown(image, name=name, facts=[label, unbroken]), edge))
            lines.append("  ".join(filter(None, [name, label, facts])))
        if not html:
            return notebook.View({"text/plain": notebook.EMPTY, "text/html": f"<p>{notebook.EMPTY}</p>"})
        style = (
            f' style="display:grid;grid-template-columns:repeat({int(columns)},minmax(0,max-content))"'
            if columns
            else ""
        )
        return notebook.View({"text/plain": "\n".join(lines), "text/html": f"<div{style}>{''.join(html)}</div>"})

    @overload
    def to_html(self, path: None = None, *, title: str = ..., edge: int = ...) -> str: ...

    @overload
    def to_html(self, path: str | os.PathLike[str], *, title: str = ..., edge: int = ...) -> Path: ...

    def to_html(
        self, path: str | os.PathLike[str] | None = None, *, title: str = "Images", edge: int = notebook.SEVERAL
    ) -> str | Path:
        """Return a page with the family tree and all pictures as previews, which loads and runs nothing.

        Args:
            path: Where to write the page, whose path is returned. A file that is there stays; the new one is numbered.
            title: Its heading.
            edge: As for `grid`.
        """
        tree, grid = self._repr_mimebundle_()["text/html"], self.grid(edge=edge).bundle["text/html"]
        page = _PAGE.format(title=escape(title), tree=tree, grid=grid)
        if path is None:
            return page
        target = free_path(Path(path).expanduser())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
        return target

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every picture into a folder, and return the paths in order. No file is overwritten.

        Files are named by number, prompt and handle, such as `01-draw-a-fox-img_1a2b3c4d.png`. A picture that is there
        already is not written again, and a picture whose bytes are not at hand is left out with a warning.

        Args:
            folder: It is made if it does not exist; `~` is the home folder.
        """
        return save_images([(self.handle(image), image) for image in self], folder)

    def dump(self, path: str | os.PathLike[str], *, pictures: bool = True) -> Path:
        """Write a portable copy of the memory, which `ImageMemory.load` reads on any machine; return its path.

        Args:
            path: A path with a suffix (`fox.zip`) is one ZIP file, any other a folder. A file there is replaced.
            pictures: Whether the bytes go along; without them the copy has about 1 KB for each picture, and can be
                used where the image store is the same.
        """
        return dump_memory(self.to_records(), list(self) if pictures else [], path)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return the family tree as a notebook shows it."""
        del include, exclude
        images = {image.id: image for image in self}
        parents = {id: self._parents(id) for id in images}

        def node(id: str, depth: int) -> dict[str, Any]:
            image, others = images[id], [self.handle(images[parent]) for parent in parents[id][1:]]
            deleted = any(map(self.has_forgotten, image.parents))
            return tree_node(image, self.handle(image), depth, others=others, deleted=deleted)

        text, html = notebook.tree([node(id, depth) for id, depth in tree_order(parents)])
        return {"text/plain": text, "text/html": html}
