"""The tables of docs/reproduction.md are those of benchmarks/results, and no others."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_shows_what_the_benchmarks_recorded() -> None:
    spec = importlib.util.spec_from_file_location(
        "reproduction", ROOT / "benchmarks" / "reproduction.py"
    )
    assert spec is not None
    assert spec.loader is not None
    reproduction = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reproduction)
    page = (ROOT / "docs" / "reproduction.md").read_text()
    shown = page.split(reproduction.START)[1].split(reproduction.END)[0]
    assert shown.strip() == reproduction.tables().strip(), "run python benchmarks/reproduction.py"
