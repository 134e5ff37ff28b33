"""What is seen while a picture is drawn: the state, the seconds, and the latest partial picture in half blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_imagegen.cli.pictures import HalfBlocks
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.partial import PartialImage

if TYPE_CHECKING:
    from rich.console import Console

    from langchain_imagegen.drawing.calls import UnderWay

_PARTIAL = (48, 16)  # columns and rows of a partial picture
_PER_SECOND = 8


class DrawingProgress:
    """A context with a line on standard error that goes away at its end. Only a terminal gets it.

    Args:
        console: Standard error.
        about: What is drawn.
        under_way: Returns the calls that have no answer yet.
        pictures: Whether partial pictures are shown.
        partials: How many are asked for.
    """

    def __init__(
        self,
        console: Console,
        about: str,
        under_way: Callable[[], Sequence[UnderWay]],
        *,
        pictures: bool,
        partials: int = 0,
    ) -> None:
        self._about, self._under_way, self._pictures, self._partials = about, under_way, pictures, partials
        self._began = time.monotonic()
        self._seen = 0
        self._preview: HalfBlocks | None = None
        self._live: Any = None
        if console.is_terminal and not console.is_dumb_terminal:
            from rich.live import Live
            from rich.spinner import Spinner

            self._spinner = Spinner("dots")
            self._live = Live(self, console=console, transient=True, refresh_per_second=_PER_SECOND)

    @property
    def state(self) -> str:
        """What is going on now."""
        if self._seen:
            return f"partial picture {self._seen}" + (f" of {self._partials}" if self._partials else "")
        calls = self._under_way()
        if not calls:
            return "preparing"
        return "the service draws" if any(call.response_id for call in calls) else "sent"

    def add(self, partial: PartialImage) -> None:
        """Show a partial picture in place of the one before."""
        if partial.final:
            return
        self._seen = partial.index + 1
        if self._pictures and self._live is not None:
            try:
                self._preview = HalfBlocks(partial.data, *_PARTIAL)
            except (CorruptImageError, ImportError):
                return
            self._live.refresh()

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        seconds = time.monotonic() - self._began
        self._spinner.update(text=Text(f"{self._about}: {self.state}, {seconds:.0f} s"))
        return Group(*([self._preview] if self._preview else []), self._spinner)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
