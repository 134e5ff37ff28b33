"""Our middleware together with each one of `langchain.agents.middleware`, in either order.

`AutoModeMiddleware` and `ModelRouterMiddleware` are left out because they need a provider's decision model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import middleware as theirs
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool
from tests.conversations import SMALL, count_base64
from tests.scripted import DONE, image_call, scripted_model


def summary_model() -> GenericFakeChatModel:
    """Return a chat model that answers every request with a summary."""
    return GenericFakeChatModel(messages=iter([AIMessage("so far: a fox")] * 9))


def clear_tool_results() -> Any:
    """Return a context-editing middleware that clears every tool result at once."""
    edit = theirs.ClearToolUsesEdit(trigger=1, keep=0)
    return theirs.ContextEditingMiddleware(edits=[edit])


OTHERS: dict[str, Callable[[Any], Any]] = {
    "ToolRetry": lambda _: theirs.ToolRetryMiddleware(),
    "ToolError": lambda _: theirs.ToolErrorMiddleware(lambda _error, _request: "it failed"),
    "ToolCallLimit": lambda _: theirs.ToolCallLimitMiddleware(run_limit=3),
    "ModelRetry": lambda _: theirs.ModelRetryMiddleware(initial_delay=0.0),
    "ModelCallLimit": lambda _: theirs.ModelCallLimitMiddleware(run_limit=3),
    "ModelFallback": lambda _: theirs.ModelFallbackMiddleware(scripted_model(DONE)),
    "ModelRefusal": lambda _: theirs.ModelRefusalMiddleware(),
    "Summarization": lambda _: theirs.SummarizationMiddleware(
        summary_model(), trigger=("messages", 3), keep=("messages", 1)
    ),
    "ContextEditing": lambda _: clear_tool_results(),
    "TodoList": lambda _: theirs.TodoListMiddleware(),
    "PII": lambda _: theirs.PIIMiddleware("email"),
    "LLMToolSelector": lambda _: theirs.LLMToolSelectorMiddleware(
        model=scripted_model(), always_include=["generate_image"]
    ),
    "LLMToolEmulator": lambda _: theirs.LLMToolEmulator(tools=[], model=scripted_model()),
    "HumanInTheLoop": lambda _: theirs.HumanInTheLoopMiddleware({"other": True}),
    "ProviderToolSearch": lambda _: theirs.ProviderToolSearchMiddleware(),
    "FilesystemFileSearch": lambda folder: theirs.FilesystemFileSearchMiddleware(root_path=str(folder)),
    "ShellTool": lambda folder: theirs.ShellToolMiddleware(workspace_root=folder),
}
if not hasattr(theirs, "ModelRefusalMiddleware"):  # the oldest LangChain that is allowed lacks it (`make floor`)
    del OTHERS["ModelRefusal"]


# `ShellToolMiddleware` leaves the pipes of its shell to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored.*_io:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ours_first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("hosted", [True, False], ids=["hosted", "function"])
@pytest.mark.parametrize("name", OTHERS)
def test_two_turns_with_another_middleware(talks, generator, tmp_path, name, hosted, ours_first):
    """The second turn edits the picture of the first, two pictures are bought, and no checkpoint holds base64."""
    tool = ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))
    ours = ImageGenerationMiddleware(SMALL, tool=tool, hosted=hosted)
    other = OTHERS[name](tmp_path)
    if name == "LLMToolSelector" and hosted and ours_first:
        other.always_include = []  # it sees only the hosted tool, and refuses names of tools that it does not see
    model = talks.model() if hosted else scripted_model(image_call("a"), DONE)
    talk = talks.start(*((ours, other) if ours_first else (other, ours)), model=model)
    talk.say("draw a fox")
    if not hosted:
        model.messages = scripted_model(image_call("b", "edit it: make it winter", images=["last"]), DONE).messages
    talk.say("make it winter")

    fox, winter = talk.memory
    assert winter.parents == (fox.id,)
    assert talks.simulator.orders[-1].sources == (fox.read(),)
    assert talks.simulator.pictures == 2
    assert count_base64(talk.file) == 0
