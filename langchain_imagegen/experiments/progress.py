"""How far a batch is, on one line: tqdm's bar, in a notebook its widget where ipywidgets is installed.

tqdm is optional (extra `notebook`). Without it, only the announcement is written. Both go to the standard error stream,
but in a notebook to standard output: front ends show the other one in red.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from langchain_imagegen.images.notebook import notebook_shell


class Progress:
    """A context that says what begins and counts what is done.

    Args:
        announcement: What is said first.
        total: How many there are.
        shown: Whether anything is said or shown.
    """

    def __init__(self, announcement: str, total: int, *, shown: bool) -> None:
        self._announcement, self._total, self._shown = announcement, total, shown
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._shown:
            out = sys.stderr if notebook_shell() is None else sys.stdout
            out.write(f"{self._announcement}\n")
            if self._total and find_spec("tqdm") is not None:
                self._bar = _bar_class()(total=self._total, unit="picture", file=out)
        return self

    def advance(self) -> None:
        """Count one more."""
        if self._bar is not None:
            self._bar.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar_class() -> Any:
    """Return tqdm's widget in a notebook that can show it, else its text bar; `tqdm.auto` warns there instead."""
    if "ipykernel" in sys.modules and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm
