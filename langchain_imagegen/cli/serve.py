"""`imagegen serve`: the pictures of an image store on a port of this machine."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from langchain_imagegen.cli.output import Output

Store = Annotated[
    str | None,
    typer.Argument(
        help="Folder or URL of the image store. By default, the store that is used where none is named.",
        metavar="STORE",
        show_default=False,
    ),
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
Public = Annotated[bool, typer.Option("--public", help="Let everybody read who knows the digest of a picture.")]
Origins = Annotated[
    list[str], typer.Option("--allow-origin", help="Origin of a page whose scripts may read pictures; may be repeated.")
]

_SECRET = "LANGCHAIN_IMAGEGEN_URL_SECRET"  # noqa: S105 - the name of a variable
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PATIENCE = 3  # seconds that running answers get when the server stops


def serve(
    store: Store = None,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    public: Public = False,
    allow_origin: Origins = [],  # noqa: B006 - typer reads the default and changes nothing
    output: Output,
) -> None:
    """Serve the pictures of an image store over HTTP.

    Each picture is at /{sha256}.{ext}. With a secret in the environment variable LANGCHAIN_IMAGEGEN_URL_SECRET only
    links that are signed with it are answered (UrlSigner). Without one, pictures are served to everybody who knows
    their digest, on this machine only unless --public is given.
    """
    import uvicorn

    from langchain_imagegen.storage.store import ImageStore
    from langchain_imagegen.web import UrlSigner, images_app

    signed = bool(os.environ.get(_SECRET)) and not public
    if not (signed or public or host in _LOOPBACK):
        raise typer.BadParameter(
            f"others can reach {host}: set {_SECRET} to serve signed links alone, or pass --public", param_hint="--host"
        )
    pictures = ImageStore(store)
    app = images_app(
        pictures, url_signer=UrlSigner() if signed else None, public=not signed, allow_origins=allow_origin
    )
    with _listening(host, port) as listening:
        _introduce(pictures.location, _address_of(listening), output, signed=signed)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=_PATIENCE)
        )
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        BadParameter: the address cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise typer.BadParameter(f"{host} port {port} cannot be used: {error.strerror}", param_hint="--port") from error


def _address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _introduce(location: str, address: str, output: Output, *, signed: bool) -> None:
    """Print what is served, who may read it, and how a program makes addresses for it."""
    template = f"{address}/{{sha256}}.{{ext}}"
    missing = "" if "://" in location or Path(location).is_dir() else ", which does not exist yet"
    readers = "whoever has a signed link" if signed else "everybody who reaches this address and knows a digest"
    output.give({"location": location, "address": address, "public_url": template, "signed": signed})
    signer = ", url_signer=UrlSigner()" if signed else ""
    output.say(f"Serving the pictures of {location}{missing}, at {template}")
    output.say(f"Readers: {readers}")
    output.say(f'For image.url(): ImageStore("{location}", public_url="{template}"{signer})')
    output.say("To stop it, press Ctrl-C.")
