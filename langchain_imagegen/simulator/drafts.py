"""Turns the plan of a response into pictures, items and events, and stores them. No HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from langchain_imagegen.simulator.context import conversation_id
from langchain_imagegen.simulator.events import number_events, obfuscate, response_events
from langchain_imagegen.simulator.faults import Event, Fault
from langchain_imagegen.simulator.pictures import Picture, Studio
from langchain_imagegen.simulator.plans import Order, Plan
from langchain_imagegen.simulator.responses import (
    Body,
    Ids,
    Request,
    failed_image_item,
    finish_response,
    function_item,
    image_item,
    message_item,
    message_parts,
    reasoning_item,
)
from langchain_imagegen.simulator.storage import Account, FinishedResponse, Part


@dataclass
class Draft:
    """A planned response. `finish` draws its pictures and stores it in the account.

    Attributes:
        parts: The conversation before this response.
        start: The body of the response while it is in progress.
    """

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
        """Whether the request asks for an event stream."""
        return bool(self.request.get("stream"))

    def finish(self) -> FinishedResponse:
        """Return the finished response. Its status is `failed` if a source or the mask cannot be opened."""
        try:
            pictures = [self._draw(order) for order in self.plan.pictures]
        except ValueError as error:
            detail = {"code": "invalid_image", "message": f"The image data is not valid: {error}."}
            self.plan, pictures = replace(Plan(), status="failed", error=detail), []
        made = list(self._make_items(pictures))
        drawn = [picture.order for picture in pictures if isinstance(picture, Picture)]
        output = [item for item, _ in made]
        final = finish_response(self.start, self.plan, output, drawn, int(time.time()))
        events = self.fault.events(self._make_events(final, _partials_by_item(output, pictures)))
        done = FinishedResponse(final, number_events(events), [*self.parts, *(part for _, part in made)])
        self._store(done, [part for _, part in made])
        return done

    def _make_events(self, final: Body, partials: dict[str, tuple[str, ...]]) -> list[Event]:
        events = response_events(self.start, final, partials)
        wanted = (self.request.get("stream_options") or {}).get("include_obfuscation") is not False
        return obfuscate(events) if wanted else events

    def _draw(self, order: Order) -> Picture | Order:
        return order if order.error else self.studio.draw(order, self.fault, partials=self.streamed)

    def _make_items(self, pictures: list[Picture | Order]) -> Iterator[tuple[Body, Part]]:
        """Yield the items in recorded order, each with the part that later turns see."""
        reason = None
        if self.plan.reasoning:
            item = reasoning_item(self.ids, encrypted=self._wants_encrypted_reasoning())
            reason = item["id"]
            yield item, Part("reasoning", id=reason)
        for picture in pictures:
            yield self._make_image_item(picture, reason)
        for call in self.plan.calls:
            item = function_item(self.ids, call)
            yield item, Part("call", call.arguments, id=item["id"])
        for content in message_parts(self.plan):
            item = message_item(self.ids, str(self.request["model"]), content)
            yield item, Part("assistant", str(content.get("text", "")), id=item["id"])

    def _wants_encrypted_reasoning(self) -> bool:
        return "reasoning.encrypted_content" in (self.request.get("include") or [])

    def _make_image_item(self, picture: Picture | Order, reason: str | None) -> tuple[Body, Part]:
        item_id = self.ids.new("ig")
        if isinstance(picture, Order):
            return failed_image_item(item_id, picture), Part("other", id=item_id)
        item = self.fault.item(image_item(item_id, picture))
        return item, Part("picture", picture.order.prompt, (picture.data,), item["id"], reason)

    def _store(self, done: FinishedResponse, made: list[Part]) -> None:
        store = bool(self.start["store"])
        self.account.keep_items(made, store=store)
        if store and not self.start["background"]:
            self.account.responses[self.start["id"]] = done
        if conversation := conversation_id(self.request):
            self.account.conversations[conversation] = done.parts


def _partials_by_item(output: list[Body], pictures: list[Picture | Order]) -> dict[str, tuple[str, ...]]:
    items = [item["id"] for item in output if item["type"] == "image_generation_call"]
    pairs = zip(items, pictures, strict=True)
    return {item_id: picture.partials for item_id, picture in pairs if isinstance(picture, Picture)}
