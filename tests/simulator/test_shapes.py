"""Compares the simulator with the shapes of real traffic in `shapes/`: keys, types, order and content type."""

from __future__ import annotations

import functools
import http.client
import json
import os
from pathlib import Path

import pytest

from langchain_imagegen.simulator import Simulator
from langchain_imagegen.simulator.drawing import draw
from tests.sdk import send
from tests.shapes import derive

SHAPES = {path.stem: json.loads(path.read_text()) for path in sorted(derive.HERE.glob("*.json"))}
KEY = "sk-test"
NEWEST = "store_false_with_tool_usage.gpt-5-mini"
RECORDINGS = Path(os.environ.get("IMAGEGEN_RECORDINGS") or Path(__file__).parents[3] / "shared" / "recordings")

BY_2025_10 = "recordings before September or October 2025 lack it, all later ones have it"
BY_2026_09 = "recordings before March or September 2026 lack it, all later ones have it"
LATE_2026_09 = "the stream of 14 September 2026 lacks it, the answer of 29 September has it"
ANSWERS_ONLY = "every JSON answer since October 2025 has it; a single newer stream lacks it, which is no rule yet"
SEEN_IN_ANSWERS = "the newest recording is a JSON answer and has it, so events of that date probably have it too"

EXPLAINED = {
    "+billing": f"{BY_2025_10}; {ANSWERS_ONLY}",
    "+max_tool_calls": BY_2025_10,
    "+output[message].content[output_text].logprobs": BY_2025_10,
    "+prompt_cache_key": BY_2025_10,
    "+response.content_part.added part[output_text].logprobs": BY_2025_10,
    "+response.content_part.done part[output_text].logprobs": BY_2025_10,
    "+response.output_item.done item[message].content[output_text].logprobs": BY_2025_10,
    "+response.output_text.delta logprobs": BY_2025_10,
    "+response.output_text.done logprobs": BY_2025_10,
    "+safety_identifier": BY_2025_10,
    "+text.verbosity": BY_2025_10,
    "+top_logprobs": BY_2025_10,
    "+access_programs": LATE_2026_09,
    "+completed_at": BY_2026_09,
    "+frequency_penalty": BY_2026_09,
    "+moderation": BY_2026_09,
    "+output[image_generation_call].action": BY_2026_09,
    "+output[reasoning].content": BY_2026_09,
    "+presence_penalty": BY_2026_09,
    "+prompt_cache_retention": BY_2026_09,
    "+reasoning.context": BY_2026_09,
    "+reasoning.mode": BY_2026_09,
    "+tool_usage": BY_2026_09,
    "+tools[image_generation].model": BY_2026_09,
    "+usage.input_tokens_details.cache_write_tokens": BY_2026_09,
    "+response.output_text.delta obfuscation": BY_2026_09,
    "~prompt_cache_retention: null → string": "it was null until March 2026 and is `in_memory` since September",
    "+response.output_item.added item[reasoning].content": SEEN_IN_ANSWERS,
    "+response.output_item.done item[image_generation_call].action": SEEN_IN_ANSWERS,
    "+response.output_item.done item[reasoning].content": SEEN_IN_ANSWERS,
    "~order: reasoning, image_generation_call, reasoning, message → reasoning, image_generation_call, message": (
        "gpt-5-nano once sent a second reasoning item after its picture; clients must not rely on that"
    ),
}
"""The reason for each difference: `+` only the simulator has it, `-` only the recording has it, `~` they differ."""

SHUT_DOWN = {"gpt-image-1": "gpt-image-1.5"}
"""Image models that the service has shut down since they were recorded, each with the model to use instead.

The simulator rejects the old models, as the service does. The replacements take the same options.
"""


# Answers of the simulator to the request of a shape


def post(simulator, body):
    """Return status, content type and body of the simulator's answer to a request."""
    host = simulator.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=30)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection.request("POST", "/v1/responses", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return {"status": answer.status, "content_type": answer.headers["content-type"]}, text


def upload(simulator):
    """Return the id of a picture uploaded for the requests that name files."""
    image = draw("An empty room", size=(1024, 1024), output_format="png", background="transparent")
    return send(simulator.base_url, KEY, "files.create", file=("room.png", image, "image/png"), purpose="vision").id


def fill_request(request, output, prompts, file_id):
    """Return the request of a shape. Its gaps are filled with prompts, items of the previous answer and a file id."""
    prompts = iter(prompts)
    items = [
        {**item, "content": _fill_content(item["content"], prompts, file_id)}
        if item.get("role") == "user"
        else _follow_up(item, output)
        for item in request["input"]
    ]
    return {**request, "tools": [_fill_tool(tool, file_id) for tool in request["tools"]], "input": items}


def _fill_tool(tool, file_id):
    named = {**tool, "name": "name_a_bird"} if "name" in tool else tool
    kept = {key: value for key, value in named.items() if value != derive.PLACEHOLDER}
    if kept.get("model") in SHUT_DOWN:
        kept["model"] = SHUT_DOWN[kept["model"]]
    return {**kept, "input_image_mask": {"file_id": file_id}} if "input_image_mask" in kept else kept


def _fill_content(content, prompts, file_id):
    """Return the content of a user message, a text or a list of parts, with its gaps filled."""
    if isinstance(content, str):
        return next(prompts)
    return [
        {**part, "text": next(prompts)} if part["type"] == "input_text" else {**part, "file_id": file_id}
        for part in content
    ]


def _count_texts(item):
    """Return the number of user texts in an item."""
    if item.get("role") != "user":
        return 0
    return 1 if isinstance(item["content"], str) else sum(part["type"] == "input_text" for part in item["content"])


def _follow_up(item, output):
    kind = item["type"].removesuffix("_output")
    earlier = next(each for each in output if each["type"] == kind)
    return {**{key: earlier.get(key, "a heron") for key in item}, "type": item["type"]}


def prompts_of(exchange, earlier):
    """Return the prompts for an exchange: the earlier ones, and one that asks for what the recorded answer contains."""
    now = (
        "Draw a heron."
        if "image_generation_call" in str(exchange.get("paths", exchange.get("events")))
        else "Which bird?"
    )
    texts = sum(map(_count_texts, exchange["request"]["input"]))
    return [*earlier, now][-texts:]


def answers(shape):
    """Yield the shape of the simulator's answer to each request of a recording, in order."""
    output, prompts = [], []
    with Simulator() as simulator:
        file_id = upload(simulator)
        for exchange in shape["exchanges"]:
            prompts = prompts_of(exchange, prompts)
            head, text = post(simulator, fill_request(exchange["request"], output, prompts, file_id))
            assert head["status"] == exchange["status"], text[:500]
            if exchange["request"].get("stream"):
                yield {**head, **derive.stream_shape(text)}
            else:
                body = json.loads(text)
                output = body["output"]
                yield {**head, **derive.json_shape(body)}


# Differences


def compare_paths(recorded, ours, prefix=""):
    """Return the differences between two tables of paths. A missing object counts once, without its fields."""
    found = set()
    for path in recorded.keys() | ours.keys():
        name = f"{prefix}{path}"
        if path not in ours or path not in recorded:
            found.add(f"{'+' if path in ours else '-'}{name}")
        elif recorded[path] != ours[path]:
            found.add(f"~{name}: {recorded[path]} → {ours[path]}")
    return {each for each in found if not any(each.startswith((f"{other}.", f"{other}[")) for other in found)}


def event_paths(event, table):
    """Return the paths of an event. Paths in the response that it carries are named as in a JSON answer."""
    prefix = "response."
    return {
        path.removeprefix(prefix) if path.startswith(prefix) else f"{event} {path}": kind
        for path, kind in table.items()
    }


def differences(exchange, answer):
    """Return each difference between an answer of the simulator and the recorded one."""
    heads = ("status", "content_type", "order")
    found = {
        f"~{key}: {_to_text(exchange[key])} → {_to_text(answer[key])}" for key in heads if exchange[key] != answer[key]
    }
    if "paths" in exchange:
        return found | compare_paths(exchange["paths"], answer["paths"])
    for event in exchange["events"].keys() & answer["events"].keys():
        found |= compare_paths(*(event_paths(event, each["events"][event]) for each in (exchange, answer)))
    return found


def _to_text(value):
    return ", ".join(value) if isinstance(value, list) else value


@functools.cache
def all_differences(name):
    """Return the differences in all exchanges of a recording."""
    shape = SHAPES[name]
    found = [differences(*pair) for pair in zip(shape["exchanges"], answers(shape), strict=True)]
    return frozenset().union(*found)


@pytest.mark.parametrize("name", SHAPES)
def test_simulator_answers_as_recorded(name):
    """Every difference between the simulator and a recording has an entry in `EXPLAINED`."""
    assert all_differences(name) - EXPLAINED.keys() == set()


def test_newest_recording_has_no_difference():
    """The simulator does not differ from the newest recording."""
    assert all_differences(NEWEST) == set()


def test_explanations_are_needed():
    """Every entry in `EXPLAINED` explains a difference that exists."""
    assert EXPLAINED.keys() - set().union(*map(all_differences, SHAPES)) == set()


def test_a_lost_key_is_noticed():
    """The comparison finds a missing key, a new key, a different type and a different order."""
    recorded = derive.json_shape({"output": [{"type": "message", "id": "a"}], "usage": {"n": 1}, "user": None})
    answer = derive.json_shape({"output": [{"type": "reasoning", "id": "a"}], "user": "x", "new": []})
    head = {"status": 200, "content_type": "application/json"}

    assert differences({**head, **recorded}, {**head, **answer}) == {
        "~order: message → reasoning",
        "-output[message]",
        "+output[reasoning]",
        "-usage",
        "~user: null → string",
        "+new",
    }


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recordings: set IMAGEGEN_RECORDINGS to their folder")
def test_shapes_are_derived():
    """The committed shapes are exactly those that `derive.py` derives from the recordings."""
    fresh = {name: derive.text_of(derive.shape(each)) for name, each in derive.recordings(RECORDINGS).items()}

    assert {path.stem: path.read_text() for path in derive.HERE.glob("*.json")} == fresh


def _free_values(item):
    """Yield the values of an item and its content parts that are not API keywords."""
    for key, value in item.items():
        if key == "content" and isinstance(value, list):
            for part in value:
                yield from _free_values(part)
        elif key not in {"type", "role", "status"}:
            yield value


def test_shapes_hold_no_content():
    """A shape contains no ids and no content: every value that is not an API keyword is a placeholder."""
    for name, shape in SHAPES.items():
        for exchange in shape["exchanges"]:
            for item in exchange["request"]["input"]:
                assert set(_free_values(item)) <= {"…"}, name
        assert not any(
            prefix in json.dumps(shape) for prefix in ("resp_", "ig_0", "ig_6", "msg_", "rs_", "gAAAA", "file-")
        )


def test_event_keys_are_alphabetical():
    """Every event has `type` first and then its other keys in alphabetical order, as in the newest recorded stream."""
    tools = [{"type": "image_generation", "partial_images": 1}]
    with Simulator() as simulator:
        _, text = post(simulator, {"model": "gpt-4.1", "stream": True, "tools": tools, "input": "Draw a heron."})

    for line in text.splitlines():
        if line.startswith("data: "):
            first, *keys = json.loads(line.removeprefix("data: "))
            assert (first, keys) == ("type", sorted(keys))
