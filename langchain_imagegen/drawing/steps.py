"""The steps that a flow yields. `flows` and `recovery` choose them, and `runner` runs them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_imagegen.images.image import Origin
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import Api


@dataclass(frozen=True)
class Call:
    """Send a drawing request. Its value is an `ImageResult`, or `Linked` if pictures still have to be fetched.

    `note_id` is called with the response id as soon as a stream names it. It must not wait.
    """

    api: Api
    body: Mapping[str, Any]
    origin: Origin
    note_id: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Retrieve:
    """Ask for a response that the service keeps. Its value is that of `Call`.

    With `after`, the stream of a background response is read on behind the event of that number.
    """

    response_id: str
    origin: Origin
    after: int | None = None


@dataclass(frozen=True)
class Do:
    """Run a function that reads or writes a store. Its value is what the function returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Fetch:
    """Download a picture into the image store. Its value is a `Blob`."""

    url: str


@dataclass(frozen=True)
class Wait:
    """Wait. It has no value.

    `idle`: Nothing that may be billed is under way, so the call ends here if its caller goes away.
    """

    seconds: float
    idle: bool = False


Step: TypeAlias = "Call | Retrieve | Do | Fetch | Wait"
Flow: TypeAlias = "Generator[Step, Any, ImageResult]"
