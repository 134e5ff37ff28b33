"""`ImageGenerationMiddleware`: pictures in `create_agent`, whichever chat model it runs on.

The only module that imports `langchain`; it is loaded on first use. `wrap_*` hooks only: any other hook is a node
of its own, and one more checkpoint a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    OmitFromInput,
    ToolCallRequest,
)
from langchain_core.messages import BaseMessage, ToolMessage
from langgraph.types import Command
from typing_extensions import NotRequired

from langchain_imagegen.generator import ImageGenerator
from langchain_imagegen.memory import CHANNEL, ImageMemory, Records, as_update
from langchain_imagegen.messages import as_messages, drawn_by_tool
from langchain_imagegen.options import ImageOptions
from langchain_imagegen.state import channel
from langchain_imagegen.store import ImageStore, default_store
from langchain_imagegen.tool import ImageGenerationTool
from langchain_imagegen.transport import translate
from langchain_imagegen.turn import Turn

HOSTED = "image_generation"
OPENAI_HOSTS = ("api.openai.com", ".openai.azure.com")


class AgentImageState(AgentState[Any]):
    """The agent's state with the channel of images, which callers can read and not write."""

    generated_images: NotRequired[Annotated[Records, OmitFromInput, channel()]]


class ImageGenerationMiddleware(AgentMiddleware[Any, Any, Any]):
    """Lets an agent draw, edit any earlier picture, and remember them without their bytes.

    A chat model that has the hosted tool draws by itself; any other gets `ImageGenerationTool`. Base64 in answers and
    uploads goes into the image store before the next checkpoint; the state's channel `generated_images` keeps records.

    Args:
        options: What pictures are drawn with.
        image_store: Where the bytes go; `None`: the default store.
        hosted: Whether the chat model draws with the hosted tool; `"auto"`: a `ChatOpenAI` or `AzureChatOpenAI` of
            OpenAI's own hosts, and any that is set to the Responses API.
        offload_uploads: Whether pictures that users send leave the state too.
        tool: The function tool for models that have no hosted one; made with `options` and `image_store` if `None`.
        carry: How many of the latest pictures go along with a request where the user names none and the service
            does not keep them.
        trust: `"channel"` believes the state's channel alone; for servers whose clients may write messages.
    """

    state_schema = AgentImageState

    def __init__(
        self,
        options: ImageOptions | Mapping[str, Any] | None = None,
        *,
        image_store: ImageStore | None = None,
        hosted: Literal["auto"] | bool = "auto",
        offload_uploads: bool = True,
        tool: ImageGenerationTool | None = None,
        carry: int = 1,
        trust: Literal["all", "channel"] = "all",
    ) -> None:
        super().__init__()
        self.options = ImageOptions.parse(options)
        self.image_store = image_store
        self.hosted = hosted
        self.offload_uploads = offload_uploads
        self.carry = carry
        self.trust = trust
        self.tool = tool or self._function_tool()
        self.tools = [] if hosted is True else [self.tool]

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Give the model the pictures it needs, and take those it drew out of its answer."""
        turn = self._turn(request)
        while True:
            whole = self._whole(request, turn)
            try:
                return self._kept(turn, handler(whole))
            except Exception as error:
                if not turn.forget(translate(error)):
                    raise

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ExtendedModelResponse[Any]:
        """Async twin of `wrap_model_call`."""
        turn = await asyncio.to_thread(self._turn, request)
        while True:
            whole = await asyncio.to_thread(self._whole, request, turn)
            try:
                return await asyncio.to_thread(self._kept, turn, await handler(whole))
            except Exception as error:
                if not turn.forget(translate(error)):
                    raise

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Record what tools of any make drew, as far as their artifact tells."""
        return recorded(handler(request))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Async twin of `wrap_tool_call`."""
        return recorded(await handler(request))

    def offload(self, messages: Iterable[object]) -> list[BaseMessage]:
        """Messages with references in place of the user's base64.

        An agent's very first checkpoint holds its input as it came, before any middleware runs; what is given to the
        agent through this holds no base64 even there.
        """
        given = as_messages(messages)
        turn = self._turn_of(given, {}, None, hosted=False)
        return list(turn.messages)

    def _turn(self, request: ModelRequest[Any]) -> Turn:
        return self._turn_of(request.messages, request.state, request, hosted=self._draws(request))

    def _turn_of(self, messages: Any, state: Any, request: ModelRequest[Any] | None, *, hosted: bool) -> Turn:
        store = self.image_store or default_store()
        return Turn(
            messages=messages,
            state=state,
            memory=ImageMemory.from_state(state, image_store=store, trust=self.trust),
            store=store,
            hosted=hosted,
            stored=request is None or _is_stored(request),
            provider=_host_of(request.model) if request else "",
            carry=self.carry,
            offload=self.offload_uploads,
        )

    def _whole(self, request: ModelRequest[Any], turn: Turn) -> ModelRequest[Any]:
        messages, system = turn.request(request.system_message)
        return request.override(
            messages=cast("list[Any]", messages), system_message=system, tools=self._tools(request, turn)
        )

    def _kept(self, turn: Turn, response: ModelResponse[Any]) -> ExtendedModelResponse[Any]:
        light, update = turn.keep(response.result)
        kept = ModelResponse(result=light, structured_response=response.structured_response)
        return ExtendedModelResponse(kept, command=Command(update=update) if update else None)

    def _tools(self, request: ModelRequest[Any], turn: Turn) -> list[Any]:
        if not turn.hosted:
            return request.tools
        others = [tool for tool in request.tools if tool is not self.tool]
        has = any(isinstance(tool, dict) and tool.get("type") == HOSTED for tool in others)
        # `ChatOpenAI` refuses partial pictures and asks for its own when it streams.
        return others if has else [*others, self.options.merge({"partial_images": None}).tool()]

    def _draws(self, request: ModelRequest[Any]) -> bool:
        if self.hosted != "auto":
            return self.hosted
        if any(isinstance(tool, dict) and tool.get("type") == HOSTED for tool in request.tools):
            return True
        return has_hosted_tool(request.model)

    def _function_tool(self) -> ImageGenerationTool:
        generator = ImageGenerator(options=self.options, image_store=self.image_store)
        return ImageGenerationTool(generator=generator, trust=self.trust)


def recorded(answer: ToolMessage | Command[Any]) -> ToolMessage | Command[Any]:
    """A tool's message with the update of the channel for the pictures in its artifact."""
    if not isinstance(answer, ToolMessage) or not (images := list(drawn_by_tool(answer))):
        return answer
    return Command(update={"messages": [answer], CHANNEL: as_update(images)})


def has_hosted_tool(model: Any) -> bool:
    """Whether a chat model speaks OpenAI's Responses API with a service that draws by itself.

    Told by class and settings: those of OpenAI's and Azure's own hosts unless set to chat completions, and any other
    host if the model is set to the Responses API.
    """
    if not any(base.__name__ == "BaseChatOpenAI" for base in type(model).__mro__):
        return False
    wanted = getattr(model, "use_responses_api", None)
    if wanted is not None:
        return bool(wanted)
    return _host_of(model).endswith(OPENAI_HOSTS)


def _host_of(model: Any) -> str:
    client = getattr(model, "root_client", None)
    if client is not None:
        return str(client.base_url.host)
    return urlsplit(str(getattr(model, "openai_api_base", None) or "")).hostname or ""


def _is_stored(request: ModelRequest[Any]) -> bool:
    setting = request.model_settings.get("store", getattr(request.model, "store", None))
    return setting is not False
