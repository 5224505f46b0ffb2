"""Data folders: find, check, part, read, augment."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check import Checkup, check_folder, open_folder
    from .findings import Finding
    from .samples import DataFolder, Encoding, Sample

__all__ = [
    "Checkup",
    "DataFolder",
    "Encoding",
    "Finding",
    "Sample",
    "check_folder",
    "open_folder",
]

_HOMES = {
    "Checkup": "check",
    "DataFolder": "samples",
    "Encoding": "samples",
    "Finding": "findings",
    "Sample": "samples",
    "check_folder": "check",
    "open_folder": "check",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'delineo.data' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
