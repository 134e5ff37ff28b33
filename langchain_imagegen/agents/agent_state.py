"""The state of an agent that draws, as `create_agent` merges it into its own; it needs `langchain`."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from langchain.agents.middleware.types import AgentState, OmitFromInput, PrivateStateAttr

from langchain_imagegen.agents.display import latest
from langchain_imagegen.agents.ui import ui_channel
from langchain_imagegen.conversation.channel import Records
from langchain_imagegen.conversation.state import channel


class AgentImageState(AgentState[Any]):
    """The agent's state with the channel of images, which callers can read but not write."""

    generated_images: NotRequired[Annotated[Records, OmitFromInput, channel()]]
    images_before_turn: NotRequired[Annotated[dict[str, Any], PrivateStateAttr, latest]]


class AgentUiState(AgentImageState):
    """The agent's state with the channel of LangGraph's `ui` messages too."""

    ui: NotRequired[Annotated[list[Any], OmitFromInput, ui_channel()]]
