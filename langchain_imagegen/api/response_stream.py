"""Read the events of a streamed response. Pure: events come in as JSON objects.

A picture has arrived whole with its `response.output_item.done`, or with the partial picture whose index is at least
the number of partials asked for: the service draws the finished picture as one partial more. Every later copy of it
(`output_item.done`, `response.completed`) may be cut or corrupt without loss.
"""

from __future__ import annotations

from typing import Any

from langchain_imagegen.api.fields import Fields, Item
from langchain_imagegen.api.responses import CALL, output_of, read_response
from langchain_imagegen.errors import ConnectionLostError, CorruptImageError, ImageGenerationError
from langchain_imagegen.images.image import Origin, ReadPartial, ReadPicture
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult

_TOKENS = ("usage", "tool_usage")  # zero in `response.created`, true in the closing event


class StreamReader:
    """Reads the events of a streamed response: partial pictures at once, the result at the end."""

    TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

    def __init__(self, origin: Origin, picture: ReadPicture, partial: ReadPartial) -> None:
        self.response: dict[str, Any] = {}
        self.ended = False
        self.closed = False
        self.last_event: int | None = None  # the number of the latest event
        self._origin, self._picture, self._partial = origin, picture, partial
        self._done: dict[str, Item] = {}
        self._finished: dict[str, Item] = {}
        self._error: object = None

    @property
    def delivered(self) -> frozenset[str]:
        """Ids of the pictures that have arrived whole."""
        return frozenset(id for id, item in self._done.items() if item.get("result"))

    @property
    def failed(self) -> bool:
        """True if the service has reported an error or closed the response."""
        return self.closed or self._error is not None

    def forget_pictures(self) -> None:
        """Forget the items that hold pictures: a second stream numbers its pictures anew."""
        self._done = {id: item for id, item in self._done.items() if not item.get("result")}
        self._finished = {}

    def feed(self, event: Item) -> list[PartialImage]:
        """Return the partial picture of an event, if it has one; events of unknown types are passed over."""
        fields = Fields(event)
        kind = fields.text("type") or ""
        self.last_event = fields.count("sequence_number") if "sequence_number" in event else self.last_event
        if kind == "response.image_generation_call.partial_image":
            return self._read_partial(event)
        if kind == "response.output_item.done":
            items = Fields({"item": [event.get("item")]}).objects("item")
            self._done |= {Fields(item).text("id") or f"#{len(self._done)}": item for item in items}
        elif kind == "error":
            self._error = event.get("error") or event
        elif isinstance(event.get("response"), dict):
            known = {"id": self.response["id"]} if "id" in self.response else {}
            self.response = {**known, **event["response"]}  # one that is cut may lack its id
            self.ended = self.closed = kind in self.TERMINAL
        return []

    def result(self) -> ImageResult:
        """Return the result, also of a stream that ended early but had delivered a picture.

        Raises:
            ImageGenerationError: no picture arrived.
        """
        spoiled: list[str] = []
        payload = self.response | {"output": [self._with_whole_copy(item, spoiled) for item in self._output()]}
        if not self.closed:
            payload = {key: value for key, value in payload.items() if key not in _TOKENS}
        if self._error and not payload.get("error"):
            payload["error"] = self._error
        try:
            result = read_response(payload, self._origin, self._picture, warnings=spoiled)
        except CorruptImageError:
            raise
        except ImageGenerationError as error:
            raise error if self.ended or payload.get("error") else self._cut() from error
        return result if self.ended and not payload.get("error") else self._early(result, payload.get("error"))

    def _output(self) -> list[Item]:
        """Return the final items; those with pictures as they first arrived, since later copies are not kept."""
        last = {Fields(item).text("id"): item for item in output_of(self.response)}
        kept = [self._done.get(id or "", item) for id, item in last.items()]
        extra = self._done if self.failed else {**self._finished, **self._done}
        return [*kept, *(item for id, item in extra.items() if id not in last)]

    def _with_whole_copy(self, item: Item, spoiled: list[str]) -> Item:
        """Return the item with the first of its copies of the picture that is whole."""
        id, value = Fields(item).text("id"), item.get("result")
        others = [*output_of(self.response), *self._finished.values()] if value and id else []
        copies = [other["result"] for other in others if other.get("id") == id and other.get("result")]
        for copy in [value, *copies] if copies else ():
            try:
                self._picture(copy)
            except CorruptImageError as error:
                spoiled.append(f"a copy of the picture could not be read ({error}); another copy was taken")
            else:
                return {**item, "result": copy}
        return item

    def _read_partial(self, event: Item) -> list[PartialImage]:
        """Return nothing for a corrupt one: the finished picture, which is paid for, is still to come."""
        fields, data = Fields(event), event.get("partial_image_b64")
        try:
            picture = self._partial(data)
        except CorruptImageError:
            return []
        known = {
            "partial_image_index": fields.count("partial_image_index"),
            "output_format": fields.text("output_format"),
        }
        partial = PartialImage.of(picture, known, self._origin, id=fields.text("item_id") or "")
        if partial.final:
            self._finished[partial.id] = {**event, "type": CALL, "id": partial.id, "result": data}
        return [partial]

    def _cut(self) -> ConnectionLostError:
        id = Fields(self.response).text("id")
        found = f"; it may be found as response {id!r}" if id else ""
        return ConnectionLostError(f"the stream ended before a picture had arrived{found}", response_id=id)

    def _early(self, result: ImageResult, error: object) -> ImageResult:
        message = Fields(error).text("message") or (error if isinstance(error, str) else None)
        why = f"with the error {message!r}" if error else "without its closing event"
        warning = f"the stream ended {why}; the pictures had arrived whole"
        return result.model_copy(update={"warnings": (*result.warnings, warning)})
