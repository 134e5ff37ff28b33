"""`imagegen forget`: pictures out of session and library, and their bytes if that is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_imagegen.cli.completion import complete_reference
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.errors import OptionError, UnknownImageError

if TYPE_CHECKING:
    from langchain_imagegen.images.image import GeneratedImage

References = Annotated[
    list[str] | None,
    typer.Argument(help="The pictures.", autocompletion=complete_reference, metavar="PICTURE", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Forget the whole session and every entry of the library.")]
Delete = Annotated[
    bool,
    typer.Option("--delete", help="Delete the bytes from the image store too, unless another picture has the same."),
]


def forget(
    pictures: References = None,
    *,
    everything: All = False,
    delete: Delete = False,
    output: Output,
    workspace: Workspace,
) -> None:
    """Forget pictures, and delete them if wanted.

    They leave the session and the library, with their prompts. Their bytes stay unless --delete is given. The service
    keeps its responses for up to 30 days: see ImageGenerator.delete_remote.
    """
    if bool(pictures) == everything:
        raise OptionError("name the pictures to forget, or give --all")
    images = _all_of(workspace) if everything else [workspace.picture(each) for each in pictures or ()]
    named = _named_by_others(images, workspace) if delete and not everything else {}
    for image in images:
        if workspace.catalogue is not None:
            with suppress(UnknownImageError):
                workspace.catalogue.remove(image.handle)
        for digest in image.digests() if delete else ():
            if digest not in named:
                workspace.image_store.delete(digest)
    if everything:
        workspace.remembered.clear()
        if workspace.catalogue is not None:
            workspace.catalogue.clear()
    else:
        workspace.remembered.forget(images)
    kept = {image.handle: named[image.sha256] for image in images if image.sha256 in named}
    told = {"kept": list(kept)} if kept else {}
    output.give({"forgotten": [image.handle for image in images], "deleted": delete and not kept, **told})
    output.say(f"{'deleted' if delete and not kept else 'forgot'} {len(images)} picture{'s' * (len(images) != 1)}")
    for handle, other in kept.items():
        output.note(f"the bytes of {handle} stay, since {other} has the same: forget that one too to delete them")


def _named_by_others(images: Iterable[GeneratedImage], workspace: Workspace) -> dict[str, str]:
    """Return the digests that other pictures of session and library name, each with the handle of such a picture."""
    forgotten = {(image.provider, image.id) for image in images}
    others = [image for image in _all_of(workspace) if (image.provider, image.id) not in forgotten]
    return {digest: image.handle for image in others for digest in image.digests()}


def _all_of(workspace: Workspace) -> list[GeneratedImage]:
    catalogued = [] if workspace.catalogue is None else [entry.image for entry in workspace.catalogue]
    images = [*map(workspace.remembered.bound, workspace.remembered.memory), *catalogued]
    return list({(image.provider, image.id): image for image in images}.values())
