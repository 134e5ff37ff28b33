"""`Service`: who draws, and the generator that a command draws with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_imagegen.cli import simulation
from langchain_imagegen.cli.completion import one_of
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.errors import AuthenticationError, OptionError

if TYPE_CHECKING:
    from langchain_imagegen.drawing.generator import ImageGenerator
    from langchain_imagegen.options.options import ImageOptions

PANEL = "Who draws"
_TRY_IT = "to try it offline, add --simulate, or run imagegen simulate in another terminal"


@dataclass(frozen=True)
class Service:
    """The parameters of who draws. The key and the address are those of OPENAI_API_KEY and OPENAI_BASE_URL."""

    mainline_model: Annotated[
        str | None,
        typer.Option(help="Text model that calls the image model.", rich_help_panel=PANEL, show_default="gpt-5.4"),
    ] = None
    api: Annotated[
        str,
        typer.Option(
            metavar="responses|images",
            autocompletion=one_of(("responses", "images")),
            help="API that draws; images does without a mainline model.",
            rich_help_panel=PANEL,
        ),
    ] = "responses"
    delivery: Annotated[
        str | None,
        typer.Option(
            metavar="direct|stream|background",
            autocompletion=one_of(("direct", "stream", "background")),
            help="How the answer comes. With background the service draws on by itself if this command is ended.",
            rich_help_panel=PANEL,
            show_default="background, or stream for --api images",
        ),
    ] = None
    timeout: Annotated[
        float, typer.Option(help="Seconds without a byte after which a call fails.", rich_help_panel=PANEL)
    ] = 300.0

    @contextmanager
    def generator(self, workspace: Workspace, options: ImageOptions, output: Output) -> Iterator[ImageGenerator]:
        """Give the generator of a command.

        Raises:
            AuthenticationError: There is no key.
            OptionError: An option cannot work.
        """
        from langchain_imagegen.drawing.generator import ImageGenerator

        self._check_mainline()
        settings: dict[str, Any] = {"model": self.mainline_model} if self.mainline_model else {}
        settings["api"] = self.api
        settings["delivery"] = self.delivery or ("background" if self.api == "responses" else "stream")
        with ExitStack() as opened:
            if workspace.simulated:
                output.note(simulation.NOTICE)
                settings["ledger_namespace"] = "simulated"
            if workspace.simulate:
                url = opened.enter_context(simulation.simulated_service())
                # Each command has a service of its own, which knows no earlier picture.
                settings |= {"base_url": url, "api_key": simulation.SIMULATED_KEY, "reference": "bytes"}
            else:
                check_key()
            draw = ImageGenerator(
                options=options,
                timeout=self.timeout,
                image_store=workspace.image_store,
                library=workspace.catalogue,
                **settings,
            )
            opened.callback(draw.close)
            yield draw

    def _check_mainline(self) -> None:
        """Refuse an image model as the mainline model, in the words of the command line.

        Raises:
            OptionError: It is one.
        """
        from langchain_imagegen.options.models import DEFAULT_MAINLINE_MODEL, image_model

        if self.mainline_model and image_model(self.mainline_model):
            raise OptionError(
                f"--mainline-model {self.mainline_model!r} is an image model: name it with --model, and leave "
                f"--mainline-model out or give a text model, such as {DEFAULT_MAINLINE_MODEL!r}"
            )


def check_key() -> None:
    """Check that the environment has a key.

    Raises:
        AuthenticationError: It has none.
    """
    if os.environ.get("OPENAI_API_KEY", "").strip():
        return
    if os.environ.get("OPENAI_BASE_URL"):
        raise AuthenticationError(
            "OPENAI_API_KEY is not set: export OPENAI_API_KEY=… with the key of the service at OPENAI_BASE_URL, or any "
            f"text if it asks for none; {_TRY_IT}"
        )
    raise AuthenticationError(
        "OPENAI_API_KEY is not set: export OPENAI_API_KEY=sk-… with a key of platform.openai.com, and OPENAI_BASE_URL "
        f"too for another service; {_TRY_IT}"
    )
