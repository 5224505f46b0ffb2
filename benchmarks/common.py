"""What the benchmarks share: where the data is, one training from the command line, a record."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from delineo.machine import describe_machine

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
RESULTS = REPOSITORY / "benchmarks" / "results"
RUNS = REPOSITORY / "runs"


def delineo(*arguments: str) -> float:
    """Run a command as a user would; returns its seconds. Its output goes to the terminal."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "delineo", *arguments], check=True)
    return time.monotonic() - started


def train_and_test(name: str, source: Path | str, *settings: str) -> dict[str, Any]:
    """Train on a folder or by a recipe into runs/NAME, anew, and judge on the test part."""
    run = RUNS / name
    shutil.rmtree(run, ignore_errors=True)
    seconds = delineo("train", str(source), *settings, "--out", str(run))
    return {"settings": list(settings), **judge(name), "train_seconds": round(seconds, 1)}


def judge(name: str) -> dict[str, Any]:
    """Score the finished training in runs/NAME on the test part."""
    run = RUNS / name
    delineo("evaluate", str(run), "--split", "test")
    return {"train_seconds": seconds_of(run), **figures_of(run)}


def seconds_of(run: Path) -> float:
    """What the training took, as it says itself."""
    return round(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["seconds"], 1)


def tune_and_test(name: str, score: str) -> dict[str, Any]:
    """Fit what makes masks of probabilities for a score on validation, and judge on test again.

    The run as it was before is kept as NAME-untuned.
    """
    run = RUNS / name
    shutil.copytree(run, RUNS / f"{name}-untuned", dirs_exist_ok=True)
    delineo("tune", str(run), "--score", score)
    delineo("evaluate", str(run), "--split", "test")
    test = json.loads((run / "evaluation-test.json").read_text())
    return {name: test[name] for name in ("decision", "competition", "dataset", "per_image")}


def figures_of(run: Path) -> dict[str, Any]:
    """What a run reached and what it took, from its files."""
    test = json.loads((run / "evaluation-test.json").read_text())
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    return {
        "data": Path(recipe["data"]["path"]).name,
        "peak_memory_mb": epochs[-1]["peak_memory_mb"],
        "epochs": len(epochs),
        "windows_seen": epochs[-1]["step"] * recipe["batch_size"],
        "image_size": recipe["data"]["image_size"],
        "num_test_images": test["num_images"],
        "per_image": _means(test["per_image"]),
        "dataset": _means(test["dataset"]),
        "iou_by_class": test["dataset"]["iou"],
        "competition": test.get("competition"),
        "nothing": _nothing_predicted(test) if test["task"] == "multilabel" else None,
    }


def _nothing_predicted(test: dict[str, Any]) -> dict[str, Any]:
    """What empty masks for all images would score by Severstal's rule: the share of empty ones."""
    images = test["images"]
    empty = [
        [tp + fn == 0 for tp, fn in zip(*pair, strict=True)]
        for pair in zip(images["tp"], images["fn"], strict=True)
    ]
    shares = [sum(each) / len(empty) for each in zip(*empty, strict=True)]
    by_class = dict(zip(test["classes"], shares, strict=True))
    return {"severstal_dice": by_class, "severstal_mean_dice": sum(shares) / len(shares)}


def _means(scores: dict[str, Any]) -> dict[str, Any]:
    names = ("mean_iou", "mean_dice", "pixel_accuracy")
    return {
        name: {"value": scores[name], "interval95": scores["interval95"][name]} for name in names
    }


def record(name: str, figures: Any) -> None:
    """Print the figures and write them with the machine to benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    machine = describe_machine()
    threads = int(os.environ.get("OMP_NUM_THREADS", machine["cores"]))
    result = {"machine": {**machine, "threads": threads}, "figures": figures}
    text = json.dumps(result, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
