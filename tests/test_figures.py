"""The figures in README and docs are those of benchmarks/results, and no others."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def script(name: str) -> ModuleType:
    """A file of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def between(page: Path, module: ModuleType) -> str:
    return page.read_text().split(module.START)[1].split(module.END)[0].strip()


def test_readme_shows_what_the_benchmarks_recorded() -> None:
    table = script("table")
    shown = between(ROOT / "README.md", table)
    assert shown == table.figures_table(), "run python benchmarks/table.py"


def test_any_size_shows_what_the_windows_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    windows = script("windows")
    shown = between(ROOT / "docs" / "any_size.md", windows)
    assert shown == windows.table(), "run python benchmarks/windows.py --table"
