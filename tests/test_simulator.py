"""What the simulator answers to the unmodified SDK: responses, ids, edits, streams, background, files."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import threading
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter

import httpx
import pytest
from openai import (
    AsyncOpenAI,
    AsyncStream,
    AuthenticationError,
    AzureOpenAI,
    BadRequestError,
    NotFoundError,
    OpenAI,
    Stream,
)

from langchain_imagegen.simulator import Simulator

TOOL = {"type": "image_generation", "quality": "low", "size": "1024x1024", "output_format": "jpeg"}
FORCED = {"type": "image_generation"}
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def _sync(base_url, key, name, **fields):
    with OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        result = attrgetter(name)(client)(**fields)
        return list(result) if isinstance(result, Stream) else result


async def _async(base_url, key, name, **fields):
    async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        result = await attrgetter(name)(client)(**fields)
        return [event async for event in result] if isinstance(result, AsyncStream) else result


@pytest.fixture(params=["sync", "async"])
def call(simulator, request):
    """Calls a method of either SDK client by its name; streams come as lists."""

    def send(name, *, key="sk-a", **fields):
        if request.param == "sync":
            return _sync(simulator.base_url, key, name, **fields)
        return asyncio.run(_async(simulator.base_url, key, name, **fields))

    return send


@pytest.fixture
def ask(simulator):
    """Sends one response request; the tool is there unless said otherwise."""

    def send(given="Draw a fox", *, key="sk-a", **fields):
        request = {"model": "gpt-5", "tools": [TOOL], "input": given, **fields}
        return _sync(simulator.base_url, key, "responses.create", **request)

    return send


def kinds(response):
    return [item.type for item in response.output]


def pictures(response):
    return [item for item in response.output if item.type == "image_generation_call"]


def data(response):
    return base64.b64decode(pictures(response)[0].result, validate=True)


def data_url(picture):
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def edit_of(item_id, words="Make it winter"):
    return [{"type": "image_generation_call", "id": item_id}, {"role": "user", "content": words}]


# Answers


def test_draws_a_picture(call, simulator):
    """A plain response holds reasoning, the picture and an empty message, and reports the image tokens."""
    response = call("responses.create", model="gpt-5-mini", input="Draw a fox", tools=[TOOL])

    assert kinds(response) == ["reasoning", "image_generation_call", "message"]
    assert data(response).startswith(JPEG)
    assert response.output_text == ""
    assert response.tool_usage.image_gen.output_tokens == 196
    assert response.model == "gpt-5-mini-2025-08-07"
    assert simulator.pictures == 1


@pytest.mark.parametrize(
    ("model", "items", "words", "phase"),
    [
        ("gpt-4.1", ["image_generation_call", "message"], True, None),
        ("gpt-5.4", ["image_generation_call", "message"], False, "final_answer"),
        ("gpt-5", ["reasoning", "image_generation_call", "message"], False, None),
    ],
)
def test_items_follow_the_model(ask, model, items, words, phase):
    """Each family of models sends the items that were recorded of it."""
    response = ask(model=model)

    assert kinds(response) == items
    assert bool(response.output_text) is words
    assert response.output[-1].phase == phase


def test_echoes_the_tool_with_defaults(ask):
    """The echo names every default and leaves out what the service never echoes."""
    response = ask(tools=[{"type": "image_generation", "action": "generate", "partial_images": 0}])

    assert response.tools[0].to_dict() == {
        "type": "image_generation",
        "background": "auto",
        "model": "gpt-image-2",
        "moderation": "auto",
        "n": 1,
        "output_compression": 100,
        "output_format": "png",
        "quality": "auto",
        "size": "auto",
    }


@pytest.mark.parametrize(
    ("words", "choice", "drawn"),
    [
        ("Draw a fox", "auto", True),
        ("Tell me a story", "auto", False),
        ("What color was it? Answer without generating a new image.", "auto", False),
        ("A fox", FORCED, True),
        ("A fox", "required", True),
        ("A fox", {"type": "allowed_tools", "mode": "required", "tools": [FORCED]}, True),
        ("A fox", {"type": "allowed_tools", "mode": "auto", "tools": [FORCED]}, False),
        ("Draw a fox", "none", False),
    ],
)
def test_tool_choice_decides(ask, words, choice, drawn):
    """A picture comes when it is forced, or when the words ask for one and may."""
    response = ask(words, tool_choice=choice)

    assert bool(pictures(response)) is drawn
    assert bool(response.output_text) is not drawn


def test_two_pictures(ask, simulator):
    """Words that ask for two pictures get two items, unless the calls are capped."""
    two = ask("Draw two pictures of a fox", tools=[{**TOOL, "size": "auto"}])
    one = ask("Draw two pictures of a fox", max_tool_calls=1)

    assert [item.size for item in pictures(two)] == ["1024x1024", "1536x1024"]
    assert len(pictures(one)) == 1
    assert simulator.pictures == 3


@pytest.mark.parametrize(
    ("model", "options", "magic"),
    [
        ("gpt-image-2", {"output_format": "png", "size": "816x816"}, PNG),
        ("gpt-image-1.5", {"output_format": "webp", "background": "transparent"}, b"RIFF"),
        ("gpt-image-2", {"output_format": "jpeg", "output_compression": 40, "size": "1536x1024"}, JPEG),
        ("gpt-image-2.6-flare", {"output_format": "gif", "frame_count": 3, "size": "512x512"}, b"GIF8"),
        ("gpt-image-2.6-sunburst", {"output_format": "svg", "svg": {"reasoning": {"effort": "low"}}}, b"<"),
    ],
)
def test_every_format(ask, model, options, magic):
    """All formats and legal sizes are drawn, and the item says what was drawn."""
    response = ask(tools=[{"type": "image_generation", "model": model, "quality": "low", **options}])

    item = pictures(response)[0]
    assert data(response).startswith(magic)
    assert item.to_dict()["output_format"] == options["output_format"]
    assert item.to_dict()["size"] == options.get("size", "1024x1024")


def test_same_seed_same_ids():
    """Ids depend on the seed alone, so that recordings of a run can be compared."""
    ids = []
    for seed in (1, 1, 2):
        with Simulator(seed=seed) as simulator:
            ids.append(_sync(simulator.base_url, "sk", "responses.create", model="gpt-5", input="hi").id)

    assert ids[0] == ids[1] != ids[2]


def test_json_schema_answers_in_json(ask):
    """With a schema for the text, the message beside the picture is JSON that fits it."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    response = ask(text={"format": {"type": "json_schema", "name": "x", "schema": schema}})

    assert list(json.loads(response.output_text)) == ["title"]
    assert pictures(response)


def test_encrypted_reasoning_on_request(ask):
    """Encrypted reasoning comes when `include` asks for it, and then stands in for a stored item."""
    given = ask(store=False, include=["reasoning.encrypted_content"]).output[0].to_dict()
    again = ask([given, {"role": "user", "content": "hi"}], store=False)

    assert given["encrypted_content"]
    assert again.status == "completed"
    assert ask().output[0].encrypted_content is None


# Edits and ids


def test_edits_by_call_id(call, simulator):
    """An earlier picture is resolved by its id alone, and the edit builds on its bytes."""
    first = call("responses.create", model="gpt-5", input="Draw a fox", tools=[TOOL])
    second = call("responses.create", model="gpt-5", input=edit_of(pictures(first)[0].id), tools=[TOOL])

    assert pictures(second)[0].action == "edit"
    assert simulator.orders[1].sources == (data(first),)
    assert data(second) != data(first)


def test_edits_by_response_id(ask, simulator):
    """`previous_response_id` brings the pictures of earlier responses into context, over several turns."""
    first = ask()
    second = ask("Tell me a story", previous_response_id=first.id)
    third = ask("Make it winter", previous_response_id=second.id)

    assert not pictures(second)
    assert pictures(third)[0].action == "edit"
    assert simulator.orders[-1].sources == (data(first),)


def test_edits_uploads(ask, simulator):
    """Pictures of the last turn are what an edit builds on: data URL, file id and earlier call together."""
    first = ask()
    upload = _sync(
        simulator.base_url, "sk-a", "files.create", file=("x.jpg", data(first), "image/jpeg"), purpose="vision"
    )
    content = [
        {"type": "input_text", "text": "Combine these"},
        {"type": "input_image", "image_url": data_url(data(first))},
        {"type": "input_image", "file_id": upload.id},
    ]
    known = {"type": "item_reference", "id": pictures(first)[0].id}
    ask([known, {"role": "user", "content": content}])

    assert simulator.orders[-1].sources == (data(first),) * 3


def test_edits_with_a_mask(ask, simulator):
    """The mask of the tool reaches the drawing."""
    picture = ask(tools=[{**TOOL, "output_format": "png"}])
    mask = {"image_url": data_url(data(picture))}
    ask(edit_of(pictures(picture)[0].id), tools=[{**TOOL, "input_image_mask": mask}])

    assert simulator.orders[-1].mask == data(picture)


@pytest.mark.parametrize(
    ("action", "words", "happened"),
    [
        ("auto", "Make it winter", "edit"),
        ("auto", "Draw a boat", "generate"),
        ("generate", "Make it winter", "generate"),
        ("edit", "Draw a boat", "edit"),
    ],
)
def test_action_says_what_happened(ask, action, words, happened):
    """`auto` edits when there is a picture and the words ask for a change; the item says which it was."""
    first = ask()
    second = ask(edit_of(pictures(first)[0].id, words), tools=[{**TOOL, "action": action}])

    assert pictures(second)[0].action == happened


@pytest.mark.parametrize("inline", [False, True])
def test_unstored_ids_are_dead(ask, inline):
    """A picture of a response with `store=False` cannot be sent back, not even with its bytes inline."""
    item = pictures(ask(store=False))[0].to_dict()
    sent = item if inline else {"type": item["type"], "id": item["id"]}

    with pytest.raises(NotFoundError, match="Items are not persisted when `store` is set to false") as caught:
        ask([sent, {"role": "user", "content": "Make it winter"}])
    assert caught.value.param == "input"
    assert caught.value.code is None


def test_expired_ids_are_dead(ask, simulator):
    """An expired id stops resolving, and only that one."""
    first = ask()
    simulator.expire(pictures(first)[0].id)

    with pytest.raises(NotFoundError, match=f"Item with id '{pictures(first)[0].id}' not found"):
        ask(edit_of(pictures(first)[0].id))
    assert pictures(ask("Make it winter", previous_response_id=first.id))[0].action == "edit"

    simulator.expire(first.id)
    with pytest.raises(BadRequestError) as caught:
        ask("Make it winter", previous_response_id=first.id)
    assert caught.value.code == "previous_response_not_found"


def test_deleted_responses_are_gone(call):
    """After a delete neither the response nor its items resolve."""
    first = call("responses.create", model="gpt-5", input="Draw a fox", tools=[TOOL])
    call("responses.delete", response_id=first.id)

    with pytest.raises(NotFoundError):
        call("responses.retrieve", response_id=first.id)
    with pytest.raises(NotFoundError):
        call("responses.create", model="gpt-5", input=edit_of(pictures(first)[0].id), tools=[TOOL])


def test_accounts_are_apart(ask, simulator):
    """Ids, responses and files belong to the key that made them."""
    first = ask()
    file = _sync(simulator.base_url, "sk-a", "files.create", file=b"x", purpose="user_data")

    with pytest.raises(NotFoundError):
        ask(edit_of(pictures(first)[0].id), key="sk-b")
    with pytest.raises(BadRequestError, match="Previous response"):
        ask("More", previous_response_id=first.id, key="sk-b")
    with pytest.raises(NotFoundError):
        _sync(simulator.base_url, "sk-b", "files.retrieve", file_id=file.id)


def test_reasoning_companion_is_required():
    """A picture that came with reasoning is refused without that item when the simulator is told so."""
    with Simulator(reasoning_required=True) as simulator:
        request = {"model": "gpt-5", "tools": [TOOL]}
        first = _sync(simulator.base_url, "sk", "responses.create", input="Draw a fox", **request)
        reasoning, picture = first.output[0], first.output[1]
        with pytest.raises(BadRequestError, match=f"without its required 'reasoning' item: '{reasoning.id}'"):
            _sync(simulator.base_url, "sk", "responses.create", input=edit_of(picture.id), **request)
        both = [{"type": "item_reference", "id": reasoning.id}, *edit_of(picture.id)]
        second = _sync(simulator.base_url, "sk", "responses.create", input=both, **request)

    assert pictures(second)[0].action == "edit"


def test_conversations_collect_items(call):
    """A conversation remembers the pictures of its responses; an unknown one is refused."""
    conversation = call("conversations.create")
    fields = {"model": "gpt-5", "tools": [TOOL], "conversation": conversation.id}
    call("responses.create", input="Draw a fox", **fields)
    second = call("responses.create", input="Make it winter", **fields)

    assert pictures(second)[0].action == "edit"
    with pytest.raises(NotFoundError):
        call("responses.create", model="gpt-5", input="hi", conversation="conv_unknown")


# Streams


def stream(call, **fields):
    request = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL], "stream": True, **fields}
    return call("responses.create", **request)


def test_event_order_with_reasoning(call):
    """A stream nobody asked partials of has the recorded order, with one partial equal to the result."""
    events = stream(call)

    image = "response.image_generation_call"
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        f"{image}.in_progress",
        f"{image}.generating",
        f"{image}.partial_image",
        f"{image}.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(16))
    assert events[7].partial_image_b64 == events[9].item.result == pictures(events[-1].response)[0].result
    assert events[4].item.to_dict() == {
        "id": events[9].item.id,
        "type": "image_generation_call",
        "status": "in_progress",
    }


def test_one_partial_more_than_asked(call, simulator):
    """Two partials asked for arrive as three, all different, the last of them the picture; paid once."""
    events = stream(call, tools=[{**TOOL, "partial_images": 2}], model="gpt-4.1")

    partials = [event for event in events if event.type.endswith(".partial_image")]
    assert [event.partial_image_index for event in partials] == [0, 1, 2]
    assert len({event.partial_image_b64 for event in partials}) == 3
    assert partials[-1].partial_image_b64 == pictures(events[-1].response)[0].result
    assert "".join(event.delta for event in events if event.type.endswith("text.delta")) == (
        events[-1].response.output_text
    )
    assert events[-1].response.tool_usage.image_gen.output_tokens == 196 + 200
    assert simulator.pictures == 1


def test_streamed_pictures_can_be_edited(call):
    """A streamed response is stored like any other."""
    first = stream(call)[-1].response
    second = stream(call, input=edit_of(pictures(first)[0].id))[-1].response

    assert pictures(second)[0].action == "edit"
    assert call("responses.retrieve", response_id=first.id).id == first.id


def test_first_event_comes_before_the_picture():
    """The response id is on the wire while the picture is still being made."""
    with Simulator(latency=30) as simulator, OpenAI(base_url=simulator.base_url, api_key="sk") as client:
        events = client.responses.create(model="gpt-5", input="Draw a fox", tools=[TOOL], stream=True)
        first = next(iter(events))
        events.close()

    assert first.response.id.startswith("resp_")
    assert first.response.status == "in_progress"


# Background


def test_background_goes_through_its_states(call, simulator):
    """A background response is queued, in progress, then completed, and paid when it is."""
    fields = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL], "background": True}
    first = call("responses.create", **fields)
    states = [call("responses.retrieve", response_id=first.id) for _ in range(2)]

    assert [first.status, *(state.status for state in states)] == ["queued", "in_progress", "completed"]
    assert data(states[-1]).startswith(JPEG)
    assert simulator.pictures == 1


def test_background_finishes_unwatched(call, simulator):
    """Nobody has to look for a background picture to be made and to be there."""
    first = call("responses.create", model="gpt-5", input="Draw a fox", tools=[TOOL], background=True)

    assert simulator.pictures == 1
    edit = call("responses.create", model="gpt-5", input="Make it red", tools=[TOOL], previous_response_id=first.id)
    assert pictures(edit)[0].action == "edit"


def test_cancelled_background_is_not_drawn():
    """Cancelling in time leaves nothing to pay for."""
    with Simulator(latency=30) as simulator:
        fields = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL], "background": True}
        first = _sync(simulator.base_url, "sk", "responses.create", **fields)
        cancelled = _sync(simulator.base_url, "sk", "responses.cancel", response_id=first.id)
        later = _sync(simulator.base_url, "sk", "responses.retrieve", response_id=first.id)

    assert cancelled.status == later.status == "cancelled"
    assert simulator.pictures == 0


def test_only_background_can_be_cancelled_or_resumed(call):
    """A foreground response cannot be cancelled, and its stream cannot be had again."""
    first = call("responses.create", model="gpt-5", input="hi")

    with pytest.raises(BadRequestError):
        call("responses.cancel", response_id=first.id)
    with pytest.raises(NotFoundError):
        call("responses.retrieve", response_id=first.id, stream=True)


def test_background_stream_resumes(call):
    """A background stream starts queued, and can be had again from any number on, unchanged."""
    events = stream(call, background=True)
    again = call("responses.retrieve", response_id=events[0].response.id, stream=True, starting_after=4)

    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events[5:]]


# Function tools


FUNCTION = {
    "type": "function",
    "name": "generate_image",
    "parameters": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "images": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["prompt"],
    },
}


@pytest.mark.parametrize(
    ("words", "images"),
    [
        ("Draw a fox", []),
        ("Make img_0a1b2c3d blue", ["img_0a1b2c3d"]),
        ("Edit the last picture", ["last"]),
    ],
)
def test_calls_a_drawing_function(ask, words, images):
    """Without the hosted tool, a function with a prompt is called, with the images that the words name."""
    response = ask(words, tools=[FUNCTION])

    assert kinds(response) == ["reasoning", "function_call"]
    assert json.loads(response.output[1].arguments) == {"prompt": words, "images": images}


def test_answers_a_function_result(ask):
    """After the function's result comes a short text; a picture in the result can be edited next."""
    picture = data(ask())
    asked = ask(tools=[FUNCTION])
    result = {
        "type": "function_call_output",
        "call_id": asked.output[1].call_id,
        "output": [{"type": "input_image", "image_url": data_url(picture)}],
    }
    done = ask([result], previous_response_id=asked.id, tools=[FUNCTION])
    edit = ask("Make it winter", previous_response_id=done.id)

    assert kinds(done) == ["message"]
    assert done.output_text
    assert pictures(edit)[0].action == "edit"


def test_required_takes_the_function_first(ask):
    """With `required`, a function comes before the picture, as recorded."""
    animal = {"type": "function", "name": "get_animal", "parameters": {"type": "object", "properties": {}}}
    fields = {"tools": [TOOL, animal], "tool_choice": "required"}
    first = ask("Generate an image of the animal", **fields)
    result = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": "axolotl"}
    second = ask([result], previous_response_id=first.id, **fields)

    assert kinds(first) == ["reasoning", "function_call"]
    assert first.output[1].arguments == "{}"
    assert kinds(second) == ["image_generation_call", "message"]


def test_function_calls_stream(call):
    """The arguments of a function call arrive as events too."""
    events = stream(call, tools=[FUNCTION])

    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert json.loads(done.arguments)["prompt"] == "Draw a fox"


# Files, keys, paths, life cycle


def test_files_come_back(call):
    """An uploaded file can be described, read and deleted."""
    file = call("files.create", file=("fox.png", PNG + b"\r\n--x", "image/png"), purpose="vision")

    assert (file.filename, file.bytes, file.purpose) == ("fox.png", 13, "vision")
    assert call("files.content", file_id=file.id).content == PNG + b"\r\n--x"
    assert call("files.delete", file_id=file.id).deleted
    with pytest.raises(NotFoundError):
        call("files.retrieve", file_id=file.id)


def test_loopback_urls_are_fetched(ask, simulator, tmp_path):
    """A picture by URL is fetched from this machine."""
    picture = data(ask())
    (tmp_path / "fox.jpg").write_bytes(picture)
    folder = functools.partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), folder) as files:
        threading.Thread(target=files.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{files.server_port}/fox.jpg"
        ask([{"role": "user", "content": [{"type": "input_image", "image_url": url}, TEXT]}])
        files.shutdown()

    assert simulator.orders[-1].sources == (picture,)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


TEXT = {"type": "input_text", "text": "Make it winter"}


@pytest.mark.parametrize("url", ["https://example.com/fox.png", "http://127.0.0.1:1/fox.png", "file:///etc/hosts"])
def test_other_urls_are_not_fetched(ask, url):
    """A URL of another machine, or a dead one, is refused as a failed download."""
    with pytest.raises(BadRequestError) as caught:
        ask([{"role": "user", "content": [{"type": "input_image", "image_url": url}, TEXT]}])
    assert caught.value.code == "failed_to_download_image"


@pytest.mark.parametrize("key", ["sk-invalid", ""])
def test_needs_a_key(simulator, key):
    """A missing or wrong key gets the 401 of the service."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(f"{simulator.base_url}/responses", json={}, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_wrong_key_is_an_authentication_error(ask):
    """The SDK knows the 401 for what it is."""
    with pytest.raises(AuthenticationError) as caught:
        ask(key="sk-invalid")
    assert caught.value.code == "invalid_api_key"


def test_azure_paths(simulator):
    """Azure's paths and key header work, once the deployment of the image model is named."""
    root = simulator.base_url.removesuffix("/v1")
    with AzureOpenAI(azure_endpoint=root, api_key="az", api_version="preview", max_retries=0) as client:
        fields = {"model": "my-gpt", "input": "Draw a fox", "tools": [TOOL]}
        with pytest.raises(BadRequestError, match="There was an issue with your request"):
            client.responses.create(**fields)
        named = {"x-ms-oai-image-generation-deployment": "my-image"}
        response = client.responses.create(**fields, extra_headers=named)
        images = client.images.generate(model="gpt-image-2", prompt="a fox", quality="low")

    assert pictures(response)
    assert images.data[0].b64_json


def test_records_requests(ask, simulator):
    """Requests are recorded with path, headers, body and size."""
    ask("Draw a fox")

    request = simulator.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-a"
    assert request.body["input"] == "Draw a fox"
    assert request.size == int(request.headers["content-length"])


def test_lists_models(call):
    """The image models are listed beside mainline models."""
    names = [model.id for model in call("models.list").data]

    assert {"gpt-5.4", "gpt-image-2"} <= set(names)


def test_unknown_paths(simulator):
    """A path that does not exist is a 404 in the service's form."""
    answer = httpx.get(f"{simulator.base_url}/nothing", headers={"authorization": "Bearer sk"})

    assert answer.status_code == 404
    assert "Invalid URL" in answer.json()["error"]["message"]


def test_stop_leaves_nothing_behind():
    """Stopping ends every thread, open keep-alive connections and waits included, without a warning."""
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            with Simulator(latency=60) as simulator, httpx.Client() as client:
                client.get(f"{simulator.base_url}/models")

    assert threading.active_count() == before


def test_state_survives_a_restart():
    """Stopped and started again, the simulator has its port, its responses and its pictures still."""
    with Simulator() as simulator:
        first = _sync(simulator.base_url, "sk", "responses.create", model="gpt-5", input="Draw", tools=[TOOL])
        address = simulator.base_url
        simulator.stop()
        simulator.start()
        again = _sync(address, "sk", "responses.retrieve", response_id=first.id)

    assert again.id == first.id
    assert simulator.pictures == 1


def test_many_at_once(simulator):
    """Concurrent calls are all answered, each with its own ids."""

    async def draw_all():
        async with AsyncOpenAI(base_url=simulator.base_url, api_key="sk", max_retries=0) as client:
            request = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL]}
            return await asyncio.gather(*(client.responses.create(**request) for _ in range(64)))

    responses = asyncio.run(draw_all())

    assert len({pictures(response)[0].id for response in responses}) == 64
    assert simulator.pictures == 64
