"""Web addresses that a chat model names as images to edit, where the developer allows it.

The pictures are fetched here, over https and from public addresses alone, also after redirects. The service gets their
bytes and never the address: it might fetch from its own network whatever a model names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from langchain_imagegen.errors import ImageFetchError, UnknownImageError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.images.sources import shown
from langchain_imagegen.storage.store import ImageStore


class Addresses:
    """Fetches what a chat model names by web address into an image store.

    Args:
        store: Where the pictures go.
        allowed: Whether addresses are fetched; otherwise they stay, and name no image.
    """

    def __init__(self, store: ImageStore, *, allowed: bool) -> None:
        self._store, self._allowed = store, allowed

    def fetch(self, images: Iterable[str] | None) -> list[str | GeneratedImage]:
        """Return the names of images as they are, and the picture in place of each address.

        Raises:
            UnknownImageError: An address is refused, does not answer in time or gives no picture.
        """
        return [self._fetch(name) if self._is_fetched(name) else name for name in images or ()]

    async def afetch(self, images: Iterable[str] | None) -> list[str | GeneratedImage]:
        """Async twin of `fetch`."""
        return [await self._afetch(name) if self._is_fetched(name) else name for name in images or ()]

    def _is_fetched(self, name: str) -> bool:
        return self._allowed and name[:8].lower().startswith(("http://", "https://"))

    def _fetch(self, url: str) -> GeneratedImage:
        from langchain_imagegen.drawing.fetching import Fetcher

        with _named_errors(url):
            return self._image(Fetcher().fetch(url, self._store))

    async def _afetch(self, url: str) -> GeneratedImage:
        from langchain_imagegen.drawing.fetching import Fetcher

        with _named_errors(url):
            return self._image(await Fetcher().afetch(url, self._store))

    def _image(self, blob: Blob) -> GeneratedImage:
        return GeneratedImage.of(blob, id=f"sha256:{blob.sha256}", origin="tool", stored=False).bind(self._store)


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    try:
        yield
    except ImageFetchError as error:
        raise UnknownImageError(f"there is no picture at {shown(url)}: {str(error.__cause__)[:100]}") from error
