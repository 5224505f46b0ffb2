"""A GeoTIFF of N x N RGB pixels predicted in windows: peak memory, speed against the bare model.

    python benchmarks/scan.py            30,000 x 30,000 pixels
    python benchmarks/scan.py --side 8000

Marks: under 1.5 GB, and within 10 % of the model on windows that are in memory already. The model
is the default network as OpenVINO in fp32, with an untrained decoder: speed and memory do not
depend on weights. After every few windows the prediction stands still for a moment, in which the
bare model answers a window again and nothing is done with its answer; these moments are not
counted. The peak is that of the process that predicts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from delineo import scans
from delineo.progress import show_progress
from delineo.runtime import ExportedPredictor, Session
from delineo.scans import predict_scan
from delineo.tiles import cut, plan_windows

ROWS = 512
EVERY = 12
"""Windows from one answer of the bare model to the next."""
STILL = 0.3
"""Seconds before it, in which what is read ahead and what is written behind come to an end."""
LARGEST_MEMORY_MB, LARGEST_SHARE_LOST = 1500, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--predict", type=Path, help="(used by itself) folder of scan and model")
    arguments = parser.parse_args()
    if arguments.predict:
        print(json.dumps(predict(arguments.predict)))
        return
    from common import record

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "scan.tif", arguments.side)
        export(folder)
        # a process of its own, without PyTorch: its peak is that of the prediction alone
        command = [sys.executable, __file__, "--predict", name]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        megabytes = (folder / "scan.tif").stat().st_size / 1e6
    figures = json.loads(output.splitlines()[-1])
    record(f"scan-{arguments.side}", {"scan_mb": round(megabytes), **figures})


def draw(path: Path, side: int) -> None:
    """Noise on slow waves, strip by strip."""
    random = np.random.default_rng(0)
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)}
    layout = {"height": side, "width": side, "count": 3, "dtype": "uint8"}
    form = {"tiled": True, "compress": "deflate", "zlevel": 1, "BIGTIFF": "IF_SAFER"}
    columns = 50 * np.sin(np.arange(side) / 130)
    with rasterio.open(path, "w", driver="GTiff", **layout, **form, **place) as file:
        for top in range(0, side, ROWS):
            rows = np.arange(top, min(side, top + ROWS))
            waves = (110 + 50 * np.sin(rows / 90)[:, None] + columns).astype(np.uint8)
            noise = random.integers(0, 16, (3, *waves.shape), np.uint8)
            file.write(waves + noise, window=((top, top + len(rows)), (0, side)))


def export(folder: Path) -> None:
    """The default network in the shape of a planned run, as OpenVINO."""
    from delineo.data.samples import DataFolder, Encoding, MaskFile, Sample
    from delineo.decision import Decision
    from delineo.export import write_export
    from delineo.prediction import Predictor, build_network
    from delineo.recipe import Recipe

    data = {"image_size": [256, 256], "scale": 1.0, "mean": [127.0] * 3, "std": [128.0] * 3}
    recipe = Recipe.parse({"data": data, "precision": "fp32"})
    Image.new("RGB", (64, 64)).save(folder / "image.png")
    sample = Sample("image", folder / "image.png", MaskFile(folder / "image.png"))
    described = DataFolder(
        folder, "benchmark", "binary", ("thing",), 3, Encoding(), (sample,), {"train": ("image",)}
    )
    network = build_network(recipe, described, None).eval()
    predictor = Predictor(network, recipe, described, Decision.default("binary", ("thing",)))
    (folder / "export").mkdir()
    write_export(folder / "export", "openvino", predictor, described)


def predict(folder: Path) -> dict[str, Any]:
    """Feed the bare model, predict the scan, feed the bare model again."""
    scans.LARGEST_IMAGE = 0  # in windows, however small
    predictor = ExportedPredictor.load(folder / "export")
    plan = plan_windows(predictor.footprint(), 1.0, 1)
    with rasterio.open(folder / "scan.tif") as file:
        spans = cut(file.height, plan)
    predictor.session = session = Interleaved(predictor.session)
    started = time.monotonic()
    with show_progress() as progress:
        predict_scan(predictor, folder / "scan.tif", [folder / "mask.tif"], progress)
    seconds = time.monotonic() - started - session.still
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    bare = session.seconds / session.pixels * sum(span.stop - span.start for span in spans) ** 2
    with rasterio.open(folder / "mask.tif") as mask:
        pixels = mask.height * mask.width
    return {
        "pixels": pixels,
        "window": plan.model_dump(),
        "windows": len(spans) ** 2,
        "seconds": round(seconds, 1),
        "megapixels_per_second": round(pixels / 1e6 / seconds, 3),
        "bare_seconds": round(bare, 1),
        "share_lost": round(1 - bare / seconds, 3),
        "share_lost_within_mark": 1 - bare / seconds <= LARGEST_SHARE_LOST,
        "peak_memory_mb": round(peak),
        "memory_within_mark": peak <= LARGEST_MEMORY_MB,
        "torch_imported": "torch" in sys.modules,
    }


class Interleaved:
    """Answers of the model, and now and then one more of the bare model, with its seconds."""

    def __init__(self, session: Session) -> None:
        self.session, self.answers = session, 0
        self.seconds, self.pixels, self.still = 0.0, 0, 0.0

    def __call__(self, window: np.ndarray) -> np.ndarray:
        found = self.session(window)
        self.answers += 1
        if self.answers % EVERY == 1:
            self._stand_still(window)
        return found

    def _stand_still(self, window: np.ndarray) -> None:
        began = time.monotonic()
        time.sleep(STILL)
        started = time.monotonic()
        self.session(window)
        ended = time.monotonic()
        self.seconds += ended - started
        self.pixels += window.shape[1] * window.shape[2]
        self.still += ended - began


if __name__ == "__main__":
    main()
