"""What the chat model of an agent is: whether it has the hosted tool, its service's host, and how often it retries.

Class names and settings are read, so that no chat model's package is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import GeneratedImage, is_kept_by

HOSTED = "image_generation"
_SDK_TIMEOUT = 600.0  # seconds
OPENAI_HOSTS = ("api.openai.com", ".openai.azure.com")


@dataclass(frozen=True)
class Service:
    """What the chat model's service can do about pictures.

    Args:
        hosted: True if it has the hosted tool.
        stored: True if it keeps what it draws.
        provider: The name of its host.
        retries: How often a request that drew nothing is sent again.
        patience: Seconds that an answer is waited for.
    """

    hosted: bool = False
    stored: bool = True
    provider: str = ""
    retries: int = 0
    patience: float = 600.0

    def resolves(self, image: GeneratedImage) -> bool:
        """Return True if an image can be sent to this service by call id."""
        keeps = self.hosted and self.stored and is_kept_by(self.provider, image)
        return keeps and "call_id" not in image.dead_rungs


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


def patience_of(model: Any) -> float:
    """Return the seconds that an OpenAI chat model waits for an answer: its own setting or the SDK's."""
    timeout = next((client.timeout for client in clients_of(model)), None)
    seconds = getattr(timeout, "read", timeout)
    return float(seconds) if isinstance(seconds, (int, float)) else _SDK_TIMEOUT


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


def function_tool_only(*, hosted: Literal["auto"] | bool, **settings: object) -> Literal["auto"] | bool:
    """Return False for `hosted` if one of the settings works with the function tool alone.

    Raises:
        OptionError: `hosted` is True beside such a setting, or something else than `"auto"`, True or False.
    """
    if hosted != "auto" and not isinstance(hosted, bool):
        raise OptionError(f"hosted={hosted!r}: it takes 'auto', True or False")
    if (around := settings.get("around_image")) is not None and not callable(around):
        raise OptionError(f"around_image={around!r:.40}: it takes a function of a request and the call that draws it")
    given = [name for name, value in settings.items() if value]
    if hosted is True and given:
        raise OptionError(
            f"hosted=True and {given[0]}= exclude each other: the service draws a hosted call within the chat model's "
            "own request, where nothing can stop or change it. Leave hosted= out, and the function tool draws"
        )
    return False if given else hosted
