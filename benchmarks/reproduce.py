"""The published systems on their data: what was published, what comes out here.

    python benchmarks/reproduce.py [--full] [--finished] [NAME ...]

With --full the recipes as they are, for a GPU; without, what two CPU cores can do: networks 16 wide
at half the size, and fewer epochs where a row says so. Each row trains into runs/NAME and is
recorded in benchmarks/results/reproduce-NAME.json; `python benchmarks/reproduction.py` writes the
tables. The rows of Delineo's defaults are those of benchmarks/folders.py. With --finished nothing
is trained: the rows that are there already, and those cells of the grid, are recorded.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

from common import (
    RESULTS,
    RUNS,
    SHARED,
    delineo,
    judge,
    record,
    seconds_of,
    train_and_test,
    tune_and_test,
)


@dataclass(frozen=True)
class Row:
    """One training of a published system."""

    recipe: str
    data: str
    settings: tuple[str, ...] = ()
    """Beyond the recipe, at full width too."""
    small: tuple[str, ...] = ()
    """On a CPU."""


UNET_ON_TILES = "model={name: unet, width: 64}"
SMALL_UNET_ON_TILES = "model={name: unet, width: 16}"

ROWS = {
    "carvana-unet": Row(
        "unet_carvana.yaml",
        "carvana",
        small=("model.width=16", "data.image_size=[160,240]", "optimizer.lr=4e-4", "batch_size=8"),
    ),
    "tgs-unet": Row("unet_tgs_salt.yaml", "tgs_salt"),
    "voc-unet": Row(
        "unet_voc.yaml",
        "voc2012",
        small=("model.width=16", "data.image_size=[112,112]", "data.scale=0.5", "epochs=20"),
    ),
    "voc-resnet_unet": Row(
        "resnet_unet_voc.yaml",
        "voc2012",
        small=("model.depth=18", "data.image_size=[112,112]", "data.scale=0.5", "epochs=20"),
    ),
    "tiles-resunet": Row(
        "resunet_severstal.yaml",
        "magnetic_tile_severstal_format",
        small=("model.width=16", "data.image_size=[128,128]", "data.scale=0.5", "epochs=12"),
    ),
    "tiles-unet": Row(
        "resunet_severstal.yaml",
        "magnetic_tile_severstal_format",
        (UNET_ON_TILES,),
        small=(
            SMALL_UNET_ON_TILES,
            "data.image_size=[128,128]",
            "data.scale=0.5",
            "epochs=12",
        ),
    ),
    "camvid-segnet": Row(
        "segnet_camvid.yaml",
        "camvid",
        small=("model.width=16", "data.image_size=[180,240]"),
    ),
}
TUNED = {
    "tgs-unet": "per_image.mean_iou",
    "tiles-resunet": "competition.severstal_mean_dice",
    "tiles-unet": "competition.severstal_mean_dice",
}
"""Rows that are tuned for a score on validation before they are judged once more."""
PAIRS = {
    "tgs": ("tgs-unet", "folder-tgs_salt-open"),
    "tgs-untuned": ("tgs-unet-untuned", "folder-tgs_salt-open-untuned"),
    "tgs-15m": ("tgs-unet", "folder-tgs_salt-15m"),
    "tgs-15m-untuned": ("tgs-unet-untuned", "folder-tgs_salt-15m-untuned"),
    "tiles": ("tiles-unet", "tiles-resunet"),
}
"""Rows that are compared on the same images; each difference is second minus first."""
GRID = "ph2_comparison"
SMALL_GRID = ("model.width=16", "data.image_size=[128,128]")


def reproduce(name: str, full: bool, finished: bool) -> None:
    """Train, unless that is `finished`, judge and record one row."""
    if name == GRID:
        reproduce_grid(full, finished)
        return
    row = ROWS[name]
    settings = (f"data.path={SHARED / row.data}", *row.settings, *(() if full else row.small))
    figures = judge(name) if finished else train_and_test(name, row.recipe, *settings)
    if name in TUNED:
        figures["tuned"] = tune_and_test(name, TUNED[name])
    record_row(name, row.recipe, row.data, (*row.settings, *(() if full else row.small)), figures)


def reproduce_grid(full: bool, finished: bool) -> None:
    """Train the grid; a second call goes on where the first was stopped."""
    settings = () if full else SMALL_GRID
    data = f"data.path={SHARED / 'ph2'}"
    if not finished:
        delineo("compare", f"{GRID}.yaml", data, *settings, "--out", str(RUNS / GRID))
    record_grid(settings)


def record_grid(settings: tuple[str, ...]) -> None:
    """Record those cells of the grid that are finished, beside those that another call with the
    same settings has recorded.
    """
    cells = sorted(file.parent for file in (RUNS / GRID).glob("*/evaluation-test.json"))
    judged = {cell.name: json.loads((cell / "evaluation-test.json").read_text()) for cell in cells}
    kinds = ("dataset", "per_image", "competition")
    scores = {name: {kind: test[kind] for kind in kinds} for name, test in judged.items()}
    seconds = sum(seconds_of(cell) for cell in cells)
    others = other_cells(settings, scores)
    figures = {
        "train_seconds": round(others["train_seconds"] + seconds, 1),
        "comparison": {"scores": dict(sorted({**others["scores"], **scores}.items()))},
    }
    record_row(GRID, f"{GRID}.yaml", "ph2", settings, figures)


def other_cells(settings: tuple[str, ...], scores: dict[str, Any]) -> dict[str, Any]:
    """What was recorded, if none of its cells is among `scores`."""
    file = RESULTS / f"reproduce-{GRID}.json"
    if file.exists():
        figures = json.loads(file.read_text())["figures"]
        cells = figures["comparison"]["scores"]
        if figures["settings"] == list(settings) and not scores.keys() & cells.keys():
            return {"train_seconds": figures["train_seconds"], "scores": cells}
    return {"train_seconds": 0, "scores": {}}


def record_row(
    name: str, recipe: str, data: str, settings: tuple[str, ...], figures: dict[str, Any]
) -> None:
    """Record with the command that repeats it, whose paths are those of a checkout."""
    verb = "compare" if name == GRID else "train"
    quoted = [f"'{setting}'" if " " in setting else setting for setting in settings]
    command = ["delineo", verb, f"recipes/{recipe}", f"data.path=../shared/data/{data}", *quoted]
    figures["command"] = " ".join([*command, "--out", f"runs/{name}"])
    figures["settings"] = list(settings)
    record(f"reproduce-{name}", figures)


def compare_pairs() -> None:
    """Record the paired differences of those pairs whose runs are there."""
    for name, pair in PAIRS.items():
        if all((RUNS / run / "evaluation-test.json").exists() for run in pair):
            file = RUNS / f"pair-{name}.json"
            delineo("compare", *(str(RUNS / run) for run in pair), "--json", str(file))
            record(f"pair-{name}", json.loads(file.read_text().replace(f"{RUNS}/", "")))


if __name__ == "__main__":
    wanted = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    for name in wanted or [*ROWS, GRID]:
        reproduce(name, full="--full" in sys.argv, finished="--finished" in sys.argv)
    compare_pairs()
