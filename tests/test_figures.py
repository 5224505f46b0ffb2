"""The figures in README and docs are those of benchmarks/results, and no others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import parity
import pytest
import table
import windows

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "script", "shown"),
    [
        (ROOT / "README.md", table, table.figures_table),
        (windows.PAGE, windows, windows.table),
        (parity.PAGE, parity, parity.table),
    ],
)
def test_a_page_shows_what_was_measured(page: Path, script: Any, shown: Callable[[], str]) -> None:
    between = page.read_text().split(script.START)[1].split(script.END)[0].strip()
    assert between == shown(), f"run python {script.__file__}, with --table if it has that"
