"""Hosted calls that fail: the caller gets an error of ours, and the conversation can continue."""

from __future__ import annotations

import pickle
from typing import Any

import httpx2
import openai
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from langchain_imagegen import ImageGenerationMiddleware, ImageState
from langchain_imagegen.agents.failures import as_both
from langchain_imagegen.agents.refusals import MOST, Refusals
from langchain_imagegen.errors import ConnectionLostError, ModerationError, OptionError, ServiceError
from langchain_imagegen.simulator import failed, flat_error_event, http_error, moderated
from tests.conversations import SMALL, RequestEditor, open_saver, request_text
from tests.scripted import scripted_model


class State(MessagesState, ImageState):
    """A state with messages and images."""


@pytest.mark.parametrize("wire", [False, True], ids=["plain", "wire"])
@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("at", ["request", "stream", "response"])
def test_refused_call_is_a_moderation_error(talks, wire, streaming, at):
    """A hosted call that the safety system refuses raises `ModerationError` with its stage, categories and message."""
    talks.simulator.script(moderated("input", ["violence", "self-harm"], at=at))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), model=talks.model(max_retries=2))

    with pytest.raises(ModerationError, match="rejected by the safety system") as caught:
        talk.say("draw a fight", streaming=streaming)
    assert (caught.value.stage, caught.value.categories) == ("input", ["violence", "self-harm"])
    assert len(talk.requests) == 1


@pytest.mark.parametrize("fault", [flat_error_event(), failed()], ids=["event", "response"])
def test_streamed_failure_tells_of_money(talks, fault):
    """A streamed failure, of which `ChatOpenAI` has the text alone, is our error too: it may be billed."""
    talks.simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=2))

    with pytest.raises(ServiceError, match="told to fail") as caught:
        talk.say("draw a fox", streaming=True)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.code, caught.value.may_be_billed, len(talk.requests)) == ("server_error", True, 1)


def test_errors_of_others_stay(talks):
    """A `ValueError` of somebody else's middleware stays what it is."""

    def refuse(request: Any) -> Any:
        raise ValueError("some_rule: not on Sundays")

    talk = talks.start(ImageGenerationMiddleware(SMALL), RequestEditor(refuse))
    with pytest.raises(ValueError, match="not on Sundays") as caught:
        talk.say("draw a fox")
    assert type(caught.value) is ValueError


def test_conversation_continues_after_a_refused_call(talks):
    """A refused call adds no answer and no image to the state, and the next turn edits the earlier picture."""
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
def test_next_request_says_why_a_call_was_refused(talks, wire, at):
    """Every request after a refused call tells the model its stage, its categories and the service's message."""
    talks.simulator.script(moderated("input", ["violence", "self-harm"], at=at))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), model=talks.model(max_retries=0))
    with pytest.raises(ModerationError):
        talk.say("draw a fight", streaming=at == "stream")
    talk.say("draw something peaceful")
    talk.say("make it winter")

    for request in talk.requests[1:]:
        roles = [item.get("role") for item in request.body["input"][:3]]
        text = request_text(request.body["input"][1:2])
        assert roles == ["user", "assistant", "user"]
        assert text.startswith("(A picture was asked for here, and none came at the stage 'input': ")
        assert "violence, self-harm" in text
        assert "Your request was rejected by the safety system" in text
    assert [message.type for message in talk.state["messages"]] == ["human", "human", "ai", "human", "ai"]


def test_refusal_that_a_node_caught_is_in_the_next_request(half, talks, tmp_path):
    """If a node catches the `ModerationError` of its agent, the next request tells the model the reason."""
    agent = create_agent(talks.model(), middleware=[ImageGenerationMiddleware(SMALL)])

    def call(state: State) -> dict[str, Any]:
        try:
            return agent.invoke({"messages": state["messages"]})
        except ModerationError:
            return {}

    async def acall(state: State) -> dict[str, Any]:
        try:
            return await agent.ainvoke({"messages": state["messages"]})
        except ModerationError:
            return {}

    builder = StateGraph(State)
    builder.add_node("artist", RunnableLambda(call, afunc=acall))
    builder.add_edge(START, "artist")
    talks.simulator.script(moderated("input", ["violence"]))
    with open_saver(tmp_path / "graph.sqlite", half) as memory:
        graph, config = builder.compile(checkpointer=memory), {"configurable": {"thread_id": "one"}}
        half.invoke(graph, {"messages": "draw a fight"}, config=config)
        half.invoke(graph, {"messages": "draw a fox"}, config=config)

    assert "none came at the stage 'input'" in request_text(talks.simulator.requests[-1].body["input"])
    assert talks.simulator.pictures == 1


def test_refusal_that_langchain_caught_is_told_once(talks):
    """With `ModelRetryMiddleware(on_failure="continue")` the next request holds the reason exactly once."""
    talks.simulator.script(moderated("input", ["violence"]))
    middleware = [ModelRetryMiddleware(max_retries=0, on_failure="continue"), ImageGenerationMiddleware(SMALL)]
    talk = talks.start(*middleware)
    talk.say("draw a fight")
    talk.say("draw a fox")

    assert request_text(talk.last_input).count("(violence)") == 1
    assert [message.type for message in talk.state["messages"]] == ["human", "ai", "human", "ai"]


def test_repeated_turn_that_draws_clears_the_refusal(talks):
    """No later request mentions a refusal if the same turn was run again and drew."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talks.simulator.script(moderated("output", ["violence"]))
    with pytest.raises(ModerationError):
        talk.say("draw a fight")
    config = {"configurable": {"thread_id": "one"}}
    talk.state = talks.half.invoke(talk.agent, None, config=config)
    talk.say("make it winter")

    assert [message.type for message in talk.state["messages"]] == ["human", "ai", "human", "ai"]
    assert not [request for request in talk.requests if "none came" in request_text(request.body["input"])]


def test_refusal_stays_in_its_own_conversation(talks):
    """No request of another thread mentions a refusal, even if both clients use the same message id."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talks.simulator.script(moderated("input", ["violence"]))
    with pytest.raises(ModerationError):
        talk.say(HumanMessage("draw a fight", id="1"))
    talk.say(HumanMessage("draw a fox", id="1"), "make it winter", thread="another")

    assert "none came" not in request_text(talk.last_input)


def test_remembered_refusals_are_limited():
    """`Refusals` remembers only the latest `MOST` refusals."""
    refusals = Refusals()
    asked = [HumanMessage("draw", id=str(n)) for n in range(MOST + 5)]
    for message in asked:
        refusals.add(message, ModerationError("no"))

    messages = refusals.insert_into(asked, asked)
    assert len(messages) == len(asked) + MOST - 1
    assert [message.type for message in messages[:7]] == ["human"] * 6 + ["ai"]


def test_refused_option_is_an_option_error(talks):
    """The middleware raises `OptionError` with the parameter's name when the service refuses an option."""
    talks.simulator.script(http_error(400, code="invalid_value", param="tools[0].size", message="No such size."))
    talk = talks.start(ImageGenerationMiddleware(SMALL))

    with pytest.raises(OptionError, match="No such size") as caught:
        talk.say("draw a fox")
    assert caught.value.param == "tools[0].size"


@pytest.mark.parametrize("part", ["content", "arguments", "further fields"])
def test_deeply_nested_answer_is_kept(half, part):
    """The middleware leaves a model's answer unchanged when it is nested 3,000 levels deep."""
    nested: list[object] = []
    for _ in range(3000):
        nested = [nested]
    answer = {
        "content": AIMessage([{"type": "thing", "value": nested}]),
        "arguments": AIMessage("", tool_calls=[{"name": "other", "args": {"a": nested}, "id": "c"}]),
        "further fields": AIMessage("hello", additional_kwargs={"value": nested}),
    }[part]
    agent = create_agent(scripted_model(answer, AIMessage("done")), middleware=[ImageGenerationMiddleware()])

    state = half.invoke(agent, {"messages": "hello"})
    kept = state["messages"][1]
    assert kept.additional_kwargs.get("value", nested) is nested
    assert len(state["messages"]) == (4 if part == "arguments" else 2)


def test_a_hosted_error_survives_pickling():
    """The error of a hosted call, which is of the SDK's class too, is pickled as ours, with all that ours says."""
    theirs = openai.APIConnectionError(request=httpx2.Request("POST", "http://127.0.0.1/v1/responses"))
    both = as_both(ConnectionLostError("the connection broke", response_id="resp_1"), theirs)

    again = pickle.loads(pickle.dumps(both))
    assert isinstance(both, openai.APIConnectionError)
    assert type(again) is ConnectionLostError
    assert (str(again), again.response_id, again.may_be_billed) == ("the connection broke", "resp_1", True)
