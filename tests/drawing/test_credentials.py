"""Keys, headers, addresses and the environment: mended or refused before anything is sent, and never repeated."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import openai
import pytest

from langchain_imagegen import ImageGenerationTool, ImageGenerator
from langchain_imagegen.errors import AuthenticationError, ImageGenerationError, OptionError
from langchain_imagegen.simulator import Simulator

Make = Callable[..., ImageGenerator]
SECRET = "sk-REAL"
UNSENDABLE = ["a\nb", "a\r\nb", "a\x00b", "“a”", "a—b", "a\u00a0b", "ключ", "a\ud83d"]


def everything_told(error: BaseException | None) -> str:
    """An error with its causes and contexts, as a traceback would print them."""
    return "".join(traceback.format_exception(error)) + repr(vars(error))


@pytest.mark.parametrize("around", ["\n", " ", "\r\n", "\t", "\u00a0"])
def test_white_space_around_a_key_is_taken_off(around: str, half: Any, low: Make, simulator: Simulator):
    """A key that was read from a file with its newline works."""
    half.invoke(low(api_key=around + SECRET + around, organization=f"org-1{around}"), "draw a fox")

    assert simulator.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert simulator.requests[-1].headers["openai-organization"] == "org-1"


@pytest.mark.parametrize("ending", UNSENDABLE)
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(ending: str):
    """The error is raised when the generator is made, and neither it nor its causes hold the key."""
    with pytest.raises(AuthenticationError, match=r"api_key holds U\+") as caught:
        ImageGenerator(api_key=SECRET + ending)
    assert SECRET not in str(caught.value) + repr(vars(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("field", ["organization", "azure_image_deployment"])
@pytest.mark.parametrize("ending", UNSENDABLE)
def test_a_header_that_cannot_be_sent_is_refused(field: str, ending: str):
    """Other values that travel as headers are checked alike, and named by their field."""
    with pytest.raises(OptionError, match=field) as caught:
        ImageGenerator(**{field: SECRET + ending})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("settings", [{"api_key": SECRET + "\n"}, {"default_headers": {"x-token": SECRET + "\n"}}])
@pytest.mark.parametrize("field", ["client", "async_client"])
def test_a_client_whose_headers_cannot_be_sent_is_refused(settings: Any, field: str):
    """A client of one's own is not changed, so that even a trailing newline in its headers is refused."""
    make = openai.OpenAI if field == "client" else openai.AsyncOpenAI
    client = make(**{"api_key": "sk-a", **settings})

    with pytest.raises(ImageGenerationError, match=field) as caught:
        ImageGenerator(**{field: client})
    assert SECRET not in str(caught.value)


def test_a_key_of_the_environment_is_checked_too(
    half: Any, low: Make, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    """`OPENAI_API_KEY` loses its newline; one that cannot be sent is refused by name, and nothing is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET + "\n")
    half.invoke(low(api_key=None), "draw a fox")
    monkeypatch.setenv("OPENAI_API_KEY", f"“{SECRET}”")

    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        half.invoke(low(api_key=None), "draw a fox")
    assert SECRET not in str(caught.value)
    assert len(simulator.requests) == 1


def test_a_tool_tells_a_chat_model_no_key():
    """The reproduction of a public report: the key cannot reach the chat model, since no generator is made."""
    with pytest.raises(AuthenticationError) as caught:
        ImageGenerationTool(generator=ImageGenerator(api_key="sk-\nREAL")).invoke({"prompt": "x"})
    assert "REAL" not in str(caught.value)


def test_a_password_in_the_address_is_not_shown():
    """The repr of a generator and an error about its address hold no password."""
    assert "hunter2" not in repr(ImageGenerator(base_url="https://me:hunter2@proxy.example/v1"))
    with pytest.raises(OptionError) as caught:
        ImageGenerator(base_url="ftp://me:hunter2@proxy.example/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "https://a.example/v1\nx",
        "",
        "api.openai.com/v1",
        "ftp://a/v1",
        "'https://a/v1'",
        "https://",
        "http://localhost:99999/v1",
        "https://api..example/v1",
        f"https://{'a' * 64}.example/v1",
    ],
)
def test_an_address_that_cannot_work_is_refused(url: str):
    """`base_url` is checked when the generator is made, and named with an address to follow."""
    with pytest.raises(OptionError, match=r"base_url=.*such as 'https://api\.openai\.com/v1'"):
        ImageGenerator(base_url=url)


@pytest.mark.parametrize("url", ["http://localhost:99999/v1", "https://api..example/v1"])
def test_a_client_whose_address_cannot_work_is_refused(url: str):
    """The address of a given client is checked when the generator is made, before a socket can fail on it."""
    with pytest.raises(OptionError, match="the base_url of async_client="):
        ImageGenerator(async_client=openai.AsyncOpenAI(base_url=url, api_key="simulated"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"timeout": -1}, "timeout=-1"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"client": 5}, r"client takes an openai\.OpenAI, not a int"),
        ({"async_client": object()}, r"async_client takes an openai\.AsyncOpenAI, not a object"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Any, named: str):
    """A developer's mistake is an `OptionError` that names the setting, when the generator is made."""
    with pytest.raises(OptionError, match=named):
        ImageGenerator(**settings)


def test_a_client_of_the_other_half_is_told_where_it_belongs():
    """An async client given as `client` is refused with the setting that takes it."""
    with pytest.raises(OptionError, match="give it as async_client="):
        ImageGenerator(client=openai.AsyncOpenAI(api_key="sk-a"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://localhost:1"),
        ("HTTPS_PROXY", "https://["),
        ("SSL_CERT_FILE", "nowhere.pem"),
        ("OPENAI_BASE_URL", ""),
        ("OPENAI_BASE_URL", "'https://api.openai.com/v1'"),
        ("OPENAI_BASE_URL", "api.openai.com/v1"),
        ("OPENAI_BASE_URL", "https://api.openai.com /v1"),
        ("OPENAI_ORG_ID", "org-\n1"),
    ],
)
def test_an_environment_that_cannot_work_is_named(
    variable: str, value: str, half: Any, low: Make, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    """A proxy, certificate or address of the environment that cannot work is an error naming the variable."""
    monkeypatch.setenv(variable, value)
    drawing = low(base_url=None) if variable == "OPENAI_BASE_URL" else low()

    with pytest.raises(OptionError, match=variable):
        half.invoke(drawing, "draw a fox")
    assert simulator.requests == []


# --- keys that a function gives


def test_a_function_may_give_the_key(half: Any, low: Make, simulator: Simulator):
    """The function is asked for each request, as keys that expire need, and its white space is taken off."""
    keys = iter(["sk-1\n", "sk-2"])
    drawing = low(api_key=lambda: next(keys))

    half.invoke(drawing, "draw a fox")
    half.invoke(drawing, "draw a fox")

    assert [request.headers["authorization"] for request in simulator.requests] == ["Bearer sk-1", "Bearer sk-2"]


def test_an_async_function_may_give_the_key(low: Make, simulator: Simulator):
    """An async function works for the async half; the sync half says what to do."""

    async def key() -> str:
        return "sk-async"

    drawing = low(api_key=key)

    async def once() -> None:
        await drawing.ainvoke("draw a fox")
        await drawing.aclose()

    asyncio.run(once())

    assert simulator.requests[-1].headers["authorization"] == "Bearer sk-async"
    with pytest.raises(OptionError, match="call ainvoke, or give a sync function"):
        drawing.invoke("draw a fox")


@pytest.mark.parametrize("given", ["sk-\nREAL", "", None])
def test_what_a_function_gives_is_checked(given: Any, half: Any, low: Make, simulator: Simulator):
    """A key that cannot be sent is refused without being shown, and nothing is sent."""
    with pytest.raises(AuthenticationError, match="the key that api_key returns") as caught:
        half.invoke(low(api_key=lambda: given), "draw a fox")
    assert "REAL" not in everything_told(caught.value)
    assert simulator.requests == []


def test_a_function_that_fails_is_our_error(half: Any, low: Make, simulator: Simulator):
    """An error of the function is the cause of an `AuthenticationError`; nothing is sent."""

    def key() -> str:
        raise LookupError

    with pytest.raises(AuthenticationError, match="failed with LookupError; nothing was sent") as caught:
        half.invoke(low(api_key=key), "draw a fox")
    assert isinstance(caught.value.__cause__, LookupError)
    assert simulator.requests == []
