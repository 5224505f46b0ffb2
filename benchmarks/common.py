"""What the benchmarks share: where the data is, one training from the command line, a record."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from delineo.machine import describe_machine

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
RESULTS = REPOSITORY / "benchmarks" / "results"


def delineo(*arguments: str) -> float:
    """Run a command as a user would; returns its seconds. Its output goes to the terminal."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "delineo", *arguments], check=True)
    return time.monotonic() - started


def train_and_test(data: Path, *settings: str, keep: Path | None = None) -> dict[str, Any]:
    """Train on `data` with `settings`, judge on its test part; the run is kept at `keep`."""
    run = keep or Path(tempfile.mkdtemp()) / "run"
    seconds = delineo("train", str(data), *settings, "--out", str(run))
    delineo("evaluate", str(run), "--split", "test")
    test = json.loads((run / "evaluation-test.json").read_text())
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "data": data.name,
        "settings": list(settings),
        "train_seconds": round(seconds, 1),
        "peak_memory_mb": epochs[-1]["peak_memory_mb"],
        "epochs": len(epochs),
        "windows_seen": epochs[-1]["step"] * _batch_size(run),
        "image_size": _recipe(run)["data"]["image_size"],
        "num_test_images": test["num_images"],
        "per_image": _means(test["per_image"]),
        "dataset": _means(test["dataset"]),
        "iou_by_class": test["dataset"]["iou"],
    }


def _means(scores: dict[str, Any]) -> dict[str, Any]:
    names = ("mean_iou", "mean_dice", "pixel_accuracy")
    return {
        name: {"value": scores[name], "interval95": scores["interval95"][name]} for name in names
    }


def _recipe(run: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load((run / "recipe.yaml").read_text())


def _batch_size(run: Path) -> int:
    return _recipe(run)["batch_size"]


def record(name: str, figures: Any) -> None:
    """Print the figures and write them with the machine to benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": describe_machine(), "figures": figures}
    text = json.dumps(result, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
