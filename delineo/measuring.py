"""What a prediction costs: time and peak memory of a run or an export in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .data.rasters import read_valid
from .errors import RunError
from .runtime import load_predictor

ROUNDS = 3


def measure(path: Path, images: Sequence[Path]) -> dict[str, Any]:
    """Median seconds from a decoded image to its mask and peak memory in MB, in a new process.

    `path` is a run, in the precision it predicts with, or an export, which knows no GPU: both are
    measured without one. Raises RunError where that process fails.
    """
    command = [sys.executable, "-m", "delineo.measuring", str(path), *map(str, images)]
    without_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, capture_output=True, text=True, env=without_gpu)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RunError(f"the cost of {path} could not be measured: {reason}")
    return json.loads(result.stdout.splitlines()[-1])


def _measure_here(path: Path, images: Sequence[Path]) -> dict[str, Any]:
    predictor, times = load_predictor(path), []
    pixels = [read_valid(image)[0] for image in images]
    for image in pixels:
        predictor(image)
    for image in pixels * ROUNDS:
        start = time.perf_counter()
        predictor(image)
        times.append(time.perf_counter() - start)
    return {
        "seconds_per_image": statistics.median(times),
        "peak_memory_mb": _peak_memory_mb(),
        "precision": getattr(predictor, "precision", None),
    }


def _peak_memory_mb() -> float:
    """Of this program alone: getrusage counts that of the process that started it too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    print(json.dumps(_measure_here(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])))
