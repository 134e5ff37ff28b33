"""Hosted calls that fail as a whole: the caller reads why in our errors, and the conversation goes on."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage

from langchain_imagegen import ImageGenerationMiddleware
from langchain_imagegen.agents.refusals import MOST, Refusals
from langchain_imagegen.errors import ModerationError, OptionError
from langchain_imagegen.simulator import http_error, moderated
from tests.conversations import SMALL, words
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


@pytest.mark.parametrize("wire", [False, True], ids=["plain", "wire"])
@pytest.mark.parametrize("at", ["request", "stream", "response"])
def test_the_next_request_says_why_a_call_was_refused(talks, wire, at):
    """Where the user goes on after a refused call, the chat model reads stage, categories and the service's words."""
    talks.simulator.script(moderated("input", ["violence", "self-harm"], at=at))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), model=talks.model(max_retries=0))
    with pytest.raises(ModerationError):
        talk.say("draw a fight", streaming=at == "stream")
    talk.say("draw something peaceful")
    talk.say("make it winter")

    for request in talk.requests[1:]:
        roles = [item.get("role") for item in request.body["input"][:3]]
        said = words(request.body["input"][1:2])
        assert roles == ["user", "assistant", "user"]
        assert said.startswith("(A picture was asked for here, and none came at the stage 'input': ")
        assert "violence, self-harm" in said
        assert "Your request was rejected by the safety system" in said
    assert [message.type for message in talk.state["messages"]] == ["human", "human", "ai", "human", "ai"]


def test_a_call_that_is_tried_again_was_not_refused(talks):
    """After the same turn was run again and drew, nothing is told of its refusal."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talks.simulator.script(moderated("output", ["violence"]))
    with pytest.raises(ModerationError):
        talk.say("draw a fight")
    config = {"configurable": {"thread_id": "one"}}
    talk.state = talks.half.invoke(talk.agent, None, config=config)
    talk.say("make it winter")

    assert [message.type for message in talk.state["messages"]] == ["human", "ai", "human", "ai"]
    assert not [request for request in talk.requests if "none came" in words(request.body["input"])]


def test_a_refusal_is_told_to_its_own_conversation(talks):
    """Another thread reads nothing of it, not even where its client gave the same id to its message."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talks.simulator.script(moderated("input", ["violence"]))
    with pytest.raises(ModerationError):
        talk.say(HumanMessage("draw a fight", id="1"))
    talk.say(HumanMessage("draw a fox", id="1"), "make it winter", thread="another")

    assert "none came" not in words(talk.asked)


def test_reasons_of_refusals_are_bounded():
    """Of very many refusals the latest are remembered."""
    refusals = Refusals()
    asked = [HumanMessage("draw", id=str(n)) for n in range(MOST + 5)]
    for message in asked:
        refusals.add(message, ModerationError("no"))

    told = refusals.insert_into(asked, asked)
    assert len(told) == len(asked) + MOST - 1
    assert [message.type for message in told[:7]] == ["human"] * 6 + ["ai"]


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
