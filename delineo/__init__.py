"""Delineo: from a folder of images and masks to a segmentation model you can trust and ship."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import compare
    from .data.check import check_folder
    from .errors import DelineoError
    from .evaluation import evaluate
    from .models import build_model
    from .prediction import Predictor
    from .recipe import Recipe
    from .report import write_report
    from .run import Run
    from .training import train

__version__ = "0.1.0"

__all__ = [
    "DelineoError",
    "Predictor",
    "Recipe",
    "Run",
    "build_model",
    "check_folder",
    "compare",
    "evaluate",
    "train",
    "write_report",
]

_HOMES = {
    "DelineoError": "errors",
    "Predictor": "prediction",
    "Recipe": "recipe",
    "Run": "run",
    "build_model": "models",
    "check_folder": "data.check",
    "compare": "comparison",
    "evaluate": "evaluation",
    "train": "training",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: PyTorch takes a second to load."""
    if name not in _HOMES:
        raise AttributeError(f"module 'delineo' has no attribute {name!r}")
    value = getattr(import_module(f"delineo.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
