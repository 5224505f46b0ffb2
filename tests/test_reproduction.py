"""The tables of docs/reproduction.md are those of benchmarks/results, and no others."""

import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from delineo.startup import load_recipe

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "reproduction.md"
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "reproduction.py"))


def test_the_page_shows_what_the_benchmarks_recorded() -> None:
    shown = PAGE.read_text().split(SCRIPT["START"])[1].split(SCRIPT["END"])[0]
    assert shown.strip() == SCRIPT["tables"]().strip(), "run python benchmarks/reproduction.py"


def test_every_row_can_be_run_by_its_name() -> None:
    rows = (ROOT / "benchmarks" / "reproduce.py").read_text()
    results = [line.result for line in SCRIPT["LINES"]]
    for name in (result.removeprefix("reproduce-") for result in results if "reproduce-" in result):
        assert f'"{name}": Row(' in rows


def test_every_recorded_row_has_its_command() -> None:
    """Which trains what is named on its data, and is one that can be meant."""
    _, _, rest = PAGE.read_text().partition("### Commands")
    commands = [shlex.split(line) for line in rest.split("```")[1].splitlines()[1:]]
    recorded = [line for line in SCRIPT["LINES"] if (RESULTS / f"{line.result}.json").exists()]
    assert len(commands) == len(recorded) + (RESULTS / "reproduce-ph2_comparison.json").exists()
    for command, line in zip(commands, recorded, strict=False):
        _, verb, source, *settings, option, out = command
        assert (verb, option) == ("train", "--out")
        assert out == f"runs/{line.result.removeprefix('reproduce-')}"
        if source.startswith("recipes/"):
            load_recipe(source, settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "as in the recipe"),
        (["budget=5m"], "`budget=5m`"),
        (["model.width=16", "epochs=3"], "not at full width: `model.width=16 epochs=3`"),
        (["model={name: unet, width: 16}"], "not at full width: `model={name: unet, width: 16}`"),
        (["model={name: unet, width: 64}"], "`model={name: unet, width: 64}`"),
    ],
)
def test_a_row_of_a_narrower_network_says_so(settings: list[str], said: str) -> None:
    assert SCRIPT["_run_as"](settings) == said
