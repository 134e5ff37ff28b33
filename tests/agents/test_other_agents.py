"""The tool and the middleware in other libraries' agents: one agent draws, and another edits that picture."""

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
from tests.scripted import DONE, image_call, scripted_model, tool_messages


@pytest.fixture
def tool(generator):
    """Return a tool that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))


def edit_call(id: str = "b") -> ToolCall:
    """Return a call that edits the last picture."""
    return image_call(id, "edit it: make it winter", images=["last"])


def other_call(name: str, id: str = "h", **args: Any) -> ToolCall:
    """Return a call of another tool."""
    return ToolCall(name=name, args=args, id=id, type="tool_call")


def check_edit(state: Any, simulator: Any) -> None:
    """Check that two pictures were bought and the second was made from the first."""
    fox, winter = ImageMemory.from_state(state)
    assert winter.parents == (fox.id,)
    assert simulator.pictures == 2
    assert len(simulator.orders[-1].sources) == 1


# deepagents


@pytest.mark.parametrize("way", ["tool", "function"])
def test_deep_agent(tool, half, simulator, way):
    """A deep agent draws and edits with the tool alone or with the middleware's function tool."""
    model = scripted_model(image_call("a"), DONE)
    ours = {"tools": [tool]} if way == "tool" else {"middleware": [ImageGenerationMiddleware(tool=tool, hosted=False)]}
    agent = create_deep_agent(model, checkpointer=InMemorySaver(), **ours)
    half.invoke(agent, {"messages": "draw a fox"}, config=THREAD)
    model.messages = scripted_model(edit_call(), DONE).messages

    check_edit(half.invoke(agent, {"messages": "make it winter"}, config=THREAD), simulator)


def test_deep_agent_with_the_hosted_tool(talks, half):
    """A deep agent draws with the hosted tool and edits that picture in the next turn."""
    middleware = [ImageGenerationMiddleware(SMALL, hosted=True)]
    agent = create_deep_agent(talks.model(), middleware=middleware, checkpointer=InMemorySaver())
    half.invoke(agent, {"messages": "draw a fox"}, config=THREAD)

    check_edit(half.invoke(agent, {"messages": "make it winter"}, config=THREAD), talks.simulator)


def test_deep_agent_edits_what_its_sub_agent_drew(tool, half, simulator):
    """A deep agent edits the picture that its sub-agent drew as its own last picture."""
    ours = ImageGenerationMiddleware(tool=tool, hosted=False)
    artist = {
        "name": "artist",
        "description": "Draws.",
        "system_prompt": "Draw.",
        "model": scripted_model(image_call("a"), AIMessage("drawn")),
        "middleware": [ours],
    }
    model = scripted_model(other_call("task", description="draw a fox", subagent_type="artist"), edit_call(), DONE)
    agent = create_deep_agent(model, middleware=[ours], subagents=[artist])

    check_edit(half.invoke(agent, {"messages": "draw a fox, then make it winter"}), simulator)


# langgraph-supervisor and langgraph-swarm


class Team(SwarmState, ImageState):
    """The state of a swarm whose agents share their pictures."""


class SupervisedTeam(AgentState, ImageState):
    """The state of a supervisor's team; `create_supervisor` requires `remaining_steps`."""

    remaining_steps: Any


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
def test_supervisor(tool, half, simulator):
    """One agent of a supervisor draws, and the next edits that picture."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False)]
    painter = create_agent(scripted_model(image_call("a"), DONE), middleware=middleware, name="painter")
    editor = create_agent(scripted_model(edit_call(), DONE), middleware=middleware, name="editor")
    model = scripted_model(other_call("transfer_to_painter", "p"), other_call("transfer_to_editor", "e"), DONE)
    team = create_supervisor([painter, editor], model=model, state_schema=SupervisedTeam, output_mode="full_history")

    check_edit(half.invoke(team.compile(), {"messages": [HumanMessage("draw a fox, then winter")]}), simulator)


def test_swarm(tool, half, simulator):
    """One agent of a swarm draws and hands over, and the next edits that picture."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False)]
    handoff = create_handoff_tool(agent_name="editor")
    drawing = scripted_model(image_call("a"), other_call("transfer_to_editor"), DONE)
    painter = create_agent(drawing, [handoff], middleware=middleware, name="painter")
    editor = create_agent(scripted_model(edit_call(), DONE), middleware=middleware, name="editor")
    swarm = create_swarm([painter, editor], default_active_agent="painter", state_schema=Team).compile()

    check_edit(half.invoke(swarm, {"messages": [HumanMessage("draw a fox, then winter")]}), simulator)


# LangGraph's functional API and subgraphs


def test_functional_api(tool, simulator):
    """An `@entrypoint` that saves the messages of its agent lets the next run edit the last picture."""
    model = scripted_model(image_call("a"), DONE)
    agent = create_agent(model, [tool])

    @task
    def answer(messages: list[Any]) -> Any:
        return agent.invoke({"messages": messages})

    @entrypoint(checkpointer=InMemorySaver())
    def conversation(text: str, *, previous: Any = None) -> Any:
        state = answer([*(previous or []), HumanMessage(text)]).result()
        return entrypoint.final(value=state, save=state["messages"])

    conversation.invoke("draw a fox", THREAD)
    model.messages = scripted_model(edit_call(), DONE).messages
    check_edit(conversation.invoke("make it winter", THREAD), simulator)


def test_subgraph(tool, half, simulator):
    """One agent inside a graph draws, and the next agent of that graph edits its picture."""
    builder = StateGraph(Gallery)
    builder.add_node("painter", agent_with_middleware(scripted_model(image_call("a"), DONE), tool))
    builder.add_node("editor", agent_with_middleware(scripted_model(edit_call(), DONE), tool))
    builder.add_edge(START, "painter")
    builder.add_edge("painter", "editor")

    state = half.invoke(builder.compile(), {"messages": "draw a fox, then winter"})
    check_edit(state, simulator)
    assert [message.status for message in tool_messages(state)] == ["success", "success"]
