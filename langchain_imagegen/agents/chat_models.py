"""What the chat model of an agent is: whether it has the hosted tool, its service's host, and how often it retries.

Class names and settings are read, so that no chat model's package is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOSTED = "image_generation"
OPENAI_HOSTS = ("api.openai.com", ".openai.azure.com")


def is_hosted(tool: Any) -> bool:
    """Return True if a tool of an agent is the hosted one."""
    return isinstance(tool, Mapping) and tool.get("type") == HOSTED


def has_hosted_tool(model: Any, *, given: bool = False) -> bool:
    """Return True if a chat model speaks OpenAI's Responses API with a service that has the hosted tool.

    Class and settings decide: models of OpenAI's and Azure's own hosts unless set to chat completions, and models
    of any other host if set to the Responses API or if the agent's developer gave the hosted tool.
    """
    if not any(base.__name__ == "BaseChatOpenAI" for base in type(model).__mro__):
        return False
    wanted = getattr(model, "use_responses_api", None)
    if wanted is not None:
        return bool(wanted)
    return given or host_of(model).endswith(OPENAI_HOSTS)


def retries_of(model: Any) -> int:
    """Return how often the clients of an OpenAI chat model repeat a request; 0 for any other model."""
    return next((client.max_retries for client in clients_of(model)), 0)


def host_of(model: Any) -> str:
    """Return the host of an OpenAI chat model's service; an empty string for any other model."""
    return next((str(client.base_url.host) for client in clients_of(model)), "")


def clients_of(model: Any) -> list[Any]:
    """Return the SDK clients of an OpenAI chat model, also of a bound one; none of any other model."""
    chat = getattr(model, "bound", model)
    found = (getattr(chat, name, None) for name in ("root_client", "root_async_client"))
    return [client for client in found if client is not None]


def is_stored(model: Any, settings: Mapping[str, Any]) -> bool:
    """Return True unless the settings of a call, or the chat model's own, tell the service not to keep answers."""
    setting = settings.get("store", getattr(model, "store", None))
    return setting is not False
