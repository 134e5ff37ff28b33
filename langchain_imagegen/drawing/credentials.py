"""What goes into a request's headers and address, checked when a generator is made: keys, organization, base URL.

No error here repeats a key or a header: errors reach chat models, graph state and traces.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from langchain_imagegen.errors import AuthenticationError, OptionError

SHOWN = 40
"""How many characters of a value an error repeats."""

_HEADER = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


def clean_key(key: object, name: str = "api_key") -> str:
    """Return an API key without the white space around it.

    Raises:
        AuthenticationError: The key is empty, or has a character that no HTTP header can hold.
    """
    text = key.strip() if isinstance(key, str) else ""
    if not _HEADER.fullmatch(text):
        raise AuthenticationError(f"{name} {_header_problem(key)}. Nothing was sent; the value is not shown here")
    return text


def clean_header(value: str, name: str) -> str:
    """Return a header's value without the white space around it.

    Raises:
        OptionError: The value is empty, or has a character that no HTTP header can hold.
    """
    text = value.strip()
    if not _HEADER.fullmatch(text):
        raise OptionError(f"{name} {_header_problem(value)}. Nothing was sent; the value is not shown here")
    return text


def _header_problem(value: object) -> str:
    if not isinstance(value, str):
        return f"must be text, it is a {type(value).__name__}"
    if not value.strip():
        return "is empty"
    wrong = sorted({f"U+{ord(char):04X}" for char in value.strip() if not " " <= char <= "~"})
    return (
        f"holds {', '.join(wrong[:5])}, which no HTTP header can hold: "
        "copy it again, without quotes, dashes or line breaks that an editor or a secret manager has changed"
    )


def check_setting(value: Any, field: str) -> Any:
    """Return a setting of a generator as it can be used: an address, a client, or what a header holds.

    Raises:
        OptionError: It cannot be sent.
    """
    if field == "base_url":
        return clean_url(value)
    return check_client(value, field) if field in ("client", "async_client") else clean_header(value, field)


def check_client(client: Any, field: str) -> Any:
    """Return an SDK client that was given, if it is one and its headers can be sent.

    Raises:
        OptionError: It is no client of the SDK, or the client of the other half.
        AuthenticationError: Its key cannot be sent.
    """
    import openai

    wanted = openai.OpenAI if field == "client" else openai.AsyncOpenAI
    if not isinstance(client, wanted):
        other = {"client": "async_client", "async_client": "client"}[field]
        swapped = isinstance(client, (openai.OpenAI, openai.AsyncOpenAI))
        hint = f": give it as {other}=" if swapped else ""
        raise OptionError(f"{field} takes an openai.{wanted.__name__}, not a {type(client).__name__}{hint}")
    if client.api_key:  # empty while a function gives it
        _check_sendable(client.api_key, lambda key: clean_key(key, f"the api_key of {field}"))
    _check_headers(client, field)
    clean_url(str(client.base_url), f"the base_url of {field}")
    return client


def _check_headers(client: Any, field: str) -> None:
    try:
        headers = dict(client.default_headers)
    except (UnicodeError, TypeError):
        raise OptionError(f"{field} has default headers that cannot be sent: they are no text in ASCII") from None
    for name, value in headers.items():
        if isinstance(value, str) and value and str(name).lower() not in ("authorization", "api-key"):
            _check_sendable(value, lambda text, name=name: clean_header(text, f"the header {name!r} of {field}"))


def _check_sendable(value: str, clean: Any) -> None:
    """Refuse white space around a value too: the client is the caller's, and is not changed here."""
    if clean(value) != value:
        clean(value.strip() + "\n\x00")


def clean_url(url: str, name: str = "base_url") -> str:
    """Return a service's address without the white space around it.

    Raises:
        OptionError: It is no address of a web service.
    """
    text = url.strip()
    problem = _url_problem(text)
    if problem:
        raise OptionError(
            f"{name}={redact_url(text)[:SHOWN]!r} {problem}: give an address such as 'https://api.openai.com/v1'"
        )
    return text


def _url_problem(text: str) -> str:
    if not text:
        return "is empty"
    if re.search(r"[\x00-\x20\x7f\"'<>\\^`{|}\u2018-\u201f]", text):
        return "holds a space, a quote or another character that no address has"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:  # UnicodeError among them
        return "is no address: check its host, and its port, which is at most 65535"
    if parts.scheme.lower() not in ("http", "https"):
        return "does not begin with http:// or https://"
    return "" if host else "names no host"


def redact_url(url: str) -> str:
    """Return an address with `***` in place of its user name and password."""
    before, at, after = url.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}{slashes}***@{after}" if at and slashes else f"***@{after}" if at else url


def split_user(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return an address without its user name and password, and these two; `None` if it has none.

    HTTP clients log the address of each request.
    """
    before, at, after = url.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    if not (at and slashes):
        return url, None
    parts = urlsplit(url)
    return f"{scheme}://{after}", (unquote(parts.username or ""), unquote(parts.password or ""))


def key_from_environment() -> str | None:
    """Return the key in `OPENAI_API_KEY`, if there is one."""
    key = os.environ.get("OPENAI_API_KEY")
    return clean_key(key, "OPENAI_API_KEY") if key and key.strip() else None


def url_from_environment() -> str | None:
    """Return the address in `OPENAI_BASE_URL`, if the variable is set."""
    url = os.environ.get("OPENAI_BASE_URL")
    return None if url is None else clean_url(url, "the environment variable OPENAI_BASE_URL")


def settings_from_environment() -> dict[str, str]:
    """Return what the SDK would read from the environment, checked.

    Raises:
        OptionError: A variable for proxies, certificates, the address or a header cannot work.
        AuthenticationError: The key cannot be sent.
    """
    if problems := [*_proxy_problems(os.environ), *_certificate_problems(os.environ)]:
        raise OptionError(*problems)
    found = {"api_key": key_from_environment(), "base_url": url_from_environment()}
    for field, variable in (("organization", "OPENAI_ORG_ID"), ("project", "OPENAI_PROJECT_ID")):
        value = os.environ.get(variable)
        found[field] = clean_header(value, f"the environment variable {variable}") if value else None
    return {field: value for field, value in found.items() if value is not None}


def _proxy_problems(environment: Mapping[str, str]) -> Iterable[str]:
    for name in _PROXIES:
        value = environment.get(name, "")
        text = value if "://" in value or not value else f"http://{value}"
        shown = f"the environment variable {name}={redact_url(value)[:SHOWN]!r}"
        scheme = text.partition("://")[0].lower()
        if value and scheme not in _PROXY_SCHEMES:
            yield f"{shown} is no proxy that can be used: it takes {', '.join(_PROXY_SCHEMES)}, or unset it"
        elif value and _url_problem(f"http://{text.partition('://')[2]}"):
            yield f"{shown} is no address: correct it or unset it"
        elif scheme.startswith("socks") and not _has_socks():
            yield f"{shown} needs the package socksio: install it (pip install socksio), or unset the variable"


def _has_socks() -> bool:
    from importlib.util import find_spec

    return find_spec("socksio") is not None


def _certificate_problems(environment: Mapping[str, str]) -> Iterable[str]:
    for name, exists, kind in (
        ("SSL_CERT_FILE", os.path.isfile, "file"),
        ("SSL_CERT_DIR", os.path.isdir, "folder"),
    ):
        value = environment.get(name)
        if value and not exists(value):
            yield f"the environment variable {name} names a {kind} that is not there: correct it or unset it"
