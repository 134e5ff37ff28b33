"""Hosted calls that fail as a whole: the caller reads why in our errors, and the conversation goes on."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationMiddleware
from langchain_imagegen.errors import ModerationError, OptionError
from langchain_imagegen.simulator import http_error, moderated
from tests.conversations import SMALL
from tests.scripted import scripted


@pytest.mark.parametrize("wire", [False, True], ids=["plain", "wire"])
@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("at", ["request", "stream", "response"])
def test_refused_call_is_a_moderation_error(talks, wire, streaming, at):
    """A hosted call that the safety system refuses raises `ModerationError` with stage, categories and its words."""
    talks.simulator.script(moderated("input", ["violence", "self-harm"], at=at))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), model=talks.model(max_retries=2))

    with pytest.raises(ModerationError, match="rejected by the safety system") as caught:
        talk.say("draw a fight", streaming=streaming)
    assert (caught.value.stage, caught.value.categories) == ("input", ["violence", "self-harm"])
    assert len(talk.requests) == 1


def test_conversation_goes_on_after_a_refused_call(talks):
    """A refused call adds no message and no image to the state; the next turn draws, and edits the earlier picture."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    before = talk.say("draw a fox")
    talks.simulator.script(moderated("output", ["violence"]))
    with pytest.raises(ModerationError):
        talk.say("make it bleed")
    after = talk.say("make it winter")

    kinds = [message.type for message in after["messages"]]
    assert kinds == ["human", "ai", "human", "human", "ai"]
    assert list(after["generated_images"])[:-1] == list(before["generated_images"])
    assert talks.simulator.orders[-1].sources == (talk.memory.get("1").read(),)


def test_refused_option_is_an_option_error(talks):
    """An option of the hosted tool that the service refuses raises `OptionError`, which names the parameter."""
    talks.simulator.script(http_error(400, code="invalid_value", param="tools[0].size", message="No such size."))
    talk = talks.start(ImageGenerationMiddleware(SMALL))

    with pytest.raises(OptionError, match="No such size") as caught:
        talk.say("draw a fox")
    assert caught.value.param == "tools[0].size"


@pytest.mark.parametrize("part", ["content", "arguments", "further fields"])
def test_deeply_nested_answer_is_kept(half, part):
    """A model's answer that is nested 3,000 levels deep stays in the state as it came."""
    nested: list[object] = []
    for _ in range(3000):
        nested = [nested]
    answer = {
        "content": AIMessage([{"type": "thing", "value": nested}]),
        "arguments": AIMessage("", tool_calls=[{"name": "other", "args": {"a": nested}, "id": "c"}]),
        "further fields": AIMessage("hello", additional_kwargs={"value": nested}),
    }[part]
    agent = create_agent(scripted(answer, AIMessage("done")), middleware=[ImageGenerationMiddleware()])

    state = half.invoke(agent, {"messages": "hello"})
    kept = state["messages"][1]
    assert kept.additional_kwargs.get("value", nested) is nested
    assert len(state["messages"]) == (4 if part == "arguments" else 2)
