"""Other unmodified clients against the simulator, to show that it speaks no private dialect of this package."""

from __future__ import annotations

import base64
import io

import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from PIL import Image
from pydantic_ai import Agent, BinaryImage
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.messages import NativeToolReturnPart
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.native_tools import ImageGenerationTool
from pydantic_ai.providers.openai import OpenAIProvider

TOOL = {"type": "image_generation", "size": "1024x1024", "quality": "low"}
KEY = "sk-test"


def size_of(data):
    """Return width and height of a picture given as bytes or base64."""
    return Image.open(io.BytesIO(base64.b64decode(data) if isinstance(data, str) else data)).size


def assert_edited(simulator):
    """Assert that the second of two pictures is an edit of the first."""
    first, second = simulator.orders
    assert (first.action, second.action) == ("generate", "edit")
    assert [size_of(source) for source in second.sources] == [(1024, 1024)]


# LangChain


def ask_model(model, messages, *, stream):
    """Return the model's answer as one message, from `invoke` or joined from a stream."""
    if not stream:
        return model.invoke(messages)
    first, *rest = model.stream(messages)
    return sum(rest, first)


def picture_of(message, output_version):
    """Return base64, id and revised prompt of the picture in a message of this output version."""
    if output_version == "v0":
        call = message.additional_kwargs["tool_outputs"][0]
        return call["result"], call["id"], call["revised_prompt"]
    if output_version == "v1":
        block = next(block for block in message.content if block["type"] == "image")
        return block["base64"], block["id"], block["extras"]["revised_prompt"]
    call = next(block for block in message.content if block["type"] == "image_generation_call")
    return call["result"], call["id"], call["revised_prompt"]


@pytest.mark.parametrize("stream", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("output_version", ["v0", "responses/v1", "v1"])
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5", "gpt-5.4"])
def test_chat_openai(simulator, model, output_version, stream):
    """`ChatOpenAI` draws a picture and edits it from its history, in every output version."""
    chat = ChatOpenAI(model=model, base_url=simulator.base_url, api_key=KEY, output_version=output_version)
    bound = chat.bind_tools([TOOL])
    history = [("human", "Draw a heron.")]
    drawn = ask_model(bound, history, stream=stream)
    edited = ask_model(bound, [*history, drawn, ("human", "Now make it winter.")], stream=stream)

    for message, prompt in ((drawn, "Draw a heron."), (edited, "Now make it winter.")):
        result, call_id, revised = picture_of(message, output_version)
        assert size_of(result) == (1024, 1024)
        assert call_id.startswith("ig_")
        assert prompt in revised
        assert message.usage_metadata["total_tokens"] > 0
        assert message.response_metadata["id"].startswith("resp_")
    assert_edited(simulator)
    assert simulator.requests[-1].size < 10_000


def test_chat_openai_previous_response(simulator):
    """`ChatOpenAI` edits by `previous_response_id` without sending the history."""
    chat = ChatOpenAI(model="gpt-5", base_url=simulator.base_url, api_key=KEY, use_previous_response_id=True)
    bound = chat.bind_tools([TOOL])
    history = [("human", "Draw a heron.")]
    drawn = bound.invoke(history)
    bound.invoke([*history, drawn, ("human", "Now make it winter.")])

    assert simulator.requests[-1].body["previous_response_id"] == drawn.response_metadata["id"]
    assert len(simulator.requests[-1].body["input"]) == 1
    assert_edited(simulator)


def test_chat_openai_text_streams_in_pieces(simulator):
    """The text after a picture arrives in several chunks."""
    chat = ChatOpenAI(model="gpt-4.1", base_url=simulator.base_url, api_key=KEY)
    texts = [chunk.text for chunk in chat.bind_tools([TOOL]).stream("Draw a heron.") if chunk.text]

    assert len(texts) > 3
    assert "simulated" in "".join(texts)


# The SDK


def test_sdk_parses_strictly(simulator):
    """The SDK validates the answer strictly and finds no missing or wrongly typed field."""
    client = OpenAI(base_url=simulator.base_url, api_key=KEY, _strict_response_validation=True)
    answer = client.responses.create(model="gpt-5", input="Draw a heron.", tools=[TOOL])
    call = next(item for item in answer.output if item.type == "image_generation_call")

    assert size_of(call.result) == (1024, 1024)
    assert client.responses.retrieve(answer.id).output[1].id == call.id
    client.close()


def test_sdk_stream_parses(simulator):
    """The SDK parses every event, the numbers have no gap, and every partial picture is complete."""
    client = OpenAI(base_url=simulator.base_url, api_key=KEY)
    tool = {**TOOL, "partial_images": 2}
    events = list(client.responses.create(model="gpt-5", input="Draw a heron.", tools=[tool], stream=True))
    partials = [event.partial_image_b64 for event in events if event.type.endswith("partial_image")]

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [size_of(partial) for partial in partials] == [(1024, 1024)] * 3
    assert partials[-1] == events[-1].response.output[1].result
    client.close()


# pydantic-ai


@pytest.fixture
async def drawing_agent(simulator):
    """Yield a pydantic-ai agent that answers with a picture."""
    async with AsyncOpenAI(base_url=simulator.base_url, api_key=KEY) as client:
        model = OpenAIResponsesModel("gpt-5", provider=OpenAIProvider(openai_client=client))
        tool = ImageGenerationTool(size="1024x1024")
        yield Agent(model, capabilities=[NativeTool(tool)], output_type=BinaryImage)


def image_call_part(result):
    """Return the part that pydantic-ai keeps about the image call."""
    parts = [part for message in result.new_messages() for part in message.parts]
    return next(part for part in parts if isinstance(part, NativeToolReturnPart))


async def test_pydantic_ai(simulator, drawing_agent):
    """A pydantic-ai agent answers with a picture and edits it in the next turn."""
    drawn = await drawing_agent.run("Draw a heron.")
    edited = await drawing_agent.run("Now make it winter.", message_history=drawn.all_messages())

    for result, prompt in ((drawn, "Draw a heron."), (edited, "Now make it winter.")):
        assert size_of(result.output.data) == (1024, 1024)
        assert result.output.media_type == "image/png"
        assert image_call_part(result).tool_call_id.startswith("ig_")
        assert prompt in image_call_part(result).content["revised_prompt"]
    assert_edited(simulator)
    assert simulator.requests[-1].size < 10_000


async def test_pydantic_ai_stream(simulator, drawing_agent):
    """A pydantic-ai agent gets a picture from a stream."""
    async with drawing_agent.run_stream("Draw a heron.") as result:
        output = await result.get_output()

    assert size_of(output.data) == (1024, 1024)
    assert simulator.requests[-1].body["stream"] is True


# openai-agents


@pytest.mark.parametrize("stream", [False, True], ids=["run", "stream"])
async def test_openai_agents(simulator, stream):
    """An agent of openai-agents draws a picture and edits it from its history."""
    agents = pytest.importorskip("agents", reason="openai-agents is not installed")
    agents.set_tracing_disabled(disabled=True)
    async with AsyncOpenAI(base_url=simulator.base_url, api_key=KEY) as client:
        model = agents.OpenAIResponsesModel("gpt-5", client)
        tools = [agents.ImageGenerationTool(tool_config=TOOL)]
        painter = agents.Agent(name="painter", model=model, tools=tools)

        async def run(inputs):
            if not stream:
                return await agents.Runner.run(painter, inputs)
            streamed = agents.Runner.run_streamed(painter, inputs)
            async for _ in streamed.stream_events():
                pass
            return streamed

        drawn = await run("Draw a heron.")
        history = drawn.to_input_list()
        edited = await run([*history, {"role": "user", "content": "Now make it winter."}])

    for result, prompt in ((drawn, "Draw a heron."), (edited, "Now make it winter.")):
        calls = [item.raw_item for item in result.new_items if item.type == "tool_call_item"]
        assert [size_of(call.result) for call in calls] == [(1024, 1024)]
        assert prompt in calls[0].revised_prompt
    assert_edited(simulator)
