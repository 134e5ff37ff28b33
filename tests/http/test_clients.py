"""`http_clients`, and copies of a user's own clients and chat models: tokens in answers, all else as it was set."""

from __future__ import annotations

import ast
import gc
import json
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, Runner, set_tracing_disabled
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from langchain_imagegen import http_clients, images_from
from langchain_imagegen.errors import OptionError
from langchain_imagegen.http.clients import Private, wired
from langchain_imagegen.streaming.placeholders import read_token
from tests.conversations import VERSIONS, called, encoded, photo
from tests.framed import framed

TOOL = {"type": "image_generation", "size": "816x816", "quality": "low"}
BODY = json.dumps(
    {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.4", "status": "completed",
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None,
        "output": [{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": encoded(photo())}],
    }
).encode()  # fmt: skip
LARGE = 4000


@pytest.fixture
def opened(half: Any) -> Iterator[Any]:
    """Closes the given HTTP clients after the test, and gives what came in."""
    stack = ExitStack()

    def open_until_the_end(clients: dict[str, Any]) -> dict[str, Any]:
        stack.enter_context(clients["http_client"])
        stack.callback(half.wait, clients["http_async_client"].aclose)
        return clients

    yield open_until_the_end
    stack.close()


@pytest.fixture
def both(opened: Any) -> Any:
    """Plain clients of both halves with the same settings."""
    return lambda **settings: opened(
        {"http_client": httpx2.Client(**settings), "http_async_client": httpx2.AsyncClient(**settings)}
    )


def chat(base_url: str, **settings: Any) -> ChatOpenAI:
    """A chat model of the Responses API."""
    here = {"base_url": base_url, "api_key": "sk-a", "model": "gpt-5.4", "use_responses_api": True, "max_retries": 0}
    return ChatOpenAI(**{**here, **settings})


def size(message: Any) -> int:
    """How many characters a message has."""
    return len(repr(message))


# `http_clients`


@pytest.mark.parametrize("version", VERSIONS)
def test_two_turns_without_a_middleware(half, opened, simulator, image_store, version):
    """Messages stay light, the next turn names the picture by its id, and `images_from` reads both."""
    model = chat(simulator.base_url, output_version=version, **opened(http_clients(image_store))).bind_tools([TOOL])
    fox = half.invoke(model, "draw a fox")
    winter = half.invoke(model, [("human", "draw a fox"), fox, ("human", "make it winter")])

    assert size(fox) < LARGE
    assert size(winter) < LARGE
    first, second = images_from([fox, winter], image_store=image_store)
    assert (first.width, first.provider, second.width) == (816, "", 816)
    assert called(simulator.requests[-1].body["input"]) == [first.id]
    assert simulator.requests[-1].size < 3000
    assert simulator.orders[-1].sources == (first.read(),)


def test_clients_are_made_as_the_sdk_makes_its_own(half, opened):
    """Time limits and redirects are the SDK's defaults, unless they are said."""
    usual, made = openai.DefaultHttpxClient(), opened(http_clients())
    other = opened(http_clients(timeout=7, follow_redirects=False, headers={"x-team": "art"}))
    usual.close()

    for client in made.values():
        assert (client.timeout, client.follow_redirects) == (usual.timeout, True)
    for client in other.values():
        assert (client.timeout.read, client.follow_redirects, client.headers["x-team"]) == (7, False, "art")


def test_proxies_of_the_environment_are_used(half, opened, image_store, monkeypatch):
    """Where the environment names a proxy, answers come through it, and are read all the same."""
    with framed(BODY) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        model = chat("http://images.example/v1", **opened(http_clients(image_store)))
        answer = half.invoke(model, "draw a fox")

    assert [path for path, _ in proxy.requests] == ["http://images.example/v1/responses"]
    assert size(answer) < LARGE


def test_proxies_that_are_given_are_used(half, opened, image_store):
    """So does one that is given."""
    with framed(BODY) as proxy:
        way = proxy.base_url.removesuffix("/v1")
        model = chat("http://images.example/v1", **opened(http_clients(image_store, proxy=way)))

        assert size(half.invoke(model, "draw a fox")) < LARGE
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("settings", [{"socket_options": []}, {"verify": False, "http1": True}, {"trust_env": False}])
def test_settings_of_connections(half, opened, image_store, monkeypatch, settings):
    """What belongs to the connections reaches them; who names socket options or no environment has no proxy of it."""
    if "verify" not in settings:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with framed(BODY) as served:
        model = chat(served.base_url, **opened(http_clients(image_store, **settings)))

        assert size(half.invoke(model, "draw a fox")) < LARGE


@pytest.mark.parametrize("name", ["transport", "mounts"])
def test_a_transport_is_of_one_half(name):
    """A transport cannot serve both clients, and the error says what to do with it."""
    with pytest.raises(OptionError, match=rf"{name}= .*httpx2.Client\({name}=.*ImageTransport"):
        http_clients(**{name: {}})


def test_connections_are_kept_alive(half, opened, image_store):
    """An idle connection is probed, as `ChatOpenAI` has it, so that one that died while a model draws is found."""
    clients, found = opened(http_clients(image_store)), []

    async def ask() -> None:
        if half.name == "async":
            async with clients["http_async_client"].stream("POST", served.base_url) as answer:
                found.extend(options_of(answer))
            return
        with clients["http_client"].stream("POST", served.base_url) as answer:
            found.extend(options_of(answer))

    with framed(BODY) as served:
        half.wait(ask)

    assert found == [1, 60]


def options_of(answer: Any) -> list[int]:
    """Whether the socket of an answer is kept alive, and after how many seconds."""
    found = answer.extensions["network_stream"].get_extra_info("socket")
    idle = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE
    return [found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), found.getsockopt(socket.IPPROTO_TCP, idle)]


def test_the_sdk_reads_everything_light(half, opened, simulator, image_store):
    """Under the SDK itself: answers, what is retrieved later, and the Images API, streamed or not."""
    clients = opened(http_clients(image_store))
    light = sdk_of(half, simulator.base_url, clients)
    fields = {"model": "gpt-5.4", "input": "draw a fox", "tools": [{**TOOL, "partial_images": 1}]}
    drawing = {"model": "gpt-image-2", "prompt": "draw a fox", "size": "816x816", "quality": "low"}

    answer = called_by(half, light.responses.create, **fields)
    events = called_by(half, light.responses.create, **fields, stream=True)
    later = called_by(half, light.responses.retrieve, answer.id)
    drawn = called_by(half, light.images.generate, **drawing)
    steps = called_by(half, light.images.generate, **drawing, stream=True, partial_images=1)

    for given in (answer, *events, later, drawn, *steps):
        assert len(given.model_dump_json()) < LARGE
    assert [image.id for image in images_from(later, image_store=image_store)] == [answer.output[-2].id]
    for given in (answer, events[-1].response, later, drawn):
        [image] = images_from(given, image_store=image_store)
        assert image.read().startswith(b"\x89PNG")
    texts = [event.partial_image_b64 for event in events if "partial" in event.type] + [step.b64_json for step in steps]
    assert len(texts) >= 4
    assert all(image_store.get(*read_token(text)).startswith(b"\x89PNG") for text in texts)


def sdk_of(half: Any, base_url: str, clients: Any) -> Any:
    """The SDK's client of a half."""
    if half.name == "sync":
        return OpenAI(base_url=base_url, api_key="sk-a", http_client=clients["http_client"])
    return AsyncOpenAI(base_url=base_url, api_key="sk-a", http_client=clients["http_async_client"])


def called_by(half: Any, method: Any, *args: Any, **fields: Any) -> Any:
    """What a method of an SDK client gives, a stream as a list."""

    async def call() -> Any:
        result = method(*args, **fields)
        result = await result if half.name == "async" else result
        if isinstance(result, openai.AsyncStream):
            return [event async for event in result]
        return list(result) if isinstance(result, openai.Stream) else result

    return half.wait(call)


@pytest.mark.parametrize("streaming", [False, True], ids=["run", "stream"])
async def test_agents_of_another_kit(simulator, image_store, streaming):
    """The OpenAI Agents SDK draws and edits through the transport, unchanged, with a light history."""
    set_tracing_disabled(disabled=True)
    http = http_clients(image_store)["http_async_client"]
    async with AsyncOpenAI(base_url=simulator.base_url, api_key="sk-a", http_client=http) as client:
        model = OpenAIResponsesModel("gpt-5", client)
        painter = Agent(name="painter", model=model, tools=[ImageGenerationTool(tool_config=TOOL)])
        drawn = await run(painter, "draw a fox", streaming=streaming)
        history = [*drawn.to_input_list(), {"role": "user", "content": "make it winter"}]
        edited = await run(painter, history, streaming=streaming)

    fox, winter = (read_token(token) for result in (drawn, edited) for token in pictures_of(result))
    assert len(json.dumps(edited.to_input_list())) < LARGE
    assert simulator.requests[-1].size < LARGE
    assert simulator.orders[-1].sources == (image_store.get(*fox),)
    assert image_store.get(*winter).startswith(b"\x89PNG")


async def run(painter: Agent, given: Any, *, streaming: bool) -> Any:
    """The result of a run of an agent."""
    if not streaming:
        return await Runner.run(painter, given)
    result = Runner.run_streamed(painter, given)
    async for _ in result.stream_events():
        pass
    return result


def pictures_of(result: Any) -> list[str]:
    """What stands in the place of pictures in a run of an agent."""
    return [item.raw_item.result for item in result.new_items if item.type == "tool_call_item"]


def test_sync_client_closes_itself(image_store):
    """A client of `http_clients` that nobody closed leaves no open socket behind when nothing uses it any more."""
    with framed(BODY) as served, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = chat(served.base_url, **http_clients(image_store))
        assert size(model.invoke("draw a fox")) < LARGE
        del model
        gc.collect()

    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


# Copies of a user's own


OWN_PRIVATE = {"memory._remember", "bound._store", "other._place"}
"""Private attributes of our own classes that their own modules use on other objects of the class."""


def test_private_names_of_others_stand_in_one_class():
    """Only `Private` reads or sets private attributes of objects that are not our own."""
    package = Path(http_clients.__code__.co_filename).parents[1]
    used = {
        ast.unparse(node)
        for path in package.rglob("*.py")
        for node in outside_private(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }

    assert used == OWN_PRIVATE


def outside_private(node: ast.AST) -> Iterator[ast.AST]:
    """Every node of a module outside the class `Private`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.ClassDef) and child.name == "Private"):
            yield from outside_private(child)


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_what_is_private_is_where_it_was(library):
    """What `Private` names exists, and a copied client sends through what was put in its place, mounts included."""
    sent: list[str] = []

    class Noting(library.BaseTransport):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def handle_request(self, request: Any) -> Any:
            sent.append(type(self.inner).__name__)
            return library.Response(200)

    class Mounted(library.HTTPTransport):
        pass

    with library.Client(mounts={"http://mounted": Mounted(), "http://direct": None}) as client:
        copied = Private.with_transports(client, Noting)
        for host in ("mounted", "direct", "other"):
            copied.get(f"http://{host}/")
        with OpenAI(api_key="sk-a", http_client=client) as sdk:
            assert Private.http_client(sdk) is client
        changed = {name for name in vars(client) if vars(client)[name] is not vars(copied)[name]}

    assert sent == ["Mounted", "HTTPTransport", "HTTPTransport"]
    assert changed <= {"_transport", "_mounts", "_state"}


def test_a_copy_keeps_what_its_user_set(half, both, image_store):
    """Headers, auth, hooks, cookies, queries, time limits, retries and organization go along with a copy."""
    heard: list[str] = []

    def hook(request: Any) -> None:
        heard.append(request.url.host)

    async def ahook(request: Any) -> None:
        heard.append(request.url.host)

    with framed(BODY, status=(429, 200)) as served:
        http = both(headers={"x-team": "art"}, params={"tag": "a"}, cookies={"c": "1"}, timeout=9)
        http["http_client"].event_hooks = {"request": [hook]}
        http["http_async_client"].event_hooks = {"request": [ahook]}
        user = {"organization": "org-1", "default_headers": {"x-own": "2"}, "default_query": {"q": "3"}}
        model = chat(served.base_url, **http, **user, max_retries=1, timeout=8)
        answer = half.invoke(wired(model, image_store), "draw a fox")

    path, headers = served.requests[-1]
    assert size(answer) < LARGE
    assert len(served.requests) == len(heard) == 2
    assert "q=3" in path
    assert (headers["x-team"], headers["x-own"], headers["openai-organization"]) == ("art", "2", "org-1")
    assert headers["cookie"] == "c=1"
    copied = wired(model, image_store)
    for name in ("root_client", "root_async_client"):
        mine, theirs = getattr(model, name), getattr(copied, name)
        assert (mine.timeout, mine.max_retries, mine.base_url) == (theirs.timeout, theirs.max_retries, theirs.base_url)


def test_a_copy_goes_through_its_users_proxy(half, both, image_store):
    """A proxy of the user's client is a proxy of the copy."""
    with framed(BODY) as proxy:
        model = chat("http://images.example/v1", **both(proxy=proxy.base_url.removesuffix("/v1")))
        answer = half.invoke(wired(model, image_store), "draw a fox")

    assert [path for path, _ in proxy.requests] == ["http://images.example/v1/responses"]
    assert size(answer) < LARGE


def test_openai_proxy_is_kept(half, image_store):
    """So is the one that `ChatOpenAI` was told of."""
    with framed(BODY) as proxy:
        model = chat("http://images.example/v1", openai_proxy=proxy.base_url.removesuffix("/v1"))
        answer = half.invoke(wired(model, image_store), "draw a fox")
        model.http_client.close()
        half.wait(model.http_async_client.aclose)

    assert [path for path, _ in proxy.requests] == ["http://images.example/v1/responses"]
    assert size(answer) < LARGE


def test_httpx_clients_stay_in_their_library(half, opened, image_store):
    """A chat model over clients of `httpx` has its answers made light too."""
    with framed(BODY, encoding="gzip") as served:
        http = opened({"http_client": httpx.Client(), "http_async_client": httpx.AsyncClient()})
        answer = half.invoke(wired(chat(served.base_url, **http), image_store), "draw a fox")

    assert size(answer) < LARGE
    assert images_from(answer, image_store=image_store)[0].width == 816


def test_who_shares_a_client_stays_plain(simulator, image_store):
    """Of two chat models over the same default client, the one that is not asked for it is left as it was."""
    first, second = chat(simulator.base_url), chat(simulator.base_url)
    shared = Private.http_client(first.root_client)
    assert shared is Private.http_client(second.root_client)
    light = wired(first, image_store).bind_tools([TOOL]).invoke("draw a fox")
    gc.collect()  # the copy is gone, and must have closed nothing

    assert size(light) < LARGE
    for model in (first, second):
        assert size(model.bind_tools([TOOL]).invoke("draw a fox")) > 50_000
    shared.close()


def test_a_copy_outlives_its_model(simulator, image_store):
    """The connections stay open for as long as a copy uses them."""
    copied = wired(chat(simulator.base_url, timeout=11), image_store)
    gc.collect()

    assert size(copied.bind_tools([TOOL]).invoke("draw a fox")) < LARGE
    copied.http_client._transport._inner._owner.close()


def test_a_closed_client_stays_closed(half, both, simulator, image_store):
    """A copy of a model whose client its user has closed fails as the model itself."""
    model = chat(simulator.base_url, **both())
    copied = wired(model, image_store)
    model.http_client.close()
    half.wait(model.http_async_client.aclose)

    errors = []
    for each in (model, copied):
        with pytest.raises((RuntimeError, openai.APIConnectionError)) as caught:
            half.invoke(each, "draw a fox")
        errors.append((caught.type, str(caught.value), str(caught.value.__cause__)))
    assert errors[0] == errors[1]


def test_settings_changed_later_hold(half, both, simulator, image_store):
    """What its user changes on a model holds for the next copy: nothing is kept from before."""
    model = chat(simulator.base_url, **both())
    half.invoke(wired(model, image_store), "hello")
    model.max_tokens, model.root_client.api_key, model.root_async_client.api_key = 77, "sk-b", "sk-b"
    half.invoke(wired(model, image_store), "hello")

    assert [request.body.get("max_output_tokens") for request in simulator.requests] == [None, 77]
    assert [request.headers["authorization"] for request in simulator.requests] == ["Bearer sk-a", "Bearer sk-b"]


@pytest.mark.parametrize(
    "bind", [lambda m: m.bind(temperature=0), lambda m: m.with_config(tags=["a"]), lambda m: m.bind_tools([TOOL])]
)
def test_bound_models(half, both, simulator, image_store, bind):
    """A model with bound arguments, config or tools is copied under them."""
    model = wired(bind(chat(simulator.base_url, **both())), image_store)

    answer = half.invoke(model, "draw a fox", tools=[TOOL])
    assert size(answer) < LARGE
    assert len(images_from(answer, image_store=image_store)) == 1


def test_other_models_are_themselves(image_store):
    """What is no model of OpenAI's is given back."""
    from tests.scripted import scripted

    model = scripted()
    assert wired(model, image_store) is model


AZURE = {"api_key": "az", "api_version": "preview", "max_retries": 0}
DEPLOYMENT = {"x-ms-oai-image-generation-deployment": "my-images"}


def test_azure_models(half, both, simulator, image_store):
    """An `AzureChatOpenAI` keeps its paths, key and deployment."""
    root = simulator.base_url.removesuffix("/v1")
    given = {"azure_endpoint": root, "azure_deployment": "gpt-5.4", "use_responses_api": True, "model": "gpt-5.4"}
    model = AzureChatOpenAI(**AZURE, **given, **both(), default_headers=DEPLOYMENT)
    plain, light = (half.invoke(m.bind_tools([TOOL]), "draw a fox") for m in (model, wired(model, image_store)))

    assert size(light) < LARGE < size(plain)
    assert images_from(light, image_store=image_store)[0].width == 816
    first, second = simulator.requests
    assert (first.path, first.query, first.headers["api-key"]) == (second.path, second.query, second.headers["api-key"])


def test_azure_clients(half, opened, simulator, image_store):
    """Azure's SDK clients take the HTTP clients."""
    clients = opened(http_clients(image_store))
    kind, key = (AzureOpenAI, "http_client") if half.name == "sync" else (AsyncAzureOpenAI, "http_async_client")
    client = kind(azure_endpoint=simulator.base_url.removesuffix("/v1"), **AZURE, http_client=clients[key])

    answer = called_by(
        half, client.responses.create, model="gpt-5.4", input="draw a fox", tools=[TOOL], extra_headers=DEPLOYMENT
    )
    assert len(answer.model_dump_json()) < LARGE
    assert len(images_from(answer, image_store=image_store)) == 1
