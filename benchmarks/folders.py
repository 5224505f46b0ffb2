"""Every folder with no configuration and budget=5m: do the defaults carry over?

python benchmarks/folders.py [NAME ...]
"""

import sys

from common import SHARED, record, train_and_test, tune_and_test

FOLDERS = (
    "carvana",
    "isbi2012_em",
    "magnetic_tile_severstal_format",
    "ph2",
    "tgs_salt",
    "camvid",
    "voc2012",
)

TUNED = {"magnetic_tile_severstal_format": "competition.severstal_mean_dice"}
"""Folders whose runs are tuned for a score on validation and judged once more."""

if __name__ == "__main__":
    for name in sys.argv[1:] or FOLDERS:
        figures = train_and_test(f"folder-{name}", SHARED / name, "budget=5m")
        if name in TUNED:
            figures["tuned"] = tune_and_test(f"folder-{name}", TUNED[name])
        record(f"folder-{name}", figures)
