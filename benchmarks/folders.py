"""Every folder with no configuration and budget=5m: do the defaults carry over?

python benchmarks/folders.py [NAME ...]
python benchmarks/folders.py carvana --budget 15m       recorded as folder-carvana-15m
python benchmarks/folders.py carvana --ending whole --settings data.image_size=[400,600] epochs=8
                                                        at the files' own size; `larger` is
                                                        data.image_size=[512,768] epochs=10
python benchmarks/folders.py ph2 tgs_salt --ending open --settings seed=0        without a budget
"""

import argparse

from common import SHARED, judge, record, train_and_test, tune_and_test

FOLDERS = (
    "carvana",
    "isbi2012_em",
    "magnetic_tile_severstal_format",
    "ph2",
    "tgs_salt",
    "camvid",
    "voc2012",
)

TUNED = {
    "magnetic_tile_severstal_format": "competition.severstal_mean_dice",
    "tgs_salt": "per_image.mean_iou",
}
"""Folders whose runs are tuned for a score on validation and judged once more."""

HURRIED = "5m"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=FOLDERS, metavar="NAME")
    parser.add_argument("--budget", default=HURRIED)
    parser.add_argument("--settings", nargs="+", help="in place of a budget")
    parser.add_argument("--ending", help="of the record's name")
    parser.add_argument("--finished", action="store_true", help="the training is there already")
    arguments = parser.parse_args()
    settings = arguments.settings or [f"budget={arguments.budget}"]
    usual = None if arguments.budget == HURRIED else arguments.budget
    for name in arguments.names:
        run = "-".join(filter(None, ("folder", name, arguments.ending or usual)))
        if arguments.finished:
            figures = {"settings": settings, **judge(run)}
        else:
            figures = train_and_test(run, SHARED / name, *settings)
        if name in TUNED:
            figures["tuned"] = tune_and_test(run, TUNED[name])
        record(run, figures)


if __name__ == "__main__":
    main()
