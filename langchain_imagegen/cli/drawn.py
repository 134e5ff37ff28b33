"""Drawing for `draw` and `edit`: one request, remembered until its picture is here, with progress and result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_imagegen.cli.files import Out
from langchain_imagegen.cli.output import Output, price_of
from langchain_imagegen.cli.pictures import show_picture
from langchain_imagegen.cli.reporting import InterruptedDrawing, with_option_names
from langchain_imagegen.cli.service import Service
from langchain_imagegen.cli.terminal import Inline
from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.errors import (
    ImageGenerationError,
    ImageStoreError,
    ModerationError,
    NoImageError,
    OptionError,
)

if TYPE_CHECKING:
    from langchain_imagegen.cli.progress import DrawingProgress
    from langchain_imagegen.cli.session import Purchase
    from langchain_imagegen.drawing.generator import ImageGenerator
    from langchain_imagegen.images.image import GeneratedImage
    from langchain_imagegen.images.result import ImageResult
    from langchain_imagegen.options.options import ImageOptions

StdinFlag = Annotated[bool, typer.Option("--stdin", help="Read the prompt, or the rest of it, from standard input.")]
OnceName = Annotated[
    str | None,
    typer.Option(
        "--once", metavar="NAME", help="Name of the picture, which is then bought once, however often it is asked for."
    ),
]


def read_prompt(words: Sequence[str] | None, *, stdin: bool) -> str:
    """Return the prompt: the words of the command line, and what standard input holds if it is wanted.

    Raises:
        BadParameter: There is none.
    """
    told = " ".join(words or ())
    read = sys.stdin.read().strip() if stdin else ""
    prompt = "\n\n".join(filter(None, (told, read)))
    if not prompt.strip():
        raise typer.BadParameter('say what to draw: imagegen draw "a fox", or --stdin', param_hint="PROMPT")
    return prompt


@dataclass(frozen=True)
class Drawing:
    """A picture to draw or edit, and the settings of the command."""

    options: ImageOptions
    out: Out
    inline: Inline
    workspace: Workspace
    service: Service
    output: Output

    def run(self, prompt: str, sources: Sequence[Any] = (), *, mask: Any = None, once: str | None = None) -> None:
        """Draw, remember and show a picture.

        Raises:
            OptionError: `--once` gives no name.
            ImageGenerationError: There is none.
            InterruptedDrawing: Ctrl-C was pressed.
        """
        if once is not None and once.strip() in ("", "auto"):  # in Python auto is a setting, and buys anew here
            raise OptionError(
                f"--once {once!r} names no picture: give it a name, such as --once poster-7, or leave it out"
            )
        self.out.check()
        protocol = None if self.output.json else self.inline.protocol(sys.stdout)
        format = self.out.format if self.options.output_format is None else None
        options = self.options.merge({"output_format": format} if format else None)
        request = {"prompt": prompt, "images": list(sources), "mask": mask}
        with self.service.generator(self.workspace, options, self.output) as draw:
            purchase = None if once else self.workspace.remembered.begin(_noted(request, draw))
            if purchase and purchase.begun_before:
                self.output.note(
                    "An earlier run of this command could not keep its picture: looking for that one first."
                )
            request["once"] = once or (purchase.once if purchase else None)
            with self._noting_the_end(purchase):
                result = self._drawn(draw, request)
        files = self._kept(result, purchase)
        for image in result.images if protocol else ():
            show_picture(image.read(), protocol, self.output.console)
        self._tell(result, files)

    @contextmanager
    def _noting_the_end(self, purchase: Purchase | None) -> Iterator[None]:
        """Note how a request ends without a picture: it is over, or a later command may look for its picture."""
        remembered = self.workspace.remembered
        try:
            yield
        except (ImageGenerationError, InterruptedDrawing) as error:
            may_come = getattr(error, "may_be_billed", True) and not isinstance(error, (ModerationError, NoImageError))
            with suppress(OSError, ImageStoreError):  # a full disk, for example, of which the error tells
                (remembered.leave if may_come else remembered.end)(purchase)
            if isinstance(error, ImageStoreError):
                raise self._rescued(error) from error
            raise

    def _drawn(self, draw: ImageGenerator, request: dict[str, Any]) -> ImageResult:
        from langchain_imagegen.cli.progress import DrawingProgress
        from langchain_imagegen.drawing.live import with_partials

        notes = self.output.notes
        watched = notes.is_terminal and self.inline.inline != "off"
        fields: dict[str, Any] = with_partials(draw.options, request, {}) if watched else {}
        partials = fields.get("partial_images") or draw.options.partial_images or 0
        about = " ".join(request["prompt"].split())[:40]
        progress = DrawingProgress(notes, about, lambda: draw.under_way, pictures=watched, partials=partials)
        stream: Any = draw.stream(request, **fields)
        with progress, closing(stream) as pieces:
            return self._followed(pieces, progress, lambda: _interrupted(about, draw, noted=bool(request["once"])))

    def _followed(
        self, pieces: Iterable[Any], progress: DrawingProgress, what_goes_on: Callable[[], str]
    ) -> ImageResult:
        """Return the result of a drawing, and show its partial pictures.

        Raises:
            InterruptedDrawing: Ctrl-C was pressed; it says what goes on.
        """
        from langchain_imagegen.images.result import ImageResult

        try:
            for piece in pieces:
                if isinstance(piece, ImageResult):
                    return piece
                progress.add(piece)
        except KeyboardInterrupt:
            raise InterruptedDrawing(what_goes_on()) from None
        raise NoImageError("the service sent no picture")

    def _kept(self, result: ImageResult, purchase: Purchase | None) -> list[Path]:
        """Remember a picture and write it into its file; return the files.

        Raises:
            ImageStoreError: A file cannot be written. The picture is in the image store.
        """
        try:
            self.workspace.remembered.add(result)
            self.workspace.remembered.end(purchase)
        except OSError as error:
            self.output.note(f"warning: the session does not remember the picture: {error.strerror}")
        try:
            return self.out.save(result)
        except OSError as error:
            raise ImageStoreError(
                f"{self.out.out} cannot be written: {error.strerror}; the picture is in the image store: "
                f"imagegen show {result.image.handle} --out FILE"
            ) from error

    def _rescued(self, error: ImageStoreError) -> ImageStoreError:
        """Return the error of a picture that the image store cannot keep, after it is written beside it."""
        if error.result is None:
            return error
        files = replace(self.out, out=self.out.out or "./").save(error.result)
        return ImageStoreError(f"{error}; the picture, which is paid for, is in {', '.join(map(str, files))}")

    def _tell(self, result: ImageResult, files: Sequence[Path]) -> None:
        simulated = self.workspace.simulated
        self.output.give(
            {
                **result.record(),
                "files": list(map(str, files)),
                "cost": result.cost().model_dump(mode="json"),
                "simulated": simulated,
            }
        )
        for warning in result.warnings:
            self.output.note(f"warning: {with_option_names(warning)}")
        for failure in result.failures:
            self.output.note(str(failure))
        for image in result.images:
            self.output.say(facts_of(image), "bold")
        told = [price_of(result.cost(), simulated=simulated)]
        if result.from_ledger:
            told = ["bought before, so nothing was paid now"]
        if result.rung:
            told.append(f"source named by {result.rung}")
        self.output.say("; ".join(told))
        if result.text:
            self.output.say(f"the model wrote: {' '.join(result.text.split())}")
        if result.image.revised_prompt:
            self.output.say(f"revised prompt: {' '.join(result.image.revised_prompt.split())}", "dim")
        for file in files:
            self.output.say(str(file))


def facts_of(image: GeneratedImage) -> str:
    """Return a line about a picture."""
    size = f"{image.width}x{image.height}" if image.width else image.size
    seconds = f"{image.seconds:.1f} s" if image.seconds else None
    kind = image.mime_type.partition("/")[2]
    facts = (image.handle, size, kind, image.image_model, image.quality and f"quality {image.quality}", seconds)
    return ", ".join(str(fact) for fact in facts if fact)


def _noted(request: dict[str, Any], draw: ImageGenerator) -> dict[str, Any]:
    """Return what tells a request from others: pictures by their digest or path."""
    options = {name: value for name, value in draw.options.sent().items() if name != "partial_images"}
    sources = [getattr(image, "sha256", None) or str(image) for image in request["images"]]
    settings = {"options": options, "model": draw.model, "api": draw.api, "service": draw.namespace}
    return {**request, "images": sources, "mask": str(request["mask"]), **settings}


def _interrupted(about: str, draw: ImageGenerator, *, noted: bool) -> str:
    """Return what was under way when Ctrl-C was pressed, and what becomes of it."""
    calls = draw.under_way
    if not calls:
        return f"interrupted before {about!r} was sent; nothing was bought"
    ids = ", ".join(call.response_id for call in calls if call.response_id)
    if not ids:
        return f"interrupted while {about!r} was sent; if the service has begun, the picture is billed"
    if draw.delivery != "background":
        return f"interrupted while the service drew {about!r} ({ids}), which may be billed; it may stop drawing"
    again = "the same command again fetches the picture" if noted else f"its response is {ids}"
    return f"interrupted while the service drew {about!r} ({ids}), which goes on and is billed once: {again}"
