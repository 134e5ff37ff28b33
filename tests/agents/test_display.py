"""Answers that show the pictures of their turn, and requests that hold no trace of it."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import tool as as_tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

from langchain_imagegen import (
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageMemory,
    ImageStore,
    hide_pictures,
    show_pictures,
)
from langchain_imagegen.conversation.display import links_in
from langchain_imagegen.errors import OptionError
from tests.conversations import SMALL, VERSIONS, image_block, image_call_ids, photo
from tests.graphs import THREAD, Gallery
from tests.scripted import DONE, image_call, scripted_model, tool_messages

FORMS = ("markdown", "image_url", "image")
HOST = "https://images.example.com"


@pytest.fixture
def pictures(tmp_path):
    """Return an image store that gives public addresses."""
    return ImageStore(str(tmp_path / "images"), public_url=f"{HOST}/{{sha256}}.{{ext}}")


@pytest.fixture
def tool(generator, pictures):
    """Return a tool that draws at the simulator into the store with addresses."""
    return ImageGenerationTool(generator=generator(options=SMALL, image_store=pictures))


def shown(message: Any) -> list[str]:
    """Return the handles of the pictures that a message shows."""
    return [link.handle for link in links_in(message)]


def part(message: AIMessage, image: Any) -> Any:
    """Return the part of an answer that shows an image, as a front end finds it."""
    blocks = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    return next(block for block in blocks if image.sha256 in json.dumps(block))


def expected(form: str, image: Any) -> Any:
    """Return the part that shows an image in a form."""
    url = f"{HOST}/{image.sha256}.png#imagegen:{image.handle}"
    return {
        "markdown": {"type": "text", "text": f"![draw a fox]({url})"},
        "image_url": {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        "image": {"type": "image", "url": url, "mime_type": "image/png"},
    }[form]


@pytest.mark.parametrize("form", FORMS)
def test_picture_of_the_tool(talks, tool, form):
    """The answer that ends a turn shows what our tool drew in it, and no other message does."""
    model = scripted_model(image_call("a"), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False, show=form), model=model)
    messages = talk.say("a fox, please")["messages"]

    [fox] = talk.memory
    found = part(messages[-1], fox)
    assert {**found, **({"text": found["text"].removeprefix("done\n\n")} if "text" in found else {})} == expected(
        form, fox
    )
    assert messages[-1].text.startswith("done")
    assert [shown(message) for message in messages] == [[], [], [], [fox.handle]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", FORMS)
def test_picture_of_the_hosted_tool(talks, pictures, form, version):
    """A hosted call's message shows its picture, and the next request is the same as without it."""
    requests = []
    for show in (form, None):
        talk = talks.start(
            ImageGenerationMiddleware(SMALL, image_store=pictures, show=show),
            model=talks.model(output_version=version),
            file=f"{show}.sqlite",
        )
        answer = talk.say("draw a fox")["messages"][-1]
        talk.say("make it winter")
        requests.append(talk.last_input)
        assert shown(answer) == ([talk.handles[0]] if show else [])

    assert HOST not in json.dumps(requests)
    assert [len(image_call_ids(items)) for items in requests] == [1, 1]
    assert _without_ids(requests[0]) == _without_ids(requests[1])


def _without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of a request without what differs between two conversations."""
    return json.loads(json.dumps(items), object_hook=lambda found: {k: v for k, v in found.items() if k != "id"})


def requests_of(messages: list[Any]) -> dict[str, Any]:
    """Return the requests that chat models of several providers make of some messages."""
    openai = {"model": "gpt-5.4", "api_key": "sk-a"}
    from langchain_google_genai.chat_models import _parse_chat_history

    return {
        "responses": ChatOpenAI(**openai, use_responses_api=True)._get_request_payload(messages),
        "completions": ChatOpenAI(**openai, use_responses_api=False)._get_request_payload(messages),
        "anthropic": ChatAnthropic(model="claude-sonnet-4-5", api_key="a")._get_request_payload(messages),
        "gemini": _parse_chat_history(messages),
    }


@pytest.mark.parametrize("form", FORMS)
def test_no_trace_in_any_request(talks, tool, form):
    """What the model is asked in later turns is, for each provider, the same as without the pictures."""
    read = []
    for show in (form, None):
        model = scripted_model(image_call("a"), DONE)
        middleware = ImageGenerationMiddleware(tool=tool, hosted=False, show=show)
        talk = talks.start(middleware, model=model, file=f"{show}.sqlite")
        talk.say(HumanMessage("a fox", id="h"))
        model.messages = scripted_model(AIMessage("Well.", id="w")).messages
        talk.say(HumanMessage("and now?", id="i"))
        [fox] = talk.memory
        found = requests_of([message.model_copy(update={"id": None}) for message in model.requests[-1]])
        read.append(repr(found).replace(fox.handle, "img_"))

    assert HOST not in read[0]
    assert read[0] == read[1]


def test_hidden_from_every_model(tool, half):
    """A graph of one's own shows pictures with a node, and its model, wrapped, never reads them."""
    model = scripted_model(image_call("a"), DONE, AIMessage("Well."))
    hidden = hide_pictures(model)
    builder = StateGraph(Gallery)
    builder.add_node("model", lambda state: {"messages": [hidden.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([tool]))
    builder.add_node("show", show_pictures("markdown", image_store=tool.generator.image_store))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition, {"tools": "tools", END: "show"})
    builder.add_edge("tools", "model")
    graph = builder.compile(checkpointer=InMemorySaver())
    half.invoke(graph, {"messages": "a fox"}, config=THREAD)
    state = half.invoke(graph, {"messages": "and now?"}, config=THREAD)

    [fox] = ImageMemory.from_state(state)
    assert [shown(message) for message in state["messages"]] == [[], [], [], [fox.handle], [], []]
    assert HOST not in str(model.requests)
    assert isinstance(hide_pictures(hidden), type(model))


def test_tool_alone_gives_the_front_end_an_address(tool, half):
    """Without any middleware, `show` on the tool puts the address into the artifact and not before the model."""
    model = scripted_model(image_call("a"), DONE)
    graph = create_agent(model, [tool.model_copy(update={"show": "markdown"})])
    [message] = tool_messages(half.invoke(graph, {"messages": "a fox"}))

    [record] = message.artifact["images"]
    assert record["url"] == f"{HOST}/{record['sha256']}.png"
    assert HOST not in str(message.content)


def test_several_pictures_of_a_turn(talks, tool):
    """Pictures of a turn are shown once and in order, of parallel calls and edits too, and none of earlier turns."""
    model = scripted_model([image_call("a"), image_call("b", "draw a cat")], image_call("c", images=["1"]), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown"), model=model)
    answer = talk.say("two")["messages"][-1]
    model.messages = scripted_model(image_call("d", "draw a dog"), DONE).messages
    later = talk.say("a dog")["messages"][-1]

    *first, dog = talk.handles
    assert len(first) == 3
    assert shown(answer) == first
    assert shown(later) == [dog]


def test_picture_of_another_tool(talks, tool):
    """A picture that another tool returned is shown."""

    @as_tool
    def chart() -> list[dict[str, Any]]:
        """Return a chart."""
        return [image_block(photo("a chart"))]

    model = scripted_model(ToolCall(name="chart", args={}, id="c", type="tool_call"), DONE)
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False, show="image_url")
    talk = talks.start(middleware, model=model, tools=[chart])

    assert shown(talk.say("the chart")["messages"][-1]) == talk.handles


def test_a_picture_that_the_user_sends(talks, tool):
    """What the user sends is not shown again, though an edit was made from it."""
    model = scripted_model(image_call("a", "edit it", images=["last"]), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown"), model=model)
    answer = talk.say(HumanMessage([{"type": "text", "text": "winter"}, image_block(photo())]))["messages"][-1]

    assert shown(answer) == talk.handles[1:]


@pytest.mark.parametrize("both", [True, False])
def test_picture_of_a_sub_agent(tool, half, both):
    """The main agent's answer shows what a sub-agent drew, and its model never reads the sub-agent's link."""
    draw = [image_call("a"), AIMessage("Here.")]
    task = ToolCall(name="task", args={"description": "draw", "subagent_type": "artist"}, id="t", type="tool_call")
    model, artist = scripted_model(task, DONE), scripted_model(*draw)
    inner = ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown" if both else None)
    agent = create_deep_agent(
        model,
        middleware=[ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown")],
        subagents=[
            {"name": "artist", "description": "draws", "system_prompt": "", "model": artist, "middleware": [inner]}
        ],
        checkpointer=InMemorySaver(),
    )
    state = half.invoke(agent, {"messages": "a fox"}, config=THREAD)
    model.messages = scripted_model(DONE).messages
    later = half.invoke(agent, {"messages": "well?"}, config=THREAD)

    [fox] = ImageMemory.from_state(state)
    assert shown(state["messages"][-1]) == [fox.handle]
    assert shown(later["messages"][-1]) == []
    assert (HOST in str(tool_messages(state))) == both
    assert HOST not in str(model.requests)


def summarizing(model: Any) -> SummarizationMiddleware:
    """Return a middleware that summarizes all but the last message once there are four."""
    return SummarizationMiddleware(model=model, trigger=("messages", 4), keep=("messages", 1))


@pytest.mark.parametrize("form", FORMS)
def test_summary(talks, tool, form):
    """A summary is made by a model that reads no link, and pictures of the turn are shown after it."""
    model, writer = scripted_model(image_call("a"), DONE), scripted_model(*[AIMessage("A fox.")] * 4)
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False, show=form)
    talk = talks.start(summarizing(hide_pictures(writer)), middleware, model=model)
    talk.say("a fox")
    model.messages = scripted_model(image_call("b", "draw a cat"), DONE).messages
    answer = talk.say("a cat")["messages"][-1]

    assert len(writer.requests) >= 1
    assert "done" in str(writer.requests)
    assert HOST not in str(writer.requests) + str(model.requests)
    assert shown(answer) == talk.handles[1:]


def test_a_summary_that_would_read_links(tool, caplog):
    """An agent whose summaries would read links is built with a warning that says what to write."""
    model = scripted_model(DONE)
    for writer in (model, hide_pictures(model)):
        middleware = ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown")
        create_agent(model, middleware=[summarizing(writer), middleware])

    [record] = caplog.records
    assert "SummarizationMiddleware" in record.getMessage()
    assert "hide_pictures(model)" in record.getMessage()


@pytest.mark.parametrize("form", FORMS)
def test_tokens_of_the_thread(talks, tool, form):
    """The count of tokens of a thread grows by no more than the link, or what the counter takes for any picture."""
    counts = []
    for show in (form, None):
        model = scripted_model(image_call("a"), DONE)
        talk = talks.start(
            ImageGenerationMiddleware(tool=tool, hosted=False, show=show), model=model, file=f"{show}.sqlite"
        )
        counts.append(count_tokens_approximately(talk.say("a fox")["messages"]))
        length = len(f"\n\n![draw a fox]({HOST}/{'0' * 64}.png#imagegen:img_12345678)")

    assert counts[0] - counts[1] <= (length / 4 + 1 if form == "markdown" else 85)


@pytest.mark.parametrize("form", ["image_url"])
def test_openai_counts_tokens_without_fetching(talks, tool, form, monkeypatch):
    """`ChatOpenAI.get_num_tokens_from_messages` counts a picture's link as a small picture and fetches nothing."""
    monkeypatch.setattr(ChatOpenAI, "_get_encoding_model", lambda _: ("gpt-5", _Letters()))
    model = scripted_model(image_call("a"), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False, show=form), model=model)
    answer = talk.say("a fox")["messages"][-1]
    counter = ChatOpenAI(model="gpt-5", api_key="sk-a")

    plain = counter.get_num_tokens_from_messages([AIMessage("done")])
    assert counter.get_num_tokens_from_messages([answer]) - plain <= 85


class _Letters:
    """An encoding in which each letter is a token; OpenAI's are fetched from the web."""

    def encode(self, text: str) -> list[str]:
        """Return the letters."""
        return list(text)


def test_the_state_stays_small(talks, tool):
    """A link adds a few hundred bytes to an answer, and no base64."""
    model = scripted_model(image_call("a"), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown"), model=model)
    answer = talk.say("a fox")["messages"][-1]

    assert len(answer.model_dump_json()) < 700
    assert set(talk.state) == {"messages", "generated_images"}


def test_signed_links_are_renewed(talks, generator, s3):
    """A later turn renews the links of earlier answers that end soon, and leaves all others alone."""
    store = ImageStore("s3://pictures/shown", **s3)
    drawing = ImageGenerationTool(generator=generator(options=SMALL, image_store=store))
    model = scripted_model(image_call("a"), DONE)
    middleware = ImageGenerationMiddleware(tool=drawing, hosted=False, show="markdown", link_seconds=4)
    talk = talks.start(middleware, model=model)
    talk.say("a fox")
    model.messages = scripted_model(AIMessage("Well.")).messages
    [first] = links_in(talk.say("well?")["messages"][3])
    time.sleep(max(0, first.until - 1.5 - time.time()))
    [again] = [links_in(message)[0] for message in middleware.renew_links(talk.state)]
    model.messages = scripted_model(AIMessage("Well.")).messages
    [renewed] = links_in(talk.say("and now?")["messages"][3])

    assert 0 < first.until - time.time() < 4
    assert renewed.until > first.until
    assert again.until > first.until
    assert "X-Amz-Signature=" in renewed.url or "Signature=" in renewed.url


def test_a_forgotten_picture(talks, tool):
    """An answer ceases to show a picture that was forgotten."""
    model = scripted_model(image_call("a"), DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False, show="image"), model=model)
    talk.say("a fox")
    update = {"generated_images": talk.memory.forget("last")}
    if talk._half.name == "async":
        talk._half.wait(talk.agent.aupdate_state, THREAD, update)
    else:
        talk.agent.update_state(THREAD, update)
    model.messages = scripted_model(AIMessage("Well.")).messages
    messages = talk.say("well?")["messages"]

    assert [shown(message) for message in messages] == [[]] * 6
    assert messages[3].text == "done"


@pytest.mark.parametrize("form", FORMS)
def test_a_store_without_addresses(image_store, form):
    """A middleware that cannot show pictures says so when it is built, and what to set."""
    with pytest.raises(OptionError, match="public_url"):
        ImageGenerationMiddleware(image_store=image_store, show=form)


def test_an_unknown_form(pictures):
    """An unknown form is refused, with the forms there are."""
    with pytest.raises(OptionError, match="'markdown', 'image_url', 'image'"):
        ImageGenerationMiddleware(image_store=pictures, show="html")


def test_a_structured_answer(talks, tool):
    """An answer that is read by a program is left as it is."""

    class Verdict(BaseModel):
        """What was drawn."""

        animal: str

    verdict = ToolCall(name="Verdict", args={"animal": "fox"}, id="v", type="tool_call")
    model = scripted_model(image_call("a"), verdict)
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False, show="markdown")
    talk = talks.start(middleware, model=model, response_format=ToolStrategy(Verdict))

    assert talk.say("a fox")["structured_response"] == Verdict(animal="fox")
    assert not any(map(shown, talk.state["messages"]))


def test_a_picture_in_no_store(talks, generator, tmp_path, caplog):
    """A picture that could not be stored is not shown; the answer stays, and the log says why."""
    store = ImageStore(str(tmp_path / "full"), public_url=f"{HOST}/{{sha256}}.{{ext}}", max_bytes=64 * 1024 * 1024)
    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=store, show="markdown"))
    (tmp_path / "full").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        answer = talk.say("draw a fox")["messages"][-1]

    assert shown(answer) == []
    assert "is not shown" in caplog.text
    assert isinstance(answer, AIMessage)
    assert not isinstance(answer, ToolMessage)
