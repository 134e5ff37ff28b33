"""The offline counterpart of the service: its wire protocol on a loopback port, with simulated pictures.

It imports nothing else of this package, so that a mistake in our reading of the service cannot be
mirrored here.
"""

from __future__ import annotations

from langchain_imagegen.simulator.dialects import azure_stream, xai_item
from langchain_imagegen.simulator.faults import (
    Fault,
    answer,
    bad_key,
    corrupt_base64,
    cut_before_terminal,
    cut_body,
    delay,
    failed,
    flat_error_event,
    html_page,
    http_error,
    image,
    incomplete,
    keepalive,
    mislabelled,
    moderated,
    moderated_beside_good,
    nested_error_event,
    no_image,
    not_an_image,
    organization_not_verified,
    quota_exceeded,
    rate_limited,
    refusal,
    refuse_connection,
    server_error,
    shortened_base64,
    unknown_event,
)
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
    "unknown_event",
    "xai_item",
]
