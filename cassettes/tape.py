"""How traffic is kept: one vcrpy configuration for recording and for playing.

A cassette is YAML in which each picture is a token; the bytes stand once in `blobs/<sha256>`. What is played is again
exactly what was recorded. Of the headers only harmless ones are kept. What is asked and answered stands in `scenes`.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import vcr
import yaml
from vcr.matchers import body as equal_bodies
from vcr.request import Request

HERE = Path(__file__).parent
KEPT_HEADERS = frozenset({"accept", "content-type", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry"})

_BASE64 = re.compile(r"[A-Za-z0-9+/]{200,}={0,2}")
_TOKEN = re.compile(r"blob:([0-9a-f]{64})")
_PICTURE = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"<svg", b"<?xml")
_SECRET = re.compile(r"\b(sk|org|proj|user)-[A-Za-z0-9_*-]{8,}")


def recorder(folder: Path = HERE, *, recording: bool = False) -> vcr.VCR:
    """What records and plays the cassettes of a folder, by name.

    A player answers each request once and refuses every other one; a recorder lets requests through and
    writes the cassette anew.
    """
    machine = vcr.VCR(
        cassette_library_dir=str(folder),
        path_transformer=vcr.VCR.ensure_suffix(".yaml"),
        serializer="tape",
        record_mode="all" if recording else "none",
        match_on=["method", "path", "query", "content"],
        before_record_request=without_secrets,
        before_record_response=with_kept_headers,
        decode_compressed_response=True,
    )
    machine.register_serializer("tape", Tape(folder / "blobs"))
    machine.register_matcher("content", same_content)
    return machine


class Tape:
    """vcrpy's serializer: YAML to read, with the pictures set aside."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs

    def serialize(self, cassette: Mapping[str, Any]) -> str:
        """A cassette as YAML, what was recorded and where first."""
        told = {"metadata": cassette.get("metadata", {}), "version": cassette["version"]}
        spoken = [_with_bodies(interaction, self.set_aside) for interaction in cassette["interactions"]]
        told["interactions"] = spoken
        return yaml.dump(told, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)

    def deserialize(self, text: str) -> dict[str, Any]:
        """A cassette as vcrpy knows it, the pictures put back."""
        cassette: dict[str, Any] = yaml.safe_load(text)
        spoken = [_with_bodies(interaction, self.put_back) for interaction in cassette["interactions"]]
        return {**cassette, "interactions": spoken}

    def set_aside(self, text: str) -> str:
        """A body with tokens in place of pictures, which go into `blobs`, and without secrets."""
        return _BASE64.sub(self._token, _SECRET.sub(r"\1-REDACTED", text))

    def put_back(self, text: str) -> str:
        """A body with the pictures in place of their tokens."""
        return _TOKEN.sub(lambda token: base64.b64encode((self._blobs / token[1]).read_bytes()).decode(), text)

    def _token(self, found: re.Match[str]) -> str:
        try:
            data = base64.b64decode(found[0], validate=True)
        except binascii.Error:
            return found[0]
        if not data.startswith(_PICTURE) or base64.b64encode(data).decode() != found[0]:
            return found[0]
        digest = hashlib.sha256(data).hexdigest()
        self._blobs.mkdir(parents=True, exist_ok=True)
        (self._blobs / digest).write_bytes(data)
        return f"blob:{digest}"


def without_secrets(request: Request) -> Request:
    """A request without its key, its host's port, and all that tells of the machine it came from."""
    parts = urlsplit(request.uri)
    request.uri = urlunsplit(parts._replace(netloc=parts.hostname or ""))
    request.headers = {name: value for name, value in request.headers.items() if name.lower() in KEPT_HEADERS}
    return request


def with_kept_headers(response: dict[str, Any]) -> dict[str, Any]:
    """A response without cookies, account names and lengths."""
    response["headers"] = {name: values for name, values in response["headers"].items() if name.lower() in KEPT_HEADERS}
    return response


def same_content(request: Request, recorded: Request) -> None:
    """A matcher: equal bodies; a multipart body, whose borders are random each time, equals every other one."""
    if not str(request.headers.get("content-type", "")).startswith("multipart/"):
        equal_bodies(request, recorded)


def _with_bodies(interaction: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """An interaction with both bodies changed; binary ones stay."""
    changed = copy.deepcopy(dict(interaction))
    for holder, key in ((changed["request"], "body"), (changed["response"]["body"], "string")):
        if isinstance(holder[key], str):
            holder[key] = change(holder[key])
    return changed


class _Readable(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Readable.add_representer(str, _text)
