"""The figures in README are those of benchmarks/results, and no others."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_readme_shows_what_the_benchmarks_recorded() -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    shown = (ROOT / "README.md").read_text().split(table.START)[1].split(table.END)[0]
    assert shown.strip() == table.figures_table(), "run python benchmarks/table.py"
