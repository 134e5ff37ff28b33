"""In agents and graphs of others: one draws and another edits, and the right picture is the parent."""

from __future__ import annotations

from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import AgentState, create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from langgraph_swarm.swarm import SwarmState

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageState
from tests.conversations import SMALL
from tests.graphs import THREAD, Gallery, agent_with_middleware
from tests.scripted import DONE, answers, asks, scripted


@pytest.fixture
def tool(generator):
    """A tool that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))


def edit(id: str = "b") -> ToolCall:
    """A call that edits the last picture."""
    return asks(id, "edit it: make it winter", images=["last"])


def call(name: str, id: str = "h", **args: Any) -> ToolCall:
    """A call of another tool."""
    return ToolCall(name=name, args=args, id=id, type="tool_call")


def check(state: Any, simulator: Any) -> None:
    """Two pictures were bought, and the second was made from the first."""
    fox, winter = ImageMemory.from_state(state)
    assert winter.parents == (fox.id,)
    assert simulator.pictures == 2
    assert len(simulator.orders[-1].sources) == 1


# deepagents


@pytest.mark.parametrize("way", ["tool", "function"])
def test_deep_agent(tool, half, simulator, way):
    """A deep agent draws and edits with the tool alone and with the middleware's function tool."""
    model = scripted(asks("a"), DONE)
    ours = {"tools": [tool]} if way == "tool" else {"middleware": [ImageGenerationMiddleware(tool=tool, hosted=False)]}
    agent = create_deep_agent(model, checkpointer=InMemorySaver(), **ours)
    half.invoke(agent, {"messages": "draw a fox"}, config=THREAD)
    model.messages = scripted(edit(), DONE).messages

    check(half.invoke(agent, {"messages": "make it winter"}, config=THREAD), simulator)


def test_deep_agent_with_the_hosted_tool(talks, half):
    """A deep agent on a model with the hosted tool draws, and edits by id in the next turn."""
    middleware = [ImageGenerationMiddleware(SMALL, hosted=True)]
    agent = create_deep_agent(talks.model(), middleware=middleware, checkpointer=InMemorySaver())
    half.invoke(agent, {"messages": "draw a fox"}, config=THREAD)

    check(half.invoke(agent, {"messages": "make it winter"}, config=THREAD), talks.simulator)


def test_deep_agent_edits_what_its_sub_agent_drew(tool, half, simulator):
    """What a sub-agent drew is in the parent's channel, and the parent edits it as the last picture."""
    ours = ImageGenerationMiddleware(tool=tool, hosted=False)
    artist = {
        "name": "artist",
        "description": "Draws.",
        "system_prompt": "Draw.",
        "model": scripted(asks("a"), AIMessage("drawn")),
        "middleware": [ours],
    }
    model = scripted(call("task", description="draw a fox", subagent_type="artist"), edit(), DONE)
    agent = create_deep_agent(model, middleware=[ours], subagents=[artist])

    check(half.invoke(agent, {"messages": "draw a fox, then make it winter"}), simulator)


# langgraph-supervisor and langgraph-swarm


class Team(SwarmState, ImageState):
    """The state of a team that shares its pictures."""


class SupervisedTeam(AgentState, ImageState):
    """The state of a supervisor's team, which wants the steps that remain."""

    remaining_steps: Any


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
def test_supervisor(tool, half, simulator):
    """One agent of a supervisor draws, the next edits the last picture."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False)]
    painter = create_agent(scripted(asks("a"), DONE), middleware=middleware, name="painter")
    editor = create_agent(scripted(edit(), DONE), middleware=middleware, name="editor")
    model = scripted(call("transfer_to_painter", "p"), call("transfer_to_editor", "e"), DONE)
    team = create_supervisor([painter, editor], model=model, state_schema=SupervisedTeam, output_mode="full_history")

    check(half.invoke(team.compile(), {"messages": [HumanMessage("draw a fox, then winter")]}), simulator)


def test_swarm(tool, half, simulator):
    """One agent of a swarm draws and hands over, the next edits the last picture."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False)]
    over = create_handoff_tool(agent_name="editor")
    drawing = scripted(asks("a"), call("transfer_to_editor"), DONE)
    painter = create_agent(drawing, [over], middleware=middleware, name="painter")
    editor = create_agent(scripted(edit(), DONE), middleware=middleware, name="editor")
    swarm = create_swarm([painter, editor], default_active_agent="painter", state_schema=Team).compile()

    check(half.invoke(swarm, {"messages": [HumanMessage("draw a fox, then winter")]}), simulator)


# LangGraph's own


def test_functional_api(tool, simulator):
    """A task runs an agent with the tool, and the messages that the entrypoint saves tell which picture is the last."""
    model = scripted(asks("a"), DONE)
    agent = create_agent(model, [tool])

    @task
    def answer(messages: list[Any]) -> Any:
        return agent.invoke({"messages": messages})

    @entrypoint(checkpointer=InMemorySaver())
    def conversation(text: str, *, previous: Any = None) -> Any:
        state = answer([*(previous or []), HumanMessage(text)]).result()
        return entrypoint.final(value=state, save=state["messages"])

    conversation.invoke("draw a fox", THREAD)
    model.messages = scripted(edit(), DONE).messages
    check(conversation.invoke("make it winter", THREAD), simulator)


def test_subgraph(tool, half, simulator):
    """An agent within a graph draws, and the next agent of that graph edits."""
    builder = StateGraph(Gallery)
    builder.add_node("painter", agent_with_middleware(scripted(asks("a"), DONE), tool))
    builder.add_node("editor", agent_with_middleware(scripted(edit(), DONE), tool))
    builder.add_edge(START, "painter")
    builder.add_edge("painter", "editor")

    state = half.invoke(builder.compile(), {"messages": "draw a fox, then winter"})
    check(state, simulator)
    assert [message.status for message in answers(state)] == ["success", "success"]
