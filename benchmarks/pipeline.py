"""Do reading and writing hide behind the network? Files to masks on disk by `delineo predict`'s own
function, against the same model on images in memory, and against one thing after another.

    python benchmarks/pipeline.py RUN

RUN is one of lesions, as benchmarks/inference.py trains it; the model is its OpenVINO form in fp32.
The three go in turn in one process; each share is of the time that the model alone takes.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from common import record

from delineo.data.images import read_image, write_image
from delineo.forms import open_predictor
from delineo.outputs import predict_files
from delineo.run import Run

IMAGES, ROUNDS = 50, 7


def seconds(work: Callable[[Path], object]) -> float:
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        work(Path(out))
        return time.perf_counter() - started


def main(run: Path) -> None:
    files = [sample.image for sample in Run.open(run).folder().part("train")][:IMAGES]
    images = [read_image(file) for file in files]
    predictor = open_predictor(run, "openvino")

    def one_by_one(out: Path) -> None:
        for file in files:
            write_image(out / f"{file.stem}.png", predictor(read_image(file))[..., None])

    arms: dict[str, Callable[[Path], object]] = {
        "model alone": lambda out: [predictor(image) for image in images],
        "delineo predict": lambda out: predict_files(predictor, files, out),
        "one thing after another": one_by_one,
    }
    rounds = [{name: seconds(arm) for name, arm in arms.items()} for _ in range(ROUNDS + 1)][1:]
    record(
        "pipeline",
        {
            "image_size": list(images[0].shape[:2]),
            "network_size": list(predictor.image_size),
            "milliseconds_per_image": {
                name: round(1000 * median(each[name] for each in rounds) / len(files), 2)
                for name in arms
            },
            "share_added": {
                name: round(median(each[name] / each["model alone"] for each in rounds) - 1, 3)
                for name in list(arms)[1:]
            },
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
