"""A drawing whose pictures go into a library as well. A flow like those of `flows`: no client, no clock, no file."""

from __future__ import annotations

import os
from functools import partial

from langchain_core.runnables.config import ensure_config

from langchain_imagegen.drawing.purchase import warned
from langchain_imagegen.drawing.steps import Do, Flow
from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.storage.library import ImageLibrary
from langchain_imagegen.storage.store import ImageStore

_OF_LANGCHAIN = ("seq:step:", "map:key:", "graph:step:", "condition:", "branch:", "langsmith:")
"""Beginnings of the tags that LangChain and LangGraph give to runs themselves."""


def check_library(library: ImageLibrary, store: ImageStore) -> None:
    """Refuse a library whose pictures are elsewhere: it would find pictures that it cannot read.

    Raises:
        OptionError: They are.
    """
    if library.image_store.location == store.location:
        return  # without a look at the disk
    if _place_of(library.image_store) != _place_of(store):
        raise OptionError(
            f"the library is one of {library.image_store!r}, and the pictures go into {store!r}: give both the same "
            "store, as in ImageGenerator(image_store=store, library=ImageLibrary(store))"
        )


def _place_of(store: ImageStore) -> str:
    """Return what tells the places of stores apart: a URL, or a folder without symbolic links."""
    location = store.location.rstrip("/")
    return location if "://" in location else os.path.realpath(location)


def catalogued(flow: Flow, library: ImageLibrary) -> Flow:
    """Return the flow of a drawing that ends in an entry of the library for each picture.

    The entry has the thread id and the tags of the run in which this is called. If the library cannot be written, the
    result has a warning.
    """
    config = ensure_config()
    thread = (config.get("configurable") or {}).get("thread_id") or (config.get("metadata") or {}).get("thread_id")
    tags = [tag for tag in config.get("tags") or () if not tag.startswith(_OF_LANGCHAIN)]
    return _catalogued(flow, library, None if thread is None else str(thread), tags)


def _catalogued(flow: Flow, library: ImageLibrary, thread: str | None, tags: list[str]) -> Flow:
    result = yield from flow
    try:
        yield Do(partial(library.add, result, thread=thread, tags=tags))
    except ImageStoreError as error:
        return warned(result, f"the picture is not in the library, which cannot be written: {error}")
    return result
