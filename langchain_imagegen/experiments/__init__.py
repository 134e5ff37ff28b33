"""Experiments in notebooks: variations drawn as one batch, seen as a contact sheet, kept by name. No page of an app."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from langchain_imagegen.experiments.cell import Cell as Cell
    from langchain_imagegen.experiments.experiment import Experiment as Experiment
    from langchain_imagegen.experiments.experiment import Sheet as Sheet
    from langchain_imagegen.experiments.plan import Variation as Variation

__all__ = ["Cell", "Experiment", "Sheet", "Variation"]

_MODULE_OF = {"Cell": "cell", "Experiment": "experiment", "Sheet": "experiment", "Variation": "plan"}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
