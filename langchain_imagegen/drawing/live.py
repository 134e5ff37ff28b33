"""`show`: a drawing that sharpens in one output of a notebook cell. Elsewhere it is `invoke`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Self, Unpack

from langchain_core.runnables import RunnableConfig

from langchain_imagegen.drawing.settings import GeneratorSettings
from langchain_imagegen.images import notebook
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.call_fields import CallFields
from langchain_imagegen.options.options import ImageOptions

PARTIALS = 2  # pictures before the finished one, of about 100 tokens each; the service takes up to 3


class LiveDrawing(GeneratorSettings):
    """Drawing with a display in a notebook."""

    def show(self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]) -> ImageResult:
        """Draw or edit, show the picture in this notebook cell while it sharpens, and return the result.

        The cell keeps one output: each partial picture replaces the one before, and the finished one the last. Two
        partial pictures are asked for unless `partial_images` says otherwise; a format that has none is shown when it
        is finished. In a terminal, a script or a front end without IPython nothing is shown, and it is `invoke`.

        Args:
            input: As for `invoke`.
            config: As for `invoke`.
            fields: As for `invoke`.

        Raises:
            ImageGenerationError: As `invoke`; the cell shows it with the partial pictures that had arrived.
        """
        cell = LiveCell.open()
        if cell is None:
            return self.invoke(input, config, **fields)
        with cell:
            stream: Any = self.stream(input, config, **with_partials(self.options, input, fields))
            with closing(stream) as pieces:
                for piece in pieces:
                    cell.put(piece)
        return cell.result

    async def ashow(
        self, input: Any, config: RunnableConfig | None = None, **fields: Unpack[CallFields]
    ) -> ImageResult:
        """Async twin of `show`."""
        cell = LiveCell.open()
        if cell is None:
            return await self.ainvoke(input, config, **fields)
        async with cell:
            stream: Any = self.astream(input, config, **with_partials(self.options, input, fields))
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    cell.put(piece)
        return cell.result


def with_partials(options: ImageOptions, given: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a call, which ask for partial pictures unless somebody said how many or there are none.

    Args:
        options: The options of the generator.
        given: The input of the call, whose fields count too.
        fields: The keyword arguments of the call.
    """
    inputs = [given] if isinstance(given, Mapping) else []
    own = [each["options"] for each in (*inputs, fields) if isinstance(each.get("options"), (Mapping, ImageOptions))]
    named = [
        {name: each[name] for name in ImageOptions.model_fields if each.get(name) is not None}
        for each in (*inputs, fields)
    ]
    for each in (*own, *named, getattr(given, "options", None)):
        options = options.merge(each)
    if options.partial_images is not None or options.output_format in ("gif", "svg"):
        return dict(fields)
    return {**fields, "partial_images": PARTIALS}


class LiveCell:
    """One output of a notebook cell whose content is replaced."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._result: ImageResult | None = None

    @classmethod
    def open(cls) -> Self | None:
        """Return a new output of the cell that runs; None outside of notebooks."""
        if notebook.notebook_shell() is None:
            return None
        from IPython.display import display

        show: Any = display
        return cls(show(notebook.line("drawing …"), raw=True, display_id=True))

    @property
    def result(self) -> ImageResult:
        """The result that the cell shows."""
        assert self._result is not None
        return self._result

    def put(self, piece: Any) -> None:
        """Show a partial picture, or the result, in place of what was shown before."""
        if isinstance(piece, PartialImage) and piece.final:
            return  # the result shows the same picture
        self.put_bundle(piece._repr_mimebundle_())
        if isinstance(piece, ImageResult):
            self._result = piece
            notebook.note_shown(", ".join(image.handle for image in piece.images))

    def put_bundle(self, bundle: Mapping[str, Any]) -> None:
        """Show a MIME bundle in place of what was shown before."""
        self._handle.update(dict(bundle), raw=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.put_bundle(_view_of(error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _view_of(error: BaseException) -> Mapping[str, Any]:
    """Return what is shown of an error; one of ours shows itself."""
    view = getattr(error, "_repr_mimebundle_", None)
    if view is not None:
        return dict(view())
    return notebook.line(f"{type(error).__name__}: {error}".rstrip(": "))
