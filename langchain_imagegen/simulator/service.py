"""The endpoints of the simulated service. The server handles sockets and delivery."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_imagegen.simulator import images_api
from langchain_imagegen.simulator.context import read_context
from langchain_imagegen.simulator.drafts import Draft
from langchain_imagegen.simulator.errors import ApiError, invalid_key, missing_parameter, response_not_found
from langchain_imagegen.simulator.events import encode_event, number_events, opening_events
from langchain_imagegen.simulator.faults import NOTHING, Event, Fault
from langchain_imagegen.simulator.image_rules import image_models
from langchain_imagegen.simulator.pictures import Studio
from langchain_imagegen.simulator.planning import plan_response
from langchain_imagegen.simulator.responses import Ids, new_response
from langchain_imagegen.simulator.storage import Account, FinishedResponse, Job, Storage, StoredFile
from langchain_imagegen.simulator.uploads import Field, read_multipart
from langchain_imagegen.simulator.validation import check_request, hosted_tool

BAD_KEY = "sk-invalid"
_MAINLINE = ("gpt-4.1", "gpt-4o", "gpt-5", "gpt-5-mini", "gpt-5.4", "gpt-5.4-mini")
_PREFIX = re.compile(r"(/v1|/openai(/v1)?(/deployments/[^/]+)?)(?=/)")
_PARTIAL_EVENT = ".partial_image"
_COMPLETED_EVENTS = ("image_generation_call.completed", "image_generation.completed", "image_edit.completed")


@dataclass(frozen=True)
class Call:
    """One parsed HTTP request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """The API key from the bearer token or from Azure's `api-key` header."""
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip() or self.headers.get("api-key", "")

    @property
    def content_type(self) -> str:
        """The `content-type` header, or an empty string."""
        return self.headers.get("content-type", "")

    @cached_property
    def json(self) -> Any:
        """The body parsed as JSON, or `None` if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. Iterating over `body` may block between the pieces."""

    body: Iterable[bytes]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer, indented as the service does."""
    return Answer([json.dumps(body, indent=2, ensure_ascii=False).encode()], status, headers=headers or {})


def _event_stream(pieces: Iterable[bytes]) -> Answer:
    return Answer(pieces, content_type="text/event-stream; charset=utf-8")


class Service:
    """Answers calls and keeps state per API key. It spends the simulated latency in `wait`."""

    def __init__(
        self, *, latency: float, reasoning_required: bool, seed: int | None, stopping: threading.Event
    ) -> None:
        self.latency = latency
        self.reasoning_required = reasoning_required
        self.storage = Storage()
        self.studio = Studio()
        self.ids = Ids(seed)
        self.wait = stopping.wait

    def answer(self, call: Call, fault: Fault = NOTHING) -> Answer:
        """Return the answer to a call. An `ApiError` becomes a JSON error answer."""
        try:
            return self._route(call, fault)
        except ApiError as error:
            return json_answer({"error": error.detail}, error.status, error.headers)

    def _route(self, call: Call, fault: Fault) -> Answer:
        if not call.key or call.key == BAD_KEY:
            raise invalid_key(call.key)
        account = self.storage.account(call.key)
        route = _PREFIX.sub("", call.path, count=1).rstrip("/") if _PREFIX.match(call.path) else ""
        for method, pattern, endpoint in _ROUTES:
            if call.method == method and (match := re.fullmatch(pattern, route)):
                answered: Answer = endpoint(self, account, call, fault, *match.groups())
                return answered
        hint = ". Only the Responses API has a simulated model: ChatOpenAI(use_responses_api=True)"
        raise ApiError(404, f"Invalid URL ({call.method} {call.path}){hint * route.startswith('/chat/completions')}")

    # Responses

    def create_response(self, account: Account, call: Call, fault: Fault) -> Answer:
        """`POST /responses`: as JSON, as a stream, in the background, or as a stream in the background."""
        request = call.json
        check_request(request)
        _check_deployment(request, call)
        draft = self._draft(request, account, fault)
        if draft.start["background"]:
            return self._start_background(draft)
        if draft.streamed:
            return _event_stream(self._stream(draft))
        if draft.plan.pictures:
            self.wait(self.latency)
        return json_answer(draft.finish().body)

    def _draft(self, request: Mapping[str, Any], account: Account, fault: Fault) -> Draft:
        with self.storage.lock:
            parts = read_context(request, account, reasoning_required=self.reasoning_required)
        plan = fault.plan(plan_response(request, parts, account))
        start = new_response(request, self.ids.new("resp"), int(time.time()))
        return Draft(request, account, parts, plan, start, fault, self.studio, self.ids)

    def _stream(self, draft: Draft) -> Iterator[bytes]:
        """Send the first events, then draw and send the others.

        A client that disconnects before the drawing is not charged. Whether the live service does the same is unknown.
        """
        first = number_events(opening_events(draft.start))
        yield from map(encode_event, first)
        sent = draft.fault.sent(draft.finish().events)
        yield from self._encode_with_latency(sent[len(first) :])

    def _encode_with_latency(self, events: list[Event]) -> Iterator[bytes]:
        """Yield the events as bytes. Wait before each picture, so that all waits add up to the latency."""
        pauses = _event_positions(events, _PARTIAL_EVENT) or _event_positions(events, *_COMPLETED_EVENTS)
        for n, event in enumerate(events):
            if n in pauses:
                self.wait(self.latency / len(pauses))
            yield encode_event(event)

    def _start_background(self, draft: Draft) -> Answer:
        """Start a background response. Like the service, store it even with `store=False`, so that it can be polled."""
        queued = {**draft.start, "status": "queued"}
        due = time.monotonic() + (self.latency if draft.plan.pictures else 0)
        job = Job(queued, due, draft.finish)
        draft.account.responses[queued["id"]] = job
        if draft.streamed:
            return _event_stream(self._follow(job, draft.fault, after=-1))
        return json_answer(queued)

    def _follow(self, job: Job, fault: Fault, *, after: int) -> Iterator[bytes]:
        """Yield the events of a background response that are numbered above `after`.

        The opening events come at once, the others when the response is due.
        """
        first = number_events(opening_events(job.pending))
        yield from map(encode_event, first[after + 1 :])
        self.wait(max(0.0, job.due - time.monotonic()))
        with self.storage.lock:
            done = job.finish_if_due()
        if done is not None:
            later = [event for event in fault.sent(done.events)[len(first) :] if _sequence_number(event) > after]
            yield from map(encode_event, later)

    def retrieve_response(self, account: Account, call: Call, fault: Fault, response_id: str) -> Answer:
        """`GET /responses/{id}`: as JSON, or as a stream with the events of a background response.

        With `starting_after=n` the stream starts with event n + 1.
        """
        with self.storage.lock:
            entry = account.response(response_id)
            if call.query.get("stream") == "true":
                if isinstance(entry, FinishedResponse):
                    raise response_not_found(response_id)
                after = int(call.query.get("starting_after", -1))
                return _event_stream(self._follow(entry, fault, after=after))
            return json_answer(entry.poll() if isinstance(entry, Job) else entry.body)

    def cancel_response(self, account: Account, call: Call, fault: Fault, response_id: str) -> Answer:  # noqa: ARG002
        """`POST /responses/{id}/cancel`. Reject a foreground response. The text of that error is a guess."""
        with self.storage.lock:
            entry = account.response(response_id)
            if isinstance(entry, FinishedResponse):
                raise ApiError(400, "Cannot cancel a synchronous response.")
            entry.finish_if_due()
            return json_answer(entry.cancel())

    def delete_response(self, account: Account, call: Call, fault: Fault, response_id: str) -> Answer:  # noqa: ARG002
        """`DELETE /responses/{id}`."""
        with self.storage.lock:
            account.delete(response_id)
        return json_answer({"id": response_id, "object": "response", "deleted": True})

    def create_conversation(self, account: Account, call: Call, fault: Fault) -> Answer:  # noqa: ARG002
        """`POST /conversations`. Initial items are ignored."""
        conversation = self.ids.new("conv")
        account.conversations[conversation] = []
        created = int(time.time())
        return json_answer({"id": conversation, "object": "conversation", "created_at": created, "metadata": {}})

    # Images

    def generate_images(self, account: Account, call: Call, fault: Fault) -> Answer:  # noqa: ARG002
        """`POST /images/generations`."""
        return self._answer_images(images_api.read_generation(call.json), fault)

    def edit_images(self, account: Account, call: Call, fault: Fault) -> Answer:
        """`POST /images/edits`, with a multipart or a JSON body."""
        if call.content_type.startswith("multipart/"):
            fields = read_multipart(call.body, call.content_type)
            return self._answer_images(images_api.read_multipart_edit(fields), fault)
        return self._answer_images(images_api.read_json_edit(call.json, account), fault)

    def _answer_images(self, images: images_api.ImagesCall, fault: Fault) -> Answer:
        if images.streamed:
            events = fault.sent(images_api.events(images, fault, self.studio))
            return _event_stream(self._encode_with_latency(events))
        self.wait(self.latency)
        return json_answer(images_api.answer(images, images_api.draw(images, fault, self.studio)))

    # Files and models

    def create_file(self, account: Account, call: Call, fault: Fault) -> Answer:  # noqa: ARG002
        """`POST /files`."""
        fields = {each.name: each for each in read_multipart(call.body, call.content_type)}
        for name in ("file", "purpose"):
            if name not in fields:
                raise missing_parameter(name)
        stored = self._new_file(fields["file"], fields["purpose"].data.decode())
        account.files[stored.id] = stored
        return json_answer(stored.describe())

    def _new_file(self, upload: Field, purpose: str) -> StoredFile:
        name = upload.filename or "upload"
        return StoredFile(self.ids.short("file-"), name, purpose, upload.content_type, upload.data, int(time.time()))

    def retrieve_file(self, account: Account, call: Call, fault: Fault, file_id: str) -> Answer:  # noqa: ARG002
        """`GET /files/{id}`."""
        return json_answer(_find_file(account, file_id).describe())

    def file_content(self, account: Account, call: Call, fault: Fault, file_id: str) -> Answer:  # noqa: ARG002
        """`GET /files/{id}/content`."""
        stored = _find_file(account, file_id)
        return Answer([stored.data], content_type=stored.content_type)

    def delete_file(self, account: Account, call: Call, fault: Fault, file_id: str) -> Answer:  # noqa: ARG002
        """`DELETE /files/{id}`."""
        del account.files[_find_file(account, file_id).id]
        return json_answer({"id": file_id, "object": "file", "deleted": True})

    def list_models(self, account: Account, call: Call, fault: Fault) -> Answer:  # noqa: ARG002
        """`GET /models`."""
        names = [*_MAINLINE, *image_models()]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in names]
        return json_answer({"object": "list", "data": data})


_ROUTES = (
    ("POST", r"/responses", Service.create_response),
    ("GET", r"/responses/([^/]+)", Service.retrieve_response),
    ("DELETE", r"/responses/([^/]+)", Service.delete_response),
    ("POST", r"/responses/([^/]+)/cancel", Service.cancel_response),
    ("POST", r"/conversations", Service.create_conversation),
    ("POST", r"/images/generations", Service.generate_images),
    ("POST", r"/images/edits", Service.edit_images),
    ("POST", r"/files", Service.create_file),
    ("GET", r"/files/([^/]+)", Service.retrieve_file),
    ("GET", r"/files/([^/]+)/content", Service.file_content),
    ("DELETE", r"/files/([^/]+)", Service.delete_file),
    ("GET", r"/models", Service.list_models),
)


def _check_deployment(request: Mapping[str, Any], call: Call) -> None:
    """Raise Azure's 400 if the header that names the image deployment is missing. The text does not mention it."""
    named = "x-ms-oai-image-generation-deployment" in call.headers
    if call.path.startswith("/openai/") and hosted_tool(request) is not None and not named:
        message = "There was an issue with your request. Please check your inputs and try again"
        raise ApiError(400, message)


def _find_file(account: Account, file_id: str) -> StoredFile:
    if (found := account.files.get(file_id)) is None:
        raise ApiError(404, f"No such File object: {file_id}", param="id")
    return found


def _event_positions(events: list[Event], *endings: str) -> list[int]:
    return [n for n, event in enumerate(events) if str(event.get("type", "")).endswith(endings)]


def _sequence_number(event: Event) -> int:
    return int(event.get("sequence_number", -1))
