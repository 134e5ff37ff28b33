"""Partial images: they have a digest and, once they are in a store, an address."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest

from langchain_imagegen import ImageStore, PartialImage
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.simulator.drawing import draw as paint

PNG = paint("a fox", size=(16, 16))


def partial_of(data: bytes) -> PartialImage:
    """Return a partial image with these bytes."""
    return PartialImage(index=0, data=data, mime_type="image/png", id="ig_1")


def test_the_digest_is_that_of_the_bytes():
    """A partial image's `sha256` is the digest under which a store keeps its bytes."""
    assert partial_of(PNG).sha256 == hashlib.sha256(PNG).hexdigest()


def test_a_stored_partial_has_an_address(half, tmp_path: Path):
    """The address of a partial image is that of its bytes in the store it is bound to, sync and async."""
    store = ImageStore(tmp_path / "images", public_url="https://example.org/{sha256}.{ext}")
    partial = partial_of(PNG).bind(store)

    assert half.call(partial, "url") == f"https://example.org/{partial.sha256}.png"


def test_an_unbound_partial_has_the_address_of_a_store_at_hand(half, tmp_path: Path):
    """A partial image that is bound to no store gets its address from an open store that has its bytes."""
    store = ImageStore(tmp_path / "images", public_url="https://example.org/{sha256}.{ext}")
    unstored, partial = partial_of(PNG[:-1]), partial_of(PNG)
    store.put(PNG)

    assert half.call(partial, "url") == f"https://example.org/{partial.sha256}.png"
    with pytest.raises(ImageStoreError, match="no image store at hand"):
        half.call(unstored, "url")


def test_the_store_is_not_part_of_a_partial(image_store: ImageStore):
    """Binding returns another object that is equal, hashes alike, and whose pickle keeps the bytes."""
    partial = partial_of(PNG)
    bound = partial.bind(image_store)

    assert bound is not partial
    assert bound == partial
    assert bound != partial_of(PNG[:-1])
    assert len({bound, partial}) == 1
    assert pickle.loads(pickle.dumps(bound)).sha256 == partial.sha256
