"""One response in the making: plan to pictures, items, events, and what is kept of it; no HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from langchain_imagegen.simulator.context import conversation_id
from langchain_imagegen.simulator.events import numbered, obfuscate, response_events
from langchain_imagegen.simulator.faults import Event, Fault
from langchain_imagegen.simulator.pictures import Picture, Studio
from langchain_imagegen.simulator.plans import Order, Plan
from langchain_imagegen.simulator.responses import (
    Body,
    Ids,
    Request,
    failed_image_item,
    finished,
    function_item,
    image_item,
    message_item,
    message_parts,
    reasoning_item,
)
from langchain_imagegen.simulator.storage import Account, Finished, Part


@dataclass
class Draft:
    """A response that is planned. `finish` draws it and puts it on the account's shelves."""

    request: Request
    account: Account
    parts: list[Part]
    plan: Plan
    start: Body
    fault: Fault
    studio: Studio
    ids: Ids

    @property
    def streamed(self) -> bool:
        """Whether the client reads events."""
        return bool(self.request.get("stream"))

    def finish(self) -> Finished:
        """The response when done. A source that cannot be drawn on fails it, with a listed code."""
        try:
            pictures = [self._draw(order) for order in self.plan.pictures]
        except ValueError as error:
            detail = {"code": "invalid_image", "message": f"The image data is not valid: {error}."}
            self.plan, pictures = replace(Plan(), status="failed", error=detail), []
        made = list(self._items(pictures))
        drawn = [picture.order for picture in pictures if isinstance(picture, Picture)]
        output = [item for item, _ in made]
        final = finished(self.start, self.plan, output, drawn, int(time.time()))
        events = self.fault.events(self._events(final, _partials(output, pictures)))
        done = Finished(final, numbered(events), [*self.parts, *(part for _, part in made)])
        self._keep(done, [part for _, part in made])
        return done

    def _events(self, final: Body, partials: dict[str, tuple[str, ...]]) -> list[Event]:
        events = response_events(self.start, final, partials)
        wanted = (self.request.get("stream_options") or {}).get("include_obfuscation") is not False
        return obfuscate(events) if wanted else events

    def _draw(self, order: Order) -> Picture | Order:
        return order if order.error else self.studio.draw(order, self.fault, partials=self.streamed)

    def _items(self, pictures: list[Picture | Order]) -> Iterator[tuple[Body, Part]]:
        """Items in the order of the recordings, each with what a later turn sees of it."""
        reason = None
        if self.plan.reasoning:
            item = reasoning_item(self.ids, encrypted=self._encrypted())
            reason = item["id"]
            yield item, Part("reasoning", id=reason)
        for picture in pictures:
            yield self._image(picture, reason)
        for call in self.plan.calls:
            item = function_item(self.ids, call)
            yield item, Part("call", call.arguments, id=item["id"])
        for content in message_parts(self.plan):
            item = message_item(self.ids, str(self.request["model"]), content)
            yield item, Part("assistant", str(content.get("text", "")), id=item["id"])

    def _encrypted(self) -> bool:
        return "reasoning.encrypted_content" in (self.request.get("include") or [])

    def _image(self, picture: Picture | Order, reason: str | None) -> tuple[Body, Part]:
        item_id = self.ids.new("ig")
        if isinstance(picture, Order):
            return failed_image_item(item_id, picture), Part("other", id=item_id)
        item = self.fault.item(image_item(item_id, picture))
        return item, Part("picture", picture.order.prompt, (picture.data,), item["id"], reason)

    def _keep(self, done: Finished, made: list[Part]) -> None:
        store = bool(self.start["store"])
        self.account.keep_items(made, store=store)
        if store and not self.start["background"]:
            self.account.responses[self.start["id"]] = done
        if conversation := conversation_id(self.request):
            self.account.conversations[conversation] = done.parts


def _partials(output: list[Body], pictures: list[Picture | Order]) -> dict[str, tuple[str, ...]]:
    items = [item["id"] for item in output if item["type"] == "image_generation_call"]
    pairs = zip(items, pictures, strict=True)
    return {item_id: picture.partials for item_id, picture in pairs if isinstance(picture, Picture)}
