"""`ImageGenerationMiddleware`: pictures in `create_agent`, whichever chat model it runs on.

This module and its `agent_state` need `langchain`, and are loaded on first use. It has `wrap_*` hooks only: any other
hook would be a node of its own and add a checkpoint to each turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal, cast

from langchain.agents.middleware.types import (
    AgentMiddleware,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, ToolMessage
from langgraph.types import Command

from langchain_imagegen.agents.agent_state import AgentImageState, AgentUiState
from langchain_imagegen.agents.approval import reviewer
from langchain_imagegen.agents.budget import Limits
from langchain_imagegen.agents.chat_models import (
    Service,
    function_tool_only,
    has_hosted_tool,
    host_of,
    is_hosted,
    is_stored,
    patience_of,
    retries_of,
)
from langchain_imagegen.agents.custom_events import CustomEvents
from langchain_imagegen.agents.display import Display, messages_in
from langchain_imagegen.agents.hiding import warn_of_summaries
from langchain_imagegen.agents.hosted_limits import limits_of
from langchain_imagegen.agents.hosted_progress import check_wire, hosted_progress
from langchain_imagegen.agents.model_call import Turn
from langchain_imagegen.agents.neighbours import check_neighbours, find_neighbours
from langchain_imagegen.agents.progress import Partials, check_partials, count_of
from langchain_imagegen.agents.refusals import Refusals
from langchain_imagegen.agents.tool import ImageGenerationTool, with_settings
from langchain_imagegen.agents.tool_pictures import recorded
from langchain_imagegen.agents.ui import push_answers
from langchain_imagegen.conversation.channel import CHANNEL, MISDECLARED
from langchain_imagegen.conversation.display import WEEK, Form
from langchain_imagegen.conversation.memory import ImageMemory, check_trust
from langchain_imagegen.conversation.message_forms import as_messages
from langchain_imagegen.conversation.states import values_of
from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.storage.call_store import CallStore
from langchain_imagegen.storage.store import ImageStore, default_store, store_at


class ImageGenerationMiddleware(AgentMiddleware[Any, Any, Any]):
    """Lets an agent draw, edit any earlier picture, and remember them without their bytes.

    A chat model that has the hosted tool draws by itself; any other gets `ImageGenerationTool`. Base64 in answers and
    uploads goes into the image store before the next checkpoint; the state's channel `generated_images` keeps records.
    A picture that cannot be stored stays in its message, with a logged warning, and moves once the store works again.
    Put it last among the agent's middleware: it names to the model those pictures whose messages others left out.

    Args:
        options: What pictures are drawn with.
        image_store: Where the bytes go, or its folder or URL; `None`: the default store.
        hosted: Whether the chat model draws with the hosted tool; `"auto"`: a `ChatOpenAI` or `AzureChatOpenAI` of
            OpenAI's own hosts, and any that is set to the Responses API.
        offload_uploads: Whether pictures that users send leave the state too.
        tool: The function tool for models that have no hosted one; made with `options` and `image_store` if `None`.
        carry: How many of the latest pictures go along with a request where the user names none and the service
            does not keep them.
        trust: `"channel"` believes the state's channel alone; for servers whose clients may write messages.
        wire: Whether base64 is kept from tracers, callbacks and `stream_mode="messages"` as well, which see an answer
            of the chat model before any middleware does. Hosted calls of a `BaseChatOpenAI` are then made by a copy of
            the model over the same connections, with an `ImageTransport`. What a request brings along, such as a
            user's photo, is seen as before. An answer that breaks off is then fetched again by its response id if
            the service keeps it, and if not, delivered as far as its pictures had arrived, with a logged warning.
            Without `wire` the id is not known, so that a broken answer is an error. Whoever follows the run is told of
            hosted calls by the events of the function tool (see `hosted_progress`).
        around_image: As that of the tool. It must see a request before the service draws, so the function tool draws
            for every chat model.
        show: How the last answer of a turn, unless structured, shows its pictures: `"markdown"`, `"image_url"` or
            v1 `"image"` with `url`. No request to the model has them. The image store must give addresses.
        ui: Whether LangGraph's `ui` messages are pushed for the component in `web/ui.tsx`, and kept in the state.
        link_seconds: How long an address works where it is signed; later turns renew those past half of it.
        approval: Whether a person is asked before a picture is drawn: `True`, the dollars from which on (`"$0.10"`), or
            what `approval` returns. The function tool draws for every chat model, and each call is an interrupt of
            LangChain's `HumanInTheLoopMiddleware` with `interrupt_mode="per_call"`.
        max_images: As that of the tool, also for hosted calls: the model has no tool once the limit is reached, and
            `max_tool_calls` is what is left.
        max_cost: The same in dollars.
        partials: As that of the tool; `None`: what the tool says. For hosted calls it needs `wire=True`: they are asked
            for beneath the chat model, which does not see them.
    """

    state_schema = AgentImageState

    def __init__(
        self,
        options: ImageOptions | Mapping[str, Any] | None = None,
        *,
        image_store: ImageStore | str | os.PathLike[str] | None = None,
        hosted: Literal["auto"] | bool = "auto",
        offload_uploads: bool = True,
        tool: ImageGenerationTool | None = None,
        carry: int = 1,
        trust: Literal["all", "channel"] = "all",
        wire: bool = False,
        around_image: Callable[..., Any] | None = None,
        show: Form | None = None,
        ui: bool = False,
        link_seconds: int = WEEK,
        approval: Any = None,
        max_images: Any = None,
        max_cost: Any = None,
        partials: Partials | None = None,
    ) -> None:
        super().__init__()
        check_trust(trust)
        self.wire, image_store = wire, store_at(image_store)
        self.options = ImageOptions.parse(options)
        self.image_store = (
            tool.generator.image_store if image_store is None and tool and tool.generator else image_store
        )
        self.hosted = function_tool_only(hosted=hosted, around_image=around_image, approval=approval)
        self._leaves_hosted = hosted is False and not (around_image or approval)
        check_wire(partials if hosted is True else None, wire=wire)
        self.offload_uploads = offload_uploads
        self.carry = carry
        self.trust = "channel" if tool and tool.trust == "channel" else trust
        settings = {"around_image": around_image, "max_images": max_images, "max_cost": max_cost, "ui": ui or None}
        if tool is None:
            tool = ImageGenerationTool(generator=ImageGenerator(options=self.options, image_store=image_store))
        self.tool = with_settings(tool, trust=self.trust, partials=check_partials(partials), **settings)
        asked = count_of(self.tool.partials, self.options) if wire else 0  # of hosted calls
        self._asked = self.options.merge({"partial_images": asked or None})
        self.limits = Limits.read(self.tool.max_images, self.tool.max_cost)
        self._reviewer: AgentMiddleware[Any, Any, Any] | None = reviewer(approval, self.tool) if approval else None
        self._refusals = Refusals()
        self._display = Display(form, link_seconds) if (form := show or self.tool.show) else None
        self._ui = Display("markdown", link_seconds) if ui or self.tool.ui else None
        if self._ui:
            self.state_schema = AgentUiState
            self._ui.check(self._store(), "ui=True")
        if self._display:
            self._display.check(self._store())
        self._neighbours: list[Any] = []

    @property
    def tools(self) -> list[Any]:  # type: ignore[override]  # who builds an agent asks for them
        """The function tool, unless the chat model draws by itself."""
        found = find_neighbours(self)
        if self._display and found and found != self._neighbours:
            warn_of_summaries(found)
        self._neighbours = self._neighbours if found is None else found
        return [] if self.hosted is True else [self.tool]

    @property
    def transformers(self) -> list[Any]:  # type: ignore[override]  # who builds an agent asks for them
        """What makes the events of hosted calls reach `astream_events(version="v3")`."""
        return [CustomEvents] if self.wire else []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_neighbours": []}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Put pictures into the request, and move the pictures in the answer into the image store."""
        turn = self._turn(request)
        response: ModelResponse[Any] | None = None
        with turn.progress or nullcontext():
            while True:
                whole = self._whole(request, turn)
                try:
                    response = handler(whole)
                    answers, delay = turn.after_answer(response.result)
                except Exception as error:  # noqa: BLE001 - `after_error` raises what it cannot mend
                    answers, delay = turn.after_error(error)
                if answers is not None:
                    light = self._light_response(turn, response, answers)
                    turn.account.report()
                    return light
                time.sleep(delay)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ExtendedModelResponse[Any]:
        """Async twin of `wrap_model_call`."""
        turn = await asyncio.to_thread(self._turn, request)
        response: ModelResponse[Any] | None = None
        async with turn.progress or nullcontext():
            while True:
                whole = await asyncio.to_thread(self._whole, request, turn)
                try:
                    response = await handler(whole)
                    answers, delay = turn.after_answer(response.result)
                except Exception as error:  # noqa: BLE001 - `after_error` raises what it cannot mend
                    answers, delay = turn.after_error(error)
                if answers is not None:
                    light = await asyncio.to_thread(self._light_response, turn, response, answers)
                    await turn.account.areport()
                    return light
                await asyncio.sleep(delay)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Record the pictures that a tool returns, in its artifact or as image blocks."""
        return recorded(self._review(request, handler), self._store)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Async twin of `wrap_tool_call`."""
        return await asyncio.to_thread(recorded, await self._areview(request, handler), self._store)

    def _review(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        return self._reviewer.wrap_tool_call(request, handler) if self._reviewer else handler(request)

    async def _areview(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        return await self._reviewer.awrap_tool_call(request, handler) if self._reviewer else await handler(request)

    def offload(self, messages: str | BaseMessage | Mapping[str, Any] | Iterable[object]) -> list[BaseMessage]:
        """Return messages with references in place of base64: `agent.invoke({"messages": middleware.offload(m)})`.

        LangGraph writes an agent's input to three checkpoints before any middleware runs. Messages that went through
        this method hold no base64 there either.

        Raises:
            ValueError: `trust` is `"channel"`, and then references in messages are not believed.
        """
        if self.trust == "channel":
            raise ValueError(
                "offload() puts references into messages, and trust='channel' believes none of those: pass the "
                "messages as they are, with durability='exit' if their base64 should not be in any checkpoint"
            )
        given = as_messages([messages] if isinstance(messages, (str, BaseMessage, Mapping)) else messages)
        return self._turn_of(given, {}, Service()).light_messages(given)

    def renew_links(self, state: object) -> list[BaseMessage]:
        """Return the answers of a state whose links to pictures end soon, with new ones.

        For a thread opened again: `agent.update_state(config, {"messages": m.renew_links(agent.get_state(config))})`.
        """
        memory = ImageMemory.from_state(state, image_store=self._store(), trust=self.trust)
        return list(self._display.renew(messages_in(values_of(state)), memory).values()) if self._display else []

    def _turn(self, request: ModelRequest[Any]) -> Turn:
        if CHANNEL not in request.state:
            raise TypeError(MISDECLARED)
        service = Service(
            hosted=self._draws(request),
            stored=is_stored(request.model, request.model_settings),
            provider=host_of(request.model),
            retries=retries_of(request.model),
            patience=patience_of(request.model),
        )
        turn = self._turn_of(request.messages, request.state, service)
        if service.hosted:
            check_neighbours(self._neighbours, self.tool.name)
            turn.limits = limits_of(self.limits, self._asked, request.state, turn.memory) if self.limits else None
            facts = {"store": turn.store, "arrived": turn.arrived, "provider": service.provider, "prompt": turn.asked()}
            turn.progress = hosted_progress(
                request.runtime, self.tool.partials, self._asked, wire=self.wire, ui=self._ui, **facts
            )
        return turn

    def _turn_of(self, messages: Sequence[BaseMessage], state: Mapping[str, Any], service: Service) -> Turn:
        store = CallStore(self._store())
        memory = ImageMemory.from_state(state, image_store=store, trust=self.trust)
        return Turn(
            messages,
            state,
            memory,
            store,
            service,
            carry=self.carry,
            offload=self.offload_uploads,
            refusals=self._refusals,
        )

    def _whole(self, request: ModelRequest[Any], turn: Turn) -> ModelRequest[Any]:
        messages, system = turn.request(request.system_message)
        tools = self._tools(request.tools, hosted=turn.service.hosted)
        model = self._model(request.model, turn)
        whole = request.override(model=model, messages=cast("list[Any]", messages), system_message=system, tools=tools)
        return turn.account.sending(whole if turn.limits is None else turn.limits.apply(whole))

    def _light_response(
        self, turn: Turn, response: ModelResponse[Any] | None, answers: Sequence[BaseMessage]
    ) -> ExtendedModelResponse[Any]:
        light, update = turn.keep(answers)
        structured = response.structured_response if response else None
        if self._ui:
            update |= push_answers(light, turn.state, turn.memory, self._ui)
        if self._display and structured is None:
            light, update = self._display.complete(light, update, turn.state, turn.memory)
        if turn.limits is not None:
            turn.limits.settle(update.get(CHANNEL) or {})
        kept = ModelResponse(result=light, structured_response=structured)
        return ExtendedModelResponse(kept, command=Command(update=update) if update else None)

    def _store(self) -> ImageStore:
        return default_store() if self.image_store is None else self.image_store

    def _model(self, model: BaseChatModel, turn: Turn) -> BaseChatModel:
        """Return the model for one call: for hosted calls a copy, whose requests are repeated by `Turn` alone."""
        if not turn.service.hosted:
            return model
        from langchain_imagegen.http.clients import observed, retrieving, wired, without_retries

        once = without_retries(model)
        if turn.refetch is not None:
            once = retrieving(once, turn.refetch.response_id)
        if turn.progress is None:
            return observed(once, turn.arrived)
        return wired(once, self._store(), turn.arrived, partials=turn.progress.partials, watcher=turn.progress)

    def _tools(self, tools: Sequence[Any], *, hosted: bool) -> list[Any]:
        """Return the tools with either the hosted one or ours; with `hosted=False` alone the developer's own stay."""
        if not hosted:
            return [tool for tool in tools if self._leaves_hosted or not is_hosted(tool)]
        others = [tool for tool in tools if tool is not self.tool]
        # `ChatOpenAI` refuses partial pictures and asks for its own when it streams.
        own = [] if any(map(is_hosted, others)) else [self.options.merge({"partial_images": None}).tool()]
        return [*others, *own]

    def _draws(self, request: ModelRequest[Any]) -> bool:
        if self.hosted != "auto":
            return self.hosted
        return has_hosted_tool(request.model, given=any(map(is_hosted, request.tools)))
