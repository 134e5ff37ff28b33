"""The simulator's answers to the unmodified SDK: pictures, edits, ids, function calls."""

from __future__ import annotations

import json

import pytest
from openai import BadRequestError, NotFoundError

from langchain_imagegen.simulator import Simulator
from tests.sdk import FORCED, JPEG, PNG, TOOL, data, data_url, edit_of, kinds, pictures, send, stream


def test_draws_a_picture(call, simulator):
    """A response of `gpt-5-mini` has reasoning, the picture and an empty message, and reports the image tokens."""
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
    """Each model family sends the items that its recordings have."""
    response = ask(model=model)

    assert kinds(response) == items
    assert bool(response.output_text) is words
    assert response.output[-1].phase == phase


def test_echoes_the_tool_with_defaults(ask):
    """The echoed tool has every default and omits the options that the service never echoes."""
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
    """A picture is drawn if `tool_choice` forces it, or if it allows one and the prompt asks for one."""
    response = ask(words, tool_choice=choice)

    assert bool(pictures(response)) is drawn
    assert bool(response.output_text) is not drawn


def test_two_pictures(ask, simulator):
    """A prompt for two pictures gets two items, unless `max_tool_calls` is 1."""
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
    """Every format is drawn in the requested size, and the item reports both."""
    response = ask(tools=[{"type": "image_generation", "model": model, "quality": "low", **options}])

    item = pictures(response)[0]
    assert data(response).startswith(magic)
    assert item.to_dict()["output_format"] == options["output_format"]
    assert item.to_dict()["size"] == options.get("size", "1024x1024")


def test_same_seed_same_ids():
    """The same seed gives the same ids, and another seed gives other ids."""
    ids = []
    for seed in (1, 1, 2):
        with Simulator(seed=seed) as simulator:
            ids.append(send(simulator.base_url, "sk", "responses.create", model="gpt-5", input="hi").id)

    assert ids[0] == ids[1] != ids[2]


def test_json_schema_answers_in_json(ask):
    """With a JSON schema for the text, the message after the picture is JSON that fits the schema."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    response = ask(text={"format": {"type": "json_schema", "name": "x", "schema": schema}})

    assert list(json.loads(response.output_text)) == ["title"]
    assert pictures(response)


def test_encrypted_reasoning_on_request(ask):
    """`include` adds encrypted reasoning, which can then be sent back without a stored item."""
    given = ask(store=False, include=["reasoning.encrypted_content"]).output[0].to_dict()
    again = ask([given, {"role": "user", "content": "hi"}], store=False)

    assert given["encrypted_content"]
    assert again.status == "completed"
    assert ask().output[0].encrypted_content is None


# Edits and ids


def test_edits_by_call_id(call, simulator):
    """An edit by call id alone starts from the bytes of the earlier picture."""
    first = call("responses.create", model="gpt-5", input="Draw a fox", tools=[TOOL])
    second = call("responses.create", model="gpt-5", input=edit_of(pictures(first)[0].id), tools=[TOOL])

    assert pictures(second)[0].action == "edit"
    assert simulator.orders[1].sources == (data(first),)
    assert data(second) != data(first)


def test_edits_by_response_id(ask, simulator):
    """An edit by `previous_response_id` finds the picture of a response two turns earlier."""
    first = ask()
    second = ask("Tell me a story", previous_response_id=first.id)
    third = ask("Make it winter", previous_response_id=second.id)

    assert not pictures(second)
    assert pictures(third)[0].action == "edit"
    assert simulator.orders[-1].sources == (data(first),)


def test_edits_uploads(ask, simulator):
    """An edit uses all pictures of the last turn: a data URL, a file id and an earlier call."""
    first = ask()
    upload = send(
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
    """An edit uses the mask of the image tool."""
    picture = ask(tools=[{**TOOL, "output_format": "png"}])
    mask = {"image_url": data_url(data(picture))}
    ask(edit_of(pictures(picture)[0].id), tools=[{**TOOL, "input_image_mask": mask}])

    assert simulator.orders[-1].mask == data(picture)


def test_edits_uploaded_files(ask, call, simulator):
    """An edit uses a source and a mask that are given as file ids."""
    room, hole = (data(ask(tools=[{**TOOL, "output_format": form}])) for form in ("jpeg", "png"))
    source, mask = (call("files.create", file=("a.png", each), purpose="vision").id for each in (room, hole))
    words = {"role": "user", "content": [{"type": "input_text", "text": "Edit this image: add a cat"}]}
    image = {"role": "user", "content": [{"type": "input_image", "file_id": source}]}
    ask([words, image], tools=[{**TOOL, "input_image_mask": {"file_id": mask}}])

    order = simulator.orders[-1]
    assert (order.sources, order.mask, order.action) == ((room,), hole, "edit")


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
    """The item reports the action. `auto` edits if there is a picture and the prompt asks for a change."""
    first = ask()
    second = ask(edit_of(pictures(first)[0].id, words), tools=[{**TOOL, "action": action}])

    assert pictures(second)[0].action == happened


@pytest.mark.parametrize("inline", [False, True])
def test_unstored_ids_are_dead(ask, inline):
    """A picture of a response with `store=False` is rejected as input, even with its bytes inline."""
    item = pictures(ask(store=False))[0].to_dict()
    sent = item if inline else {"type": item["type"], "id": item["id"]}

    with pytest.raises(NotFoundError, match="Items are not persisted when `store` is set to false") as caught:
        ask([sent, {"role": "user", "content": "Make it winter"}])
    assert caught.value.param == "input"
    assert caught.value.code is None


def test_expired_ids_are_dead(ask, simulator):
    """`expire` makes one id unknown and no other."""
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
    """A deleted response and its items are unknown."""
    first = call("responses.create", model="gpt-5", input="Draw a fox", tools=[TOOL])
    call("responses.delete", response_id=first.id)

    with pytest.raises(NotFoundError):
        call("responses.retrieve", response_id=first.id)
    with pytest.raises(NotFoundError):
        call("responses.create", model="gpt-5", input=edit_of(pictures(first)[0].id), tools=[TOOL])


def test_accounts_are_apart(ask, simulator):
    """Items, responses and files are unknown to every other API key."""
    first = ask()
    file = send(simulator.base_url, "sk-a", "files.create", file=b"x", purpose="user_data")

    with pytest.raises(NotFoundError):
        ask(edit_of(pictures(first)[0].id), key="sk-b")
    with pytest.raises(BadRequestError, match="Previous response"):
        ask("More", previous_response_id=first.id, key="sk-b")
    with pytest.raises(NotFoundError):
        send(simulator.base_url, "sk-b", "files.retrieve", file_id=file.id)


def test_reasoning_companion_is_required():
    """With `reasoning_required=True`, a picture is rejected without the reasoning item that preceded it."""
    with Simulator(reasoning_required=True) as simulator:
        request = {"model": "gpt-5", "tools": [TOOL]}
        first = send(simulator.base_url, "sk", "responses.create", input="Draw a fox", **request)
        reasoning, picture = first.output[0], first.output[1]
        with pytest.raises(BadRequestError, match=f"without its required 'reasoning' item: '{reasoning.id}'"):
            send(simulator.base_url, "sk", "responses.create", input=edit_of(picture.id), **request)
        both = [{"type": "item_reference", "id": reasoning.id}, *edit_of(picture.id)]
        second = send(simulator.base_url, "sk", "responses.create", input=both, **request)

    assert pictures(second)[0].action == "edit"


def test_conversations_collect_items(call):
    """A conversation keeps the pictures of its responses, and an unknown conversation is rejected."""
    conversation = call("conversations.create")
    fields = {"model": "gpt-5", "tools": [TOOL], "conversation": conversation.id}
    call("responses.create", input="Draw a fox", **fields)
    second = call("responses.create", input="Make it winter", **fields)

    assert pictures(second)[0].action == "edit"
    with pytest.raises(NotFoundError):
        call("responses.create", model="gpt-5", input="hi", conversation="conv_unknown")


# Function tools


FUNCTION = {
    "type": "function",
    "name": "generate_image",
    "parameters": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "images": {"type": "array", "items": {"type": "string"}},
            "quality": {"type": "string", "enum": ["low", "medium", "high"]},
        },
        "required": ["prompt"],
    },
}


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("Draw a fox", {"prompt": "Draw a fox", "images": []}),
        ("Make img_0a1b2c3d blue", {"prompt": "Make the picture blue", "images": ["img_0a1b2c3d"]}),
        ("Edit the last picture", {"prompt": "Edit the last picture", "images": ["last"]}),
        ("Make it red\n(Image img_0a1b2c3d:)", {"prompt": "Make it red", "images": ["img_0a1b2c3d"]}),
        ("Draw a fox in high quality", {"prompt": "Draw a fox in high quality", "images": [], "quality": "high"}),
    ],
)
def test_calls_a_drawing_function(ask, words, arguments):
    """Without the hosted tool, a function with a `prompt` is called with the images and quality that the text names."""
    response = ask(words, tools=[FUNCTION])

    assert kinds(response) == ["reasoning", "function_call"]
    assert json.loads(response.output[1].arguments) == arguments


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ('{"images": [{"handle": "img_0a1b2c3d"}]}', "Here is your picture."),
        ("The user does not want this picture.", "There is no picture this time."),
        ("axolotl", "Done."),
    ],
)
def test_answers_what_a_function_returned(ask, output, answer):
    """The answer after a function result tells a picture from a refusal and from anything else."""
    asked = ask(tools=[FUNCTION])
    result = {"type": "function_call_output", "call_id": asked.output[1].call_id, "output": output}
    done = ask([result], previous_response_id=asked.id, tools=[FUNCTION])

    assert done.output_text.startswith(answer)


def test_answers_a_function_result(ask):
    """A function result is answered with a short text, and a picture in it can be edited in the next turn."""
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
    """With `required`, the function is called before the picture is drawn, as recorded."""
    animal = {"type": "function", "name": "get_animal", "parameters": {"type": "object", "properties": {}}}
    fields = {"tools": [TOOL, animal], "tool_choice": "required"}
    first = ask("Generate an image of the animal", **fields)
    result = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": "axolotl"}
    second = ask([result], previous_response_id=first.id, **fields)

    assert kinds(first) == ["reasoning", "function_call"]
    assert first.output[1].arguments == "{}"
    assert kinds(second) == ["image_generation_call", "message"]


def test_function_calls_stream(call):
    """A stream has the arguments of a function call in its events."""
    events = stream(call, tools=[FUNCTION])

    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert json.loads(done.arguments)["prompt"] == "Draw a fox"
