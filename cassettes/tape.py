"""Stores recorded traffic: one vcrpy configuration to record and to replay.

A cassette is YAML with a token in place of each picture, whose bytes are stored once in `blobs/<sha256>`. Replayed
bodies equal the recorded ones, apart from redacted secrets. Only harmless headers are kept.
The calls are defined in `scenes`.
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
    """Return the vcrpy object that records and replays the cassettes of a folder by name.

    When replaying, it answers each recorded request once and refuses all others. When recording, it lets requests
    through and overwrites the cassette.
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
    """A vcrpy serializer that writes readable YAML and stores pictures in separate files."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs

    def serialize(self, cassette: Mapping[str, Any]) -> str:
        """Return a cassette as YAML, with its metadata first."""
        document = {"metadata": cassette.get("metadata", {}), "version": cassette["version"]}
        interactions = [_with_bodies(interaction, self.set_aside) for interaction in cassette["interactions"]]
        document["interactions"] = interactions
        return yaml.dump(document, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)

    def deserialize(self, text: str) -> dict[str, Any]:
        """Return a cassette in vcrpy's form, with the pictures restored."""
        cassette: dict[str, Any] = yaml.safe_load(text)
        interactions = [_with_bodies(interaction, self.put_back) for interaction in cassette["interactions"]]
        return {**cassette, "interactions": interactions}

    def set_aside(self, text: str) -> str:
        """Write the pictures of a body to `blobs`. Return the body with tokens in their place and secrets redacted."""
        return _BASE64.sub(self._token, _SECRET.sub(r"\1-REDACTED", text))

    def put_back(self, text: str) -> str:
        """Return a body with each token replaced by its picture."""
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
    """Return a request without its key, its port, and headers that could identify the machine."""
    parts = urlsplit(request.uri)
    request.uri = urlunsplit(parts._replace(netloc=parts.hostname or ""))
    request.headers = {name: value for name, value in request.headers.items() if name.lower() in KEPT_HEADERS}
    return request


def with_kept_headers(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response without cookies, account names and lengths."""
    response["headers"] = {name: values for name, values in response["headers"].items() if name.lower() in KEPT_HEADERS}
    return response


def same_content(request: Request, recorded: Request) -> None:
    """Match equal bodies. A multipart body always matches, because its boundary is random."""
    if not str(request.headers.get("content-type", "")).startswith("multipart/"):
        equal_bodies(request, recorded)


def _with_bodies(interaction: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return a copy of an interaction with `change` applied to both bodies. Binary bodies stay as they are."""
    changed = copy.deepcopy(dict(interaction))
    for holder, key in ((changed["request"], "body"), (changed["response"]["body"], "string")):
        if isinstance(holder[key], str):
            holder[key] = change(holder[key])
    return changed


class _Readable(yaml.SafeDumper):
    """Writes multi-line text as literal blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Readable.add_representer(str, _text)
