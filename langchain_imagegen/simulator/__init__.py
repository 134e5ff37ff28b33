"""The offline counterpart of the service: it speaks the wire protocol on a loopback port and draws placeholders.

It must not import anything else from this package. Otherwise both sides would share a mistake about the
service, and no test would see it.
"""

from __future__ import annotations

from langchain_imagegen.simulator.dialects import azure_stream, xai_item
from langchain_imagegen.simulator.faults import (
    Fault,
    corrupt_base64,
    cut_before_terminal,
    cut_body,
    delay,
    failed,
    flat_error_event,
    gzipped,
    image,
    incomplete,
    keepalive,
    mislabelled,
    moderated,
    moderated_beside_good,
    nested_error_event,
    no_image,
    not_an_image,
    refusal,
    refuse_connection,
    shortened_base64,
    small_chunks,
    unknown_event,
    wrong_length,
)
from langchain_imagegen.simulator.http_faults import (
    answer,
    bad_key,
    html_page,
    http_error,
    organization_not_verified,
    quota_exceeded,
    rate_limited,
    server_error,
)
from langchain_imagegen.simulator.offline import start_without_key
from langchain_imagegen.simulator.simulator import RecordedRequest, Simulator

__all__ = [
    "Fault",
    "RecordedRequest",
    "Simulator",
    "answer",
    "azure_stream",
    "bad_key",
    "corrupt_base64",
    "cut_before_terminal",
    "cut_body",
    "delay",
    "failed",
    "flat_error_event",
    "gzipped",
    "html_page",
    "http_error",
    "image",
    "incomplete",
    "keepalive",
    "mislabelled",
    "moderated",
    "moderated_beside_good",
    "nested_error_event",
    "no_image",
    "not_an_image",
    "organization_not_verified",
    "quota_exceeded",
    "rate_limited",
    "refusal",
    "refuse_connection",
    "server_error",
    "shortened_base64",
    "small_chunks",
    "start_without_key",
    "unknown_event",
    "wrong_length",
    "xai_item",
]
