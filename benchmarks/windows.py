"""Pictures predicted in windows against the same pictures predicted at once, in fp32.

    python benchmarks/windows.py            measures, and writes the table of docs/any_size.md
    python benchmarks/windows.py --table    writes the table from what was recorded

Each picture is 1024 x 1024 pixels, put together from test images, and is cut into windows of 480
pixels: with a halo of 128 they are 192 apart, so that there are as many edges as there ever are.
The networks are trained for some seconds each: many pixels are near the threshold. Where
benchmarks/reproduce.py has left the run of ResUNet, that is shown full-size tiles too.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import RESULTS, RUNS, SHARED, record
from pages import write_between

from delineo import Predictor, Run, tiles, train
from delineo.data.images import read_image
from delineo.data.samples import DataFolder
from delineo.decision import decide
from delineo.tiles import RAMP, Plan

PAGE = Path(__file__).resolve().parents[1] / "docs" / "any_size.md"
START, END = "<!-- windows: written by benchmarks/windows.py -->", "<!-- end of windows -->"

SIDE, PICTURE, PICTURES = 480, 1024, 2
ROUNDING = 1e-6
"""Differences below are those of the order in which floating-point numbers are added up."""
BRIEFLY = ("epochs=1", "batch_size=4", "data.scale=1", "precision=fp32", "seed=0")


class Case(NamedTuple):
    """A network, what it is trained on, and how wide a halo its windows have."""

    name: str
    data: str
    piece: int
    """Side of the part of each test image that a picture is put together from."""
    settings: tuple[str, ...]
    halo: int | None = None
    """In place of that which Delineo chooses."""


BRIEF = (*BRIEFLY, "data.image_size=[128,128]", "epoch_size=64")
UNET = ("model.name=unet", "model.width=16", *BRIEF)
SEGNET = ("model.name=segnet", "model.form=basic", "model.width=16", *BRIEF)
RESNET = ("model.name=resnet_unet", "model.depth=18", *BRIEF)
RESUNET = ("model.name=resunet", "model.width=16", *BRIEF)
LITE = (*BRIEFLY, "data.image_size=[160,160]", "epoch_size=160")
EM, TILES = "isbi2012_em", "magnetic_tile_severstal_format"
CASES = (
    Case("U-Net of depth 2, EM membranes", EM, 512, (*UNET, "model.depth=2")),
    Case("U-Net of depth 4, EM membranes", EM, 512, (*UNET, "model.depth=4")),
    Case("SegNet-Basic, EM membranes", EM, 512, SEGNET),
    Case("U-Net on ResNet-18, EM membranes", EM, 512, RESNET),
    Case("ResUNet, magnetic tiles", TILES, 192, RESUNET),
    Case("LiteUNet, EM membranes", EM, 512, LITE),
    Case("LiteUNet, magnetic tiles", TILES, 192, LITE),
    Case("LiteUNet, magnetic tiles, halo too narrow", TILES, 192, LITE, halo=64),
)


REPRODUCED = "tiles-resunet"
LONGER = Case("ResUNet of the reproduction, magnetic tiles", TILES, 192, (f"runs/{REPRODUCED}",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    if not parser.parse_args().table:
        with tempfile.TemporaryDirectory() as folder:
            found = {case.name: measure(case, *trained(case, Path(folder))) for case in CASES}
        if (RUNS / REPRODUCED).exists():
            found[LONGER.name] = measure(LONGER, *reproduced())
        record("windows", found)
    write_between(PAGE, START, END, table())


def measure(case: Case, predictor: Predictor, described: DataFolder) -> dict[str, Any]:
    """Predict each picture in both ways."""
    footprint = predictor.footprint()
    halo = footprint.halo if case.halo is None else case.halo
    plan = Plan(side=SIDE, halo=halo, step=(SIDE - 2 * halo - RAMP) // 32 * 32, scale=1.0)
    answers = [
        (predictor.at_once(picture), in_windows(predictor, picture, plan))
        for picture in pictures(described, case.piece)
    ]
    differences = [np.abs(whole - cut) for whole, cut in answers]
    equal = [
        np.mean(decide(whole, predictor.decision) == decide(cut, predictor.decision))
        for whole, cut in answers
    ]
    return {
        "settings": list(case.settings),
        "reach": footprint.reach,
        "halo": halo,
        "step": plan.step,
        "pictures": len(answers),
        "largest": float(f"{max(each.max() for each in differences):.2g}"),
        "mean": float(f"{np.mean([each.mean() for each in differences]):.2g}"),
        "equal_mask_pixels": round(float(np.mean(equal)), 6),
    }


def trained(case: Case, folder: Path) -> tuple[Predictor, DataFolder]:
    """Trained now, unless another case was with the same settings."""
    out = folder / f"{case.data}-{'-'.join(case.settings)}".replace("=", "-")
    if not out.exists():
        train(SHARED / case.data, case.settings, out=out)
    return opened(out)


def reproduced() -> tuple[Predictor, DataFolder]:
    """A run that sees tiles at half their size, seeing them at all of it."""
    predictor, described = opened(RUNS / REPRODUCED)
    return predictor.at_scale(2), described


def opened(path: Path) -> tuple[Predictor, DataFolder]:
    run = Run.open(path)
    return Predictor.load(run, device="cpu"), run.folder()


def pictures(described: DataFolder, piece: int) -> Iterator[np.ndarray]:
    """Test images side by side, as many as fill PICTURES pictures; they may come again."""
    images = [read_image(sample.image) for sample in described.part("test")]
    pieces = [image[:piece, :piece] for image in images if min(image.shape[:2]) >= piece]
    side = -(-PICTURE // piece)
    for first in range(0, PICTURES * side**2, side**2):
        own = [pieces[place % len(pieces)] for place in range(first, first + side**2)]
        rows = [
            np.concatenate(own[left : left + side], axis=1) for left in range(0, len(own), side)
        ]
        yield np.concatenate(rows)[:PICTURE, :PICTURE]


def in_windows(predictor: Predictor, picture: np.ndarray, plan: Plan) -> np.ndarray:
    """As images are predicted for which there is no memory."""
    tiles.SMALL, tiles.WHOLE_BYTES, tiles.plan_windows = 0, 0, lambda *_: plan
    return predictor.probabilities(picture)


def table() -> str:
    """Markdown: a row for each case that was recorded."""
    figures = json.loads((RESULTS / "windows.json").read_text())["figures"]
    lines = [
        "| network | reach | halo | largest difference of a probability | mean | equal pixels |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(name, measured) for name, measured in figures.items()),
    ]
    return "\n".join(lines)


def _row(name: str, measured: dict[str, Any]) -> str:
    shown = " | ".join(_shown(measured[key]) for key in ("largest", "mean"))
    equal = 100 * measured["equal_mask_pixels"]
    return f"| {name} | {measured['reach']} | {measured['halo']} | {shown} | {equal:.2f} % |"


def _shown(difference: float) -> str:
    return f"{difference:.6f}".rstrip("0") if difference >= ROUNDING else f"under {ROUNDING:.6f}"


if __name__ == "__main__":
    main()
