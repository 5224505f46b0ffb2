"""Every folder with no configuration and budget=5m: do the defaults carry over?

python benchmarks/folders.py [NAME ...]
python benchmarks/folders.py carvana --budget 15m       recorded as folder-carvana-15m
"""

import argparse

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

HURRIED = "5m"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=FOLDERS, metavar="NAME")
    parser.add_argument("--budget", default=HURRIED)
    arguments = parser.parse_args()
    ending = "" if arguments.budget == HURRIED else f"-{arguments.budget}"
    for name in arguments.names:
        run = f"folder-{name}{ending}"
        figures = train_and_test(run, SHARED / name, f"budget={arguments.budget}")
        if name in TUNED:
            figures["tuned"] = tune_and_test(run, TUNED[name])
        record(run, figures)


if __name__ == "__main__":
    main()
