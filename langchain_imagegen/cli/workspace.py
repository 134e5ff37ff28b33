"""`Workspace`: where a command keeps and finds pictures, and how it reads a reference to one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_imagegen.cli import simulation
from langchain_imagegen.errors import UnknownImageError

if TYPE_CHECKING:
    from langchain_imagegen.cli.session import Session
    from langchain_imagegen.images.image import GeneratedImage
    from langchain_imagegen.storage.library import ImageLibrary
    from langchain_imagegen.storage.store import ImageStore

PANEL = "Where pictures are kept"
FORMS = "last, a handle (img_…), the beginning of a handle or digest, a number of the session, a file or a URL"
SIMULATED = "these pictures are simulated"
_DIGEST = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
_LISTED = 6  # handles in an error

SimulateFlag = Annotated[
    bool,
    typer.Option(
        "--simulate",
        envvar="LANGCHAIN_IMAGEGEN_SIMULATE",
        help="Call no service: a simulation draws placeholders, which are kept apart from your pictures.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Workspace:
    """The parameters of where pictures are kept."""

    store: Annotated[
        str | None,
        typer.Option(
            help="Folder or URL of the image store. By default LANGCHAIN_IMAGEGEN_STORE, or else a private folder.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    session: Annotated[
        str,
        typer.Option(
            envvar="LANGCHAIN_IMAGEGEN_SESSION",
            help="Session whose pictures 'last' and numbers mean; 'off' remembers nothing.",
            rich_help_panel=PANEL,
        ),
    ] = "default"
    library: Annotated[
        bool,
        typer.Option(
            envvar="LANGCHAIN_IMAGEGEN_LIBRARY",
            help="Note pictures in the library of the store, where list and find look for them.",
            rich_help_panel=PANEL,
        ),
    ] = True
    simulate: SimulateFlag = False

    @property
    def simulated(self) -> bool:
        """Whether no service is called: by `--simulate`, or because `imagegen simulate` is the service."""
        return self.simulate or simulation.is_simulated()

    @cached_property
    def image_store(self) -> ImageStore:
        """The image store; simulated pictures have a scope of their own in it."""
        from langchain_imagegen.storage.store import ImageStore

        store = ImageStore(self.store)
        return store.scoped("simulated") if self.simulated else store

    @cached_property
    def catalogue(self) -> ImageLibrary | None:
        """The library, unless it is switched off."""
        from langchain_imagegen.storage.library import ImageLibrary

        return ImageLibrary(self.image_store) if self.library else None

    @cached_property
    def remembered(self) -> Session:
        """The session."""
        from langchain_imagegen.cli.session import OFF, Session

        apart = self.simulated and self.session != OFF
        return Session(f"{self.session}.simulated" if apart else self.session, self.image_store)

    def picture(self, reference: str) -> GeneratedImage:
        """Return the picture of the session or the library that a reference means.

        Raises:
            UnknownImageError: It means none, or several.
        """
        memory, last = self.remembered.memory, self.remembered.last
        if reference == "last" and last is not None:
            return last
        if reference in memory:
            return self.remembered.bound(memory.get(reference))
        found = _distinct([*map(self.remembered.bound, memory), *self._catalogued()], reference)
        if len(found) == 1:
            return found[0]
        raise UnknownImageError(self._problem(reference, found), known=[image.handle for image in found or memory])

    def source(self, reference: str, *, folder: Path | None = None) -> Any:
        """Return what a reference to a picture to edit means, as the generator takes it.

        Args:
            reference: In one of `FORMS`.
            folder: Where relative paths are looked for; None: the current folder.

        Raises:
            UnknownImageError: As `picture`.
        """
        if reference.lower().startswith(("http://", "https://", "data:", "file-", "file_")):
            return reference
        path = (folder or Path()) / Path(reference).expanduser()
        known = reference in self.remembered.memory
        return path if not known and path.is_file() else self.picture(reference)

    def _catalogued(self) -> Iterable[GeneratedImage]:
        return () if self.catalogue is None else (entry.image for entry in self.catalogue)

    def _problem(self, reference: str, found: list[GeneratedImage]) -> str:
        if found:
            names = ", ".join(image.handle for image in found[:_LISTED])
            return (
                f"{reference!r} means {len(found)} pictures: {names}{', …' * (len(found) > _LISTED)}; write more of it"
            )
        if reference == "last":
            return "the session has no picture yet, so 'last' means none: draw one, or name a picture of imagegen list"
        if Path(reference).suffix and "." in reference:
            return f"there is no file {reference!r}, and no picture of that name"
        return f"{reference!r} means no picture: give {FORMS}; imagegen list shows what there is"


def _distinct(images: Iterable[GeneratedImage], reference: str) -> list[GeneratedImage]:
    """Return the pictures whose handle or digest begins with a text."""
    start = reference.lower()
    by_handle = start.removeprefix("img_")
    if not _DIGEST.fullmatch(by_handle):
        return []
    named = start.startswith("img_")
    found = [
        image
        for image in images
        if image.handle.removeprefix("img_").startswith(by_handle) or (not named and image.sha256.startswith(start))
    ]
    return list({(image.provider, image.id): image for image in found}.values())
